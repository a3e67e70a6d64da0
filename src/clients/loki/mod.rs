//! Loki: one number per label set at one moment, and the newest lines of a query.
//!
//! Only reads. The tenant comes from the settings and never from a query's author, because `A|B` joins tenants. An empty answer stays
//! empty: what it means (no such lines, or no lines at all) is for the caller to find out with a second question.

mod answer;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderName, HeaderValue};
use jiff::Timestamp;

pub use answer::{Line, Sample};

use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Questions, Reason, Secret, http_client};

/// How many questions may be under way at once.
const AT_ONCE: usize = 4;
/// The largest answer that is read.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Loki's own `max_entries_limit_per_query`; a higher limit is 400.
const MOST_LINES: usize = 5000;
/// Names the tenant. Source: <https://grafana.com/docs/loki/latest/operations/multi-tenancy/>.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

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
pub struct Loki(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    url: String,
    headers: http::HeaderMap,
    answers: Questions<Arc<Vec<u8>>>,
}

impl Loki {
    /// Reads the settings. Loki need not be up.
    ///
    /// # Errors
    /// When the address, the tenant or the token cannot be used in a request.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let url = settings.url.trim_end_matches('/').to_owned();
        match reqwest::Url::parse(&url) {
            Ok(parsed)
                if matches!(parsed.scheme(), "http" | "https")
                    && parsed.has_host()
                    && parsed.query().is_none() => {}
            Ok(_) => return Err(ConnectError::new("the address of Loki must look like http://loki:3100")),
            Err(error) => {
                return Err(ConnectError::new(format!(
                    "the address of Loki is not a URL: {error}; it must look like http://loki:3100"
                )));
            }
        }
        let mut headers = http::HeaderMap::new();
        // Answers can come from a results cache; what we ask decides something.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Some(tenant) = &settings.tenant {
            let value = HeaderValue::from_str(tenant).ok().filter(|value| !value.is_empty());
            headers.insert(
                TENANT,
                value.ok_or_else(|| ConnectError::new("the tenant of Loki cannot be sent as a header"))?,
            );
        }
        if let Some(bearer) = &settings.bearer {
            let value = HeaderValue::from_str(&format!("Bearer {}", bearer.reveal()));
            let mut value = value.map_err(|_| {
                ConnectError::new("the token for Loki cannot be sent as a header; does it end in a newline?")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = http_client(settings.timeout)?;
        Ok(Self(Arc::new(Inner { http, url, headers, answers: Questions::new(AT_ONCE) })))
    }

    /// What a metric query gives at one moment. No sample is not a zero.
    ///
    /// # Errors
    /// `ClientError` with Loki's own words when it refuses the query, which includes a log query.
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Vec<Sample>, CallError> {
        let call = "ask Loki for a count";
        let time = at.as_nanosecond().to_string();
        let body = self.get(call, "/loki/api/v1/query", &[("query", query), ("time", &time)]).await?;
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
        let body = self.get(call, "/loki/api/v1/query_range", &pairs).await?;
        answer::lines(&body).map_err(|what| CallError::unreadable(call, &*what))
    }

    /// Whether Loki answers us.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn ping(&self) -> Result<(), CallError> {
        // Not `/ready`, which is 503 for a while in which queries already work, and which gateways often do not pass on.
        self.get("ask Loki for its labels", "/loki/api/v1/labels", &[]).await.map(drop)
    }

    async fn get(&self, call: &str, path: &str, pairs: &[(&str, &str)]) -> Result<Arc<Vec<u8>>, CallError> {
        let question = format!("{path} {pairs:?}");
        self.0.answers.ask(question, || self.get_once(call, path, pairs)).await
    }

    async fn get_once(
        &self,
        call: &str,
        path: &str,
        pairs: &[(&str, &str)],
    ) -> Result<Arc<Vec<u8>>, CallError> {
        let request =
            self.0.http.get(format!("{}{path}", self.0.url)).query(pairs).headers(self.0.headers.clone());
        let mut answer = request.send().await.map_err(|error| CallError::of_reqwest(call, error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| CallError::of_reqwest(call, error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(CallError::new(
                    call,
                    Reason::ClientError,
                    "the answer is larger than 8 MiB; narrow the query or its window",
                ));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(Arc::new(body));
        }
        // Errors are text/plain.
        Err(CallError::of_answer(call, status, &headers, &String::from_utf8_lossy(&body)))
    }
}
