//! Pods that crash: what the probe sees, whom it names, and what becomes of a restart.

use std::time::Duration;

use runbookd::sandbox::{CrashCause, CrashFault, NAMESPACE, System, Trouble};
use serde_json::{Value, json};

use super::{Flow, events, has, outcome};

const RUNBOOK: &str = r#"
apiVersion: runbookd.dev/v1
kind: Runbook
name: pod-crash
summary: Restart the Deployments whose pods crash-loop.
mode: act
alerts: ['alertname="KubePodCrashLooping"']
group_by: [namespace]
confirm:
  crash_looping: {pods: crash_looping, namespace: "${labels.namespace}", count_by: deployment, at_least: 1}
targets: {each: crash_looping.deployment, namespace: "${labels.namespace}", deployment: "${each.deployment}"}
steps:
  - diagnose: how they ended
    probes:
      for_memory: {pods: oom_killed, namespace: "${labels.namespace}", window: 1h, at_least: 1}
  - remediate: replace the pods, and with them what lies in their emptyDir
    restart: {}
    verify: {within: 5m, hold: 1m, all: [{probe: crash_looping, at_most: 0}, {rollout: complete}]}
limits: {cooldown: 15m, rate: 3/1h}
"#;

const FAULT: CrashFault =
    CrashFault { reason: "OOMKilled", exit_code: 137, lasts: Duration::ZERO, cause: CrashCause::ThesePods };

async fn begin() -> Flow {
    Flow::with(|setting| setting.rules = vec![("pod-crash.yaml".to_owned(), RUNBOOK.to_owned())]).await
}

impl Flow {
    async fn crash_loops(&self, namespace: &str) {
        let labels = json!({"alertname": "KubePodCrashLooping", "namespace": namespace, "pod": "chat-api-0",
            "container": "chat-api", "severity": "critical"});
        self.alert("firing", labels).await;
    }
}

fn answers<'a>(view: &'a Value, event: &'a str) -> impl Iterator<Item = &'a Value> {
    events(view, event).flat_map(|event| event["answers"].as_array().into_iter().flatten())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dies_with_the_pod_is_cured_by_a_restart_of_that_deployment_alone() {
    let flow = begin().await;
    flow.world().crash("chat-api", &FAULT);
    flow.crash_loops(NAMESPACE).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    let legs = view["legs"].as_array().unwrap();
    assert_eq!((legs.len(), &legs[0]["target"]["name"]), (1, &json!("chat-api")));
    assert_eq!(flow.world().writes().len(), 1, "one restart, and nothing else");
    assert!(flow.world().pods("chat-api").iter().filter(|pod| !pod.stopping).all(|pod| pod.ready));
    let diagnosis = answers(&view, "diagnosed").next().unwrap();
    assert_eq!(diagnosis["verdict"], "holds");
    let line = diagnosis["samples"][0]["line"].as_str().unwrap();
    assert!(line.starts_with("container chat-api: waiting (CrashLoopBackOff), started again "), "{line}");
    assert!(line.contains("last ended: OOMKilled, exit code 137, "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_new_pod_has_is_not_cured_and_the_daemon_says_so() {
    let flow = begin().await;
    flow.world().crash(
        "chat-api",
        &CrashFault { reason: "Error", exit_code: 1, lasts: Duration::ZERO, cause: CrashCause::EveryPod },
    );
    flow.crash_loops(NAMESPACE).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "failed", "{view:#}");
    let why = events(&view, "step_ended").last().unwrap()["why"].as_str().unwrap();
    assert!(why.starts_with("the rollout exceeded its progress deadline"), "{why}");
    assert_eq!(flow.world().writes().len(), 1, "it is not tried again and again");
    let diagnosis = answers(&view, "diagnosed").next().unwrap();
    assert_eq!(diagnosis["verdict"], "fails", "nothing was killed for memory: {diagnosis:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_are_well_again_before_anything_was_done_are_left_alone() {
    let flow = begin().await;
    flow.crash_loops(NAMESPACE).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_confirmed", "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_of_pods_is_no_sign_of_health() {
    let flow = begin().await;
    flow.world().crash("chat-api", &FAULT);
    flow.crash_loops("another").await;
    let (_, view) = flow.event("confirmed").await;
    let answer = answers(&view, "confirmed").next().unwrap();
    let why = answer["verdict"]["unknown"]["why"].as_str().unwrap();
    assert_eq!(why, "there is no such pod, so nothing can be said of its state");
    assert!(!has(&view, "planned"));
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_can_not_be_listed_are_unknown() {
    let flow = begin().await;
    flow.world().crash("chat-api", &FAULT);
    flow.world().disturb(System::Kubernetes, Some(Trouble::Status(403, "no".to_owned())));
    flow.crash_loops(NAMESPACE).await;
    let (_, view) = flow.event("confirmed").await;
    let answer = answers(&view, "confirmed").next().unwrap();
    let why = answer["verdict"]["unknown"]["why"].as_str().unwrap();
    assert!(why.contains("list the pods of samosachaat-prod"), "{why}");
    flow.nothing_was_called();
}
