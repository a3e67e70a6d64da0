//! Where the configuration demands a proof, the daemon acts on its own only on one that counts at this moment: else a person is asked, and told why.

use runbookd::sandbox::PoolFault;
use serde_json::{Value, json};

use super::{Flow, events, has, high_5xx, outcome, restart_alone};

const RUNBOOK: &str = "database-pool-exhaustion";

async fn demanding() -> Flow {
    Flow::with(|setting| {
        setting.rules = vec![restart_alone(&[])];
        setting.more = "proof: {at: fault, within: 90d}".to_owned();
    })
    .await
}

impl Flow {
    /// How the runbook stands.
    async fn stands(&self) -> Value {
        let all = self.get("/proofs").await;
        let found = all["runbooks"].as_array().unwrap().iter().find(|one| one["runbook"] == RUNBOOK);
        found.unwrap_or_else(|| panic!("{all:#}")).clone()
    }

    /// Hands a proof in, of the text that is loaded unless it is changed.
    async fn prove(&self, run: &str, changes: &[(&str, Value)]) -> Value {
        let mut proof = json!({
            "run": run, "scenario": "database-pool", "at": "fault", "runbook": RUNBOOK,
            "text": self.stands().await["text"], "passed": true, "proven_at": runbookd::clock::now().to_string(),
            "times": {"detect_seconds": 42.0, "act_seconds": 50.0, "recover_seconds": 95.0}, "version": "0.1.0",
        });
        for (field, value) in changes {
            proof[*field] = value.clone();
        }
        self.post("/proofs", proof).await
    }

    /// The trouble is there, and its alert.
    async fn trouble(&self) {
        self.world().send_alerts_to(None);
        self.world().exhaust_pool("chat-api", PoolFault::ThesePods);
        self.evidence_of("chat-api").await;
        self.fire().await;
    }

    /// Waits until a person is asked, and gives the reason; nothing was called.
    async fn asks(&self) -> (String, Value, String) {
        let (id, view) = self.event("approval_asked").await;
        self.nothing_was_called();
        let why =
            events(&view, "approval_asked").last().unwrap()["why"].as_str().unwrap_or("none").to_owned();
        (id, view, why)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_proof_a_person_is_asked_and_told_why_and_their_yes_is_enough() {
    let flow = demanding().await;
    flow.trouble().await;
    let (id, view, why) = flow.asks().await;
    let expected = "not proven at fault within 90d: it was never put to the proof; prove it with `runbookd inject SCENARIO --at fault`";
    assert_eq!(why, expected);
    assert_eq!(view["asking"]["why"], expected);
    assert_eq!(flow.stands().await["missing"], expected);
    let why = "You are asked because it is not proven at fault within 90d";
    flow.told(why, |threads| threads.iter().any(|thread| thread.head.blocks.to_string().contains(why))).await;
    flow.approve(&id, &view["asking"]["judged"]).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(flow.world().writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_proof_of_this_very_text_it_acts_on_its_own() {
    let flow = demanding().await;
    let kept = flow.prove("run-1", &[]).await;
    assert_eq!(kept, json!({"repeated": false, "of_this_text": true}));
    assert_eq!(flow.stands().await["missing"], Value::Null);
    flow.trouble().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(!has(&view, "approval_asked"), "{view:#}");
    assert_eq!(flow.world().writes().len(), 1);
    let asked = events(&view, "effect_intended").next().unwrap()["asked"][0].clone();
    let limit = asked["limit"].as_str().unwrap();
    assert!(asked["guard"] == "mode" && limit.contains("at fault, by scenario database-pool"), "{asked}");
    let proven = view["proven"].as_str().unwrap();
    assert!(proven.ends_with(": detect 42 s, recover 1m 35s (fault)"), "{proven}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_failure_takes_the_proof_back() {
    let flow = demanding().await;
    let minute_ago = runbookd::clock::before(runbookd::clock::now(), std::time::Duration::from_secs(60));
    flow.prove("run-1", &[("proven_at", json!(minute_ago.to_string()))]).await;
    flow.prove("run-2", &[("passed", json!(false))]).await;
    flow.trouble().await;
    let (_, _, why) = flow.asks().await;
    assert!(why.contains("the last proof failed, on "), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_another_text_is_none_and_the_next_alert_after_a_proof_of_this_one_is_acted_on() {
    let flow = demanding().await;
    let kept = flow.prove("run-1", &[("text", json!("b".repeat(64)))]).await;
    assert_eq!(kept["of_this_text"], false);
    flow.trouble().await;
    let (id, _, why) = flow.asks().await;
    assert!(why.contains("its text was changed since it was proven on "), "{why}");
    // Proven while a person is asked: this one stays asked, and the next one is acted on.
    flow.prove("run-2", &[]).await;
    let body = json!({"by": "ana", "reason": "we wait for the next"});
    flow.post(&format!("/incidents/{id}/decline"), body).await;
    assert_eq!(outcome(&flow.end_of(&id).await), "declined");
    flow.nothing_was_called();
    flow.alert("resolved", high_5xx()).await;
    let labels = high_5xx();
    flow.alert_from(labels, json!(runbookd::clock::now().to_string()), "firing").await;
    let second = flow.incidents().await.into_iter().find(|other| *other != id).expect("a second incident");
    let view = flow.end_of(&second).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(!has(&view, "approval_asked") && flow.world().writes().len() == 1, "{view:#}");
}
