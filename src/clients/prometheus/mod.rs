//! Prometheus: what a query gives at one moment. Also whatever speaks its API: Mimir, Thanos.
//!
//! Only reads. The tenant comes from the settings and never from a query's author. An empty answer stays empty, and a number that is none
//! stays none: what that means is for the caller to say.

mod answer;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use jiff::Timestamp;
use reqwest::Url;

pub use answer::{Instant, Sample};

use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Questions, Reason, Secret, http_client};

/// How many questions may be under way at once.
const AT_ONCE: usize = 4;
/// The largest answer that is read.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Names the tenant of a Mimir.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

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
pub struct Prometheus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    url: String,
    headers: http::HeaderMap,
    answers: Questions<Arc<Vec<u8>>>,
}

impl Prometheus {
    /// Reads the settings. Prometheus need not be up.
    ///
    /// # Errors
    /// When the address, the tenant or the token cannot be used in a request.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let url = settings.url.trim_end_matches('/').to_owned();
        let is_usable = |parsed: &Url| {
            matches!(parsed.scheme(), "http" | "https") && parsed.has_host() && parsed.query().is_none()
        };
        if !Url::parse(&url).is_ok_and(|parsed| is_usable(&parsed)) {
            let message = "the address of Prometheus must look like http://prometheus:9090";
            return Err(ConnectError::new(message));
        }
        let mut headers = http::HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Some(tenant) = &settings.tenant {
            let value = HeaderValue::from_str(tenant).ok().filter(|value| !value.is_empty());
            let unfit = || ConnectError::new("the tenant of Prometheus cannot be sent as a header");
            headers.insert(TENANT, value.ok_or_else(unfit)?);
        }
        if let Some(bearer) = &settings.bearer {
            let value = HeaderValue::from_str(&format!("Bearer {}", bearer.reveal()));
            let mut value = value.map_err(|_| {
                let message =
                    "the token for Prometheus cannot be sent as a header; does it end in a newline?";
                ConnectError::new(message)
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = http_client(settings.timeout)?;
        Ok(Self(Arc::new(Inner { http, url, headers, answers: Questions::new(AT_ONCE) })))
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
        let question = format!("{query:?} {time}");
        let body = self.0.answers.ask(question, || self.post(call, query, &time)).await?;
        answer::instant(&body).map_err(|what| CallError::unreadable(call, &*what))
    }

    /// A POST, because queries grow longer than addresses may be.
    async fn post(&self, call: &str, query: &str, time: &str) -> Result<Arc<Vec<u8>>, CallError> {
        let form = Url::parse_with_params("http://form/", [("query", query), ("time", time)]);
        let form = form.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default();
        let url = format!("{}/api/v1/query", self.0.url);
        let request = self.0.http.post(url).headers(self.0.headers.clone()).body(form);
        let mut answer = request.send().await.map_err(|error| CallError::of_reqwest(call, error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| CallError::of_reqwest(call, error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                let message = "the answer is larger than 8 MiB; aggregate in the query";
                return Err(CallError::new(call, Reason::ClientError, message));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(Arc::new(body));
        }
        // A gateway's error is some text, Prometheus' own is JSON.
        let said = answer::error(&body).unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
        Err(CallError::of_answer(call, status, &headers, &said))
    }
}
