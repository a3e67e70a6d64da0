//! Whether the daemon lives, whether it is ready, and what it counted. Never asks Loki, Kubernetes or Slack: an
//! outage of those is what the daemon is there for.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};

use super::Api;

/// A journal that needs longer than this for one small write is not available.
const WITHIN: Duration = Duration::from_secs(1);

pub(super) async fn healthy() -> &'static str {
    "healthy\n"
}

pub(super) async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, String) {
    let mut reasons = Vec::new();
    if *api.shutdown.borrow() {
        reasons.push("shutting down".to_owned());
    }
    if api.runbooks.is_empty() {
        reasons.push("no runbook is loaded, so no alert would be answered".to_owned());
    }
    match tokio::time::timeout(WITHIN, api.store.writable()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(error.to_string()),
        Err(_) => reasons.push(format!("the journal did not take a write within {WITHIN:?}")),
    }
    if reasons.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", reasons.join("; ")))
    }
}

pub(super) async fn metrics(State(api): State<Arc<Api>>) -> impl IntoResponse {
    // When the journal can not be asked, the gauge keeps its last value: the scrape must not fail in an outage.
    match tokio::time::timeout(WITHIN, api.store.paused()).await {
        Ok(Ok(pause)) => api.metrics.paused.set(i64::from(pause.is_some())),
        Ok(Err(error)) => tracing::debug!(%error, "The pause can not be read for the metrics"),
        Err(_) => tracing::debug!("The pause could not be read in time for the metrics"),
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], api.metrics.text())
}
