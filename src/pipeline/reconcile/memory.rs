//! What Alertmanager's answers mean, each held against the journal and the answers before it. Pure: no I/O, no clock.
//!
//! What an answer shows is believed at once. What it does not show is not: a list says nothing by its gaps while Alertmanager is young,
//! when a part of it can not be read, when it is empty, and about an alert that this Alertmanager was never seen to have.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use crate::alert::{Alert, Fingerprint, Labels, Status};
use crate::clients::alertmanager::{Alerts, Listed};
use crate::clock::after;

/// In so many answers one after the other an alert must be missing.
const MISSING_TWICE: u32 = 2;

/// What an operator decides about reconciling.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'r> {
    /// The receiver that is runbookd.
    pub(super) receiver: &'r str,
    /// For how long an alert must have been seen firing before its notification counts as lost.
    pub(super) grace: Duration,
    /// For how long Alertmanager must have run before what it does not list counts as gone.
    pub(super) settled: Duration,
}

/// One whole answer.
pub(super) struct Answer {
    /// When it was asked for.
    pub(super) asked_at: Timestamp,
    /// Since when this Alertmanager runs.
    pub(super) running_since: Timestamp,
    /// Its routes have time intervals. What they mute is listed as active all the same, so nothing that was not sent counts as lost.
    pub(super) mutes: bool,
    /// What it listed.
    pub(super) alerts: Alerts,
}

/// What follows from it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Conclusions {
    /// Alerts that fire, for runbookd, and count in no open incident.
    pub(super) due: Vec<Due>,
    /// Alerts of open incidents that Alertmanager no longer hears of.
    pub(super) gone: Vec<Alert>,
    /// Alerts of open incidents that it sends to nobody.
    pub(super) suppressed: Vec<Listed>,
}

/// An alert whose notification should have come.
#[derive(Debug, PartialEq)]
pub(super) struct Due {
    /// As the webhook would have brought it.
    pub(super) alert: Alert,
    /// It was suppressed before, and Alertmanager does not say when that ends.
    pub(super) was_quiet: bool,
}

/// What was heard of an alert.
#[derive(Debug, Default)]
struct Heard {
    /// Since which answer it fires and is sent to somebody.
    active_since: Option<Timestamp>,
    /// It was suppressed, and was not taken in since.
    was_quiet: bool,
    /// In how many answers it was missing, one after the other.
    missing: u32,
}

/// What was heard so far, since the start of this process.
#[derive(Debug, Default)]
pub(super) struct Memory {
    heard: HashMap<Fingerprint, Heard>,
    /// The latest start of an Alertmanager that answered.
    started: Option<Timestamp>,
    /// It was said that its routes have time intervals.
    told_of_mutes: bool,
}

impl Memory {
    /// Nothing is known of the time since the last answer.
    pub(super) fn was_not_answered(&mut self) {
        self.heard.values_mut().for_each(|heard| heard.missing = 0);
    }

    /// Whether this is the first that is heard of time intervals.
    pub(super) fn hears_of_mutes(&mut self) -> bool {
        !std::mem::replace(&mut self.told_of_mutes, true)
    }

    /// It is in the journal now.
    pub(super) fn is_taken(&mut self, fingerprint: &Fingerprint) {
        if let Some(heard) = self.heard.get_mut(fingerprint) {
            heard.was_quiet = false;
        }
    }

    /// What follows from an answer. `open` are the alerts that count in an open incident, read before the question.
    pub(super) fn conclude(
        &mut self,
        rules: Rules<'_>,
        answer: &Answer,
        open: &BTreeMap<Fingerprint, Alert>,
    ) -> Conclusions {
        let Answer { asked_at, running_since, mutes, alerts } = answer;
        // After a start it waits and groups anew, and says everything again.
        if self.started.is_some_and(|started| *running_since > started) {
            self.heard.values_mut().for_each(|heard| heard.active_since = None);
        }
        self.started = self.started.max(Some(*running_since));
        let mut conclusions = Conclusions::default();
        // Those that this answer shows are taken out, and put back beside the others.
        let mut shown = HashMap::with_capacity(alerts.all.len());
        for listed in &alerts.all {
            let fingerprint = Fingerprint(listed.fingerprint.clone());
            let mut heard = self.heard.remove(&fingerprint).unwrap_or_default();
            heard.missing = 0;
            if listed.active {
                let since = *heard.active_since.get_or_insert(*asked_at);
                let ours = listed.receivers.iter().any(|receiver| receiver == rules.receiver);
                if ours
                    && !mutes
                    && !open.contains_key(&fingerprint)
                    && *asked_at >= after(since, rules.grace)
                {
                    conclusions.due.push(Due { alert: alert(listed), was_quiet: heard.was_quiet });
                }
            } else {
                (heard.active_since, heard.was_quiet) = (None, true);
                if open.contains_key(&fingerprint) {
                    conclusions.suppressed.push(listed.clone());
                }
            }
            shown.insert(fingerprint, heard);
        }
        let tells_all = alerts.unreadable == 0
            && !alerts.all.is_empty()
            && *asked_at >= after(*running_since, rules.settled);
        self.heard.retain(|fingerprint, heard| {
            heard.active_since = None;
            heard.missing = if tells_all { heard.missing + 1 } else { 0 };
            let Some(alert) = open.get(fingerprint) else { return heard.missing < MISSING_TWICE };
            if heard.missing >= MISSING_TWICE {
                conclusions.gone.push(alert.clone());
            }
            true
        });
        self.heard.extend(shown);
        conclusions.gone.sort_by(|one, other| one.fingerprint.cmp(&other.fingerprint));
        conclusions
    }
}

fn alert(listed: &Listed) -> Alert {
    Alert {
        status: Status::Firing,
        labels: Labels(listed.labels.clone()),
        annotations: Labels(listed.annotations.clone()),
        starts_at: crate::clock::cut(listed.starts_at),
        ends_at: None,
        generator_url: listed.generator_url.clone(),
        fingerprint: Fingerprint(listed.fingerprint.clone()),
    }
}
