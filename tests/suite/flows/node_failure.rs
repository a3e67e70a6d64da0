//! Scenario 2 of the chaos page with the shipped runbook: what the auto-scaling group and Kubernetes mend is left to them, what is stuck on a node that is
//! gone is cleared when a person says yes, and a fault of the monitoring is not taken for one of every node.

use runbookd::sandbox::{NAMESPACE, NodeFault, PodView, World};
use serde_json::{Value, json};

use super::{Flow, LIMIT, events, has, outcome};

const SILENT: NodeFault = NodeFault { removed: false, collected: false, replaced: true };

fn pods_on(world: &World, node: &str) -> Vec<PodView> {
    let all = ["frontend", "auth", "chat-api", "inference"].map(|service| world.pods(service));
    all.into_iter().flatten().filter(|pod| pod.node.as_deref() == Some(node)).collect()
}

impl Flow {
    async fn node_not_ready(&self, node: &str) {
        let labels = json!({"alertname": "NodeNotReady", "node": node, "severity": "critical"});
        self.alert("firing", labels).await;
    }

    /// Nothing is heard of the node with a pod of chat-api, and another one joins.
    async fn silent_node(&self) -> String {
        let world = self.world();
        let node = world.pods("chat-api").remove(0).node.unwrap();
        assert!(world.end_machine(&node, SILENT));
        let noticed = |world: &World| world.nodes().contains(&(node.clone(), false));
        assert!(world.until(LIMIT, noticed).await);
        node
    }
}

/// The last refusal that the incident has.
fn last_refusal(view: &Value) -> Option<Value> {
    Some(events(view, "refused").last()?["refusals"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stuck_is_cleared_once_the_machine_is_surely_off_and_a_person_says_yes() {
    let flow = Flow::begin().await;
    let node = flow.silent_node().await;
    flow.node_not_ready(&node).await;
    // Stuck pods alone are not enough: the node may still run them.
    let (id, view) = flow.event("refused").await;
    let refusal = last_refusal(&view).unwrap();
    assert_eq!(refusal["guard"], "circumstances", "{refusal:#}");
    let saw = refusal["saw"].as_str().unwrap();
    assert!(saw.starts_with(&format!("node/{node} is still there (Ready=Unknown since ")), "{saw}");
    assert!(refusal["limit"].as_str().unwrap().contains("node.kubernetes.io/out-of-service"), "{refusal:#}");
    flow.nothing_was_called();

    let world = flow.world();
    assert!(world.edit_node(&node, |object| {
        let taint = json!({"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"});
        object["spec"]["taints"].as_array_mut().unwrap().push(taint);
    }));
    let view = flow.until(&id, "asked", |view| has(view, "approval_asked")).await;
    flow.nothing_was_called();
    let plan = &events(&view, "planned").last().unwrap()["plan"];
    let stuck: Vec<PodView> = pods_on(&world, &node).into_iter().filter(|pod| pod.stopping).collect();
    assert_eq!(plan["objects"].as_array().unwrap().len(), stuck.len(), "every pod is named: {plan:#}");
    let judged = events(&view, "approval_asked").last().unwrap()["judged"].clone();
    flow.approve(&id, &judged).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(pods_on(&world, &node).is_empty());
    let writes = world.writes();
    assert_eq!(writes.len(), stuck.len(), "{writes:#?}");
    assert!(writes.iter().all(|write| write.method == "DELETE" && write.body.contains("gracePeriodSeconds")));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_node_is_ready_nothing_is_done_and_that_is_said() {
    let flow = Flow::with(|setting| {
        let text = &mut setting.rules[1].1;
        assert!(text.contains("deadline: 30m"));
        *text = text.replace("deadline: 30m", "deadline: 11m");
    })
    .await;
    let world = flow.world();
    let nodes: Vec<String> = world.nodes().into_iter().map(|(node, _)| node).collect();
    let unheard = NodeFault { replaced: false, ..SILENT };
    for node in &nodes {
        assert!(world.end_machine(node, unheard));
    }
    assert!(world.until(LIMIT, |world| world.nodes().iter().all(|(_, is_ready)| !is_ready)).await);
    flow.node_not_ready(&nodes[0]).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "inconclusive", "{view:#}");
    let confirmed = events(&view, "confirmed").last().unwrap();
    let saw = confirmed["answers"][0]["saw"].as_str().unwrap();
    assert!(saw.starts_with("none of 3 nodes is Ready: more likely a fault of the monitoring"), "{saw}");
    assert!(!has(&view, "planned") && !has(&view, "legs_chosen"));
    flow.nothing_was_called();
    // People hear why.
    flow.told_that("none of 3 nodes is Ready").await;
}

/// Pods that move make memory alerts fire on healthy services.
#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alert_stands_back_behind_a_node_failure() {
    let flow = Flow::begin().await;
    let world = flow.world();
    world.set_room(3);
    let node = world.pods("chat-api").remove(0).node.unwrap();
    assert!(world.end_machine(&node, NodeFault { removed: true, collected: true, replaced: true }));
    assert!(world.until(LIMIT, |world| world.node(&node).is_none()).await);
    let labels = json!({"alertname": "NodeGone", "node": node, "severity": "warning"});
    flow.alert("firing", labels).await;
    let (first, _) = flow.event("awaiting").await;
    let labels =
        json!({"alertname": "HighMemory", "namespace": NAMESPACE, "pod": "p", "container": "inference"});
    flow.alert("firing", labels).await;
    let second = flow.incidents().await.into_iter().find(|id| *id != first).unwrap();
    let view = flow.until(&second, "standing back", |view| has(view, "stood_back")).await;
    let back = events(&view, "stood_back").next().unwrap();
    assert_eq!((&back["behind"], &back["runbook"]), (&json!(first), &json!("node-failure")));
    assert_eq!(view["summary"]["runbook"], "inference-oom");
    // People hear behind what it waits.
    flow.told_that("node-failure").await;

    let view = flow.end_of(&first).await;
    assert_eq!(outcome(&view), "self_healed", "{view:#}");
    // Now it looks for itself, and finds that nothing is left to be done.
    let view = flow.end_of(&second).await;
    assert!(["not_confirmed", "joined"].contains(&outcome(&view)), "{view:#}");
    assert!(!has(&view, "planned"));
    flow.nothing_was_called();
}
