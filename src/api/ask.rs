//! What a request carries: the id in its path, the settings in its query, the JSON in its body. Each wrong one
//! is answered with a sentence that says what is expected.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::incident::IncidentId;

/// The incident that the path names.
pub(super) struct Id(pub(super) IncidentId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
        text.parse()
            .map(Self)
            .map_err(|error: crate::incident::BadId| Problem::bad_request(error.to_string()))
    }
}

/// The settings behind the `?`.
pub(super) struct Settings<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Settings<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(settings)) => Ok(Self(settings)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// The JSON of the body.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => {
                // serde's own kind of wrong (422) and syntax (400) are one thing for the sender: a bad request.
                let status = match rejection.status() {
                    StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                    status => status,
                };
                Err(Problem::new(status, rejection.body_text()))
            }
        }
    }
}

/// The longest that a request waits for something to happen.
pub(super) const WAIT_AT_MOST: Duration = Duration::from_secs(30);

/// `30s`, `500ms` or `30`; longer than [`WAIT_AT_MOST`] is cut to it.
pub(super) fn wait(text: Option<&str>) -> Result<Duration, Problem> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    let (digits, millisecond) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1_000),
        (None, None) => (text, 1_000),
    };
    match digits.parse::<u32>() {
        Ok(number) => Ok(Duration::from_millis(u64::from(number) * millisecond).min(WAIT_AT_MOST)),
        Err(_) => Err(Problem::bad_request(format!("wait={text:?} is not a duration such as `30s`"))),
    }
}

/// What a person wrote, without space around it; not empty and not endless, because it goes into the journal.
pub(super) fn words(field: &str, text: &str, most: usize) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::bad_request(format!("`{field}` must not be empty: it goes into the journal")));
    }
    if text.chars().count() > most {
        return Err(Problem::bad_request(format!("`{field}` is longer than {most} characters")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_duration_and_never_longer_than_allowed() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("250ms", 250),
            ("2", 2_000),
            ("0s", 0),
            ("31s", 30_000),
            ("4294967295", 30_000),
        ] {
            assert_eq!(wait(Some(text)).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
        assert_eq!(wait(None).unwrap(), Duration::ZERO);
        for text in ["", "s", "ms", "-1s", "1.5s", "forever", "99999999999"] {
            assert!(wait(Some(text)).is_err(), "{text}");
        }
    }
}
