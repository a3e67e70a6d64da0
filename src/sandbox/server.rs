//! One HTTP server on loopback: it reads a whole request, asks the world for the answer, and keeps what came.
//! It speaks through hyper and not through a router because it must be able to close a connection without an answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::state::Shared;
use super::trouble::System;
use super::websocket::{self, Said};

/// A larger body is refused with 413: the API server's own limit is 3 MiB, Loki's is 4.
const BODY_LIMIT: usize = 4 << 20;
pub(super) const CONNECTIONS: usize = 256;

/// A request that a server received, and what it was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who received it.
    pub system: System,
    /// The pod that received it at its own address.
    pub pod: Option<String>,
    /// Its `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// Its method, in capitals.
    pub method: String,
    /// Its path and query as they came.
    pub path: String,
    /// Its body; what is not UTF-8 is replaced.
    pub body: String,
    /// The status of the answer; none when the connection was closed without one.
    pub status: Option<u16>,
    /// When it was received, in real time.
    pub at: Timestamp,
}

impl Request {
    /// Whether it could have changed the cluster: a mutating verb that is neither a dry run nor an access review.
    #[must_use]
    pub fn is_kubernetes_write(&self) -> bool {
        self.system == System::Kubernetes && is_write(&self.method, &self.path, &self.body)
    }
}

fn is_write(method: &str, path: &str, body: &str) -> bool {
    // Of a deletion the options in its body tell, and nothing else.
    let is_dry = match method {
        "DELETE" if !body.is_empty() => body.contains("\"dryRun\":[\"All\"]"),
        _ => path.contains("dryRun=All"),
    };
    matches!(method, "POST" | "PUT" | "PATCH" | "DELETE")
        && !is_dry
        && !path.contains("/selfsubjectaccessreviews")
}

/// A request as the systems read it.
pub(super) struct Received {
    pub(super) method: String,
    /// The path as it came, not decoded.
    pub(super) path: String,
    /// The decoded pairs of the query, in their order.
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The uid of the pod that was asked.
    pub(super) pod: Option<String>,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The content type without its parameters.
    pub(super) fn content_type(&self) -> &str {
        self.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim()
    }

    /// The first value of a query parameter.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Adds the pairs of a form body to those of the query.
    pub(super) fn with_form(&self) -> Self {
        let mut query = self.query.clone();
        if self.content_type() == "application/x-www-form-urlencoded" {
            query.extend(pairs(&String::from_utf8_lossy(&self.body)));
        }
        Self {
            method: self.method.clone(),
            path: self.path.clone(),
            query,
            headers: self.headers.clone(),
            body: self.body.clone(),
            pod: self.pod.clone(),
        }
    }
}

/// An answer of a system.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    /// What is said over the websocket that this switches to.
    pub(super) said: Option<Said>,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", content_type.to_owned())],
            body: body.into(),
            said: None,
        }
    }

    /// Plain text, as Go's `http.Error` sends it.
    pub(super) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body).with("X-Content-Type-Options", "nosniff")
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What happens to a request.
pub(super) enum Reply {
    Answer(Answer),
    Late(Answer, Duration),
    Cut,
    Hang,
}

/// The reason hyper is given to close a connection.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox closes this connection without an answer")]
struct Closed;

/// Serves one system until it is dropped; then its connections are closed, too.
pub(super) async fn serve(system: System, pod: Option<String>, listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            continue;
        }
        // Answers are small, and a client waits for each: Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        connections.spawn(converse(system, pod.clone(), stream, Arc::clone(&shared)));
    }
}

/// Answers what comes over one connection.
pub(super) async fn converse(
    system: System,
    pod: Option<String>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
) {
    let service = service_fn(move |request| handle(system, pod.clone(), Arc::clone(&shared), request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(Duration::from_mins(1));
    // A connection that ends with an error is the client's business, or was cut on purpose.
    let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn handle(
    system: System,
    pod: Option<String>,
    shared: Arc<Shared>,
    mut request: http::Request<Incoming>,
) -> Result<Response<Body>, Closed> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default();
    let full_path = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    let Ok(body) = axum::body::to_bytes(Body::new(body), BODY_LIMIT).await else {
        return Ok(response(Answer::text(413, "request entity too large")));
    };
    let method = parts.method.as_str().to_owned();
    let write = is_write(&method, &full_path, &String::from_utf8_lossy(&body));
    let received = Received { method, path, query: pairs(query), headers: parts.headers, body, pod };
    match shared.reply(system, write, full_path, &received) {
        Reply::Answer(Answer { said: Some(said), .. }) => {
            Ok(websocket::answer(&received.headers, upgrade, said))
        }
        Reply::Answer(answer) => Ok(response(answer)),
        Reply::Late(answer, by) => {
            tokio::time::sleep(by).await;
            Ok(response(answer))
        }
        Reply::Cut => Err(Closed),
        Reply::Hang => std::future::pending::<Result<_, Infallible>>().await.map_err(|_| Closed),
    }
}

fn response(answer: Answer) -> Response<Body> {
    let mut builder = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        builder = builder.header(*name, value);
    }
    builder.body(Body::from(answer.body)).unwrap_or_else(|_| {
        let mut failed = Response::new(Body::from("the sandbox made an answer that is not HTTP"));
        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        failed
    })
}

/// The decoded pairs of a query string or a form.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(&key.replace('+', " ")), decoded(&value.replace('+', " ")))
        })
        .collect()
}

/// Percent-decoding; a `%` that begins no code stays as it is.
pub(super) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = code {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
