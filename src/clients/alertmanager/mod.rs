//! Alertmanager's API v2: which alerts it hears of now, whether it sends them to somebody, and since when it runs.
//!
//! What a list leaves out says nothing by itself: an Alertmanager that has just started knows no alert at all. The one thing that is written is an alert that
//! a person has asked for.

mod answer;
mod post;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use answer::{Alerts, Listed, Running, Silence, State};
pub use post::Posted;

use super::server::{self, Server, System};
use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Reason, Secret};

const SYSTEM: System = System {
    name: "Alertmanager",
    address: "http://alertmanager:9093",
    at_once: 2,
    // About 40,000 alerts.
    most_mib: 32,
    too_large: "there are too many alerts",
    said: server::text,
};
/// One that has run for a shorter time may not have heard of everything yet: Prometheus sends what fires again every minute
/// (`--rules.alert.resend-delay`), and other sources may be slower.
pub const SETTLED: Duration = Duration::from_mins(5);

/// Where Alertmanager is, and who we are there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address without `/api/v2`, such as `http://alertmanager:9093`; a path prefix (`--web.route-prefix`) may follow.
    pub url: String,
    /// A token for a gateway in front of it.
    pub bearer: Option<Secret>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Settings {
    /// Alertmanager at `url` without a token.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), bearer: None, timeout: DEFAULT_TIMEOUT }
    }
}

/// An Alertmanager.
#[derive(Debug, Clone)]
pub struct Alertmanager(Arc<Server>);

impl Alertmanager {
    /// Reads the settings. Alertmanager need not be up.
    ///
    /// # Errors
    /// When the address or the token cannot be used in a request.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let Settings { url, bearer, timeout } = settings;
        Ok(Self(Arc::new(Server::new(&SYSTEM, url, None, bearer.as_ref(), *timeout)?)))
    }

    /// Every alert that it hears of, whoever it is for, the suppressed ones included. What has resolved is not in it.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn alerts(&self) -> Result<Alerts, CallError> {
        self.list("ask Alertmanager for its alerts", &[]).await
    }

    /// The state of the alerts that have all of these labels: active when one of them is, else suppressed when one of them is.
    ///
    /// # Errors
    /// `ClientError` without any label, because that would mean every alert; and `ServerError` when an alert of the answer can not
    /// be read, because it may be one of them.
    pub async fn state(&self, labels: &BTreeMap<String, String>) -> Result<State, CallError> {
        let call = "ask Alertmanager for an alert";
        if labels.is_empty() {
            return Err(CallError::unsent(call, "no label was given, and no label would mean every alert"));
        }
        let filters: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        let pairs: Vec<(&str, &str)> = filters.iter().map(|filter| ("filter", filter.as_str())).collect();
        let Alerts { all, unreadable } = self.list(call, &pairs).await?;
        // Asked again here: a filter that was read in another way must not answer for another alert.
        let states = all
            .iter()
            .filter(|alert| labels.iter().all(|(name, value)| alert.label(name) == value))
            .map(|alert| alert.state());
        match states.max() {
            Some(state @ State::Active) => Ok(state),
            _ if unreadable > 0 => {
                Err(CallError::new(call, Reason::ServerError, "an alert of the answer cannot be read"))
            }
            state => Ok(state.unwrap_or(State::Absent)),
        }
    }

    /// Since when it runs, and whether its routes mute by time.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn running(&self) -> Result<Running, CallError> {
        let call = "ask Alertmanager for its status";
        let body = self.0.get(call, "/api/v2/status", &[]).await?;
        answer::running(&body).map_err(|what| CallError::unreadable(call, &*what))
    }

    /// The names of its receivers.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn receivers(&self) -> Result<Vec<String>, CallError> {
        let call = "ask Alertmanager for its receivers";
        let body = self.0.get(call, "/api/v2/receivers", &[]).await?;
        answer::receivers(&body).map_err(|what| CallError::unreadable(call, &*what))
    }

    /// Who made a silence, and why.
    ///
    /// # Errors
    /// `NotFound` when it is gone, and whatever keeps Alertmanager from answering.
    pub async fn silence(&self, id: &str) -> Result<Silence, CallError> {
        let call = "ask Alertmanager for a silence";
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(CallError::unsent(call, "its name is not a UUID"));
        }
        let body = self.0.get(call, &format!("/api/v2/silence/{id}"), &[]).await?;
        answer::silence(&body).map_err(|what| CallError::unreadable(call, &*what))
    }

    /// Posts alerts. What fires already and is posted with an end that has come is resolved.
    ///
    /// # Errors
    /// `ClientError` with Alertmanager's own words when it refuses one of them; the others it has taken all the same. `Timeout` and `ServerError` leave open
    /// whether they were taken.
    pub async fn post(&self, alerts: &[Posted]) -> Result<(), CallError> {
        let call = "post alerts to Alertmanager";
        let body = serde_json::to_value(alerts)
            .map_err(|error| CallError::unsent(call, &format!("they can not be written: {error}")))?;
        self.0.write(call, "/api/v2/alerts", &body).await
    }

    async fn list(&self, call: &str, filters: &[(&str, &str)]) -> Result<Alerts, CallError> {
        // These are the defaults, said all the same: everything rests on the list being whole.
        let mut pairs = vec![("active", "true"), ("silenced", "true"), ("inhibited", "true")];
        pairs.extend(filters);
        let body = self.0.get(call, "/api/v2/alerts", &pairs).await?;
        answer::alerts(&body).map_err(|what| CallError::unreadable(call, &*what))
    }
}

/// A value as Alertmanager's matchers read it between quotation marks (`pkg/labels/parse.go`).
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n"))
}
