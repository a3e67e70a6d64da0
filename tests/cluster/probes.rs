//! The probes, asked of states that the cluster's own controllers have made, or that a kubelet would have written.

use jiff::Timestamp;
use runbookd::clients::kubernetes::Rollout;
use runbookd::clock::now;
use runbookd::incident::evidence::{Evidence, Verdict};
use runbookd::runbook::load::load;
use serde_json::{Value, json};

use crate::ground::{self, APP};
use crate::objects::{self, failing};
use crate::owners::eyes;
use crate::stage::{Stage, on, until};

/// What a probe answers. NS in its text is the namespace.
async fn ask(stage: &Stage, probe: &str) -> Evidence {
    let probe = probe.replace("NS", &stage.namespace);
    let text = format!(
        "apiVersion: runbookd.dev/v1\nkind: Verification\nname: v\nsummary: s\nchecks: {{p: {{{probe}}}}}\n"
    );
    let file = stage.folder.path().join("verification.yaml");
    std::fs::write(&file, text).unwrap();
    let loaded = load(&[file], None, 1).unwrap_or_else(|faults| panic!("{faults}"));
    eyes(stage).verification(&loaded.verifications[0], 1).await.remove(0)
}

/// The same, for one that holds, and what it says.
async fn holds(stage: &Stage, probe: &str) -> Evidence {
    let answer = ask(stage, probe).await;
    assert_eq!(answer.verdict, Verdict::Holds, "{probe}: {answer:#?}");
    answer
}

async fn once_holds(stage: &Stage, probe: &str) -> Evidence {
    assert!(
        until(async || ask(stage, probe).await.verdict == Verdict::Holds).await,
        "{:#?}",
        ask(stage, probe).await
    );
    holds(stage, probe).await
}

async fn is_unknown(stage: &Stage, probe: &str) -> String {
    let answer = ask(stage, probe).await;
    let Verdict::Unknown { why } = answer.verdict else { panic!("{probe}: {answer:#?}") };
    why
}

async fn write_status(stage: &Stage, pod: &Value, status: Value) {
    let name = pod["metadata"]["name"].as_str().unwrap();
    stage.admin.merge(&stage.core(&format!("pods/{name}/status")), &status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_counted_by_what_kubernetes_says_of_them() {
    on(|stage| async move {
        assert_eq!(
            is_unknown(&stage, "pods: unhealthy, namespace: NS, at_most: 0").await,
            "there is no such pod, so nothing can be said of its state"
        );
        stage.deployment(APP).await;
        let well = holds(&stage, "pods: unhealthy, namespace: NS, at_most: 0").await;
        assert_eq!(well.saw, "0 of 2 pods not ready or crash-looping; at most 0");
        let pods = stage.pods(APP).await;
        write_status(&stage, &pods[0], failing(&pods[0], "CrashLoopBackOff", "OOMKilled", 3, now())).await;
        write_status(&stage, &pods[1], failing(&pods[1], "ImagePullBackOff", "", 0, now())).await;
        for (state, seen) in [
            ("crash_looping, namespace: NS", 1),
            ("not_ready, namespace: NS", 2),
            ("image_not_pulled, namespace: NS", 1),
            ("restarted, namespace: NS, window: 1h", 1),
            ("oom_killed, namespace: NS, window: 1h", 1),
            ("unscheduled, namespace: NS", if stage.nodes.is_empty() { 2 } else { 0 }),
            ("stuck, namespace: NS", 0),
        ] {
            let probe = format!("pods: {state}, deployment: web, at_least: {}", seen.max(1));
            let answer = ask(&stage, &probe).await;
            assert!(answer.saw.starts_with(&format!("{seen} of 2 pods ")), "{probe}: {answer:#?}");
        }
        let counted = holds(&stage, "pods: unhealthy, namespace: NS, count_by: deployment, at_least: 1").await;
        assert_eq!(counted.by.get(APP), Some(&2.0), "by the Deployment behind the ReplicaSet");
        let oom = holds(&stage, "pods: oom_killed, namespace: NS, window: 1h, at_least: 1").await;
        let line = &oom.samples[0].line;
        assert!(line.starts_with("container web: waiting (CrashLoopBackOff), started again 3 times, last ended: OOMKilled, exit code 137, "), "{line}");
        // No node takes it.
        let mut lonely = objects::pod("lonely", &json!([]));
        lonely["metadata"]["labels"][objects::LEFT] = json!("");
        stage.admin.create(&stage.core("pods"), &lonely).await;
        let nowhere = holds(&stage, "pods: unscheduled, namespace: NS, at_least: 1").await;
        assert!(nowhere.samples.iter().any(|sample| sample.from == "lonely" && sample.line == "no node takes it"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_no_kubelet_hands_out_are_an_error_and_not_none() {
    on(|stage| async move {
        stage.deployment(APP).await;
        let none = holds(&stage, "logs: previous, namespace: NS, deployment: web, at_most: 0").await;
        assert!(none.saw.starts_with("0 pods were started again"), "{}", none.saw);
        let pod = stage.pods(APP).await.remove(0);
        let name = pod["metadata"]["name"].as_str().unwrap();
        let logs = stage.kubernetes.previous_logs(&stage.namespace, name, APP, 20).await;
        // Only a kubelet knows; there is none here, and that is no answer.
        let error = logs.unwrap_err();
        assert!(error.to_string().contains(&format!("read the previous logs of pod/{name}")), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_followed_as_its_controller_tells_it() {
    on(|stage| async move {
        let object = objects::workload("Deployment", APP, &stage.namespace);
        let mut slow = object.clone();
        slow["spec"]["template"]["metadata"]["labels"][objects::LEFT] = json!("");
        slow["spec"]["progressDeadlineSeconds"] = json!(2);
        stage.admin.create(&stage.apps("deployments"), &slow).await;
        let rollout = async || stage.kubernetes.workload("deployment", &stage.namespace, APP).await.unwrap();
        let under_way = rollout().await;
        assert!(under_way.rolling_out.is_some(), "{under_way:?}");
        // Nobody starts its pods: the controller gives up.
        let failed = async || matches!(rollout().await.rollout, Rollout::Failed { .. });
        assert!(until(failed).await, "{:?}", rollout().await);
        let seen = rollout().await;
        let Rollout::Failed { what, since } = &seen.rollout else { unreachable!() };
        assert!(what.starts_with("the rollout exceeded its progress deadline: ReplicaSet"), "{what}");
        assert!(since.is_some() && seen.rolling_out.is_none(), "{seen:?}");
        let incomplete = holds(&stage, "rollouts: incomplete, namespace: NS, at_least: 1").await;
        assert_eq!(incomplete.saw, "1 of 1 rollout incomplete; at least 1");
        // Somebody starts them.
        let change = json!({"spec": {"template": {"metadata": {"labels": {objects::LEFT: null}}}}});
        stage.admin.merge(&stage.apps("deployments/web"), &change).await;
        stage.ready(APP, 2).await;
        assert_eq!(rollout().await.rollout, Rollout::Complete { ready: 2 });
        holds(&stage, "rollouts: incomplete, namespace: NS, at_most: 0").await;
        // A pod that crashes later is no rollout.
        let pod = stage.pods(APP).await.remove(0);
        write_status(&stage, &pod, failing(&pod, "CrashLoopBackOff", "Error", 1, now())).await;
        let available = |object: &Value| object["status"]["availableReplicas"] == 1;
        stage.admin.once(&stage.apps("deployments/web"), available).await;
        let crashed = rollout().await;
        assert!(matches!(crashed.rollout, Rollout::InProgress { .. }), "{crashed:?}");
        assert_eq!(crashed.rolling_out, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_and_a_daemon_set_are_followed_as_their_controllers_tell_it() {
    on(|stage| async move {
        let kinds: &[&str] =
            if stage.nodes.is_empty() { &["StatefulSet"] } else { &["StatefulSet", "DaemonSet"] };
        for kind in kinds {
            let (kind, small) = (*kind, kind.to_lowercase());
            let path = stage.apps(&format!("{small}s"));
            stage.admin.create(&path, &objects::workload(kind, &small, &stage.namespace)).await;
            let read = async || stage.kubernetes.workload(&small, &stage.namespace, &small).await.unwrap();
            stage.ready(&small, 2).await;
            let seen = read().await;
            assert_eq!((seen.rollout, seen.replicas), (Rollout::Complete { ready: 2 }, 2), "{kind}");
            // The pods of the next template are not started.
            let template = json!({"metadata": {"labels": {objects::LEFT: ""}}});
            let path = format!("{path}/{small}");
            stage.admin.merge(&path, &json!({"spec": {"template": template}})).await;
            let new = async || {
                let pods = stage.pods(&small).await;
                pods.iter().any(|pod| pod["metadata"]["labels"][objects::LEFT].is_string())
            };
            assert!(until(new).await, "{kind}");
            let seen = read().await;
            assert!(matches!(seen.rollout, Rollout::InProgress { .. }), "{kind}: {seen:?}");
            // All pods of a DaemonSet are made at once here, and that is the end of what its controller calls a rollout.
            assert!(seen.rolling_out.is_some() || kind == "DaemonSet", "{kind}: {seen:?}");
            let on_delete = json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}});
            stage.admin.merge(&path, &on_delete).await;
            assert_eq!(read().await.held_back.as_deref(), Some("is OnDelete"), "{kind}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rolled_out_lately_is_told_with_both_images() {
    on(|stage| async move {
        stage.deployment(APP).await;
        let changed = "rollouts: changed, namespace: NS, deployment: web, window: 1h";
        holds(&stage, &format!("{changed}, at_most: 0")).await;
        let path = stage.apps("deployments/web");
        let restart = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
        stage.admin.merge(&path, &restart).await;
        stage.ready(APP, 2).await;
        holds(&stage, &format!("{changed}, at_most: 0")).await;
        stage.set_image(APP, "registry.invalid/none:2").await;
        let one = holds(&stage, &format!("{changed}, at_least: 1")).await;
        assert!(one.saw.contains("revision 3, registry.invalid/none:2 after registry.invalid/none:1"), "{}", one.saw);
        let history = stage.kubernetes.history(&stage.namespace, APP).await.unwrap();
        assert_eq!(history.revisions.iter().map(|revision| revision.number).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(history.previous().map(|revision| revision.number), Some(2));
        // What the controller adds to a ReplicaSet's template makes no other template of it.
        assert_eq!(history.current().map(|revision| &revision.template), Some(&history.template));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_read_whichever_way_they_were_written() {
    on(|stage| async move {
        if !stage.admin.has("events.k8s.io/v1", "events").await {
            return;
        }
        // The Deployment's controller writes the old kind.
        stage.deployment(APP).await;
        let scaled = "events: [ScalingReplicaSet], namespace: NS, object: web, window: 5m, at_least: 1";
        let scaled = once_holds(&stage, scaled).await;
        assert!(scaled.samples[0].line.starts_with("ScalingReplicaSet (1 times): Scaled up replica set web-"));
        assert_eq!(scaled.samples[0].from, "deployment/web");
        let now = now();
        let about = json!({"apiVersion": "v1", "kind": "Pod", "name": "old", "namespace": stage.namespace});
        let ago = |seconds: i64| Timestamp::from_second(now.as_second() - seconds).unwrap();
        // As a kubelet does: the same thing again only counts up.
        let old = json!({"metadata": {"name": "old"}, "involvedObject": about, "reason": "BackOff", "type": "Warning",
            "message": "Back-off restarting failed container", "count": 7, "source": {"component": "kubelet"},
            "firstTimestamp": ago(120).to_string(), "lastTimestamp": ago(10).to_string()});
        stage.admin.create(&stage.core("events"), &old).await;
        // As a scheduler does.
        let mut about = about;
        about["name"] = json!("new");
        let micros = |seconds| format!("{:.6}", ago(seconds));
        let new = json!({"metadata": {"name": "new"}, "regarding": about, "reason": "FailedScheduling", "type": "Warning",
            "note": "0/3 nodes are available", "action": "Scheduling", "eventTime": micros(60),
            "reportingController": "default-scheduler", "reportingInstance": "one",
            "series": {"count": 3, "lastObservedTime": micros(5)}});
        stage.admin.create(&stage.path("events.k8s.io/v1", "events"), &new).await;
        let events = stage.kubernetes.events(&stage.namespace).await.unwrap();
        let of = |name: &str| events.iter().find(|event| event.name == name).unwrap().clone();
        let (old, new) = (of("old"), of("new"));
        assert_eq!((old.times, old.first, old.last), (7, Some(ago(120)), Some(ago(10))), "{old:?}");
        assert_eq!((new.times, new.first, new.last), (3, Some(ago(60)), Some(ago(5))), "{new:?}");
        assert_eq!((new.kind.as_str(), new.note.as_str()), ("Pod", "0/3 nodes are available"));
        let counted = holds(&stage, "events: [BackOff], namespace: NS, window: 5m, at_least: 7").await;
        assert!(counted.saw.starts_with("7 such events in "), "{}", counted.saw);
        // Of those before the window nobody knows how many; the last was within it.
        holds(&stage, "events: [BackOff, FailedScheduling], namespace: NS, window: 30s, at_least: 2").await;
        let none = holds(&stage, "events: [OOMKilling], namespace: NS, window: 5m, at_most: 0").await;
        assert!(none.saw.starts_with("0 such events"), "{}", none.saw);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_are_read_as_their_controller_counts() {
    on(|stage| async move {
        if !stage.admin.has("policy/v1", "budgets").await {
            return;
        }
        stage.deployment(APP).await;
        let path = stage.path("policy/v1", "poddisruptionbudgets");
        stage.admin.create(&path, &objects::budget(APP, 2)).await;
        // One that has no pods blocks nothing, and an empty selector is all pods.
        stage.admin.create(&path, &objects::budget("nobody", 1)).await;
        stage
            .admin
            .create(&path, &json!({"metadata": {"name": "nothing"}, "spec": {"minAvailable": 1}}))
            .await;
        for name in [APP, "nobody"] {
            let observed = |budget: &Value| budget["status"]["observedGeneration"] == 1;
            stage.admin.once(&format!("{path}/{name}"), observed).await;
        }
        let blocking = once_holds(&stage, "budgets: blocking, namespace: NS, at_least: 1").await;
        assert_eq!(blocking.samples.iter().map(|sample| sample.from.as_str()).collect::<Vec<_>>(), [APP]);
        let pod = stage.pods(APP).await.remove(0);
        write_status(&stage, &pod, failing(&pod, "CrashLoopBackOff", "Error", 1, now())).await;
        let unmet = "budgets: unmet, namespace: NS, at_least: 1";
        once_holds(&stage, unmet).await;
        let line = async || {
            let answer = ask(&stage, unmet).await;
            answer.samples.iter().find(|sample| sample.from == APP).map(|sample| sample.line.clone())
        };
        let wanted = "1 of 2 pods healthy, 2 have to be, 0 may be evicted";
        assert!(until(async || line().await.as_deref() == Some(wanted)).await, "{:?}", line().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn autoscalers_are_read_as_their_controller_tells_it() {
    on(|stage| async move {
        if !stage.admin.has("autoscaling/v2", "autoscalers").await {
            return;
        }
        stage.deployment(APP).await;
        // Nothing measures these pods.
        let resource = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}});
        let of = |name: &str, target: &str, most: u32| {
            json!({"metadata": {"name": name}, "spec": {"minReplicas": 1, "maxReplicas": most,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
                "metrics": [{"type": "Resource", "resource": resource}]}})
        };
        let path = stage.path("autoscaling/v2", "horizontalpodautoscalers");
        stage.admin.create(&path, &of("full", APP, 2)).await;
        stage.admin.create(&path, &of("lost", "nobody", 2)).await;
        let hindered =
            once_holds(&stage, "autoscalers: hindered, namespace: NS, deployment: web, at_least: 1").await;
        let line = &hindered.samples[0].line;
        assert!(line.starts_with("web 2, wants ") && line.contains("; FailedGetResourceMetric: "), "{line}");
        once_holds(&stage, "autoscalers: hindered, namespace: NS, at_least: 2").await;
        let full = once_holds(&stage, "autoscalers: at_maximum, namespace: NS, at_least: 1").await;
        assert_eq!(full.samples.len(), 1, "{full:#?}");
        let found = stage.kubernetes.autoscalers(&stage.namespace).await.unwrap();
        let lost = found.iter().find(|autoscaler| autoscaler.name == "lost").unwrap();
        assert!(lost.hindered.as_deref().unwrap().starts_with("FailedGetScale: "), "{lost:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_read_as_their_kubelets_and_their_controller_tell_it() {
    on(|stage| async move {
        let [node, other] = stage.nodes.as_slice() else { return };
        let path = format!("/api/v1/nodes/{node}");
        let of = |state: &str| format!("nodes: {state}, node: {node}, at_least: 1");
        once_holds(&stage, &of("ready")).await;
        assert!(!matches!(ask(&stage, &of("not_ready")).await.verdict, Verdict::Holds));
        stage.admin.merge(&path, &json!({"spec": {"unschedulable": true}})).await;
        holds(&stage, &of("cordoned")).await;
        stage.admin.merge(&path, &json!({"spec": {"unschedulable": null}})).await;
        stage.kill_kubelet(node);
        let mut conditions = objects::node_conditions(now());
        conditions[0]["status"] = json!("True");
        stage.admin.merge(&format!("{path}/status"), &json!({"status": {"conditions": conditions}})).await;
        let pressure = holds(&stage, &of("under_pressure")).await;
        assert!(pressure.saw.contains("MemoryPressure"), "{}", pressure.saw);
        // The controller gives up on a kubelet that says nothing any more.
        let lost = once_holds(&stage, &of("not_ready")).await;
        assert!(lost.saw.contains("Ready=Unknown since "), "{}", lost.saw);
        assert!(lost.saw.contains("Kubelet stopped posting node status."), "{}", lost.saw);
        let silent = is_unknown(&stage, &of("under_pressure")).await;
        assert!(silent.ends_with("does not say what it is short of"), "{silent}");
        let read = stage.kubernetes.node(node).await.unwrap().unwrap();
        assert!(read.tainted && !read.out_of_service && !read.tells_pressures, "{read:?}");
        // Gone is not ready.
        stage.admin.delete(&path, &Value::Null).await;
        assert!(until(async || stage.kubernetes.node(node).await.unwrap().is_none()).await);
        let gone = holds(&stage, &of("not_ready")).await;
        assert!(gone.saw.contains("is not there (any more)"), "{}", gone.saw);
        assert_eq!(stage.kubernetes.node(other).await.unwrap().unwrap().name, *other);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_counted_by_their_node_and_those_that_do_not_end_are_stuck() {
    on(|stage| async move {
        let Some(node) = stage.nodes.first() else { return };
        ground::leave_stopping(&stage, node).await;
        let stuck = format!("pods: stuck, namespace: NS, node: {node}, at_least: 1");
        let not_yet = ask(&stage, &stuck).await;
        assert_eq!(not_yet.verdict, Verdict::Fails, "a kubelet gets half a minute: {not_yet:#?}");
        let stuck = once_holds(&stage, &stuck).await;
        assert_eq!(stuck.samples[0].line, format!("was to end, and has not (node/{node})"));
        let elsewhere = format!("pods: stuck, namespace: NS, node: {}, at_most: 0", stage.nodes[1]);
        holds(&stage, &elsewhere).await;
    })
    .await;
}
