//! A notification made ready for the journal, outside of its one writer: keys, times and texts.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::{Alert, Fingerprint, Labels, Status};
use crate::incident::Event;
use crate::incident::proof::Proof;
use crate::runbook::Hash;

use super::{ALERTS_PER_EVENT, AnsweredBy, Intake, StoreError, Suppressed, Unanswered, chain};

/// A notification.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) alerts: Vec<Entry>,
    pub(super) suppressed: Vec<(Arc<str>, Suppressed)>,
    pub(super) unanswered: Vec<(String, Unanswered)>,
    pub(super) truncated: u64,
}

/// An alert of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) fingerprint: Fingerprint,
    /// The name of its row: see the migration.
    key: Arc<str>,
    /// The alert as it stands in an event. The alert itself is not kept: many small pieces of memory, held
    /// until the commit by everybody who waits for it, cost more than the write.
    pub(super) json: String,
    pub(super) starts_at: i64,
    /// None when it fires.
    pub(super) ends_at: Option<i64>,
    pub(super) by: Vec<Arc<By>>,
}

/// A runbook that answers it.
#[derive(Debug)]
pub(super) struct By {
    pub(super) runbook: Arc<str>,
    pub(super) hash: Hash,
    pub(super) scope: Labels,
    /// The scope as JSON, and the hash of that.
    pub(super) scope_json: String,
    pub(super) scope_key: String,
    pub(super) deadline: Duration,
    pub(super) drill: Option<String>,
}

/// A scope as JSON, and the hash of that.
pub(super) fn scope_of(scope: &Labels) -> (String, String) {
    let json = serde_json::to_string(scope).unwrap_or_default();
    let key = chain::digest(&json);
    (json, key)
}

/// What keeps a run apart from what alerts open in the same scope, whose JSON this is.
pub(super) fn run_scope_of(json: &str) -> String {
    chain::digest(&format!("run\n{json}"))
}

impl By {
    fn new(answered: AnsweredBy) -> Self {
        let (scope_json, scope_key) = scope_of(&answered.scope);
        let AnsweredBy { runbook, hash, scope, deadline, drill } = answered;
        Self { runbook: runbook.into(), hash, scope, scope_json, scope_key, deadline, drill }
    }

    fn is(&self, answered: &AnsweredBy) -> bool {
        *self.runbook == answered.runbook
            && self.hash == answered.hash
            && self.scope == answered.scope
            && self.deadline == answered.deadline
            && self.drill == answered.drill
    }
}

impl Entry {
    pub(super) const fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// It resolved before it began. Nothing follows from that: to end an episode wrongly would lose an alert.
    pub(super) fn is_nonsense(&self) -> bool {
        self.ends_at.is_some_and(|ends_at| ends_at < self.starts_at)
    }

    pub(super) const fn fires(&self) -> bool {
        self.ends_at.is_none()
    }
}

/// Keeps the last answer: the alerts of a group mostly ask the same.
struct Last<Q, A>(Option<(Q, A)>);

impl<Q: PartialEq + Clone, A: Clone> Last<Q, A> {
    fn of(&mut self, question: &Q, answer: impl FnOnce() -> A) -> A {
        match &self.0 {
            Some((same, answer)) if same == question => answer.clone(),
            _ => {
                let answer = answer();
                self.0 = Some((question.clone(), answer.clone()));
                answer
            }
        }
    }
}

/// The labels by which the alerts of one group begin alike.
const GROUP: [&str; 2] = ["alertname", "namespace"];

/// The name of an alert's row.
fn key(group: &mut Last<[String; 2], String>, labels: &Labels, fingerprint: &Fingerprint) -> Arc<str> {
    let labels = GROUP.map(|name| labels.get(name).to_owned());
    let group = group.of(&labels, || {
        let [alertname, namespace] = &labels;
        let labels = [(GROUP[0], alertname.as_str()), (GROUP[1], namespace.as_str())];
        Labels::from(labels).fingerprint().0.get(..8).unwrap_or_default().to_owned()
    });
    format!("{group}{fingerprint}").into()
}

/// How long an alert's JSON mostly is, in bytes.
const ALERT_LENGTH: usize = 1024;

fn json(alert: &Alert) -> String {
    let mut json = Vec::with_capacity(ALERT_LENGTH);
    // An alert is strings and times: neither that nor writing to memory can fail.
    let _ = serde_json::to_writer(&mut json, alert);
    String::from_utf8(json).unwrap_or_default()
}

impl Prepared {
    pub(super) fn new(intake: Intake, now: jiff::Timestamp) -> Self {
        let mut group = Last(None);
        // The alerts of a notification are mostly answered alike.
        let mut known: Vec<Arc<By>> = Vec::new();
        let alerts = intake
            .answered
            .into_iter()
            .map(|answered| {
                let alert = answered.alert;
                let ends_at = match alert.status {
                    Status::Firing => None,
                    // An end that is still to come would keep the next firing out until then.
                    Status::Resolved => Some(alert.ends_at.unwrap_or(now).min(now).as_microsecond()),
                };
                let mut by: Vec<Arc<By>> = Vec::with_capacity(answered.by.len());
                for one in answered.by {
                    if by.iter().any(|by| *by.runbook == one.runbook) {
                        continue;
                    }
                    let alike = known.iter().find(|by| by.is(&one)).map(Arc::clone);
                    by.push(alike.unwrap_or_else(|| Arc::new(By::new(one))));
                }
                let key = key(&mut group, &alert.labels, &alert.fingerprint);
                let json = json(&alert);
                known.clone_from(&by);
                Entry {
                    // As much as every way of hearing of it tells: else the webhook's copy would be a later episode.
                    starts_at: alert.starts_at.as_millisecond().saturating_mul(1_000),
                    fingerprint: alert.fingerprint,
                    key,
                    json,
                    ends_at,
                    by,
                }
            })
            .collect();
        let suppressed = intake.suppressed.into_iter();
        let suppressed =
            suppressed.map(|one| (key(&mut group, &one.labels, &one.fingerprint), one)).collect();
        let mut keys = HashSet::new();
        let unanswered = intake
            .unanswered
            .into_iter()
            .map(|unanswered| (unanswered_key(&unanswered), unanswered))
            .filter(|(key, _)| keys.insert(key.clone()))
            .collect();
        Self { alerts, suppressed, unanswered, truncated: intake.truncated }
    }
}

/// The same alert, sent again, is one row.
pub(super) fn unanswered_key(unanswered: &Unanswered) -> String {
    chain::digest(&format!("{}\n{}", unanswered.reason, unanswered.alert))
}

/// At most [`ALERTS_PER_EVENT`] alerts, and how many more there were.
pub(super) fn kept<T>(alerts: Vec<T>) -> (impl Iterator<Item = T>, u64) {
    let more = alerts.len().saturating_sub(ALERTS_PER_EVENT);
    (alerts.into_iter().take(ALERTS_PER_EVENT), u64::try_from(more).unwrap_or(u64::MAX))
}

/// The JSON of an event without alerts, with these put in. Nothing else in it can look like the empty list:
/// inside of a JSON string every quotation mark is escaped, and label values are strings.
pub(super) fn with_alerts<'a>(
    event: &Event,
    alerts: impl Iterator<Item = &'a str>,
) -> Result<String, serde_json::Error> {
    const NONE: &str = r#""alerts":[]"#;
    let empty = serde_json::to_string(event)?;
    let (before, after) =
        empty.split_once(NONE).ok_or_else(|| serde::ser::Error::custom("it has no list of alerts"))?;
    let alerts: Vec<&str> = alerts.collect();
    let length = empty.len() + alerts.iter().map(|alert| alert.len() + 1).sum::<usize>();
    let mut json = String::with_capacity(length);
    json.push_str(before);
    json.push_str(r#""alerts":["#);
    for (position, alert) in alerts.into_iter().enumerate() {
        json.push_str(if position == 0 { "" } else { "," });
        json.push_str(alert);
    }
    json.push(']');
    json.push_str(after);
    Ok(json)
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

/// A proof as it is read back: whole microseconds, and times as they are written.
pub(super) fn kept_proof(proof: Proof) -> Result<Proof, StoreError> {
    let bad = |why: String| StoreError::NotThisWay(format!("a proof that can not be read back ({why})"));
    let proven_at = jiff::Timestamp::from_microsecond(proof.proven_at.as_microsecond());
    let times = serde_json::to_string(&proof.times).and_then(|text| serde_json::from_str(&text));
    Ok(Proof {
        proven_at: proven_at.map_err(|error| bad(error.to_string()))?,
        times: times.map_err(|error| bad(error.to_string()))?,
        ..proof
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Fingerprint;
    use crate::clock::now;
    use crate::incident::event::Opened;

    #[test]
    fn alerts_that_were_written_before_stand_as_if_written_with_the_event() {
        let hostile = Labels::from([("alerts", r#""alerts":[]"#), (r#""alerts":[]"#, "\u{2028}\\\"")]);
        let alert = Alert {
            status: Status::Firing,
            labels: hostile.clone(),
            annotations: hostile.clone(),
            starts_at: now(),
            ends_at: None,
            generator_url: r#""alerts":[]"#.to_owned(),
            fingerprint: Fingerprint("1".to_owned()),
        };
        let json = serde_json::to_string(&alert).unwrap();
        for count in 0..3 {
            let event = |alerts| {
                Event::Opened(Opened {
                    runbook: r#""alerts":[]"#.to_owned(),
                    hash: Hash(r#""alerts":[]"#.to_owned()),
                    scope: hostile.clone(),
                    deadline: now(),
                    alerts,
                    more: 1,
                    truncated: 2,
                    restore: None,
                    run: None,
                    drill: None,
                })
            };
            let whole = event(vec![alert.clone(); count]);
            let Event::Opened(opened) = whole.clone() else { unreachable!() };
            let none = Event::Opened(Opened { alerts: Vec::new(), ..opened });
            let put_in = with_alerts(&none, std::iter::repeat_n(json.as_str(), count)).unwrap();
            assert_eq!(put_in, serde_json::to_string(&whole).unwrap());
        }
    }
}
