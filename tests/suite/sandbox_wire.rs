//! A bare HTTP client: it sends a path as it is written, which no URL library does, and reads the whole answer.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use runbookd::sandbox::{Options, Sandbox};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }
}

/// Sends one request; none when the connection ends without an answer.
pub(crate) async fn send(
    base: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    let host = base.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.ok()?.ok()?;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(Answer { status, headers: headers.collect(), body: body.to_owned() })
}

/// A sandbox that passes its time so fast that a rollout takes less than a second.
pub(crate) async fn fast() -> Sandbox {
    Sandbox::start(Options { pace: 200, ..Options::default() }).await.unwrap()
}

/// A request to the sandbox's API server, with its token.
pub(crate) async fn kubernetes(
    sandbox: &Sandbox,
    method: &str,
    path: &str,
    kind: &str,
    body: &str,
) -> Answer {
    let token = format!("Bearer {}", Options::default().kube_token);
    let headers = [("Authorization", token.as_str()), ("Content-Type", kind), ("User-Agent", "suite/1.0")];
    send(&sandbox.kubernetes_url(), method, path, &headers, body).await.unwrap()
}

pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";

/// The path of a deployment.
pub(crate) fn deployment_path(name: &str) -> String {
    format!("/apis/apps/v1/namespaces/samosachaat-prod/deployments/{name}")
}

/// The patch that `kubectl rollout restart` sends.
pub(crate) fn restart_patch(at: &str) -> String {
    format!(
        r#"{{"spec":{{"template":{{"metadata":{{"annotations":{{"kubectl.kubernetes.io/restartedAt":"{at}"}}}}}}}}}}"#
    )
}
