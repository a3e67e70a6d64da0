//! What is changed for a while is put back on its own: by compare and swap, through crashes and pauses, and once changed again when the trouble
//! comes back with it.

use std::time::Duration;

use runbookd::sandbox::World;
use serde_json::{Value, json};

use super::{Flow, LIMIT, events, has, outcome};

/// Three more pods when the queue is full, for ten minutes of the daemon's, which are twenty seconds here.
const RUNBOOK: &str = r#"apiVersion: runbookd.dev/v1
kind: Runbook
name: queue-full
summary: More pods when the queue is full.
mode: act
alerts: ['alertname="QueueFull"']
group_by: [namespace]
confirm:
  full: {loki: '{app="chat-api"} |= "queue is full"', window: 5m, at_least: 1}
targets: {namespace: samosachaat-prod, deployment: chat-api}
steps:
  - remediate: more pods
    scale: {add: 3, at_most: 5}
    restore: {after: 10m}
    make_it_last: chatApi.replicaCount in values-prod.yaml
    verify: {within: 5m, hold: 1m, all: [{probe: full, at_most: 0, window: 1m}, {rollout: complete}]}
limits: {cooldown: 15m, rate: 3/1h}
"#;

fn replicas(world: &World) -> u64 {
    world.deployment("chat-api").and_then(|object| object["spec"]["replicas"].as_u64()).unwrap_or_default()
}

async fn with_five_pods(more: &str) -> Flow {
    let flow = Flow::with(|setting| {
        setting.rules = vec![("queue-full.yaml".to_owned(), RUNBOOK.to_owned())];
        setting.more = more.to_owned();
    })
    .await;
    flow.world().push_log("chat-api", "the queue is full");
    flow.alert("firing", json!({"alertname": "QueueFull", "namespace": "samosachaat-prod"})).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(replicas(&flow.world()), 5);
    flow
}

impl Flow {
    /// Waits for the incident that puts something back, and for its end.
    pub(super) async fn restore(&self) -> Value {
        let waited = async {
            loop {
                if let Some(id) = self.incidents().await.into_iter().nth(1) {
                    return id;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let id = tokio::time::timeout(LIMIT, waited).await;
        let id = id.unwrap_or_else(|_| panic!("nothing is put back: {}", self.stage.last_words()));
        self.end_of(&id).await
    }

    pub(super) async fn changes(&self) -> Vec<Value> {
        self.get("/changes").await["changes"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_for_a_while_is_put_back_when_its_time_has_come() {
    let flow = with_five_pods("").await;
    let changes = flow.changes().await;
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!(changes[0]["base"], "2", "{changes:#?}");
    assert_eq!(changes[0]["now"]["value"], "5", "{changes:#?}");
    assert_eq!(changes[0]["live"], "as_we_left_it", "{changes:#?}");
    let view = flow.restore().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(replicas(&flow.world()), 2);
    assert_eq!(flow.changes().await, Vec::<Value>::new());
    assert_eq!(flow.world().writes().len(), 2, "there, and back, once each");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_changed_since_is_left_alone_and_said() {
    let flow = with_five_pods("").await;
    assert!(flow.world().edit("chat-api", "kubectl-edit", |object| object["spec"]["replicas"] = json!(4)));
    let changes = flow.changes().await;
    assert_eq!(changes[0]["live"]["changed"]["value"], "4", "{changes:#?}");
    let view = flow.restore().await;
    assert_eq!(outcome(&view), "blocked", "{view:#}");
    let released: Vec<&Value> = events(&view, "released").collect();
    let why = released[0]["changes"][0]["why"].as_str().unwrap();
    assert!(why.contains("kubectl-edit"), "{why}");
    assert_eq!(replicas(&flow.world()), 4);
    assert_eq!(flow.world().writes().len(), 1, "nothing was called");
    assert_eq!(flow.changes().await, Vec::<Value>::new(), "it is nobody's to put back any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_a_restore_and_a_kill_does_not_lose_it() {
    let mut flow = with_five_pods("").await;
    flow.post("/pause", json!({"by": "ana", "reason": "a migration"})).await;
    flow.stage.kill().await.unwrap();
    flow.stage.start().await.unwrap();
    let overdue = async {
        while flow.changes().await[0]["overdue"] != true {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(LIMIT, overdue).await.unwrap();
    assert_eq!(replicas(&flow.world()), 5);
    assert_eq!(flow.world().writes().len(), 1, "nothing was called");
    flow.post("/resume", json!({"by": "ana"})).await;
    let view = flow.restore().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(replicas(&flow.world()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_trouble_comes_back_it_is_changed_again_once_and_a_person_is_called() {
    let flow = with_five_pods("").await;
    let world = flow.world();
    let trouble = tokio::spawn(async move {
        loop {
            if replicas(&world) == 2 {
                world.push_log("chat-api", "the queue is full");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let view = flow.restore().await;
    trouble.abort();
    assert_eq!(outcome(&view), "not_recovered", "{view:#}");
    assert_eq!(replicas(&flow.world()), 5);
    assert_eq!(flow.world().writes().len(), 3, "there, back, and there again");
    let changes = flow.changes().await;
    assert_eq!(changes[0]["now"]["stays"], "until_a_person_decides", "{changes:#?}");
    assert_eq!(changes[0]["base"], "2", "{changes:#?}");
}

/// The ceiling, the cooldown and the rate limit what is changed, and not what is put back: else it would stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_ceiling_does_not_make_a_change_permanent() {
    let mut flow = with_five_pods("").await;
    flow.stage.kill().await.unwrap();
    flow.stage.change(|setting| setting.ceiling = "shadow".to_owned()).unwrap();
    flow.stage.start().await.unwrap();
    let view = flow.restore().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(replicas(&flow.world()), 2);
    assert!(!has(&view, "would_act"));
}
