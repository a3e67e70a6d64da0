//! The eyes in front of a Prometheus and of services that a test answers for: what `verify` takes for an answer, and what it does not even ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use runbookd::alert::{Alert, Labels, Status};
use runbookd::clients::kubernetes::{self, Kubernetes};
use runbookd::clients::loki::{self, Loki};
use runbookd::clients::prometheus::{Prometheus, Settings};
use runbookd::clock::{before, now};
use runbookd::incident::event::{Found, Leg, Opened};
use runbookd::incident::evidence::Evidence;
use runbookd::incident::plan::{Kind, Target};
use runbookd::incident::{Event, Incident, IncidentId, Recorded};
use runbookd::probe::Eyes;
use runbookd::runbook::StepKind;
use runbookd::runbook::load::read_text;
use runbookd::sandbox::{Options, Sandbox};
use serde_json::json;

/// A Prometheus that answers every query with `value`, and says that the newest samples are so old.
async fn prometheus(value: &'static str, age: Duration) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let answer = move |body: String| {
        let log = Arc::clone(&log);
        async move {
            let form = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
            let query = form.query_pairs().find(|(name, _)| name == "query").unwrap().1.into_owned();
            #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^52")]
            let value = match query.contains("timestamp(") {
                true => (before(now(), age).as_millisecond() as f64 / 1000.0).to_string(),
                false => value.to_owned(),
            };
            log.lock().unwrap().push(query);
            let result = json!([{"metric": {}, "value": [0, value]}]);
            json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string()
        }
    };
    let router = axum::Router::new().route("/api/v1/query", axum::routing::post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, asked)
}

/// What verify says of a query some time after the effect, and what was asked for it.
async fn verified(query: &str, since: Duration, age: Duration) -> (Found, Evidence, Vec<String>) {
    let text = format!(
        r#"
apiVersion: runbookd.dev/v1
kind: Runbook
name: asking
summary: Ask Prometheus.
mode: act
alerts: ['alertname="A"']
confirm: {{value: {{prometheus: '{query}', at_least: 0.5}}}}
targets: {{namespace: shop, deployment: web}}
steps:
  - remediate: restart it
    restart: {{}}
    verify: {{within: 1h, hold: 1m, all: [{{probe: value, at_most: 0.25}}]}}
"#
    );
    let runbook = read_text(&text, None, 1).unwrap();
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, sandbox.kubeconfig()).unwrap();
    let settings = kubernetes::Settings { kubeconfig: Some(kubeconfig), context: None };
    let (url, asked) = prometheus("0.25", age).await;
    let eyes = Eyes::new(
        Loki::new(&loki::Settings::new(sandbox.loki_url())).unwrap(),
        Kubernetes::connect(&settings).await.unwrap(),
    )
    .with_prometheus(Some(Prometheus::new(&Settings::new(url)).unwrap()));
    let StepKind::Remediate { verify, .. } = &runbook.steps[0].kind else { unreachable!() };
    let incident = incident(&runbook.name, &runbook.hash);
    let (found, mut answers) = eyes.verify(&incident, &runbook, verify, before(now(), since)).await;
    let asked = asked.lock().unwrap().clone();
    (found, answers.remove(0), asked)
}

fn incident(name: &str, hash: &runbookd::runbook::Hash) -> Incident {
    let labels = Labels::from([("alertname", "A"), ("namespace", "shop")]);
    let alert = Alert {
        status: Status::Firing,
        fingerprint: labels.fingerprint(),
        labels,
        annotations: Labels::default(),
        starts_at: now(),
        ends_at: None,
        generator_url: String::new(),
    };
    let opened = Opened {
        runbook: name.to_owned(),
        hash: hash.clone(),
        scope: Labels::default(),
        deadline: Timestamp::MAX,
        alerts: vec![alert],
        more: 1,
        truncated: 0,
        restore: None,
        run: None,
        drill: None,
    };
    let target = Target { kind: Kind::Deployment, namespace: "shop".to_owned(), name: "web".to_owned() };
    let legs = vec![Leg { target, each: BTreeMap::new(), figure: 1.0 }];
    let events = [
        Event::Opened(opened),
        Event::Confirmed { found: Found::Holds, answers: Vec::new(), links: Vec::new() },
        Event::LegsChosen { legs },
    ];
    let events: Vec<Recorded> =
        (1..).zip(events).map(|(seq, event)| Recorded { seq, at: now(), event }).collect();
    Incident::replay(&IncidentId::new(1, 1), &events).unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_range_that_reaches_back_before_the_effect_is_unknown_and_nothing_is_asked() {
    for (query, minutes) in [
        ("sum(rate(x_total[5m]))", 5),
        ("sum(rate(x_total[5m] offset 2m))", 7),
        ("max(max_over_time(rate(x_total[5m])[10m:1m]))", 15),
    ] {
        let (found, evidence, asked) = verified(query, minutes * MINUTE - 5 * SECOND, SECOND).await;
        assert_eq!(found, Found::Unknown, "{evidence:#?}");
        let why = evidence.verdict.to_string();
        assert!(why.contains("lie behind the effect"), "{why}");
        assert!(asked.is_empty(), "nothing was called: {asked:?}");
        let (found, evidence, asked) = verified(query, minutes * MINUTE, SECOND).await;
        assert_eq!((found, evidence.saw.as_str()), (Found::Holds, "0.25; at most 0.25"));
        assert_eq!(asked, [query]);
    }
}

#[tokio::test]
async fn a_sample_that_was_measured_before_the_effect_is_unknown() {
    // The server takes it for the present one for five minutes.
    let query = "sum(up)";
    let (found, evidence, asked) = verified(query, MINUTE, MINUTE + 5 * SECOND).await;
    assert_eq!(found, Found::Unknown, "{evidence:#?}");
    let why = evidence.verdict.to_string();
    assert_eq!(why, "unknown: the newest sample of up was measured before the effect");
    assert_eq!(asked, ["min(timestamp(up))"]);
    let (found, _, asked) = verified(query, MINUTE, 30 * SECOND).await;
    assert_eq!(found, Found::Holds);
    assert_eq!(asked, ["min(timestamp(up))", query]);
}
