//! A server at an address of the settings that answers questions over HTTP: what the clients of Loki, Prometheus and
//! Alertmanager share.
//!
//! The same question is asked at most once at a time. What is written is sent once, each time that it is said. What an answer means is for its client to say.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Url};
use serde_json::Value;

use super::{CallError, ConnectError, Questions, Reason, Secret, http_client};

const MIB: usize = 1024 * 1024;
/// Names the tenant of a Loki or a Mimir. Source: <https://grafana.com/docs/loki/latest/operations/multi-tenancy/>.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// What is the same for every server of one system.
#[derive(Debug)]
pub(super) struct System {
    /// As people call it.
    pub(super) name: &'static str,
    /// An address of one, as an example.
    pub(super) address: &'static str,
    /// How many questions may be under way at once.
    pub(super) at_once: usize,
    /// The largest answer that is read, in MiB.
    pub(super) most_mib: usize,
    /// What to do about a larger one.
    pub(super) too_large: &'static str,
    /// What an answer says that is an error.
    pub(super) said: fn(&[u8]) -> String,
}

/// One server, and who we are there.
#[derive(Debug)]
pub(super) struct Server {
    system: &'static System,
    http: reqwest::Client,
    url: String,
    headers: http::HeaderMap,
    answers: Questions<Arc<Vec<u8>>>,
}

impl Server {
    /// Reads the settings. The server need not be up.
    pub(super) fn new(
        system: &'static System,
        url: &str,
        tenant: Option<&str>,
        bearer: Option<&Secret>,
        timeout: Duration,
    ) -> Result<Self, ConnectError> {
        let System { name, address, at_once, .. } = system;
        let url = url.trim_end_matches('/').to_owned();
        if !is_address(&url) {
            return Err(ConnectError::new(format!("the address of {name} must look like {address}")));
        }
        let mut headers = http::HeaderMap::new();
        if let Some(tenant) = tenant {
            let value = HeaderValue::from_str(tenant).ok().filter(|value| !value.is_empty());
            let unfit = || ConnectError::new(format!("the tenant of {name} cannot be sent as a header"));
            headers.insert(TENANT, value.ok_or_else(unfit)?);
        }
        if let Some(bearer) = bearer {
            headers.insert(AUTHORIZATION, authorization(name, bearer)?);
        }
        let http = http_client(timeout)?;
        Ok(Self { system, http, url, headers, answers: Questions::new(*at_once) })
    }

    /// The body that answers a GET. What it decides must not come from a cache of results.
    pub(super) async fn get(
        &self,
        call: &str,
        path: &str,
        pairs: &[(&str, &str)],
    ) -> Result<Arc<Vec<u8>>, CallError> {
        let request = self.http.get(format!("{}{path}", self.url)).query(pairs);
        let request = request.header(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        self.answers.ask(format!("{path} {pairs:?}"), || self.send(call, request)).await
    }

    /// The body that answers a POST of a form, because queries grow longer than addresses may be.
    pub(super) async fn post(
        &self,
        call: &str,
        path: &str,
        pairs: &[(&str, &str)],
    ) -> Result<Arc<Vec<u8>>, CallError> {
        let form = Url::parse_with_params("http://form/", pairs);
        let form = form.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request =
            self.http.post(format!("{}{path}", self.url)).header(CONTENT_TYPE, form_type).body(form);
        self.answers.ask(format!("{path} {pairs:?}"), || self.send(call, request)).await
    }

    /// Posts a JSON value, once: two that look the same are two. Only that it was taken comes back.
    pub(super) async fn write(&self, call: &str, path: &str, body: &Value) -> Result<(), CallError> {
        let json = HeaderValue::from_static("application/json");
        let request = self.http.post(format!("{}{path}", self.url));
        let request = request.header(CONTENT_TYPE, json).body(body.to_string());
        self.send(call, request).await.map(drop)
    }

    async fn send(&self, call: &str, request: RequestBuilder) -> Result<Arc<Vec<u8>>, CallError> {
        let System { most_mib, too_large, said, .. } = self.system;
        let request = request.headers(self.headers.clone());
        let mut answer = request.send().await.map_err(|error| CallError::of_reqwest(call, error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| CallError::of_reqwest(call, error))? {
            if body.len() + chunk.len() > most_mib * MIB {
                let message = format!("the answer is larger than {most_mib} MiB; {too_large}");
                return Err(CallError::new(call, Reason::ClientError, &message));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(Arc::new(body));
        }
        Err(CallError::of_answer(call, status, &headers, &said(&body)))
    }
}

/// Whether it is an address to which a path can be added. A name or a password has no place in it: it would be shown.
pub(super) fn is_address(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.username().is_empty()
    })
}

/// Who we are to this system, as a header that nothing shows.
pub(super) fn authorization(name: &str, bearer: &Secret) -> Result<HeaderValue, ConnectError> {
    let token = bearer.reveal();
    let value = HeaderValue::from_str(&format!("Bearer {token}")).ok();
    let mut value = value.filter(|_| !token.trim().is_empty()).ok_or_else(|| {
        ConnectError::new(format!(
            "the token for {name} cannot be sent as a header; does it end in a newline?"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error that is some text.
pub(super) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
