//! What Alertmanager is told. The status decides whether and when it comes again.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::store::Receipt;

/// The answer to a notification.
pub(super) enum Answer {
    /// On disk.
    Accepted { receipt: Receipt, unanswered: usize, refused: usize },
    /// Will never be right.
    BadRequest(String),
    /// No token, or the wrong one.
    Unauthorized,
    /// Over the limit, which is deliberate.
    TooLarge(usize),
    /// Will pass: Alertmanager tries again at once.
    Unavailable(String),
}

impl Answer {
    /// The word in the metric.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::BadRequest(_) => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::TooLarge(_) => "too_large",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        let error =
            |status: StatusCode, text: String| (status, Json(json!({ "error": text }))).into_response();
        match answer {
            Answer::Accepted { receipt, unanswered, refused } => Json(json!({
                "opened": receipt.opened,
                "joined": receipt.joined,
                "resolved": receipt.resolved,
                "repeated": receipt.repeated,
                "unanswered": unanswered,
                "refused": refused,
            }))
            .into_response(),
            Answer::BadRequest(text) => error(StatusCode::BAD_REQUEST, text),
            Answer::Unauthorized => {
                let text = "expected `Authorization: Bearer ...` with the webhook's token \
                            (`http_config.authorization` in alertmanager.yml)";
                let mut response = error(StatusCode::UNAUTHORIZED, text.to_owned());
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
                response
            }
            Answer::TooLarge(limit) => error(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is over {limit} bytes; set `max_alerts: 1000` in the receiver"),
            ),
            Answer::Unavailable(text) => error(StatusCode::SERVICE_UNAVAILABLE, text),
        }
    }
}
