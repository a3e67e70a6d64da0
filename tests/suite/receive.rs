//! What Alertmanager is told when the journal does not take its notification. The journal is a real file whose
//! commits fail: every statement before them succeeds.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use runbookd::chaos::stage::SHIPPED;
use runbookd::metrics::Metrics;
use runbookd::receive::{PATH, Receiver, router};
use runbookd::runbook::load::load;
use runbookd::store::{Sqlite, Store as _};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::store::no_commit_of;

/// The webhook in front of a journal.
struct Desk {
    store: Arc<Sqlite>,
    router: Router,
    _shutdown: watch::Sender<bool>,
}

impl Desk {
    fn new(store: Sqlite) -> Self {
        let store = Arc::new(store);
        let vars =
            ["namespace", "oncall_channel", "database"].map(|name| (name.to_owned(), "shop".to_owned()));
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [SHIPPED[0], SHIPPED[5]] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let loaded = load(&[folder.path().to_owned()], Some(&BTreeMap::from(vars)), 1).unwrap();
        let (shutdown, going_down) = watch::channel(false);
        let router = router(Receiver {
            store: store.clone(),
            metrics: Metrics::new(&[], &[]).unwrap(),
            runbooks: loaded.runbooks,
            token: None,
            body_limit: 1 << 20,
            shutdown: going_down,
        });
        Self { store, router, _shutdown: shutdown }
    }

    async fn post(&self, alerts: serde_json::Value) -> StatusCode {
        let body = json!({"version": "4", "alerts": alerts}).to_string();
        let request = Request::post(PATH).body(Body::from(body)).unwrap();
        self.router.clone().oneshot(request).await.unwrap().status()
    }

    async fn fire(&self) -> StatusCode {
        self.post(json!([firing()])).await
    }
}

fn firing() -> serde_json::Value {
    json!({"status": "firing", "labels": {"alertname": "High5xxRate", "namespace": "shop"},
        "startsAt": "2026-11-22T18:00:00Z", "endsAt": "0001-01-01T00:00:00Z"})
}

fn journal(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("journal.db")
}

#[tokio::test]
async fn a_notification_that_is_not_committed_is_a_503_however_often_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    Sqlite::open(&journal(&folder)).await.unwrap().close().await;
    no_commit_of(&journal(&folder), "episodes");
    let desk = Desk::new(Sqlite::open(&journal(&folder)).await.unwrap());
    for time in ["the first time", "the second time"] {
        assert_eq!(desk.fire().await, StatusCode::SERVICE_UNAVAILABLE, "{time}");
        assert!(desk.store.incidents(false, 10).await.unwrap().is_empty(), "{time}");
    }
}

#[tokio::test]
async fn a_journal_that_is_away_is_a_503_because_only_that_is_tried_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::new(Sqlite::open(&journal(&folder)).await.unwrap());
    assert_eq!(desk.fire().await, StatusCode::OK);
    desk.store.close().await;
    let other = json!([{"status": "firing", "labels": {"alertname": "High5xxRate", "namespace": "other"},
        "startsAt": "2026-11-22T18:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}]);
    assert_eq!(desk.post(other).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_alert_that_can_not_be_read_does_not_lose_the_one_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::new(Sqlite::open(&journal(&folder)).await.unwrap());
    assert_eq!(desk.post(json!([{"status": "no such status"}, firing()])).await, StatusCode::OK);
    assert_eq!(desk.store.incidents(true, 10).await.unwrap().len(), 1);
    assert!(desk.store.unanswered(10).await.unwrap()[0].refused);
}
