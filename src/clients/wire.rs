//! A server for the clients' tests: gives prepared or recorded answers in their order and remembers what was asked. It stands in for no
//! system; the tests say what a system answers.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

/// One request that came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Answer(u16, Vec<(String, String)>, String),
    /// Takes the request and never answers.
    Hang,
}

impl Reply {
    pub(super) fn json(body: &str) -> Self {
        Self::Answer(200, Vec::new(), body.to_owned())
    }

    pub(super) fn error(status: u16, body: &str) -> Self {
        Self::Answer(status, Vec::new(), body.to_owned())
    }

    /// The answer of a real server, from `tests/data`.
    pub(super) fn recorded(path: &str) -> Self {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path))
                .expect(path);
        let answer = text.split_once("<<< response\n").map_or(text.as_str(), |(_, answer)| answer);
        let (head, body) = answer.split_once("\n\n").expect("a head and a body");
        let mut lines = head.lines();
        let status =
            lines.next().and_then(|line| line.strip_prefix("HTTP ")?.parse().ok()).expect("a status");
        let own = ["content-length", "transfer-encoding", "connection", "date"];
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| !own.contains(&name.to_lowercase().as_str()));
        Self::Answer(
            status,
            headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body.to_owned(),
        )
    }
}

/// A server on loopback.
pub(super) struct Wire {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Wire {
    /// Answers with `replies` in their order, and with 599 when there is none left.
    pub(super) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, replies) = (Arc::clone(&seen), Arc::new(Mutex::new(replies.into_iter())));
        let router = Router::new().fallback(move |request: Request| {
            let (log, replies) = (Arc::clone(&log), Arc::clone(&replies));
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                log.lock().unwrap().push(Seen {
                    method: head.method.to_string(),
                    uri: head.uri.to_string(),
                    headers: head.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                });
                let reply = replies.lock().unwrap().next();
                answer(reply.unwrap_or_else(|| Reply::error(599, "no answer was prepared"))).await
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen }
    }

    /// Reads a little of each request and then breaks the connection.
    pub(super) async fn breaking() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut some = [0; 64];
                let _ = stream.read(&mut some).await;
            }
        });
        url
    }

    /// An address at which nothing listens.
    pub(super) async fn nowhere() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(reply: Reply) -> Response {
    match reply {
        Reply::Answer(status, headers, body) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), Body::from(body)).into_response();
            for (name, value) in headers {
                response
                    .headers_mut()
                    .insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            }
            response
        }
        Reply::Hang => std::future::pending().await,
    }
}
