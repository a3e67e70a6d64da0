//! The server's side of a websocket on which only the server speaks: what `kubectl exec` without a terminal is. The frames are tungstenite's.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

use axum::body::Body;

/// A client that does not say goodbye is left after this.
const GOODBYE: Duration = Duration::from_secs(2);

/// What is said over a websocket, after which it is closed.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// The subprotocol that was chosen.
    pub(super) protocol: &'static str,
    /// The messages, in their order.
    pub(super) messages: Vec<Vec<u8>>,
}

/// Whether a request asks for a websocket (RFC 6455, 4.2.1).
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        let value = headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        value.is_some_and(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(word)))
    };
    has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13")
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// Switches protocols, and says it.
pub(super) fn answer(headers: &HeaderMap, upgrade: OnUpgrade, said: Said) -> Response<Body> {
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let protocol = said.protocol;
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let mut bytes = Vec::new();
        for message in said.messages {
            let frame = Frame::message(message, OpCode::Data(Data::Binary), true);
            if frame.format(&mut bytes).is_err() {
                return;
            }
        }
        let close = tungstenite::protocol::CloseFrame { code: CloseCode::Normal, reason: "".into() };
        if Frame::close(Some(close)).format(&mut bytes).is_err() || stream.write_all(&bytes).await.is_err() {
            return;
        }
        // Whatever the client still says; then it closes, or is left.
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(GOODBYE, stream.read_to_end(&mut rest)).await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let head = response.headers_mut();
    head.insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
    head.insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    head.insert(header::SEC_WEBSOCKET_PROTOCOL, http::HeaderValue::from_static(protocol));
    if let Some(key) = key.and_then(|key| http::HeaderValue::try_from(key).ok()) {
        head.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}
