//! For each guard a flow in which it refuses, and nothing was called.

use runbookd::sandbox::PoolFault;
use serde_json::json;
use std::time::Duration;

use super::{Flow, events, has, outcome, refusing, restart_alone, shipped_with};

#[tokio::test(flavor = "multi_thread")]
async fn namespace_outside_the_allow_list_is_blocked() {
    let flow = Flow::with(|setting| setting.namespaces = "{other: act}".to_owned()).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "blocked", "{view:#}");
    assert!(refusing(&view).contains(&"namespace".to_owned()));
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_allow_list_allows_nothing() {
    let flow = Flow::with(|setting| setting.namespaces = "{}".to_owned()).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "blocked", "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_of_a_namespace_is_a_ceiling_of_its_own() {
    let flow = Flow::with(|setting| setting.namespaces = "{samosachaat-prod: shadow}".to_owned()).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "would_act", "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_every_effect_survives_kill_and_a_resume_lets_the_incident_go_on() {
    let mut flow = Flow::begin().await;
    flow.post("/pause", json!({"by": "ana", "reason": "a migration"})).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let (id, view) = flow.event("refused").await;
    assert!(refusing(&view).contains(&"pause".to_owned()), "{view:#}");
    flow.nothing_was_called();
    flow.stage.kill().await.unwrap();
    flow.stage.start().await.unwrap();
    assert_eq!(flow.get("/status").await["paused"]["reason"], "a migration", "a pause is durable");
    flow.nothing_was_called();
    flow.post("/resume", json!({"by": "ana"})).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(flow.world().writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cooldown_and_rate_are_counted_in_the_journal_and_survive_kill() {
    // The deadline ends before the cooldown does, so the second incident is blocked and not only late.
    let (name, text) = restart_alone(&[
        ("group_by: [namespace]", "deadline: 10m\ngroup_by: [namespace, severity]"),
        ("cooldown: 15m", "cooldown: 2h"),
    ]);
    let mut flow = Flow::with(|setting| setting.rules = vec![(name, text)]).await;
    flow.world().exhaust_pool("chat-api", PoolFault::EveryPod { after: Duration::from_secs(10) });
    let first = flow.end().await;
    assert_eq!(outcome(&first), "not_recovered", "{first:#}");
    flow.stage.kill().await.unwrap();
    flow.stage.start().await.unwrap();
    let labels = json!({"alertname": "High5xxRate", "namespace": "samosachaat-prod", "severity": "page"});
    let opened = flow.alert("firing", labels).await;
    let id = opened["opened"][0].as_str().unwrap().to_owned();
    let second = flow.end_of(&id).await;
    assert_eq!(outcome(&second), "blocked", "{second:#}");
    assert!(refusing(&second).contains(&"cooldown".to_owned()));
    assert_eq!(flow.world().writes().len(), 1, "nothing was called for the second");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_global_rate_holds_across_runbooks_and_the_runbook_rate_by_itself() {
    for (more, limits, guard) in [
        ("limits: {rate: 1/1h}", "limits: {cooldown: 1s, rate: 3/1h}", "global_rate"),
        ("", "limits: {cooldown: 1s, rate: 1/1h}", "runbook_rate"),
    ] {
        let (name, text) = restart_alone(&[
            ("group_by: [namespace]", "deadline: 10m\ngroup_by: [namespace, severity]"),
            ("limits: {cooldown: 15m, rate: 3/1h}", limits),
        ]);
        let flow = Flow::with(|setting| {
            setting.rules = vec![(name, text)];
            setting.more = more.to_owned();
        })
        .await;
        flow.world().exhaust_pool("chat-api", PoolFault::EveryPod { after: Duration::from_secs(10) });
        flow.end().await;
        let labels = json!({"alertname": "High5xxRate", "namespace": "samosachaat-prod", "severity": "page"});
        let opened = flow.alert("firing", labels).await;
        let second = flow.end_of(opened["opened"][0].as_str().unwrap()).await;
        assert_eq!(outcome(&second), "blocked", "{second:#}");
        assert!(refusing(&second).contains(&guard.to_owned()), "{guard}: {second:#}");
        assert_eq!(flow.world().writes().len(), 1, "{guard}: nothing was called for the second");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_deployment_is_refused_because_a_restart_would_roll_nothing_out() {
    let flow = Flow::begin().await;
    flow.world().pause_deployment("chat-api", true);
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "blocked", "{view:#}");
    assert!(refusing(&view).contains(&"circumstances".to_owned()));
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_gone_is_never_guessed_at() {
    let flow = Flow::begin().await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.evidence_of("chat-api").await;
    flow.world().delete_deployment("chat-api");
    flow.fire().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "failed", "{view:#}");
    assert!(view["why"].as_str().unwrap().contains("chat-api"), "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_is_hostile_or_missing_never_becomes_a_name_or_a_query() {
    let (name, text) = shipped_with(&[]);
    let flow = Flow::with(|setting| {
        setting.rules = vec![(name, text.replace("group_by:", "deadline: 2m\ngroup_by:"))]
    })
    .await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.world().send_alerts_to(None);
    for namespace in
        ["x\"} or {app=~\".+", "../../secrets", "", "samosachaat-prod\" or 1=1", "a`b${vars.namespace}"]
    {
        let opened = flow.alert("firing", json!({"alertname": "High5xxRate", "namespace": namespace})).await;
        let id = opened["opened"][0].as_str().unwrap_or_else(|| panic!("{namespace:?}: {opened}")).to_owned();
        let view = flow.end_of(&id).await;
        assert!(
            ["inconclusive", "not_confirmed", "blocked"].contains(&outcome(&view)),
            "{namespace:?}: {view:#}"
        );
    }
    flow.nothing_was_called();
}

/// Unknown never acts: neither does a step whose condition can not be answered, and the next step is not tried instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_can_not_be_answered_is_asked_again_and_nothing_is_done() {
    let when = "restart: {}\n    when: {lines: {loki: '{namespace=\"${labels.namespace}\", app=\"nobody\"} |= \"x\"', window: 5m, at_least: 1}}";
    let flow = Flow::with(|setting| {
        let deadline = ("group_by: [namespace]", "group_by: [namespace]\ndeadline: 5m");
        setting.rules[0] = shipped_with(&[("restart: {}", when), deadline]);
    })
    .await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "inconclusive", "{view:#}");
    let failed = events(&view, "plan_failed").next().unwrap();
    let why = failed["why"].as_str().unwrap();
    assert!(why.starts_with("its condition can not be answered: "), "{why}");
    assert_eq!(failed["for_good"], false);
    assert!(!has(&view, "planned") && !has(&view, "step_skipped"));
    flow.nothing_was_called();
}

const CORDONS: &str = "apiVersion: runbookd.dev/v1\n\
    kind: Runbook\n\
    name: cordons\n\
    summary: Keep new pods away from a node.\n\
    mode: act\n\
    alerts: ['alertname=\"NodeFlaps\"']\n\
    group_by: [node]\n\
    confirm: {ready: {nodes: ready, node: \"${labels.node}\", at_least: 1}}\n\
    probes: {cordoned: {nodes: cordoned, node: \"${labels.node}\", at_least: 1}}\n\
    targets: {namespace: \"${vars.namespace}\", node: \"${labels.node}\"}\n\
    steps: [{remediate: cordon it, cordon: {}, verify: {within: 5m, hold: 30s, all: [{probe: cordoned, at_least: 1}]}}]\n";

/// Pods of every namespace run on a node: that one of them may be acted on is not enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_changed_only_when_nodes_may_be() {
    for (more, ends) in [("", "would_act"), ("nodes: act", "recovered")] {
        let flow = Flow::with(|setting| {
            setting.rules = vec![("cordons.yaml".to_owned(), CORDONS.to_owned())];
            more.clone_into(&mut setting.more);
        })
        .await;
        flow.alert("firing", json!({"alertname": "NodeFlaps", "node": "node-2"})).await;
        let view = flow.end().await;
        assert_eq!(outcome(&view), ends, "{view:#}");
        let node = flow.world().node("node-2").unwrap();
        if more.is_empty() {
            flow.nothing_was_called();
        } else {
            assert_eq!(flow.world().writes().len(), 1);
            assert_eq!(node["spec"]["unschedulable"], true);
        }
    }
}
