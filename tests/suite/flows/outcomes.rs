//! One flow per outcome.

use runbookd::sandbox::{PoolFault, System, Trouble};
use serde_json::json;
use std::time::Duration;

use super::{Flow, Thread, events, has, high_5xx, outcome, restart_alone, shipped_with};

#[tokio::test(flavor = "multi_thread")]
async fn recovered_by_a_restart_from_a_real_fault_to_the_slack_thread() {
    let flow = Flow::begin().await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(flow.world().writes().len(), 1, "one restart, and nothing else");
    let asked = events(&view, "effect_intended").next().unwrap()["asked"].as_array().unwrap().len();
    assert_eq!(asked, 10, "every guard was asked");
    let threads = flow.told_the_end("Recovered").await;
    assert_eq!(threads.len(), 1);
    // The very query that confirmed is one click away, and so is the dashboard.
    let links = &events(&view, "confirmed").next().unwrap()["links"];
    let titles: Vec<&str> =
        links.as_array().unwrap().iter().filter_map(|link| link["title"].as_str()).collect();
    assert_eq!(titles, ["pool_errors in Explore", "Application Performance"]);
    let explore = reqwest::Url::parse(links[0]["url"].as_str().unwrap()).unwrap();
    let panes = explore.query_pairs().find(|(name, _)| name == "panes").unwrap().1.into_owned();
    assert!(panes.contains(r#"namespace=\"samosachaat-prod\", app=~\"auth|chat-api\"} | json"#), "{panes}");
    let head = threads[0].head.blocks.to_string();
    assert!(
        head.contains("|pool_errors in Explore>") && head.contains("|Application Performance>"),
        "{head}"
    );
    let called = threads[0].replies.iter().any(|reply| reply.broadcast);
    assert!(!called, "nobody is called for what has recovered");
}

#[tokio::test(flavor = "multi_thread")]
async fn recovered_on_two_targets_one_after_the_other_the_most_affected_first() {
    let flow = Flow::begin().await;
    // The alert comes when both services have written enough.
    flow.world().exhaust_pool("auth", PoolFault::ThesePods);
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.evidence_of("auth").await;
    flow.evidence_of("chat-api").await;
    flow.fire().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    let legs = view["legs"].as_array().unwrap();
    assert_eq!(legs.len(), 2);
    assert!(legs[0]["figure"].as_f64() >= legs[1]["figure"].as_f64(), "the most affected first");
    assert_eq!(flow.world().writes().len(), 2);
    assert!(events(&view, "confirmed").count() >= 2, "before the second leg confirm is asked anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn self_healed_when_the_alert_resolves_before_anything_was_done() {
    let flow = Flow::with(|setting| setting.ceiling = "ask".to_owned()).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let (id, _) = flow.event("approval_asked").await;
    flow.world().send_alerts_to(None);
    let fingerprints = flow.get(&format!("/incidents/{id}")).await["alerts"].clone();
    for alert in fingerprints.as_array().unwrap() {
        flow.alert_as(alert, "resolved").await;
    }
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "self_healed", "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn not_confirmed_when_the_alert_fires_and_the_logs_say_no() {
    let flow = Flow::begin().await;
    flow.world().until(Duration::from_secs(10), |world| world.logs("chat-api").len() > 5).await;
    flow.fire().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_confirmed", "{view:#}");
    assert!(events(&view, "confirmed").count() > 1, "a first no is asked again: logs can be late");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn inconclusive_when_loki_is_down_until_the_deadline() {
    let flow = Flow::with(|setting| {
        setting.rules = vec![shipped_with(&[("group_by:", "deadline: 2m\ngroup_by:")])];
    })
    .await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.world().disturb(System::Loki, Some(Trouble::Down));
    flow.fire().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "inconclusive", "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn would_act_in_shadow_with_the_plan_in_full_and_nothing_called() {
    let flow = Flow::with(|setting| setting.ceiling = "shadow".to_owned()).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "would_act", "{view:#}");
    let plan = events(&view, "planned").next().unwrap()["plan"]["says"].clone();
    assert_eq!(plan, "restart deployment/chat-api in samosachaat-prod");
    flow.nothing_was_called();
    let would = |thread: &Thread| thread.replies.iter().any(|reply| reply.text.contains("Would"));
    flow.told("what it would have done", |threads| threads.iter().any(would)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn declined_by_a_person() {
    let flow = Flow::with(|setting| setting.ceiling = "ask".to_owned()).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let (id, _) = flow.event("approval_asked").await;
    flow.post(&format!("/incidents/{id}/decline"), json!({"by": "ana", "reason": "a deploy is coming"}))
        .await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "declined", "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn recovered_after_a_person_approved_exactly_this_plan() {
    let flow = Flow::with(|setting| setting.ceiling = "ask".to_owned()).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let (id, view) = flow.event("approval_asked").await;
    flow.nothing_was_called();
    let judged = view["asking"]["judged"].clone();
    flow.approve(&id, &judged).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(events(&view, "confirmed").count() >= 2, "at approval confirm is asked anew");
    assert_eq!(flow.world().writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_when_nobody_answers() {
    let flow = Flow::with(|setting| {
        setting.ceiling = "ask".to_owned();
        setting.more = "approval_within: 1m".to_owned();
    })
    .await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "expired", "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_when_another_incident_cured_the_same_target() {
    let (name, text) = shipped_with(&[("group_by:", "continue: true\ngroup_by:")]);
    let (_, other) = shipped_with(&[("name: database-pool-exhaustion", "name: second-opinion")]);
    let flow =
        Flow::with(|setting| setting.rules = vec![(name, text), ("second.yaml".to_owned(), other)]).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.incident().await;
    let ids = flow.incidents().await;
    assert_eq!(ids.len(), 2, "each runbook has its own incident");
    let mut outcomes = Vec::new();
    for id in &ids {
        outcomes.push(outcome(&flow.end_of(id).await).to_owned());
    }
    outcomes.sort();
    assert_eq!(outcomes, ["joined", "recovered"]);
    assert_eq!(flow.world().writes().len(), 1, "one effect on one target");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_recovered_when_a_restart_does_not_help() {
    let flow = Flow::with(|setting| setting.rules = vec![restart_alone(&[])]).await;
    flow.world().exhaust_pool("chat-api", PoolFault::EveryPod { after: Duration::from_secs(20) });
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_recovered", "{view:#}");
    assert_eq!(flow.world().writes().len(), 1, "what does not help is not done again");
    let called = |thread: &Thread| thread.replies.iter().any(|reply| reply.broadcast);
    flow.told("a person, in the channel", |threads| threads.iter().any(called)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_when_the_rollout_does_not_come_to_its_end() {
    let flow = Flow::begin().await;
    flow.world().break_rollouts("chat-api");
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "failed", "{view:#}");
    assert!(has(&view, "effect_stalled"));
    assert_eq!(flow.world().writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_when_the_cluster_does_not_allow_it() {
    let flow = Flow::begin().await;
    flow.world().disturb(System::Kubernetes, Some(Trouble::RefuseWrites403));
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "failed", "{view:#}");
    assert_eq!(events(&view, "effect_intended").count(), 1, "one operation, however often it was tried");
    assert!(
        flow.world().writes().iter().all(|write| write.status == Some(403)),
        "{:#?}",
        flow.world().writes()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_when_it_can_not_be_told_whether_it_happened_and_it_is_not_done_again() {
    let flow = Flow::begin().await;
    flow.world().disturb_next(System::Kubernetes, Trouble::CutAfterApply, 1);
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    // The answer is lost, and before anybody looks, a person restarts the Deployment, too.
    let cut = flow.world().until(Duration::from_secs(90), |world| !world.writes().is_empty()).await;
    assert!(cut);
    flow.world().hand_restart("chat-api");
    let view = flow.end().await;
    // Whoever looked first: either it was seen done in time, or it could not be told. Never a second restart.
    assert!(["ambiguous", "recovered", "inconclusive"].contains(&outcome(&view)), "{view:#}");
    assert_eq!(flow.world().writes().len(), 1, "never retried");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_when_the_alert_resolves_before_the_next_step() {
    let step = "  - remediate: restart the pods\n    restart: {}\n    verify: {within: 2m, hold: 1m, all: [{probe: pool_errors, at_most: 0, window: 1m}]}\n";
    let (name, text) = shipped_with(&[("steps:\n", &format!("steps:\n{step}"))]);
    let flow = Flow::with(|setting| setting.rules = vec![(name, text)]).await;
    flow.world().exhaust_pool("chat-api", PoolFault::EveryPod { after: Duration::from_secs(1) });
    flow.evidence_of("chat-api").await;
    flow.world().send_alerts_to(None);
    flow.fire().await;
    let (id, _) = flow.event("effect_completed").await;
    flow.alert("resolved", high_5xx()).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "stopped", "{view:#}");
    assert_eq!(flow.world().writes().len(), 1, "no further step was begun");
}
