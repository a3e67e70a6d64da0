//! One POST, as Alertmanager sends it. It is written by hand: the sandbox shares no HTTP client with the daemon.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::AlertmanagerTarget;

const ANSWER_LIMIT: u64 = 64 << 10;

/// Posts a body and returns the status of the answer.
///
/// # Errors
/// When no connection comes about, or no answer.
pub(super) async fn post(target: &AlertmanagerTarget, body: &str) -> io::Result<u16> {
    let rest =
        target.url.strip_prefix("http://").ok_or_else(|| invalid("the URL does not begin with http://"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).await?;
    let authorization =
        target.bearer.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Alertmanager/0.28.1\r\nContent-Length: {}\r\n{authorization}\
         Content-Type: application/json\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    // A receiver may answer before it has read everything, and close: its answer counts all the same.
    let _ = stream.write_all(body.as_bytes()).await;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await;
    let status = std::str::from_utf8(answer.get(..12).unwrap_or_default())
        .ok()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 ")))
        .and_then(|status| status.trim().parse().ok());
    match (status, read) {
        (Some(status), _) => Ok(status),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(invalid("the answer does not begin with an HTTP status")),
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
