//! A notification made ready for the journal, outside of its one writer: keys, times and texts.

use std::collections::HashSet;
use std::time::Duration;

use crate::alert::{Alert, Labels, Status};
use crate::incident::Event;
use crate::runbook::Hash;

use super::{ALERTS_PER_EVENT, Intake, StoreError, Unanswered, chain};

/// A notification.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) alerts: Vec<Entry>,
    pub(super) unanswered: Vec<(String, Unanswered)>,
    pub(super) truncated: u64,
}

/// An alert of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) alert: Alert,
    pub(super) starts_at: i64,
    /// None when it fires.
    pub(super) ends_at: Option<i64>,
    pub(super) by: Vec<By>,
}

/// A runbook that answers it.
#[derive(Debug)]
pub(super) struct By {
    pub(super) runbook: String,
    pub(super) hash: Hash,
    pub(super) scope: Labels,
    /// The scope as JSON, and the hash of that.
    pub(super) scope_json: String,
    pub(super) scope_key: String,
    pub(super) deadline: Duration,
}

impl Entry {
    pub(super) fn fingerprint(&self) -> &str {
        &self.alert.fingerprint.0
    }

    /// It resolved before it began. Nothing follows from that: to end an episode wrongly would lose an alert.
    pub(super) fn is_nonsense(&self) -> bool {
        self.ends_at.is_some_and(|ends_at| ends_at < self.starts_at)
    }

    pub(super) const fn fires(&self) -> bool {
        self.ends_at.is_none()
    }
}

impl Prepared {
    pub(super) fn new(intake: Intake, now: jiff::Timestamp) -> Self {
        let alerts = intake
            .answered
            .into_iter()
            .map(|answered| {
                let alert = answered.alert;
                let ends_at = match alert.status {
                    Status::Firing => None,
                    Status::Resolved => Some(alert.ends_at.unwrap_or(now).as_microsecond()),
                };
                let mut names = HashSet::new();
                let by = answered
                    .by
                    .into_iter()
                    .filter(|by| names.insert(by.runbook.clone()))
                    .map(|by| {
                        let scope_json = serde_json::to_string(&by.scope).unwrap_or_default();
                        let scope_key = chain::digest(&scope_json);
                        By {
                            runbook: by.runbook,
                            hash: by.hash,
                            scope: by.scope,
                            scope_json,
                            scope_key,
                            deadline: by.deadline,
                        }
                    })
                    .collect();
                Entry { starts_at: alert.starts_at.as_microsecond(), alert, ends_at, by }
            })
            .collect();
        let mut keys = HashSet::new();
        let unanswered = intake
            .unanswered
            .into_iter()
            .map(|unanswered| (unanswered_key(&unanswered), unanswered))
            .filter(|(key, _)| keys.insert(key.clone()))
            .collect();
        Self { alerts, unanswered, truncated: intake.truncated }
    }
}

/// The same alert, sent again, is one row.
pub(super) fn unanswered_key(unanswered: &Unanswered) -> String {
    chain::digest(&format!("{}\n{}", unanswered.reason, unanswered.alert))
}

/// At most [`ALERTS_PER_EVENT`] alerts, and how many more there were.
pub(super) fn kept<'a>(alerts: impl ExactSizeIterator<Item = &'a Alert>) -> (Vec<Alert>, u64) {
    let more = alerts.len().saturating_sub(ALERTS_PER_EVENT);
    (alerts.take(ALERTS_PER_EVENT).cloned().collect(), u64::try_from(more).unwrap_or(u64::MAX))
}

/// The event as it will be stored, and as it will be read: what the caller goes on with is what a later
/// start finds, and an event that could not be read again is refused while nothing has happened yet.
pub(super) fn written(event: &Event) -> Result<(String, Event), StoreError> {
    let unwritable = |error: serde_json::Error| {
        StoreError::NotThisWay(format!("an event `{}` that can not be read back ({error})", event.name()))
    };
    let body = serde_json::to_string(event).map_err(unwritable)?;
    let event = serde_json::from_str(&body).map_err(unwritable)?;
    Ok((body, event))
}
