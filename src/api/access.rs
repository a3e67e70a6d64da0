//! Who may use the API: whoever has the token. Without a configured token the daemon listens on loopback only,
//! and a request must name a loopback host, so that a web page in the operator's browser can not reach the API
//! through a name of its own that resolves to 127.0.0.1.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header;

use super::Api;
use super::problem::Problem;

pub(super) async fn check(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match &api.token {
        Some(token) => {
            let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            match given.and_then(bearer) {
                None => {
                    return Err(Problem::unauthorized(
                        "this needs the header `Authorization: Bearer TOKEN`, with the daemon's API token",
                    ));
                }
                Some(given) if !token.matches(given) => {
                    return Err(Problem::unauthorized(
                        "the token in `Authorization: Bearer` is not the daemon's",
                    ));
                }
                Some(_) => {}
            }
        }
        None => {
            let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
            if host.is_some_and(|host| !is_loopback(host)) {
                return Err(Problem::forbidden(
                    "no API token is configured, so only requests to localhost are answered; configure a token",
                ));
            }
        }
    }
    Ok(next.run(request).await)
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a `Host` header names this machine: `localhost`, `127.0.0.1:9099`, `[::1]:9099`.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in ["localhost", "LOCALHOST:9099", "127.0.0.1", "127.0.0.1:9099", "127.8.8.8", "[::1]:9099"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:9099", "10.0.0.1", "[2001:db8::1]:80", "["] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        assert_eq!(bearer("bearer abc"), Some("abc"));
        assert_eq!(bearer("Bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearerabc"), None);
    }
}
