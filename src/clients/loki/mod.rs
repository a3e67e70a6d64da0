//! Loki: one number per label set at one moment, and the newest lines of a query.
//!
//! The one thing that is written are the lines that a person's synthetic alert needs. The tenant comes from the settings and never from a query's author, because `A|B` joins tenants. An empty answer stays
//! empty: what it means (no such lines, or no lines at all) is for the caller to find out with a second question.

mod answer;
mod push;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use answer::{Line, Sample};
pub use push::Stream;

use super::server::{self, Server, System};
use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Secret};

const SYSTEM: System = System {
    name: "Loki",
    address: "http://loki:3100",
    at_once: 4,
    most_mib: 8,
    too_large: "narrow the query or its window",
    // Errors are text/plain.
    said: server::text,
};
/// Loki's own `max_entries_limit_per_query`; a higher limit is 400.
const MOST_LINES: usize = 5000;
/// Where Loki is, and who we are there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address without a path, such as `http://loki:3100`; a path prefix of a gateway may follow.
    pub url: String,
    /// The tenant, for a Loki with `auth_enabled`.
    pub tenant: Option<String>,
    /// A token for a gateway in front of it.
    pub bearer: Option<Secret>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Settings {
    /// Loki at `url` without tenant and token.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), tenant: None, bearer: None, timeout: DEFAULT_TIMEOUT }
    }
}

/// A Loki.
#[derive(Debug, Clone)]
pub struct Loki(Arc<Server>);

impl Loki {
    /// Reads the settings. Loki need not be up.
    ///
    /// # Errors
    /// When the address, the tenant or the token cannot be used in a request.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let Settings { url, tenant, bearer, timeout } = settings;
        if let Err(error) = reqwest::Url::parse(url) {
            let address = SYSTEM.address;
            return Err(ConnectError::new(format!(
                "the address of Loki is not a URL: {error}; it must look like {address}"
            )));
        }
        let server = Server::new(&SYSTEM, url, tenant.as_deref(), bearer.as_ref(), *timeout)?;
        Ok(Self(Arc::new(server)))
    }

    /// What a metric query gives at one moment. No sample is not a zero.
    ///
    /// # Errors
    /// `ClientError` with Loki's own words when it refuses the query, which includes a log query.
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Vec<Sample>, CallError> {
        let call = "ask Loki for a count";
        let time = at.as_nanosecond().to_string();
        let body = self.0.get(call, "/loki/api/v1/query", &[("query", query), ("time", &time)]).await?;
        answer::samples(&body).map_err(|what| CallError::unreadable(call, &*what))
    }

    /// The newest lines of a log query from `start` up to `end`, newest first over all its streams; at most `limit`, and at most 5000.
    ///
    /// # Errors
    /// `ClientError` with Loki's own words when it refuses the query.
    pub async fn lines(
        &self,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        limit: usize,
    ) -> Result<Vec<Line>, CallError> {
        let call = "ask Loki for lines";
        let (start, end) = (start.as_nanosecond().to_string(), end.as_nanosecond().to_string());
        let limit = limit.clamp(1, MOST_LINES).to_string();
        let pairs = [
            ("query", query),
            ("start", start.as_str()),
            ("end", &end),
            ("limit", &limit),
            ("direction", "backward"),
        ];
        let body = self.0.get(call, "/loki/api/v1/query_range", &pairs).await?;
        answer::lines(&body).map_err(|what| CallError::unreadable(call, &*what))
    }

    /// Pushes lines.
    ///
    /// # Errors
    /// `ClientError` with Loki's own words when it refuses some of them (a label's name, a line that is too old, too new, or too far behind the newest of its
    /// stream); the others it may have taken all the same. `Timeout` and `ServerError` leave open whether they were taken.
    pub async fn push(&self, streams: &[Stream]) -> Result<(), CallError> {
        self.0.write("push lines into Loki", "/loki/api/v1/push", &push::body(streams)).await
    }

    /// Whether Loki answers us.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn ping(&self) -> Result<(), CallError> {
        // Not `/ready`, which is 503 for a while in which queries already work, and which gateways often do not pass on.
        self.0.get("ask Loki for its labels", "/loki/api/v1/labels", &[]).await.map(drop)
    }
}
