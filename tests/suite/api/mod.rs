//! The management endpoints and the JSON API, asked as its clients ask, over a journal in memory.

mod commands;
mod doors;
mod fake;
mod people;
mod proofs;
mod questions;
mod runs;
mod story;
mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use jiff::Timestamp;
use runbookd::api::{Api, router};
use runbookd::clients::Secret;
use runbookd::guard::Policy;
use runbookd::incident::Event;
use runbookd::incident::proven::Demand;
use runbookd::metrics::Metrics;
use runbookd::runbook::load::read_text;
use runbookd::runbook::{Hash, Mode, Rate, Runbook};
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt as _;

use fake::Fake;

const RUNBOOK: &str = r#"apiVersion: runbookd.dev/v1
kind: Runbook
name: NAME
summary: Restarts what is stuck.
mode: ask
alerts: ['alertname="Stuck"']
confirm: {stuck: {loki: '{namespace="${labels.namespace}"} |= "stuck"', window: 5m, at_least: 1}}
targets: {deployment: web}
steps: [{remediate: restart it, restart: {}, verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}}]
"#;

/// A daemon as far as the API goes.
struct World {
    store: Arc<Fake>,
    router: Router,
    shutdown: watch::Sender<bool>,
}

/// The runbooks that are loaded, by their numbers.
fn runbook(number: usize) -> Runbook {
    let text = RUNBOOK.replace("NAME", &format!("runbook-{number}"));
    read_text(&text, None, 1).unwrap_or_else(|faults| panic!("{faults}"))
}

/// What came back.
#[derive(Debug)]
struct Said {
    status: StatusCode,
    text: String,
}

impl Said {
    fn json(&self) -> Value {
        let read = serde_json::from_str(&self.text);
        assert!(read.is_ok(), "not JSON: {} {:?}", self.status, self.text);
        read.unwrap()
    }

    /// The sentence of an error.
    fn error(&self) -> String {
        self.json()["error"].as_str().expect("every error has its sentence").to_owned()
    }
}

impl World {
    fn new() -> Self {
        Self::with(None, 1)
    }

    fn with(token: Option<&str>, runbooks: usize) -> Self {
        Self::demanding(token, runbooks, None)
    }

    fn demanding(token: Option<&str>, runbooks: usize, proof: Option<Demand>) -> Self {
        let store = Arc::new(Fake::new());
        let (shutdown, going_down) = watch::channel(false);
        let loaded = |number| {
            let runbook = runbook(number);
            Arc::new(Runbook { hash: Hash("a".repeat(64)), ..runbook })
        };
        let router = router(Api {
            store: store.clone(),
            metrics: Metrics::new(&["database-pool"], &[]).unwrap(),
            token: token.map(Secret::new),
            runbooks: (1..=runbooks).map(loaded).collect(),
            policy: Arc::new(Policy {
                ceiling: Mode::Ask,
                namespaces: BTreeMap::from([("shop".to_owned(), Mode::Ask)]),
                nodes: Mode::Off,
                rate: Rate { count: 10, per: Duration::from_secs(3_600) },
                proof,
            }),
            inject: Arc::new(runbookd::incident::drill::runbook(1).unwrap()),
            eyes: None,
            shutdown: going_down,
        });
        Self { store, router, shutdown }
    }

    /// A daemon that asks a person about the story's plan until then.
    fn asking(expires: Timestamp) -> Self {
        let world = Self::new();
        world.tell(story::asking(expires));
        world
    }

    fn tell(&self, events: Vec<(f64, Event)>) {
        for (second, event) in events {
            self.store.put(&story::id(), story::at(second), event);
        }
    }

    async fn send(&self, request: Request<Body>) -> Said {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Said { status, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str) -> Said {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Said {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}
