//! What a person begins by hand goes the way of an alert: nothing less is asked of it, and nothing that is said of alerts ends it.

use std::time::Duration;

use runbookd::chaos::stage::API_TOKEN;
use runbookd::sandbox::PoolFault;
use serde_json::{Value, json};

use super::{Flow, events, has, high_5xx, outcome, refusing, restart_alone, shipped_with};

const RUNBOOK: &str = "database-pool-exhaustion";

fn wanted(key: &str) -> Value {
    json!({"runbook": RUNBOOK, "labels": {"namespace": "samosachaat-prod"}, "by": "ana@laptop",
        "reason": "the pool looks <full>", "key": key.replace(" ", "-")})
}

impl Flow {
    /// Asks for a run: the status, and what was answered.
    async fn ask_for(&self, wanted: &Value) -> (u16, Value) {
        let url = format!("{}/api/v1/runs", self.stage.url());
        let answer = self.http.post(url).bearer_auth(API_TOKEN).json(wanted).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Begins one, and gives the incident's id.
    async fn run(&self, key: &str) -> String {
        let (status, begun) = self.ask_for(&wanted(key)).await;
        assert_eq!((status, &begun["repeated"]), (200, &json!(false)), "{begun}");
        begun["incident"].as_str().unwrap().to_owned()
    }

    /// Asks for one that is not begun: the status and the sentence.
    async fn not_run(&self, wanted: &Value) -> (u16, String) {
        let before = self.incidents().await;
        let (status, answer) = self.ask_for(wanted).await;
        assert_eq!(self.incidents().await, before, "nothing is begun: {answer}");
        (status, answer["error"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned())
    }
}

/// The trouble is there, and no alert comes.
async fn trouble(fault: PoolFault, change: impl FnOnce(&mut runbookd::chaos::stage::Setting)) -> Flow {
    let flow = Flow::with(change).await;
    flow.world().send_alerts_to(None);
    flow.world().exhaust_pool("chat-api", fault);
    flow.evidence_of("chat-api").await;
    flow
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_confirmed_acts_once_and_recovers_and_says_who_began_it() {
    let flow = trouble(PoolFault::ThesePods, |_| {}).await;
    let id = flow.run("the first key").await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(has(&view, "confirmed"), "a person's word is no evidence: {view:#}");
    assert_eq!(flow.world().writes().len(), 1);
    assert_eq!(view["summary"]["begun_by"], "ana@laptop");
    assert_eq!(view["summary"]["scope"], json!({"namespace": "samosachaat-prod"}));
    let labels = json!({"alertname": "High5xxRate", "namespace": "samosachaat-prod"});
    let run = json!({"by": "ana@laptop", "reason": "the pool looks <full>", "labels": labels});
    assert_eq!((&view["run"], &view["alerts"]), (&run, &json!([])));
    flow.told("who began it, and why", |threads| {
        threads.iter().any(|thread| {
            let head = thread.head.blocks.to_string();
            head.contains("Begun by hand*\\nby ana@laptop: the pool looks &lt;full&gt;")
                && head.contains("after it was begun")
        })
    })
    .await;

    // The answer was lost, say, and the request comes again.
    let (status, again) = flow.ask_for(&wanted("the first key")).await;
    assert_eq!((status, &again["repeated"], &again["incident"]), (200, &json!(true), &json!(id)));
    let mut other = wanted("the first key");
    other["reason"] = json!("something else");
    let (status, error) = flow.not_run(&other).await;
    assert!(status == 409 && error.contains("use a new key"), "{status} {error}");
    assert_eq!(flow.incidents().await, [id]);
    assert_eq!(flow.world().writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_of_a_person_is_no_evidence() {
    let flow = Flow::begin().await;
    flow.world().send_alerts_to(None);
    let view = flow.end_of(&flow.run("nothing is wrong").await).await;
    assert!(["not_confirmed", "inconclusive"].contains(&outcome(&view)), "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_stopped_by_the_allow_list_and_by_every_mode() {
    type Change = fn(&mut runbookd::chaos::stage::Setting);
    let cases: [(Change, &str); 4] = [
        (|setting| setting.namespaces = "{other: act}".to_owned(), "blocked"),
        (|setting| setting.namespaces = "{}".to_owned(), "blocked"),
        (|setting| setting.ceiling = "shadow".to_owned(), "would_act"),
        (|setting| setting.namespaces = "{samosachaat-prod: shadow}".to_owned(), "would_act"),
    ];
    for (change, ends) in cases {
        let flow = trouble(PoolFault::ThesePods, change).await;
        let view = flow.end_of(&flow.run("not allowed").await).await;
        assert_eq!(outcome(&view), ends, "{view:#}");
        assert!(ends != "blocked" || refusing(&view).contains(&"namespace".to_owned()), "{view:#}");
        flow.nothing_was_called();
    }
}

/// Who begins it has seen no plan.
#[tokio::test(flavor = "multi_thread")]
async fn beginning_a_run_approves_nothing() {
    let flow = trouble(PoolFault::ThesePods, |setting| setting.ceiling = "ask".to_owned()).await;
    let id = flow.run("and then I am asked").await;
    let view = flow.until(&id, "asking", |view| !view["asking"].is_null()).await;
    flow.nothing_was_called();
    flow.post(&format!("/incidents/{id}/decline"), json!({"by": "bob", "reason": "not now"})).await;
    assert_eq!(outcome(&flow.end_of(&id).await), "declined", "{view:#}");
    flow.nothing_was_called();
}

/// It has no alert that could resolve: neither the end of one of the same labels nor time ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_a_run_and_alerts_beside_it_neither_join_nor_end_it() {
    let mut flow = trouble(PoolFault::ThesePods, |_| {}).await;
    flow.post("/pause", json!({"by": "ana", "reason": "a migration"})).await;
    let id = flow.run("while paused").await;
    let view = flow.until(&id, "refused", |view| has(view, "refused")).await;
    assert!(refusing(&view).contains(&"pause".to_owned()), "{view:#}");
    flow.nothing_was_called();

    let (status, error) = flow.not_run(&wanted("once more")).await;
    assert!(status == 409 && error.contains(&id), "it names what is in the way: {status} {error}");
    let opened = flow.alert("firing", high_5xx()).await;
    let of_alert = opened["opened"][0].as_str().unwrap_or_else(|| panic!("it joined: {opened}")).to_owned();
    flow.alert("resolved", high_5xx()).await;
    let ended = flow.end_of(&of_alert).await;
    assert_eq!(outcome(&ended), "self_healed", "{ended:#}");
    flow.stage.kill().await.unwrap();
    flow.stage.start().await.unwrap();
    flow.nothing_was_called();

    flow.post("/resume", json!({"by": "ana"})).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(!has(&view, "alerts_joined") && !has(&view, "alerts_resolved"), "{view:#}");
    assert_eq!(flow.world().writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_beside_the_open_incident_of_an_alert_is_not_begun() {
    let flow = trouble(PoolFault::ThesePods, |_| {}).await;
    flow.post("/pause", json!({"by": "ana", "reason": "a migration"})).await;
    flow.fire().await;
    let id = flow.incident().await;
    let (status, error) = flow.not_run(&wanted("beside it")).await;
    assert!(status == 409 && error.contains(&id), "{status} {error}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cooldown_is_asked_of_a_run_as_of_an_alert() {
    let (name, text) = restart_alone(&[
        ("group_by: [namespace]", "deadline: 10m\ngroup_by: [namespace]"),
        ("cooldown: 15m", "cooldown: 2h"),
    ]);
    let flow = trouble(PoolFault::EveryPod { after: Duration::from_secs(10) }, |setting| {
        setting.rules = vec![(name, text)];
    })
    .await;
    let first = flow.end_of(&flow.run("the first").await).await;
    assert_eq!(outcome(&first), "not_recovered", "{first:#}");
    let second = flow.end_of(&flow.run("the second").await).await;
    assert_eq!(outcome(&second), "blocked", "{second:#}");
    assert!(refusing(&second).contains(&"cooldown".to_owned()), "{second:#}");
    assert_eq!(flow.world().writes().len(), 1, "nothing was called for the second");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_begun_says_why_before_anything_is_written() {
    let flow = Flow::with(|setting| {
        setting.rules[1].1 = setting.rules[1].1.replacen("\nmode: act", "\nmode: off", 1);
    })
    .await;
    let with = |name: &str, value: Value| {
        let mut wanted = wanted("not to be begun");
        wanted[name] = value;
        wanted
    };
    for (wanted, status, says) in [
        (with("labels", json!({})), 400, "needs the label namespace"),
        (with("labels", json!({"namespace": ""})), 400, "empty never means all"),
        (with("labels", json!({"namespace": "a", "x y": "b"})), 400, "is not the name of a label"),
        (with("runbook", json!("database-pool-exhausted")), 404, "did you mean database-pool-exhaustion?"),
        (with("runbook", json!("node-failure")), 409, "is off"),
        (with("key", json!("short")), 400, "`key` must name this request"),
        (with("by", json!(" ")), 400, "`by` must not be empty"),
        (with("reason", json!("")), 400, "`reason` must not be empty"),
        (with("force", json!(true)), 400, "unknown field `force`"),
    ] {
        let (answered, error) = flow.not_run(&wanted).await;
        assert!(answered == status && error.contains(says), "{wanted}: {answered} {error}");
    }
    assert_eq!(flow.incidents().await, [""; 0]);
    flow.nothing_was_called();
}

/// It is written for people only: no alert begins it, not even one without any label that counts.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_demand_answers_no_alert_and_hides_no_other_runbook() {
    let on_demand = shipped_with(&[
        ("alerts: ['alertname=\"High5xxRate\"']", "on_demand: true"),
        ("name: database-pool-exhaustion", "name: by-hand"),
        ("group_by: [namespace]\n", ""),
    ]);
    let flow = trouble(PoolFault::ThesePods, |setting| {
        setting.rules.insert(0, ("a-by-hand.yaml".to_owned(), on_demand.1));
        setting.ceiling = "shadow".to_owned();
    })
    .await;
    let opened = flow.alert("firing", high_5xx()).await;
    let id = opened["opened"][0].as_str().unwrap();
    let view = flow.end_of(id).await;
    assert_eq!(view["summary"]["runbook"], RUNBOOK, "{view:#}");
    let mut by_hand = wanted("on demand");
    by_hand["runbook"] = json!("by-hand");
    let (_, begun) = flow.ask_for(&by_hand).await;
    let view = flow.end_of(begun["incident"].as_str().unwrap_or_else(|| panic!("{begun}"))).await;
    assert_eq!(
        (outcome(&view), &view["summary"]["scope"]),
        ("would_act", &json!({"namespace": "samosachaat-prod"}))
    );
    assert_eq!(
        events(&view, "opened").next().unwrap()["run"]["labels"],
        json!({"namespace": "samosachaat-prod"})
    );
    flow.nothing_was_called();
}
