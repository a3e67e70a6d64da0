//! The actions: what each must keep, as the suite asks it of the sandbox, and what a real API server and its controllers add to that.

use std::time::Duration;

use runbookd::act::{Followed, Reverted};
use runbookd::clients::kubernetes::CORDONED_AT;
use runbookd::clock::{before, now};
use runbookd::incident::event::{EffectResult, Observation};
use runbookd::incident::plan::{Kind, Object, Plan, Target};
use runbookd::runbook::{Action, Remedy};
use serde_json::{Value, json};

use crate::ground::{self, APP, Set, in_every_case, is_possible};
use crate::invariants::{self, Ground as _, permit, wish};
use crate::objects::{self, is_stopping};
use crate::stage::{Stage, on, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_changes_nothing_and_says_the_same_again() {
    in_every_case(|stage, case| async move {
        invariants::a_plan_changes_nothing_and_says_the_same_again(&Set::new(&stage, case).await, case.0)
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applied_twice_is_as_once_and_comes_to_its_end() {
    in_every_case(|stage, case| async move {
        invariants::applied_twice_is_as_once_and_comes_to_its_end(&Set::new(&stage, case).await, case.0)
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_object_of_the_same_name_is_never_touched() {
    in_every_case(|stage, case| async move {
        invariants::another_object_of_the_same_name_is_never_touched(&Set::new(&stage, case).await, case.0)
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reverted_twice_is_as_once() {
    in_every_case(|stage, case| async move {
        invariants::reverted_twice_is_as_once(&Set::new(&stage, case).await, case.0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_deployment_stands_against_a_restart_and_against_a_rollback() {
    on(|stage| async move {
        let set = Set::new(&stage, (Action::Rollback, Kind::Deployment)).await;
        let path = stage.apps("deployments/web");
        stage.admin.merge(&path, &json!({"spec": {"paused": true}})).await;
        for action in [Action::Restart, Action::Rollback] {
            assert!(set.plan(action).await.circumstances.paused, "{action:?}");
        }
        // With a permit all the same: accepted, nothing is rolled out, and that is no success.
        let plan = set.plan(Action::Restart).await;
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        stage
            .admin
            .once(&path, |object| object["status"]["observedGeneration"] == object["metadata"]["generation"])
            .await;
        let end = set.hands().follow(&plan, &[]).await;
        assert!(matches!(&end, Followed::Overtaken(what) if what.contains("was paused")), "{end:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_that_a_budget_refuses_never_becomes_a_delete() {
    on(|stage| async move {
        if !is_possible(&stage, (Action::Evict, Kind::Pod)).await {
            return;
        }
        let set = Set::new(&stage, (Action::Evict, Kind::Pod)).await;
        let plan = set.plan(Action::Evict).await;
        assert_eq!(plan.circumstances.against, None);
        budget_of(&stage, APP, 2, 0).await;
        let late = set.plan(Action::Evict).await.circumstances.against.unwrap();
        assert_eq!(
            late.saw,
            "poddisruptionbudget/web allows no eviction: 2 of its pods are healthy, 2 have to be"
        );
        let pods = |pods: Vec<Value>| {
            pods.iter().map(|pod| json!([pod["metadata"]["uid"], is_stopping(pod)])).collect::<Vec<_>>()
        };
        let before = pods(stage.pods(APP).await);
        let result = set.apply(&plan).await;
        let EffectResult::NotTaken { reason, message } = &result else { panic!("{result:?}") };
        assert_eq!(reason, "rate_limited");
        assert!(message.contains("disruption budget"), "{message}");
        assert_eq!(pods(stage.pods(APP).await), before);
        assert_eq!(set.hands().observe(&plan).await, Observation::NotDone);
    })
    .await;
}

/// What a budget says of its pods, when its controller has counted.
async fn budget_of(stage: &Stage, name: &str, least: u32, allowed: u32) {
    let path = stage.path("policy/v1", "poddisruptionbudgets");
    if stage.admin.get(&format!("{path}/{name}")).await.is_none() {
        let mut budget = objects::budget(APP, 0);
        budget["metadata"]["name"] = json!(name);
        stage.admin.create(&path, &budget).await;
    }
    let path = format!("{path}/{name}");
    stage.admin.merge(&path, &json!({"spec": {"minAvailable": least}})).await;
    let counted = |budget: &Value| {
        let status = &budget["status"];
        status["observedGeneration"] == budget["metadata"]["generation"]
            && status["disruptionsAllowed"] == allowed
    };
    stage.admin.once(&path, counted).await;
}

/// The API server answers 500 then, and evicts nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_of_a_pod_with_two_budgets_is_not_even_tried() {
    on(|stage| async move {
        if !is_possible(&stage, (Action::Evict, Kind::Pod)).await {
            return;
        }
        let set = Set::new(&stage, (Action::Evict, Kind::Pod)).await;
        let plan = set.plan(Action::Evict).await;
        budget_of(&stage, "another", 1, 1).await;
        let late = set.plan(Action::Evict).await.circumstances.against.unwrap();
        assert!(late.saw.ends_with("has several disruption budgets: another, web"), "{late:?}");
        let result = set.apply(&plan).await;
        let EffectResult::Unclear { message, .. } = &result else { panic!("{result:?}") };
        assert!(message.contains("has more than one PodDisruptionBudget"), "{message}");
        assert_eq!(set.hands().observe(&plan).await, Observation::NotDone);
    })
    .await;
}

/// The API server asks the budget of the pod that has the name now before it compares uids.
#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_of_a_pod_that_is_gone_is_done_whatever_the_budget_of_the_next_one_says() {
    on(|stage| async move {
        if !is_possible(&stage, (Action::Evict, Kind::Pod)).await {
            return;
        }
        let set = Set::new(&stage, (Action::Evict, Kind::Pod)).await;
        let uid = "00000000-0000-4000-a000-000000000000".to_owned();
        let plan = Plan { uid, ..set.plan(Action::Evict).await };
        budget_of(&stage, APP, 2, 0).await;
        let before = set.state().await;
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        assert_eq!(set.state().await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_of_what_is_not_ready_costs_a_budget_nothing_while_enough_others_are() {
    on(|stage| async move {
        if !is_possible(&stage, (Action::Evict, Kind::Pod)).await {
            return;
        }
        let set = Set::new(&stage, (Action::Evict, Kind::Pod)).await;
        let path = stage.core(&format!("pods/{}", set.target.name));
        let pod = stage.admin.get(&path).await.unwrap();
        let status = objects::failing(&pod, "CrashLoopBackOff", "Error", 1, now());
        stage.admin.merge(&format!("{path}/status"), &status).await;
        budget_of(&stage, APP, 1, 0).await;
        let plan = set.plan(Action::Evict).await;
        assert_eq!(plan.circumstances.against, None);
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        assert_eq!(set.hands().observe(&plan).await, Observation::Done);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_without_an_owner_stands_against_its_own_end() {
    on(|stage| async move {
        stage.admin.create(&stage.core("pods"), &objects::pod("alone", &json!([]))).await;
        let name = "alone".to_owned();
        let target = Target { kind: Kind::Pod, namespace: stage.namespace.clone(), name };
        let mut actions = vec![Action::DeletePod];
        if stage.admin.has("policy/v1", "evict").await {
            actions.push(Action::Evict);
        }
        for action in actions {
            let plan = stage.hands.plan(&wish(&Remedy::Plain(action)), &target, now(), now()).await.unwrap();
            let against = plan.circumstances.against.unwrap();
            assert!(against.saw.ends_with("has no owner") && !against.passes, "{action:?}: {against:?}");
        }
    })
    .await;
}

/// What a node that does not answer may still run is not removed; what a person has declared off is.
#[tokio::test(flavor = "multi_thread")]
async fn by_force_only_what_is_stuck_on_a_node_that_is_gone_or_declared_off() {
    on(|stage| async move {
        let Some(node) = stage.nodes.first() else { return };
        let target = Target { kind: Kind::Node, namespace: stage.namespace.clone(), name: node.clone() };
        let remedy = Remedy::Plain(Action::DeletePod);
        let plan = async || stage.hands.plan(&wish(&remedy), &target, now(), now()).await;
        let none = plan().await.unwrap_err();
        assert!(none.why.contains("is stuck on"), "{none}");
        ground::leave_stopping(&stage, node).await;
        let planned = plan().await.unwrap();
        let against = planned.circumstances.against.clone().unwrap();
        assert!(against.saw.contains("is still there (Ready=True"), "{against:?}");
        let result = stage.hands.apply(permit(&planned), now()).await;
        assert!(matches!(result, EffectResult::Refused { .. }), "{result:?}");
        let left = stage.pods(APP).await;
        assert!(left.iter().any(|pod| planned.objects.iter().any(|object| pod["metadata"]["uid"] == object.uid)));
        // Of a node that says itself that it is Ready the taint is out of date.
        let path = format!("/api/v1/nodes/{node}");
        let taint = json!({"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoSchedule"});
        stage.admin.patch(&path, &json!({"spec": {"taints": [taint]}})).await;
        assert!(plan().await.unwrap().circumstances.against.is_some());
        let lost = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown",
            "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}]}});
        stage.admin.patch(&format!("{path}/status"), &lost).await;
        let planned = match plan().await {
            Ok(planned) => planned,
            // Kubernetes does the same by itself, every 20 seconds.
            Err(none) => return assert!(none.why.contains("no pod of"), "{none}"),
        };
        assert_eq!(planned.circumstances.against, None);
        assert_eq!(stage.hands.apply(permit(&planned), now()).await, EffectResult::Applied);
        let left = stage.pods(APP).await;
        let is_left = |object: &Object| left.iter().any(|pod| pod["metadata"]["uid"] == object.uid);
        assert!(!planned.objects.iter().any(is_left), "{left:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_that_a_person_made_is_never_ended() {
    on(|stage| async move {
        if stage.nodes.is_empty() {
            return;
        }
        let set = Set::new(&stage, (Action::Cordon, Kind::Node)).await;
        let plan = set.plan(Action::Cordon).await;
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        let path = format!("/api/v1/nodes/{}", set.target.name);
        stage.admin.merge(&path, &json!({"metadata": {"annotations": {CORDONED_AT: null}}})).await;
        let theirs = set.state().await;
        let left = set.hands().revert(permit(&plan), now()).await;
        assert!(matches!(left, Reverted::LeftAlone(_)), "{left:?}");
        let none = stage
            .hands
            .plan(&wish(&Remedy::Plain(Action::Uncordon)), &set.target, now(), now())
            .await
            .unwrap_err();
        assert!(none.why.ends_with("was cordoned by somebody else, and is left alone"), "{none}");
        assert_eq!(set.state().await, theirs);
        // The write itself refuses, too, whatever was seen before it.
        let late = stage.kubernetes.uncordon_node(&set.target.name, &plan.uid, &plan.change.after).await;
        assert_eq!(late.unwrap_err().reason.as_str(), "conflict");
        assert_eq!(set.state().await, theirs);
        // A person ends it: that is as good as ours.
        stage.admin.merge(&path, &json!({"spec": {"unschedulable": null}})).await;
        assert_eq!(set.hands().revert(permit(&plan), now()).await, Reverted::Done);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_never_writes_over_what_somebody_rolled_out_meanwhile() {
    on(|stage| async move {
        let set = Set::new(&stage, (Action::Rollback, Kind::Deployment)).await;
        let plan = set.plan(Action::Rollback).await;
        stage.set_image(APP, "registry.invalid/none:3").await;
        let result = set.apply(&plan).await;
        let EffectResult::Refused { reason, message } = result else { panic!("{result:?}") };
        assert_eq!(reason, "conflict");
        assert!(
            message.contains("somebody has changed the pod template since the plan was made"),
            "{message}"
        );
        let seen = set.hands().observe(&plan).await;
        assert!(matches!(&seen, Observation::Ambiguous { saw } if saw.contains("none:3")), "{seen:?}");
        assert_eq!(
            set.state().await["template"]["spec"]["containers"][0]["image"],
            "registry.invalid/none:3"
        );
        // Between the last look and the write, too: the server compares.
        let plan = set.plan(Action::Rollback).await;
        let parts = |named: &str| {
            let (set, digest) = named.strip_prefix("replicaset/").unwrap().split_once(" (sha256:").unwrap();
            (set.to_owned(), digest.trim_end_matches(')').to_owned())
        };
        let (_, from) = parts(plan.change.before.as_deref().unwrap());
        let (to_set, to) = parts(&plan.change.after);
        let kubernetes = &stage.kubernetes;
        let ready =
            kubernetes.prepare_rollback(&stage.namespace, APP, &plan.uid, &from, (&to_set, &to)).await;
        stage.set_image(APP, "registry.invalid/none:4").await;
        let late = kubernetes.roll_back_deployment(ready.unwrap().unwrap()).await.unwrap_err();
        assert_eq!(late.reason.as_str(), "conflict", "{late}");
        assert_eq!(
            set.state().await["template"]["spec"]["containers"][0]["image"],
            "registry.invalid/none:4"
        );
    })
    .await;
}

/// The controller's own numbers and ages: a revision that is gone back to keeps its `ReplicaSet`, and gets a new number.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_forward_again_to_what_was_rolled_back() {
    on(|stage| async move {
        // A ReplicaSet's age is in whole seconds.
        let set = Set::new(&stage, (Action::Restart, Kind::Deployment)).await;
        let none = stage
            .hands
            .plan(&wish(&Remedy::Plain(Action::Rollback)), &set.target, now(), now())
            .await
            .unwrap_err();
        assert!(none.why.contains("has no earlier revision"), "{none}");
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        stage.set_image(APP, "registry.invalid/none:2").await;
        // A restart is no revision of its own.
        let restart = set.plan(Action::Restart).await;
        assert_eq!(set.apply(&restart).await, EffectResult::Applied);
        assert!(matches!(set.follow(&restart).await, Followed::Complete(_)));
        let long_ago = before(now(), Duration::from_secs(3_600));
        let late = stage
            .hands
            .plan(&wish(&Remedy::Plain(Action::Rollback)), &set.target, long_ago, now())
            .await
            .unwrap();
        assert!(late.circumstances.rollout_in_progress.unwrap().ends_with("after the alert came"));
        let plan = set.plan(Action::Rollback).await;
        assert_eq!(
            plan.says,
            format!("roll deployment/web in {} back from revision 3 to 1", stage.namespace)
        );
        assert_eq!(plan.touches[0], "image registry.invalid/none:1 instead of registry.invalid/none:2");
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        let end = set.follow(&plan).await;
        assert_eq!(end, Followed::Complete("2 pods are new and available".to_owned()));
        stage.ready(APP, 2).await;
        let none = stage
            .hands
            .plan(&wish(&Remedy::Plain(Action::Rollback)), &set.target, now(), now())
            .await
            .unwrap_err();
        assert!(none.why.contains("was rolled back already"), "{none}");
        let history = stage.kubernetes.history(&stage.namespace, APP).await.unwrap();
        assert_eq!(history.previous(), None);
        let current = history.current().unwrap();
        assert!(current.again && current.number == 4, "{current:?}");
    })
    .await;
}

/// The value that is journaled is the key: the very same restart again, much later, moves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_is_sent_again_makes_no_new_revision() {
    on(|stage| async move {
        let set = Set::new(&stage, (Action::Restart, Kind::Deployment)).await;
        let plan = set.plan(Action::Restart).await;
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        stage.ready(APP, 2).await;
        assert!(until(async || matches!(set.hands().follow(&plan, &[]).await, Followed::Complete(_))).await);
        let path = stage.apps("deployments/web");
        let version = async || stage.admin.get(&path).await.unwrap()["metadata"]["generation"].clone();
        let before = version().await;
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        assert_eq!(version().await, before);
        let sets = stage.admin.items(&stage.apps("replicasets")).await;
        assert_eq!(sets.len(), 2);
        // Somebody restarts it, too: ours can not be told any more.
        let change = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "theirs"}}}}});
        stage.admin.merge(&path, &change).await;
        assert!(matches!(set.hands().observe(&plan).await, Observation::Ambiguous { .. }));
    })
    .await;
}
