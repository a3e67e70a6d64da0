//! What operators and their tools ask the daemon: health, metrics, and a JSON API over the journal.
//!
//! Everything is read from the journal at the moment of the question; nothing is remembered here. People can
//! pause, resume, approve, decline and begin a runbook, and hand in what a run has proven; no request of theirs acts by itself, it only appends
//! what they said, and the pipeline asks the guards as always.
//!
//! `/-/healthy`, `/-/ready` and `/metrics` need no token; everything under `/api/v1` does when one is configured.

mod access;
mod ask;
mod changes;
mod drills;
mod health;
mod incidents;
mod people;
mod problem;
mod proofs;
mod runs;
pub mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::{Method, Uri};
use tokio::sync::watch;

use crate::clients::Secret;
use crate::guard::Policy;
use crate::metrics::Metrics;
use crate::probe::Eyes;
use crate::runbook::Runbook;
use crate::store::Store;
use problem::Problem;

/// The largest body that is read; what people say is short.
pub const BODY_LIMIT: usize = 64 * 1024;

/// What the endpoints need.
pub struct Api {
    /// The journal.
    pub store: Arc<dyn Store>,
    /// What is counted.
    pub metrics: Metrics,
    /// What `Authorization: Bearer` must hold. Without one the daemon listens on loopback only, which its
    /// configuration checks, and everybody there is trusted.
    pub token: Option<Secret>,
    /// The runbooks that are loaded; without one the daemon is not ready.
    pub runbooks: Vec<Arc<Runbook>>,
    /// What may be done, where, and what must be proven before.
    pub policy: Arc<Policy>,
    /// By which what a drill has changed is put back: see [`crate::incident::drill::runbook`].
    pub inject: Arc<Runbook>,
    /// What can be seen of the cluster; none: only what the journal has is told.
    pub eyes: Option<Eyes>,
    /// Becomes true when the daemon ends: it is no longer ready, and nobody waits for events any more.
    pub shutdown: watch::Receiver<bool>,
}

/// The endpoints. Has no fallback of its own outside `/api/v1`, so that it can be merged with the webhook's.
pub fn router(api: Api) -> Router {
    let api = Arc::new(api);
    let v1 = Router::new()
        .route("/status", get(incidents::status))
        .route("/incidents", get(incidents::list))
        .route("/incidents/{id}", get(incidents::one))
        .route("/incidents/{id}/approve", post(people::approve))
        .route("/incidents/{id}/decline", post(people::decline))
        .route("/unanswered", get(incidents::unanswered))
        .route("/changes", get(changes::changes))
        .route("/pause", post(people::pause))
        .route("/resume", post(people::resume))
        .route("/runs", post(runs::begin))
        .route("/proofs", get(proofs::list).post(proofs::keep))
        .route("/drills", get(drills::list).post(drills::begin))
        .route("/drills/{run}/end", post(drills::end))
        .route("/drills/{run}/faults", post(drills::fault))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_page)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(Arc::clone(&api), access::check));
    Router::new()
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .nest("/api/v1", v1)
        .with_state(api)
}

async fn no_such_page(uri: Uri) -> Problem {
    Problem::not_found(format!(
        "there is nothing at /api/v1{}; docs/operations.md lists what there is",
        uri.path()
    ))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::wrong_method(format!(
        "{method} does not go with /api/v1{}; questions are GET, the rest is POST",
        uri.path()
    ))
}
