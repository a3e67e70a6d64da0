//! Scenario 5 of the chaos page with the shipped runbook: a queue that makes answers slow gets more pods for a while, whoever owns their number; what
//! more pods do not cure, or nobody can see, is a person's, and no line that can not be read counts as a slow answer.

use std::time::Duration;

use runbookd::sandbox::{LogLine, NAMESPACE, System, Trouble, World};
use serde_json::{Value, json};

use super::{Flow, LIMIT, TIME_SCALE, events, has, outcome};

const SERVICE: &str = "inference";
/// Three pods answer so many clients in less than five seconds, and two do not.
const CLIENTS: u32 = 50;

fn slow(app: &str) -> Value {
    json!({"alertname": "HighP99Latency", "app": app, "namespace": NAMESPACE, "severity": "warning"})
}

fn replicas(world: &World) -> u64 {
    world.deployment(SERVICE).and_then(|object| object["spec"]["replicas"].as_u64()).unwrap_or_default()
}

fn took(line: &LogLine) -> Option<u64> {
    serde_json::from_str::<Value>(&line.text).ok()?["inference_time_ms"].as_u64()
}

impl Flow {
    /// The shipped runbook, some of its text replaced. What stays for two hours stays for ten minutes: twenty seconds here.
    async fn latency(replacements: &[(&str, &str)]) -> Self {
        Self::with(|setting| {
            let mut rules = setting.rules.iter_mut();
            let text = &mut rules.find(|(name, _)| name == "high-latency.yaml").unwrap().1;
            for (from, to) in [&[("restore: {after: 2h}", "restore: {after: 10m}")], replacements].concat() {
                assert!(text.contains(from), "{from}");
                *text = text.replace(from, to);
            }
        })
        .await
    }

    /// So many clients come, and the logs say what they meet.
    async fn flood(&self, clients: u32) {
        let world = self.world();
        world.flood(clients);
        let told = |world: &World| {
            let busy = world.logs(SERVICE).iter().filter(|line| line.text.contains("busy")).count();
            busy > 20 && self.slow_answers() > 20
        };
        assert!(world.until(LIMIT, told).await, "no such lines");
    }

    fn slow_answers(&self) -> usize {
        self.world().logs("chat-api").iter().filter_map(took).filter(|took| *took > 5000).count()
    }

    async fn slow_alert(&self) {
        self.alert("firing", slow("chat-api")).await;
    }
}

/// What a question of the diagnoses was answered.
fn answer<'a>(view: &'a Value, probe: &str) -> &'a Value {
    let mut all =
        events(view, "diagnosed").flat_map(|event| event["answers"].as_array().into_iter().flatten());
    all.find(|answer| answer["probe"] == probe).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_gets_more_pods_and_they_go_again_in_their_time() {
    let flow = Flow::latency(&[]).await;
    let world = flow.world();
    flow.flood(CLIENTS).await;
    // Its requests are the slow part of chat-api's, so the alert comes for both: one incident.
    flow.alert("firing", slow(SERVICE)).await;
    flow.slow_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!((replicas(&world), world.writes().len()), (3, 1));
    let plan = &events(&view, "planned").last().unwrap()["plan"];
    assert_eq!(plan["says"], "scale deployment/inference of samosachaat-prod from 1 to 3 replicas");
    for probe in ["no_free_worker", "queue", "trace"] {
        assert_eq!(answer(&view, probe)["verdict"], "holds", "{probe}: {view:#}");
    }
    // As many clients as before wait: the queue is long, and grows no more.
    assert_eq!(answer(&view, "queue_growing")["verdict"], "fails", "{view:#}");
    let confirmed = events(&view, "confirmed").next().unwrap();
    let id = confirmed["answers"][0]["clues"]["trace_id"].as_str().unwrap();
    let trace = answer(&view, "trace");
    assert!(trace["asked"].as_str().unwrap().contains(&format!("trace_id=\"{id}\"")), "{trace:#}");
    let lines = trace["samples"].as_array().unwrap();
    let of = |app: &str| lines.iter().any(|line| line["from"].as_str().unwrap().starts_with(app));
    assert!(of("chat-api") && of(SERVICE), "one request, both services: {trace:#}");
    let verified = events(&view, "verified").last().unwrap();
    let p99 = verified["answers"].as_array().unwrap().iter().find(|answer| answer["probe"] == "p99").unwrap();
    assert_eq!(p99["verdict"], "holds", "{verified:#}");
    assert_eq!(flow.incidents().await.len(), 1);

    let changes = flow.changes().await;
    assert_eq!(
        (&changes[0]["base"], &changes[0]["now"]["value"]),
        (&json!("1"), &json!("3")),
        "{changes:#?}"
    );
    world.flood(0);
    let view = flow.restore().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!((replicas(&world), world.writes().len()), (1, 2));
}

/// One look can not tell a long queue from one that grows.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_grows_between_two_looks_is_said_to_grow() {
    let flow = Flow::latency(&[]).await;
    let world = flow.world();
    flow.flood(CLIENTS).await;
    let more = tokio::spawn(async move {
        for clients in (CLIENTS..).step_by(5) {
            world.flood(clients);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    flow.slow_alert().await;
    let (_, view) = flow.event("diagnosed").await;
    more.abort();
    let growing = answer(&view, "queue_growing");
    assert_eq!(growing["verdict"], "holds", "{growing:#}");
    let saw = growing["saw"].as_str().unwrap();
    assert!(saw.starts_with("/queue_depth is ") && saw.contains("grown by "), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_autoscaler_is_blind_its_minimum_is_raised_and_put_back() {
    let flow = Flow::latency(&[]).await;
    let world = flow.world();
    world.serve_metrics(false);
    world.put_autoscaler(SERVICE, 1, 4);
    flow.flood(CLIENTS).await;
    flow.slow_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    let hindered = answer(&view, "autoscaler_hindered");
    assert_eq!(hindered["verdict"], "holds", "{view:#}");
    let least = |world: &World| world.autoscaler(SERVICE).unwrap()["spec"]["minReplicas"].clone();
    assert_eq!((least(&world), replicas(&world)), (json!(3), 3));
    world.flood(0);
    let view = flow.restore().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(least(&world), json!(1));
    let writes = world.writes();
    assert_eq!(writes.len(), 2, "{writes:#?}");
    assert!(writes.iter().all(|write| write.path.contains("/horizontalpodautoscalers/")), "{writes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_at_its_maximum_is_a_persons_to_raise() {
    let flow = Flow::latency(&[]).await;
    let world = flow.world();
    world.put_autoscaler(SERVICE, 1, 2);
    flow.flood(CLIENTS).await;
    assert!(world.until(LIMIT, |world| replicas(world) == 2 && world.rollout_complete(SERVICE)).await);
    flow.slow_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "failed", "{view:#}");
    let why = events(&view, "plan_failed").last().unwrap()["why"].as_str().unwrap();
    assert!(
        why.ends_with("has 2 of at most 2 pods: its maxReplicas is what to change, by a person"),
        "{why}"
    );
    assert_eq!(answer(&view, "autoscaler_at_maximum")["verdict"], "holds", "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_most_pods_are_too_few_a_person_is_called_with_the_evidence() {
    // Long enough that it is not put back while this looks.
    let flow = Flow::latency(&[("restore: {after: 10m}", "restore: {after: 1h}")]).await;
    let world = flow.world();
    world.set_replicas(SERVICE, 4);
    assert!(world.until(LIMIT, |world| world.rollout_complete(SERVICE)).await);
    flow.flood(400).await;
    flow.slow_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_recovered", "{view:#}");
    assert_eq!((replicas(&world), world.writes().len()), (5, 1), "one more, as five are the most");
    assert_eq!(answer(&view, "p99_by_now")["verdict"], "holds", "{view:#}");
    let advice = "check if the model is too large for CPU inference, consider GPU nodes";
    flow.told_that(advice).await;
    assert_eq!(flow.changes().await.len(), 1, "what did not help is put back all the same, in its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_without_a_queue_are_not_met_by_more_pods() {
    let flow = Flow::latency(&[]).await;
    for _ in 0..20 {
        flow.world().push_log("chat-api", r#"{"level":"info","message":"done","inference_time_ms":9000}"#);
    }
    flow.slow_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_recovered", "{view:#}");
    let why = events(&view, "step_skipped").next().unwrap()["why"].as_str().unwrap();
    assert!(why.contains("no such line"), "{why}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_can_not_be_read_are_no_slow_answers() {
    let flow = Flow::latency(&[]).await;
    for line in [
        r#"{"level":"info","message":"request done","inference_time_ms":"#,
        r#"{"level":"warning","message":"given up","inference_time_ms":"n/a"}"#,
        r#"{"level":"info","message":"request done","inference_time_ms":4999}"#,
        "inference_time_ms 9000",
    ] {
        for _ in 0..20 {
            flow.world().push_log("chat-api", line);
        }
    }
    flow.slow_alert().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_confirmed", "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_loki_or_without_a_line_of_inference_nothing_is_called() {
    for missing in ["loki", "lines"] {
        let flow = Flow::latency(&[("group_by: [namespace]", "group_by: [namespace]\ndeadline: 5m")]).await;
        let world = flow.world();
        world.silence_logs(SERVICE, missing == "lines");
        // What it wrote before must lie behind the window of the question.
        let window = Duration::from_mins(5) / TIME_SCALE;
        let silent = |world: &World| {
            let newest = world.logs(SERVICE).last().map_or(0, |line| line.at);
            let now = runbookd::clock::now().as_nanosecond();
            missing == "loki" || now - i128::from(newest) > i128::try_from(window.as_nanos()).unwrap()
        };
        assert!(world.until(LIMIT, silent).await);
        world.flood(CLIENTS);
        assert!(world.until(LIMIT, |_| flow.slow_answers() > 20).await);
        if missing == "loki" {
            world.disturb(System::Loki, Some(Trouble::Down));
        }
        flow.slow_alert().await;
        let view = flow.end().await;
        assert_eq!(outcome(&view), "inconclusive", "{missing}: {view:#}");
        flow.nothing_was_called();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_resolves_half_way_ends_neither_the_looking_nor_what_is_owed() {
    let flow = Flow::latency(&[]).await;
    let world = flow.world();
    flow.flood(CLIENTS).await;
    flow.slow_alert().await;
    let (id, _) = flow.event("effect_intended").await;
    flow.alert("resolved", slow("chat-api")).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(has(&view, "verified"), "{view:#}");
    world.flood(0);
    assert_eq!(outcome(&flow.restore().await), "recovered");
    assert_eq!((replicas(&world), world.writes().len()), (1, 2));
}
