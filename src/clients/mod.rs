//! The other systems: one file each, and what they share. Every request that leaves this program is made below this folder (all of them
//! with a time limit), and every failure comes back as a [`CallError`] with a [`Reason`] from a closed list.
//!
//! A client never decides what a failure means for an incident, never repeats a write, and never puts a token or a request's body into
//! an error.

pub mod acm;
pub mod alertmanager;
pub mod aws;
pub mod ec2;
mod error;
pub mod github;
pub mod grafana;
pub mod http;
pub mod kubernetes;
pub mod load;
pub mod loki;
pub mod prometheus;
mod questions;
pub mod rds;
pub mod route53;
mod secret;
mod server;
pub mod slack;
pub mod terraform;
pub mod webhook;
#[cfg(test)]
mod wire;

use std::sync::Once;
use std::time::Duration;

pub use error::{CallError, ConnectError, Reason};
pub use questions::Questions;
pub use secret::Secret;

/// The time that one HTTP request may take in all, unless its settings say otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Within this time a connection is there or the system counts as unreachable.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Chooses ring for TLS, once per process; further calls do nothing. reqwest is built without a provider and panics without this.
pub fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the program around this library has chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The one builder of HTTP clients: no proxy from the environment, no redirect followed, nothing sent twice, `total` for a whole request.
///
/// # Errors
/// When TLS cannot be set up, in practice because the system has no CA certificates.
pub fn http_client(total: Duration) -> Result<reqwest::Client, ConnectError> {
    built(http_client_builder(total))
}

fn http_client_builder(total: Duration) -> reqwest::ClientBuilder {
    install_tls();
    reqwest::Client::builder()
        .user_agent(concat!("runbookd/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(total)
}

fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, ConnectError> {
    builder.build().map_err(|error| {
        ConnectError::new(format!(
            "cannot set up HTTP: {}; are the system's CA certificates installed (package ca-certificates)?",
            error::chain(&error)
        ))
    })
}
