//! How a call to AWS fails: its own code decides. Pure.

use std::error::Error;

use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use http::{HeaderMap, StatusCode};

use super::super::error::{chain, sources};
use super::{CallError, Reason};

/// Being asked too often, which AWS says with 400, 429 or 503. `PriorRequestNotComplete` is Route 53's: it works on another change of that zone, and has not taken this one.
const BUSY: [&str; 9] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
    "PriorRequestNotComplete",
];
/// We may not.
const FORBIDDEN: [&str; 4] =
    ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"];
/// The credentials were good once.
const STALE: [&str; 4] = ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"];
/// We are not who we say. What AWS quotes of a signed request holds the session's token, so nothing of it is kept.
const NOBODY: [&str; 8] = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "AuthFailure",
];
/// There is no such thing.
const MISSING: [&str; 4] =
    ["ResourceNotFoundException", "NoSuchHostedZone", "NoSuchChange", "InvalidInstanceID.NotFound"];

/// The namespace of Route 53's answers.
const ROUTE53: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// A call that failed, and whether other credentials may help.
#[derive(Debug)]
pub(in crate::clients) struct Failure {
    pub(in crate::clients) error: CallError,
    pub(in crate::clients) is_stale: bool,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self { error, is_stale: false }
    }
}

/// What the SDK says of a call; `permission` is what it needs in IAM.
pub(in crate::clients) fn failed<E>(call: &str, permission: &str, error: SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match &error {
        SdkError::ServiceError(context) => {
            let (status, headers) = head(context.raw());
            // The SDK takes whatever it can not read for an error. A write may have happened then.
            if status.is_success() {
                return unreadable(call, status);
            }
            let (code, message) = (context.err().code(), context.err().message());
            match code.is_none().then(|| unwrapped(context.raw())).flatten() {
                Some((code, message)) => {
                    refused(call, permission, (status, &headers), Some(&code), Some(&message))
                }
                None => refused(call, permission, (status, &headers), code, message),
            }
        }
        SdkError::TimeoutError(_) => CallError::new(call, Reason::Timeout, "no answer in time").into(),
        SdkError::DispatchFailure(failure) => {
            let inner = failure.as_connector_error().map(|error| error as &(dyn Error + 'static));
            let said = inner.map_or_else(|| "the request was not sent".to_owned(), chain);
            let reason = match inner {
                Some(inner) if never_connected(inner) => Reason::Unreachable,
                _ if failure.is_timeout() => Reason::Timeout,
                _ if failure.is_user() => Reason::ClientError,
                _ => Reason::ServerError,
            };
            CallError::new(call, reason, &said).into()
        }
        SdkError::ResponseError(context) => {
            let (status, headers) = head(context.raw());
            if !status.is_success() {
                // Somebody in between, unless it is AWS's older form of an error.
                let (code, message) = unwrapped(context.raw()).unzip();
                return refused(call, permission, (status, &headers), code.as_deref(), message.as_deref());
            }
            unreadable(call, status)
        }
        SdkError::ConstructionFailure(_) => {
            CallError::unsent(call, &format!("the request can not be made: {}", chain(&error))).into()
        }
        _ => CallError::new(call, Reason::ServerError, &chain(&error)).into(),
    }
}

/// Route 53 also says an error as `<InvalidChangeBatch><Messages><Message>`, without an `<ErrorResponse>` around it, which the SDK does not read.
/// Source: <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html>.
fn unwrapped(answer: &HttpResponse) -> Option<(String, String)> {
    let document = std::str::from_utf8(answer.body().bytes()?).ok()?;
    let document = roxmltree::Document::parse(document).ok()?;
    let root = document.root_element();
    let messages: Vec<&str> = root
        .descendants()
        .filter(|node| node.has_tag_name((ROUTE53, "Message")))
        .filter_map(|node| node.text())
        .collect();
    let is_error = root.tag_name().namespace() == Some(ROUTE53) && root.tag_name().name() != "ErrorResponse";
    (is_error && !messages.is_empty()).then(|| (root.tag_name().name().to_owned(), messages.join("; ")))
}

fn unreadable(call: &str, status: StatusCode) -> Failure {
    let message = format!("HTTP {}: the answer can not be read", status.as_u16());
    CallError::new(call, Reason::ServerError, &message).into()
}

fn head(answer: &HttpResponse) -> (StatusCode, HeaderMap) {
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let after = answer.headers().get("retry-after").and_then(|value| value.parse().ok());
    let mut headers = HeaderMap::new();
    headers.extend(after.map(|value| (http::header::RETRY_AFTER, value)));
    (status, headers)
}

/// Whether there was no connection, so that nothing was sent.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    sources(error).any(|error| {
        error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect())
    })
}

/// What AWS itself refuses, by its code.
pub(in crate::clients) fn refused(
    call: &str,
    permission: &str,
    (status, headers): (StatusCode, &HeaderMap),
    code: Option<&str>,
    message: Option<&str>,
) -> Failure {
    let message = message.unwrap_or_default();
    let Some(code) = code.filter(|code| !code.is_empty()) else {
        // Somebody in between, or half an answer.
        return CallError::of_answer(call, status, headers, "").into();
    };
    let (reason, said) = match code {
        _ if BUSY.contains(&code) => (Some(Reason::RateLimited), format!("{code}: {message}")),
        _ if FORBIDDEN.contains(&code) => (
            Some(Reason::Denied),
            format!("{code}: it needs the permission {permission}. AWS says: {message}"),
        ),
        _ if STALE.contains(&code) => (Some(Reason::Denied), format!("{code}: the credentials have ended")),
        _ if NOBODY.contains(&code) => (
            Some(Reason::Denied),
            format!(
                "{code}: AWS does not know these credentials, or something in between changed the request"
            ),
        ),
        _ if MISSING.contains(&code) => (Some(Reason::NotFound), format!("{code}: {message}")),
        _ => (None, format!("{code}: {message}")),
    };
    let mut error = CallError::of_answer(call, status, headers, &said);
    error.reason = reason.unwrap_or(error.reason);
    Failure { error, is_stale: STALE.contains(&code) }
}
