//! How a call to another system fails: the call in an operator's words, a reason from a closed list, what the server said.
//!
//! Nothing in here holds a token, a URL or a request's body, because these texts go into the journal, to Slack and into the logs.

use std::error::Error;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

/// The longest text of a server that is kept.
const MESSAGE_CHARS: usize = 300;

/// A client that could not be made from its settings; the text says what to do. No request has been sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

impl ConnectError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {} ({message})", reason.as_str())]
pub struct CallError {
    /// What was tried, in an operator's words: "restart deployment/web in shop".
    pub call: String,
    /// What kind of failure it was; decides on retrying, and is the metric label.
    pub reason: Reason,
    /// What the server said, or what happened to the connection; at most 300 characters.
    pub message: String,
    /// How long the server asked us to wait.
    pub retry_after: Option<Duration>,
}

/// Why a call failed: a closed list, because it is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No answer in time. A write may have happened.
    Timeout,
    /// The server asks for fewer requests, and did not do this one.
    RateLimited,
    /// The server failed, broke the connection off, or answered something unreadable. A write may have happened.
    ServerError,
    /// No connection came about, so nothing was sent.
    Unreachable,
    /// We are not who we should be, or may not do this.
    Denied,
    /// The object, or what it lives in, does not exist.
    NotFound,
    /// The object is not the one, or not in the state, that the write was meant for.
    Conflict,
    /// The request itself is wrong; sending it again will not help.
    ClientError,
}

impl Reason {
    /// All reasons, to create every metric series at start.
    pub const ALL: [Self; 8] = [
        Self::Timeout,
        Self::RateLimited,
        Self::ServerError,
        Self::Unreachable,
        Self::Denied,
        Self::NotFound,
        Self::Conflict,
        Self::ClientError,
    ];

    /// The word in metrics, logs and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::ClientError => "client_error",
        }
    }

    /// Whether the same *question* may be answered if it is asked again. Says nothing about repeating a write.
    #[must_use]
    pub const fn worth_retrying(self) -> bool {
        match self {
            Self::Timeout | Self::RateLimited | Self::ServerError | Self::Unreachable => true,
            Self::Denied | Self::NotFound | Self::Conflict | Self::ClientError => false,
        }
    }

    /// Whether a write that failed like this certainly did not happen. Where it is false the object has to be looked at first.
    #[must_use]
    pub const fn surely_without_effect(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Unreachable
            | Self::Denied
            | Self::NotFound
            | Self::Conflict
            | Self::ClientError => true,
            Self::Timeout | Self::ServerError => false,
        }
    }

    /// The reason that an HTTP status gives. A redirect is a `ClientError`: none is followed, the address in the settings is wrong.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 | 403 => Self::Denied,
            404 | 410 => Self::NotFound,
            408 | 504 => Self::Timeout,
            409 | 412 => Self::Conflict,
            429 => Self::RateLimited,
            500.. => Self::ServerError,
            _ => Self::ClientError,
        }
    }
}

impl CallError {
    pub(super) fn new(call: &str, reason: Reason, message: &str) -> Self {
        Self { call: call.to_owned(), reason, message: shortened(message), retry_after: None }
    }

    /// A refusal before anything was sent.
    pub(super) fn unsent(call: &str, message: &str) -> Self {
        Self::new(call, Reason::ClientError, message)
    }

    /// The answer to another question than the one that was asked: a fault of this program, and nothing is concluded from it.
    pub(super) fn mixed_up(call: &str) -> Self {
        Self::unsent(call, "it was taken for another question")
    }

    /// An answer that is not what the server's documentation promises.
    pub(super) fn unreadable(call: &str, what: &dyn Error) -> Self {
        Self::new(call, Reason::ServerError, &format!("the answer cannot be read: {what}"))
    }

    /// An answer that is an error by its status; `said` is what the server wrote.
    pub(super) fn of_answer(call: &str, status: StatusCode, headers: &HeaderMap, said: &str) -> Self {
        let said = if said.trim().is_empty() { status.canonical_reason().unwrap_or("no text") } else { said };
        Self {
            retry_after: retry_after(headers),
            ..Self::new(call, Reason::of_status(status), &format!("HTTP {}: {said}", status.as_u16()))
        }
    }

    /// A request that got no whole answer.
    pub(super) fn of_reqwest(call: &str, error: reqwest::Error) -> Self {
        // The order matters: a time-out while connecting is both, and nothing was sent then.
        let reason = if error.is_connect() {
            Reason::Unreachable
        } else if error.is_timeout() {
            Reason::Timeout
        } else if error.is_builder() {
            Reason::ClientError
        } else {
            Reason::ServerError
        };
        // The URL can hold a password, and the query in it is hostile input.
        Self::new(call, reason, &chain(&error.without_url()))
    }
}

/// The wait that a `Retry-After` asks for, in seconds; its date form is not used by the systems that we call.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    // A server that asks for more than an hour is not believed: our deadlines end sooner.
    Some(Duration::from_secs(seconds.min(3600)))
}

/// An error and what caused it.
pub(super) fn sources<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source())
}

/// The text of an error and its sources; the transport's own text alone ("error sending request") says nothing.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for next in sources(error).map(ToString::to_string) {
        if !text.contains(&next) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&next);
        }
    }
    text
}

/// One line of at most 300 characters, without control characters.
fn shortened(text: &str) -> String {
    let line = text
        .split(|c: char| c.is_control() || c == ' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if line.chars().count() <= MESSAGE_CHARS {
        return line;
    }
    let mut cut: String = line.chars().take(MESSAGE_CHARS - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_may_have_happened_is_never_called_without_effect() {
        for status in [500, 502, 503, 504, 408, 599] {
            let reason = Reason::of_status(StatusCode::from_u16(status).unwrap());
            assert!(!reason.surely_without_effect(), "{status} {reason:?}");
        }
    }

    #[test]
    fn every_status_has_the_reason_that_the_servers_mean() {
        let of = |status| Reason::of_status(StatusCode::from_u16(status).unwrap()).as_str();
        let pairs = [301, 400, 401, 403, 404, 409, 410, 415, 422, 429, 500, 503, 504]
            .map(|status| format!("{status} {}", of(status)));
        assert_eq!(
            pairs.join("\n"),
            "301 client_error\n400 client_error\n401 denied\n403 denied\n404 not_found\n409 conflict\n410 not_found\n\
             415 client_error\n422 client_error\n429 rate_limited\n500 server_error\n503 server_error\n504 timeout"
        );
    }

    #[test]
    fn the_journal_and_the_metrics_have_the_same_words() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn the_words_are_unique() {
        let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }

    #[test]
    fn a_long_text_becomes_one_short_line() {
        let text = shortened(&format!("a\nb\r\n\u{1b}[31m{}", "é".repeat(1000)));
        assert_eq!(text.chars().count(), 300);
        assert!(text.starts_with("a b [31méé"), "{text}");
        assert!(text.ends_with('…'));
    }

    #[test]
    fn the_wait_that_the_server_asks_for_is_bounded() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert("retry-after", "30".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(30)));
        headers.insert("retry-after", "99999999".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(3600)));
        headers.insert("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }
}
