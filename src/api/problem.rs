//! How a request fails: a status and one sentence with what to do, as `{"error": ...}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::wire::Error;
use crate::store::StoreError;

/// A request that was not done, and why.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    /// Whether trying again can help.
    pub(super) fn is_passing(&self) -> bool {
        self.status.is_server_error()
    }

    pub(super) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn unauthorized(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error)
    }

    pub(super) fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(super) fn wrong_method(error: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error)
    }

    pub(super) fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSuchIncident(id) => {
                Self::not_found(format!("there is no incident {id}; `runbookd incidents` lists them"))
            }
            StoreError::Moved(_) | StoreError::NotMine(_) | StoreError::TargetTaken(_) => {
                Self::conflict(format!("{error}; look at it again, then try again"))
            }
            StoreError::Overloaded | StoreError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}; nothing was written, try again"))
            }
            // A mistake of this program: what people say has this way into the journal.
            StoreError::NotThisWay(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("{error}; nothing was written, and this is a mistake in runbookd: please report it"),
            ),
            // The request was right and the journal is damaged: a person has to look at the daemon's disk.
            StoreError::Unreadable { .. } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("{error}; the incident is left alone, and a person should look at the journal"),
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Error { error: self.error })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
