//! Health endpoints and metrics as evidence: cause and effect by `http` and `prometheus` probes, and what they never ask.

use std::time::Duration;

use runbookd::sandbox::{CrashCause, CrashFault, PoolFault, System, Trouble};
use serde_json::{Value, json};

use super::{Flow, events, has, outcome};

const RUNBOOK: &str = r#"
apiVersion: runbookd.dev/v1
kind: Runbook
name: unhealthy
summary: Restart the services that answer with errors, when chat-api says itself that it is unhealthy.
mode: act
alerts: ['alertname="High5xxRate"']
group_by: [namespace]
confirm:
  healthy: {http: "http://${vars.chat_api_address}/api/health", at_most: 0}
  errors:
    prometheus: |
      # The share of requests that failed, by service.
      sum by (app) (rate(http_requests_total{namespace="${labels.namespace}", code=~"5.."}[1m]))
        / sum by (app) (rate(http_requests_total{namespace="${labels.namespace}"}[1m]))
    count_by: app
    at_least: 0.05
  available:
    prometheus: kube_deployment_status_replicas_available{namespace="${labels.namespace}", deployment="chat-api"}
    at_least: 1
targets: {each: errors.app, namespace: "${labels.namespace}", deployment: "${each.app}"}
steps:
  - diagnose: what it says of its pool
    probes:
      in_use: {http: "http://${vars.chat_api_address}/api/health", status: 503, pointer: /pool/exhausted, at_least: 1}
  - remediate: replace the pods
    when:
      wanted: {prometheus: 'kube_deployment_spec_replicas{namespace="${labels.namespace}", deployment="${each.app}"}', at_least: 1}
    restart: {}
    verify:
      within: 5m
      hold: 1m
      all:
        - {probe: healthy, at_least: 1}
        - {probe: errors, at_most: 0.01}
        - {probe: available, at_least: 2}
        - {rollout: complete}
limits: {cooldown: 15m, rate: 3/1h}
"#;

async fn begin(runbook: String) -> Flow {
    Flow::with(|setting| setting.rules = vec![("unhealthy.yaml".to_owned(), runbook)]).await
}

fn answers<'a>(view: &'a Value, event: &'a str) -> impl Iterator<Item = &'a Value> {
    events(view, event).flat_map(|event| event["answers"].as_array().into_iter().flatten())
}

fn asked(flow: &Flow, systems: impl Fn(System) -> bool) -> usize {
    flow.world().requests().iter().filter(|request| systems(request.system)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_says_it_is_unhealthy_and_fails_is_restarted_and_says_it_is_well() {
    let flow = begin(RUNBOOK.to_owned()).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.fire().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(flow.world().writes().len(), 1, "one restart, and nothing else");
    let confirmed = events(&view, "confirmed").find(|event| event["found"] == "holds").unwrap();
    let confirmed = confirmed["answers"].as_array().unwrap();
    let of = |name: &str| confirmed.iter().find(|answer| answer["probe"] == name).unwrap();
    assert_eq!(of("healthy")["saw"], "HTTP 503 instead of 200; at most 0");
    let line = of("healthy")["samples"][0]["line"].as_str().unwrap();
    assert!(line.starts_with("HTTP 503: {") && line.contains("unavailable"), "{line}");
    let in_use = answers(&view, "diagnosed").next().unwrap();
    assert_eq!(
        (&in_use["saw"], &in_use["verdict"]),
        (&json!("/pool/exhausted is 1; at least 1"), &json!("holds"))
    );
    assert!(of("errors")["by"]["chat-api"].as_f64().unwrap() > 0.05, "{:#}", of("errors"));
    let verified: Vec<&Value> = answers(&view, "verified").collect();
    let healthy = verified.iter().rev().find(|answer| answer["probe"] == "healthy").unwrap();
    assert_eq!(healthy["saw"], "HTTP 200; at least 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_a_pod_that_serves_does_not_answer_and_its_figures_are_unknown() {
    let in_use = r#"confirm:
  in_use: {http: "http://${vars.chat_api_address}/api/health", pointer: /pool/in_use, at_most: 0}"#;
    let flow = begin(RUNBOOK.replace("confirm:", in_use)).await;
    let fault =
        CrashFault { reason: "Error", exit_code: 1, lasts: Duration::ZERO, cause: CrashCause::EveryPod };
    flow.world().crash("chat-api", &fault);
    assert!(
        flow.world()
            .until(Duration::from_secs(90), |world| world.pods("chat-api").iter().all(|pod| !pod.ready))
            .await
    );
    flow.fire().await;
    let (_, view) = flow.event("confirmed").await;
    let of = |name: &str| answers(&view, "confirmed").find(|answer| answer["probe"] == name).unwrap();
    assert_eq!(of("healthy")["verdict"], "holds", "{:#}", of("healthy"));
    assert!(of("healthy")["saw"].as_str().unwrap().starts_with("the connection was broken off"));
    let why = of("in_use")["verdict"]["unknown"]["why"].as_str().unwrap();
    assert!(why.starts_with("nothing is known of /pool/in_use: "), "{why}");
    assert!(!has(&view, "planned"));
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_an_alert_names_and_nobody_allowed_is_not_asked() {
    let runbook = RUNBOOK.replace("${vars.chat_api_address}", "${labels.instance}");
    let flow = begin(runbook).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    for (at, instance) in
        ["169.254.169.254", "127.0.0.1", "chat-api.evil.example", "127.0.0.1:1/x@y"].into_iter().enumerate()
    {
        let labels = json!({"alertname": "High5xxRate", "namespace": format!("n{at}"), "instance": instance});
        flow.alert("firing", labels).await;
    }
    for id in flow.incidents().await {
        let view = flow.until(&id, "asked", |view| has(view, "confirmed")).await;
        let healthy = answers(&view, "confirmed").next().unwrap();
        let why = healthy["verdict"]["unknown"]["why"].as_str().unwrap();
        assert!(
            why.contains("so nothing was asked") || why.contains("can not be a part of a host's name"),
            "{why}"
        );
    }
    assert_eq!(asked(&flow, |system| matches!(system, System::Service(_))), 0, "nothing was called");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_can_not_be_asked_is_unknown() {
    let flow = begin(RUNBOOK.to_owned()).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.world().disturb(System::Prometheus, Some(Trouble::Status(503, "no".to_owned())));
    flow.fire().await;
    let (_, view) = flow.event("confirmed").await;
    let errors = answers(&view, "confirmed").find(|answer| answer["probe"] == "errors").unwrap();
    let why = errors["verdict"]["unknown"]["why"].as_str().unwrap();
    assert!(why.starts_with("Prometheus could not be asked: "), "{why}");
    assert!(!has(&view, "planned"));
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_series_is_no_zero() {
    let runbook = RUNBOOK.replace("deployment=\"chat-api\"}", "deployment=\"no-such\"}");
    let flow = begin(runbook).await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.fire().await;
    let (_, view) = flow.event("confirmed").await;
    let available = answers(&view, "confirmed").find(|answer| answer["probe"] == "available").unwrap();
    let why = available["verdict"]["unknown"]["why"].as_str().unwrap();
    assert_eq!(why, "the query gives no series, which is no zero");
    flow.nothing_was_called();
}
