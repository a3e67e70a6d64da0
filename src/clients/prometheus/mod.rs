//! Prometheus: what a query gives at one moment. Also whatever speaks its API: Mimir, Thanos.
//!
//! Only reads. The tenant comes from the settings and never from a query's author. An empty answer stays empty, and a number that is none
//! stays none: what that means is for the caller to say.

mod answer;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use answer::{Instant, Sample};

use super::server::{self, Server, System};
use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Secret};

const SYSTEM: System = System {
    name: "Prometheus",
    address: "http://prometheus:9090",
    at_once: 4,
    most_mib: 8,
    too_large: "aggregate in the query",
    // A gateway's error is some text, Prometheus' own is JSON.
    said: |body| answer::error(body).unwrap_or_else(|| server::text(body)),
};

/// Where Prometheus is, and who we are there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address without `/api/v1`, such as `http://prometheus:9090`; the path of a gateway may follow, such as `/prometheus`.
    pub url: String,
    /// The tenant, for a Mimir.
    pub tenant: Option<String>,
    /// A token for a gateway in front of it.
    pub bearer: Option<Secret>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Settings {
    /// Prometheus at `url` without tenant and token.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), tenant: None, bearer: None, timeout: DEFAULT_TIMEOUT }
    }
}

/// A Prometheus.
#[derive(Debug, Clone)]
pub struct Prometheus(Arc<Server>);

impl Prometheus {
    /// Reads the settings. Prometheus need not be up.
    ///
    /// # Errors
    /// When the address, the tenant or the token cannot be used in a request.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let Settings { url, tenant, bearer, timeout } = settings;
        let server = Server::new(&SYSTEM, url, tenant.as_deref(), bearer.as_ref(), *timeout)?;
        Ok(Self(Arc::new(server)))
    }

    /// Whether Prometheus answers us.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn ping(&self) -> Result<(), CallError> {
        // Not `/-/ready`, which other servers of the same API do not have.
        self.0.get("ask Prometheus for its version", "/api/v1/status/buildinfo", &[]).await.map(drop)
    }

    /// What a query gives at one moment. No series is not a zero.
    ///
    /// # Errors
    /// `ClientError` with Prometheus' own words when it refuses the query; `ServerError` when it says that the answer is not all of it.
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Instant, CallError> {
        let call = "ask Prometheus for a value";
        // Its moments have milliseconds.
        let milliseconds = at.as_millisecond();
        let time = format!("{}.{:03}", milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
        let body = self.0.post(call, "/api/v1/query", &[("query", query), ("time", &time)]).await?;
        answer::instant(&body).map_err(|what| CallError::unreadable(call, &*what))
    }
}
