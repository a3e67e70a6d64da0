//! Runbooks that are told of a pod and act on what made it: the top owner, also of a pod that is gone, and never one that belongs to another controller.

use serde_json::{Value, json};

use super::{Flow, outcome};
use runbookd::sandbox::NAMESPACE;

const SERVICE: &str = "chat-api";

async fn flow() -> Flow {
    let text = "apiVersion: runbookd.dev/v1\n\
        kind: Runbook\n\
        name: by-pod\n\
        summary: Restart what made the pod.\n\
        mode: act\n\
        alerts: ['alertname=\"Leak\"']\n\
        group_by: [namespace, pod]\n\
        confirm: {there: {pods: unhealthy, namespace: \"${labels.namespace}\", at_most: 100}}\n\
        targets: {owner_of_pod: \"${labels.pod}\"}\n\
        steps: [{remediate: restart it, restart: {}, verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}}]\n";
    Flow::with(|setting| setting.rules = vec![("by-pod.yaml".to_owned(), text.to_owned())]).await
}

impl Flow {
    async fn leak(&self, pod: &str) -> Value {
        let labels = json!({"alertname": "Leak", "namespace": NAMESPACE, "pod": pod});
        self.alert("firing", labels).await;
        self.end().await
    }

    fn why(view: &Value) -> &str {
        let closed = view["events"].as_array().unwrap().last().unwrap();
        closed["event"]["why"].as_str().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_pod_that_is_gone_is_found_by_its_replica_set() {
    let flow = flow().await;
    let world = flow.world();
    let gone = world.pods(SERVICE).remove(0).name;
    assert!(world.end_pod(&gone));
    assert!(world.until(super::LIMIT, |world| world.pods(SERVICE).iter().all(|pod| pod.name != gone)).await);
    let view = flow.leak(&gone).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    let [write] = world.writes().try_into().unwrap();
    assert!(write.path.contains("/deployments/chat-api"), "{write:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_is_restarted_as_kubectl_does() {
    let flow = flow().await;
    let world = flow.world();
    world.put_stateful_set("db", 2);
    let ready = |world: &runbookd::sandbox::World| {
        let pods = world.pods("db");
        pods.len() == 2 && pods.iter().all(|pod| pod.ready)
    };
    assert!(world.until(super::LIMIT, ready).await);
    let before = world.pods("db");
    let view = flow.leak("db-0").await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    let after = world.pods("db");
    assert!(after.iter().all(|pod| before.iter().all(|old| old.uid != pod.uid)), "every pod is new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_another_controller_is_left_to_it_and_the_reason_names_it() {
    for (kind, said) in [
        ("Rollout", "belongs to Rollout/chat-api: Argo Rollouts; see `kubectl argo rollouts`"),
        ("ScaledJob", "belongs to ScaledJob/chat-api: KEDA, "),
        ("Sprocket", "belongs to Sprocket/chat-api: runbookd does not know this kind"),
    ] {
        let flow = flow().await;
        flow.world().own(SERVICE, kind);
        let pod = flow.world().pods(SERVICE).remove(0).name;
        let view = flow.leak(&pod).await;
        assert_eq!(outcome(&view), "blocked", "{view:#}");
        assert!(Flow::why(&view).contains(said), "{}", Flow::why(&view));
        flow.nothing_was_called();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_nobody_knows_is_no_guess() {
    let flow = flow().await;
    let view = flow.leak("chat-api-0").await;
    assert_eq!(outcome(&view), "blocked", "{view:#}");
    assert!(Flow::why(&view).contains("is gone, and no ReplicaSet there made it"), "{}", Flow::why(&view));
    flow.nothing_was_called();
}
