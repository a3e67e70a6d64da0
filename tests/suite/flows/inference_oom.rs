//! Scenario 4 of the chaos page with the shipped runbook: a container that is killed for its memory gets a smaller model in every pod, or its declared
//! limit back by way of a higher one; nothing rests on lines that a killed process does not write, and on no pod that can not be asked.

use std::time::Duration;

use runbookd::chaos::stage::INTERNAL_KEY;
use runbookd::sandbox::{NAMESPACE, Request, System, Trouble, World};
use serde_json::{Value, json};

use super::{Flow, LIMIT, events, has, outcome, refusing};

const SERVICE: &str = "inference";
const LARGE: &str = "samosachaat-d32";
const SMALLER: &str = "samosachaat-d12";

fn killed(pod: &str) -> Value {
    json!({"alertname": "ContainerOOMKilled", "namespace": NAMESPACE, "pod": pod, "container": SERVICE, "severity": "warning"})
}

/// As Prometheus says it of a node: of no workload.
fn of_a_node() -> Value {
    json!({"alertname": "HighMemory", "instance": "10.0.1.5:9100", "job": "node-exporter", "severity": "critical"})
}

fn limit(world: &World) -> String {
    let object = world.deployment(SERVICE).unwrap();
    let limit = &object["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"];
    limit.as_str().unwrap().to_owned()
}

fn models(world: &World) -> Vec<Option<&'static str>> {
    world.pods(SERVICE).iter().filter(|pod| !pod.stopping).map(|pod| world.model(&pod.name)).collect()
}

/// The calls that a pod was made, whoever answered.
fn swaps(world: &World) -> Vec<Request> {
    let swap = |request: &Request| request.path == "/models/swap" && request.method == "POST";
    world.requests().into_iter().filter(swap).collect()
}

fn says_killed(world: &World) -> bool {
    world.killed_for_memory(SERVICE) > 0
}

impl Flow {
    /// The shipped runbook, some of its text replaced.
    async fn oom(replacements: &[(&str, &str)]) -> Self {
        Self::with(|setting| {
            // Without pods that serve there are errors, too, and an incident that finds nothing of its own kind.
            setting.rules.retain(|(name, _)| name != "database-pool.yaml");
            let mut rules = setting.rules.iter_mut();
            let text = &mut rules.find(|(name, _)| name == "inference-oom.yaml").unwrap().1;
            for (from, to) in replacements {
                assert!(text.contains(from), "{from}");
                *text = text.replace(from, to);
            }
        })
        .await
    }

    /// So many pods hold a model that is too large, and one of them has been killed for it.
    async fn too_large(&self, pods: u32) {
        let world = self.world();
        if pods > 1 {
            world.set_replicas(SERVICE, pods);
            let all = |world: &World| world.rollout_complete(SERVICE) && models(world).len() == pods as usize;
            assert!(world.until(LIMIT, all).await);
        }
        assert!(world.set_default_model(LARGE));
        assert!(world.until(LIMIT, says_killed).await, "nothing was killed");
    }

    /// Somebody has set a limit that is too low.
    async fn too_low(&self) {
        let world = self.world();
        assert!(world.set_memory_limit(SERVICE, "512Mi"));
        assert!(world.until(LIMIT, says_killed).await, "nothing was killed");
    }

    async fn killed_alert(&self) {
        let pod = self.world().pods(SERVICE).remove(0).name;
        self.alert("firing", killed(&pod)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_too_large_is_replaced_in_every_pod() {
    let flow = Flow::oom(&[]).await;
    let world = flow.world();
    flow.too_large(2).await;
    // The node's alert comes, too: one incident, and the target is what the cluster says was killed.
    flow.alert("firing", of_a_node()).await;
    flow.killed_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    let all = flow.get("/incidents?limit=100").await;
    assert_eq!(flow.incidents().await.len(), 1, "{all:#}");
    assert_eq!(models(&world), [Some(SMALLER), Some(SMALLER)]);
    let plan = &events(&view, "planned").last().unwrap()["plan"];
    assert_eq!(
        plan["says"],
        "POST /models/swap to each of 2 pods of deployment/inference in samosachaat-prod"
    );
    assert_eq!(plan["change"]["before"], LARGE);
    flow.nothing_was_called();
    let swaps = swaps(&world);
    let pods: std::collections::BTreeSet<_> = swaps.iter().map(|swap| swap.pod.clone()).collect();
    assert_eq!(pods.len(), 2, "each by its own address: {swaps:#?}");
    assert!(swaps.iter().all(|swap| matches!(swap.system, System::Pod(_))), "{swaps:#?}");
    // Every call has the operation's own id, and the pod's, as the pods could keep the keys in one place.
    let op = events(&view, "effect_intended").last().unwrap()["op"].as_str().unwrap();
    let objects = events(&view, "planned").last().unwrap()["plan"]["objects"].clone();
    for pod in objects.as_array().unwrap() {
        let key = format!("{op}/{}", pod["uid"].as_str().unwrap());
        assert!(swaps.iter().any(|swap| swap.idempotency_key.as_ref() == Some(&key)), "{key}: {swaps:#?}");
    }

    // The key was shown to the pods, and to nobody else.
    let journal = std::fs::read(flow.stage.journal()).unwrap();
    let log = std::fs::read(flow.stage.log()).unwrap();
    let told = format!("{:?}{view}", flow.told_the_end("Recovered").await);
    for (what, bytes) in [("journal", &journal[..]), ("log", &log[..]), ("slack", told.as_bytes())] {
        let key = INTERNAL_KEY.as_bytes();
        assert!(!bytes.windows(key.len()).any(|part| part == key), "the key stands in the {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_too_low_is_raised_and_then_the_declared_one_is_put_back() {
    let flow = Flow::oom(&[]).await;
    let world = flow.world();
    flow.too_low().await;
    flow.killed_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    // The first step did not apply: what is loaded is not too large.
    let why = events(&view, "step_skipped").next().unwrap()["why"].as_str().unwrap();
    assert!(why.contains("samosachaat-d12 on 1 pod"), "{why}");
    assert_eq!(swaps(&world), []);
    let advice = "inference.resources.limits.memory in values-prod.yaml";
    flow.told_that(advice).await;

    let view = flow.restore().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    // Not the 512Mi that were found.
    assert_eq!(limit(&world), "8Gi");
    let limits: Vec<String> = world.writes().iter().map(|write| write.body.clone()).collect();
    assert_eq!(limits.len(), 2, "{limits:#?}");
    assert!(limits[0].contains("2Gi") && limits[1].contains("8Gi"), "{limits:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_neither_step_cures_is_a_persons_and_is_put_back_all_the_same() {
    let flow = Flow::oom(&[("{percent: 400, at_most: 8Gi}", "{percent: 150, at_most: 8Gi}")]).await;
    flow.too_low().await;
    flow.killed_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_recovered", "{view:#}");
    assert_eq!(limit(&flow.world()), "768Mi");
    let changes = flow.changes().await;
    assert_eq!((changes.len(), &changes[0]["base"]), (1, &json!("8Gi")), "{changes:#?}");
    assert_eq!(events(&view, "diagnosed").count(), 2, "a person gets what is known by now: {view:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_does_not_stick_is_not_fought_for() {
    let flow = Flow::oom(&[]).await;
    let world = flow.world();
    flow.too_low().await;
    assert!(world.self_heal(SERVICE));
    flow.killed_alert().await;
    let view = flow.end().await;
    assert_ne!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(world.writes().len(), 1, "once: {:#?}", world.writes());
    let saw = events(&view, "effect_stalled").last().unwrap()["saw"].as_str().unwrap();
    assert!(saw.contains("was put back to"), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_can_not_be_asked_is_not_called_and_keeps_the_others_from_it() {
    let flow = Flow::oom(&[("deadline: 30m", "deadline: 5m")]).await;
    let world = flow.world();
    flow.too_large(2).await;
    let garbled = r#"{"status": "ok", "current_model": null}"#;
    world.disturb(System::Pod(SERVICE), Some(Trouble::Status(200, garbled.to_owned())));
    flow.killed_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "inconclusive", "{view:#}");
    assert_eq!(swaps(&world), []);
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guard_refuses_is_planned_and_told_and_no_pod_is_called() {
    let flow = Flow::oom(&[("mode: act", "mode: shadow")]).await;
    let world = flow.world();
    flow.too_large(1).await;
    flow.killed_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "would_act", "{view:#}");
    let touches = &events(&view, "planned").last().unwrap()["plan"]["touches"];
    assert!(touches.to_string().contains("sends {\\\"model_tag\\\":\\\"samosachaat-d12\\\"}"), "{touches}");
    assert_eq!(swaps(&world), []);
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn high_memory_without_a_killed_container_is_nothing_to_act_on() {
    let flow = Flow::oom(&[]).await;
    let world = flow.world();
    // What the logs say is no proof: this is what a healthy loader writes.
    for _ in 0..20 {
        world.push_log(SERVICE, r#"{"level":"info","message":"model loaded into memory"}"#);
    }
    flow.alert("firing", of_a_node()).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_confirmed", "{view:#}");
    assert_eq!(swaps(&world), []);
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_resolves_half_way_ends_neither_the_looking_nor_what_is_owed() {
    let flow = Flow::oom(&[]).await;
    let world = flow.world();
    flow.too_low().await;
    let pod = world.pods(SERVICE).remove(0).name;
    flow.alert("firing", killed(&pod)).await;
    let (id, _) = flow.event("effect_intended").await;
    flow.alert("resolved", killed(&pod)).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(has(&view, "verified"), "{view:#}");
    assert_eq!(outcome(&flow.restore().await), "recovered");
    assert_eq!(limit(&world), "8Gi");
}

/// A container was killed some time ago, and all is well since, but for the model, which this runbook holds too large. Nothing but the call is in doubt.
async fn well_but_for_the_model() -> Flow {
    let flow = Flow::oom(&[(SMALLER, "samosachaat-d6"), (LARGE, SMALLER)]).await;
    flow.too_large(1).await;
    let world = flow.world();
    assert!(world.set_default_model(SMALLER));
    assert!(world.until(LIMIT, |world| models(world) == [Some(SMALLER)]).await);
    flow
}

/// The one call of this operation was seen to have happened; until then it was never taken for one that did not.
fn called_once(world: &World, view: &Value) {
    let swaps = swaps(world);
    assert_eq!(swaps.len(), 1, "{swaps:#?}");
    let found: Vec<&Value> = events(view, "effect_observed").map(|event| &event["found"]).collect();
    assert_eq!(found.last(), Some(&&json!("done")), "{view:#}");
    assert!(!found.contains(&&json!("not_done")), "{found:?}");
    assert_eq!(outcome(view), "recovered", "{view:#}");
    assert_eq!(models(world), [Some("samosachaat-d6")]);
}

async fn unanswered_and_called_once(flow: &Flow) {
    flow.killed_alert().await;
    let view = flow.end().await;
    let result = &events(&view, "effect_answered").next().unwrap()["result"];
    assert_eq!(result["unclear"]["reason"], "timeout", "{view:#}");
    called_once(&flow.world(), &view);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_answer_is_lost_is_looked_for_and_not_sent_again() {
    let flow = well_but_for_the_model().await;
    let world = flow.world();
    world.disturb_next(System::Pod(SERVICE), Trouble::CutAfterApply, 1);
    unanswered_and_called_once(&flow).await;
}

/// A server does not stop when its client leaves. What lands long after nobody waited for it any more is seen then, and was not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_far_longer_than_its_answer_is_waited_for_is_not_sent_again() {
    let flow = well_but_for_the_model().await;
    let world = flow.world();
    world.set_model_load(Duration::from_secs(200));
    unanswered_and_called_once(&flow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_while_it_calls_looks_and_does_not_call_again() {
    let mut flow = well_but_for_the_model().await;
    let world = flow.world();
    flow.killed_alert().await;
    // The pod has taken the call, and answers when it is done.
    assert!(world.until(LIMIT, |world| !swaps(world).is_empty()).await);
    flow.stage.kill().await.unwrap();
    flow.stage.start().await.unwrap();
    let view = flow.end().await;
    assert!(!has(&view, "effect_answered"), "{view:#}");
    called_once(&world, &view);
}

/// Both want to change inference: one after the other, and whoever comes second looks anew.
#[tokio::test(flavor = "multi_thread")]
async fn two_troubles_of_one_target_are_never_worked_on_at_once() {
    let flow = Flow::oom(&[]).await;
    let world = flow.world();
    flow.too_low().await;
    world.flood(50);
    let slow = |world: &World| world.p99("chat-api").is_some_and(|p99| p99 > 5.0);
    assert!(world.until(LIMIT, slow).await);
    flow.alert("firing", json!({"alertname": "HighP99Latency", "app": SERVICE, "namespace": NAMESPACE}))
        .await;
    flow.killed_alert().await;
    let mut views = Vec::new();
    for id in flow.incidents().await {
        views.push(flow.end_of(&id).await);
    }
    let span = |view: &Value| {
        let all = view["events"].as_array().unwrap();
        let at = |name: &str| {
            let found = all.iter().rev().find(|recorded| recorded["event"]["event"] == name)?;
            found["at"].as_str().map(str::to_owned)
        };
        Some((at("effect_intended")?, at("step_ended")?))
    };
    let mut spans: Vec<(String, String)> = views.iter().filter_map(span).collect();
    spans.sort();
    assert!(!spans.is_empty(), "{views:#?}");
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "at once: {spans:?}");
    let waits: Vec<String> = views.iter().flat_map(refusing).collect();
    assert!(spans.len() > 1 || !waits.is_empty(), "nobody waited: {views:#?}");
}
