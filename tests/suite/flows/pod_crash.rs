//! Scenario 1 of the chaos page with the shipped runbook: what Kubernetes mends by itself is left to it, a rollout that crashes is gone back from
//! when a person says yes, and everything else is a person's, with the evidence.

use std::time::{Duration, Instant};

use runbookd::sandbox::{CrashCause, CrashFault, NAMESPACE, PoolFault};
use serde_json::{Value, json};

use super::{Flow, events, has, outcome};

const SERVICE: &str = "chat-api";
const BAD: &str = "example/chat-api:2";

impl Flow {
    async fn replicas_unavailable(&self) {
        let labels = json!({"alertname": "ReplicasUnavailable", "namespace": NAMESPACE, "deployment": SERVICE,
            "severity": "warning"});
        self.alert("firing", labels).await;
    }

    /// A person rolls out an image whose process ends at once.
    fn bad_rollout(&self) {
        let world = self.world();
        world.crash(SERVICE, &fault(CrashCause::Image(BAD.to_owned())));
        let set_image = |object: &mut Value| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(BAD);
        };
        assert!(world.edit(SERVICE, "kubectl-set", set_image));
    }

    fn image(&self) -> Value {
        let object = self.world().deployment(SERVICE).unwrap();
        object["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    }
}

fn fault(cause: CrashCause) -> CrashFault {
    CrashFault { reason: "Error", exit_code: 1, lasts: Duration::from_secs(15), cause }
}

/// What the step said that was left out.
fn left_out(view: &Value) -> &str {
    events(view, "step_skipped").next().and_then(|event| event["why"].as_str()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pod_is_replaced_by_kubernetes_and_nothing_is_done() {
    let flow = Flow::begin().await;
    let world = flow.world();
    let killed = world.pods(SERVICE).remove(0);
    // It takes its time until the daemon has looked.
    world.break_rollouts(SERVICE);
    assert!(world.end_pod(&killed.name));
    flow.replicas_unavailable().await;
    let (id, _) = flow.event("awaiting").await;
    world.mend_rollouts(SERVICE);
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "self_healed", "{view:#}");
    assert!(has(&view, "awaited") && !has(&view, "planned"));
    flow.nothing_was_called();
    assert!(world.pods(SERVICE).iter().all(|pod| pod.name != killed.name && pod.ready));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_crashes_is_gone_back_from_when_a_person_says_yes() {
    let flow = Flow::begin().await;
    let good = flow.image();
    flow.bad_rollout();
    flow.replicas_unavailable().await;
    let (id, view) = flow.event("approval_asked").await;
    flow.nothing_was_called();
    let plan = events(&view, "planned").last().unwrap();
    let because = plan["answers"][0]["saw"].as_str().unwrap();
    assert!(because.starts_with("1 rollout in "), "{because}");
    assert!(because.contains("example/chat-api:2 after example/chat-api:1"), "{because}");
    let says = plan["plan"]["says"].as_str().unwrap();
    assert_eq!(says, "roll deployment/chat-api in samosachaat-prod back from revision 2 to 1");

    let judged = events(&view, "approval_asked").last().unwrap()["judged"].clone();
    flow.approve(&id, &judged).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(flow.world().writes().len(), 1, "one patch, and nothing else");
    assert_eq!(flow.image(), good);
    assert!(flow.world().pods(SERVICE).iter().filter(|pod| !pod.stopping).all(|pod| pod.ready));
    let journal = view.to_string();
    assert!(!journal.contains("imagePullPolicy"), "the template, with its environment, is journaled");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rollout_there_is_nothing_to_go_back_to_and_a_person_gets_the_evidence() {
    let flow = Flow::begin().await;
    // Neither a restart nor a rollout of long ago is what it began with.
    assert!(flow.world().hand_restart(SERVICE));
    let world = flow.world();
    assert!(world.until(super::LIMIT, |world| world.rollout_complete(SERVICE)).await);
    world.crash(SERVICE, &fault(CrashCause::EveryPod));
    flow.replicas_unavailable().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_recovered", "{view:#}");
    let why = left_out(&view);
    assert!(why.starts_with("its condition does not hold: no rollout in "), "{why}");
    let diagnosis = events(&view, "diagnosed").next().unwrap();
    let probes: Vec<&str> = diagnosis["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| answer["probe"].as_str().unwrap())
        .collect();
    assert_eq!(
        probes,
        [
            "last_words",
            "no_image",
            "for_memory",
            "budgets",
            "autoscalers",
            "what_happened",
            "errors",
            "startup_and_shutdown",
            "restarted",
            "started_and_stopped"
        ]
    );
    let last = &diagnosis["answers"][0]["samples"][0];
    assert_eq!(last["line"], "RuntimeError: chat-api can not start", "{diagnosis:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_gone_back_from_is_never_gone_back_to() {
    let flow = Flow::begin().await;
    let good = flow.image();
    flow.bad_rollout();
    let world = flow.world();
    assert!(world.until(super::LIMIT, |world| world.pods(SERVICE).len() > 2).await);
    // A person is faster than the alert, and it crashes all the same.
    let image = good.clone();
    assert!(world.edit(SERVICE, "kubectl-undo", move |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = image.clone();
    }));
    assert!(world.until(super::LIMIT, |world| world.rollout_complete(SERVICE)).await);
    world.crash(SERVICE, &fault(CrashCause::EveryPod));
    flow.replicas_unavailable().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_recovered", "{view:#}");
    assert!(left_out(&view).contains("no rollout in "), "{}", left_out(&view));
    assert_eq!(flow.image(), good);
    flow.nothing_was_called();
}

/// What it sees may come from there: it waits, and acts when that is over and the evidence is still there.
#[tokio::test(flavor = "multi_thread")]
async fn a_runbook_stands_back_while_the_other_is_open_and_goes_on_after_it() {
    let flow = Flow::with(|setting| {
        let stands_back = ("defer_to: [node-failure]", "defer_to: [pod-crash]");
        setting.rules[0] = super::shipped_with(&[stands_back]);
    })
    .await;
    let world = flow.world();
    let killed = world.pods("auth").remove(0);
    world.break_rollouts("auth");
    assert!(world.end_pod(&killed.name));
    flow.replicas_unavailable().await;
    let (first, _) = flow.event("awaiting").await;
    world.exhaust_pool(SERVICE, PoolFault::ThesePods);
    flow.fire().await;
    let second = flow.incidents().await.into_iter().find(|id| *id != first).unwrap();
    let view = flow.until(&second, "stood back", |view| has(view, "stood_back")).await;
    let event = events(&view, "stood_back").next().unwrap();
    assert_eq!((&event["behind"], &event["runbook"]), (&json!(first), &json!("pod-crash")));
    flow.nothing_was_called();

    world.mend_rollouts("auth");
    assert_eq!(outcome(&flow.end_of(&first).await), "self_healed");
    let view = flow.end_of(&second).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(flow.world().writes().len(), 1);
    let order: Vec<&str> = view["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"]["event"].as_str().unwrap())
        .collect();
    let at = |name: &str| order.iter().position(|event| *event == name).unwrap();
    assert!(at("stood_back") < at("confirmed") && at("confirmed") < at("effect_intended"), "{order:?}");
}

/// A person may read for longer than a condition's window: what they judged was asked with the answers before them.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_counts_although_the_window_of_the_condition_has_passed() {
    let window = Duration::from_secs(6 * 60) / super::TIME_SCALE;
    let flow = Flow::with(|setting| {
        let text = &mut setting.rules[2].1;
        for (from, to) in [("within: 6m, hold: 2m", "within: 1m, hold: 30s"), ("window: 30m", "window: 6m")] {
            assert!(text.contains(from));
            *text = text.replace(from, to);
        }
    })
    .await;
    flow.bad_rollout();
    let passed = Instant::now() + window + Duration::from_secs(1);
    flow.replicas_unavailable().await;
    let (id, view) = flow.event("approval_asked").await;
    let judged = events(&view, "approval_asked").last().unwrap()["judged"].clone();
    tokio::time::sleep_until(passed.into()).await;
    flow.approve(&id, &judged).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(flow.world().writes().len(), 1);
}
