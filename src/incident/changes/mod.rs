//! What is changed for a while: one entry for each (object, field), which belongs to the object and not to an incident. Closing or crashing
//! one changes nothing about it.
//!
//! The entries are what the events make of them ([`Entries::after`]), in the transaction that appends the event: an entry is there before the
//! call that makes it true.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{EffectResult, Event, Observation};
use super::outcome::Outcome;
use super::plan::{SetField, Sets, Stays, Target};
use super::{IncidentId, OperationId};
use crate::clock::after;
use crate::runbook::Field;

/// No incident is worked on for longer than this; one that is still open then was left alone.
pub const LONGEST: Duration = Duration::from_hours(24);

/// A field that is changed for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The object.
    pub object: Target,
    /// The very object: what is done to another one of the same name is nobody's to put back.
    pub uid: String,
    /// The field.
    pub field: Field,
    /// The value before our first change, or the declared one: what is put back in the end.
    pub base: Option<String>,
    /// What is there now, as far as we know.
    pub now: Ours,
    /// Whether the last change is known to have happened.
    pub settled: Settled,
    /// Until it is known: the entry as it was before that change, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Self>>,
    /// When it was changed first.
    pub since: Timestamp,
    /// On what the change was made; its incident is told what becomes of it.
    pub target: Target,
    /// What a person would change so that it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make_it_last: Option<String>,
    /// It began with a fault of a drill: `base` is what was there before it, whatever a remedy declares.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub injected: bool,
}

/// What is known of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// It happened.
    Yes,
    /// It is on its way.
    NotYet,
    /// It was asked for, and no answer tells what became of it: it may have happened, and may still, however it looked since.
    Doubtful,
}

/// A value that we wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ours {
    /// The value; none: it was removed.
    pub value: Option<String>,
    /// By which operation.
    pub op: OperationId,
    /// How long it stays.
    pub stays: Stays,
    /// That time is the one of the change before it, which this one was made over for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherited: bool,
    /// When it is put back, as far as that is known.
    pub until: Option<Timestamp>,
}

/// What becomes of a field whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutBack {
    /// The live value is ours: `base` is written, on the condition that it still is ours at that moment.
    Write {
        /// The value that must still be there.
        only_if: Option<String>,
        /// The value that is written.
        base: Option<String>,
    },
    /// The live value is `base` already.
    Already,
    /// Somebody else has changed it since. It is left alone, and a person is told what is there.
    LeftAlone {
        /// The live value.
        live: Option<String>,
    },
}

impl Entry {
    /// Whether its time has come.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        // An incident that never ends says no time: what was meant for a while must not become permanent by that.
        let at_last = match self.now.stays {
            Stays::UntilRecovered { or_else } => Some(after(self.since, or_else + LONGEST)),
            Stays::For(_) | Stays::ForGood | Stays::UntilAPersonDecides => None,
        };
        self.now.until.or(at_last).is_some_and(|until| until <= now)
    }

    /// What is to be done about the live value. Compare and swap: only what is still ours is put back. As long as it is not known whether
    /// our last change happened, what the entry said before it counts, too.
    #[must_use]
    pub fn put_back(&self, live: Option<&str>) -> PutBack {
        let is = |value: &Option<String>| self.field.same(live, value.as_deref());
        if is(&self.base) {
            return PutBack::Already;
        }
        match self.version_of(live) {
            Some(version) if is(&version.base) => PutBack::Already,
            Some(version) => PutBack::Write { only_if: live.map(str::to_owned), base: version.base.clone() },
            None => PutBack::LeftAlone { live: live.map(str::to_owned) },
        }
    }

    /// This entry, or the one before a change that is not known to have happened, whichever has this value as ours.
    fn version_of(&self, live: Option<&str>) -> Option<&Self> {
        if self.field.same(live, self.now.value.as_deref()) {
            return Some(self);
        }
        self.before.as_ref().filter(|before| before.uid == self.uid)?.version_of(live)
    }
}

impl Entry {
    /// What should stay until the trouble of this incident is over has its time from now on.
    fn closed(&mut self, incident: &IncidentId, well: bool, at: Timestamp) {
        if let (Stays::UntilRecovered { or_else }, None) = (self.now.stays, self.now.until)
            && self.now.op.incident() == *incident
        {
            self.now.until = Some(if well { at } else { after(at, or_else) });
        }
        if let Some(before) = &mut self.before {
            before.closed(incident, well, at);
        }
    }
}

/// The entries that an event can be about, and what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries(Vec<Entry>);

impl From<Vec<Entry>> for Entries {
    fn from(entries: Vec<Entry>) -> Self {
        Self(entries)
    }
}

impl Entries {
    /// The entries.
    #[must_use]
    pub fn into_inner(self) -> Vec<Entry> {
        self.0
    }

    /// Whether an event of this name can change an entry: nothing need be read for the others.
    #[must_use]
    pub const fn concerns(event: &Event) -> bool {
        matches!(
            event,
            Event::EffectIntended { .. }
                | Event::FaultAnnounced { .. }
                | Event::EffectAnswered { .. }
                | Event::EffectObserved { .. }
                | Event::StepEnded { .. }
                | Event::Released { .. }
                | Event::Closed { .. }
        )
    }

    /// The entries after one more event of this incident.
    pub fn after(&mut self, incident: &IncidentId, at: Timestamp, event: &Event) {
        match event {
            Event::EffectIntended { op, plan, .. } => {
                if let Some(sets) = &plan.sets {
                    for set in &sets.fields {
                        self.intended(op, &plan.target, sets, set, at);
                    }
                }
            }
            // Whoever makes it says no more of it: it may have happened, and may still.
            Event::FaultAnnounced { op, announced } => {
                if let Some(sets) = &announced.sets {
                    for set in &sets.fields {
                        self.intended(op, &announced.object, sets, set, at);
                    }
                }
                self.0.iter_mut().filter(|entry| entry.now.op == *op).for_each(|entry| entry.injected = true);
                self.doubt(op);
            }
            Event::EffectAnswered { op, result: EffectResult::Applied | EffectResult::Begun { .. } }
            | Event::EffectObserved { op, found: Observation::Done } => self.happened(op, at),
            // Such a call can arrive after it was looked for: whatever is seen until then does not settle it.
            Event::EffectAnswered { op, result: EffectResult::Unclear { .. } }
            | Event::EffectObserved { op, .. } => self.doubt(op),
            Event::StepEnded { op: Some(op), .. } => self.ended(op),
            Event::Released { changes, .. } => {
                // What was taken over since is not what was looked at.
                self.0.retain(|entry| {
                    !changes.iter().any(|one| {
                        one.object == entry.object && one.field == entry.field && one.op == entry.now.op
                    })
                });
            }
            Event::Closed { outcome, .. } => {
                let well = matches!(outcome, Outcome::Recovered | Outcome::SelfHealed);
                self.0.iter_mut().for_each(|entry| entry.closed(incident, well, at));
            }
            _ => {}
        }
    }

    fn intended(&mut self, op: &OperationId, target: &Target, sets: &Sets, set: &SetField, at: Timestamp) {
        let until = match sets.stays {
            Stays::For(time) => Some(after(at, time)),
            Stays::ForGood | Stays::UntilRecovered { .. } | Stays::UntilAPersonDecides => None,
        };
        let for_good = matches!(sets.stays, Stays::ForGood);
        let now =
            Ours { value: set.after.clone(), op: op.clone(), stays: sets.stays, inherited: false, until };
        let mut next = Entry {
            object: sets.object.clone(),
            uid: sets.uid.clone(),
            field: set.field.clone(),
            base: set.baseline.clone().or_else(|| set.before.clone()),
            now,
            settled: Settled::NotYet,
            before: None,
            since: at,
            target: target.clone(),
            make_it_last: sets.make_it_last.clone(),
            injected: false,
        };
        let of = |entry: &Entry| entry.object == sets.object && entry.field == set.field;
        let Some(index) = self.0.iter().position(of) else {
            if !for_good {
                self.0.push(next);
            }
            return;
        };
        // Another object of the same name has values of its own, and so has what somebody else wrote since.
        let old = &self.0[index];
        match old.version_of(set.before.as_deref()).filter(|old| old.uid == sets.uid) {
            // A second change takes the entry over: the base stays, however many changes follow.
            Some(version) => {
                next.injected = version.injected;
                next.base = match version.injected {
                    true => version.base.clone(),
                    false => set.baseline.clone().or_else(|| version.base.clone()),
                };
                next.since = version.since;
                next.make_it_last = next.make_it_last.or_else(|| version.make_it_last.clone());
                if for_good {
                    // What is to be put back there in its time still is.
                    next.target = version.target.clone();
                    (next.now.stays, next.now.until) = (version.now.stays, version.now.until);
                    next.now.inherited = true;
                }
            }
            // What was written down is found to be another's when it is due, and reported then.
            None if for_good => return,
            None => {}
        }
        next.before = Some(Box::new(self.0.swap_remove(index)));
        self.0.push(next);
    }

    /// The operation was seen to have happened. What is as it was before our first change is no longer changed.
    fn happened(&mut self, op: &OperationId, at: Timestamp) {
        self.0.retain_mut(|entry| {
            if entry.now.op != *op {
                return true;
            }
            (entry.before, entry.settled) = (None, Settled::Yes);
            // It may have waited for its permit.
            if let (Stays::For(time), false) = (entry.now.stays, entry.now.inherited) {
                entry.now.until = Some(after(at, time));
            }
            !entry.field.same(entry.now.value.as_deref(), entry.base.as_deref())
        });
    }

    fn doubt(&mut self, op: &OperationId) {
        let of_op = |entry: &&mut Entry| entry.now.op == *op && entry.settled == Settled::NotYet;
        self.0.iter_mut().filter(of_op).for_each(|entry| entry.settled = Settled::Doubtful);
    }

    /// The step has ended. What had been refused by then did not happen; of what is doubtful both values count as ours until it is put back.
    fn ended(&mut self, op: &OperationId) {
        let entries = std::mem::take(&mut self.0).into_iter();
        let not_yet = |entry: &Entry| entry.now.op == *op && entry.settled == Settled::NotYet;
        self.0 = entries
            .filter_map(
                |entry| if not_yet(&entry) { entry.before.map(|before| *before) } else { Some(entry) },
            )
            .collect();
    }
}

#[cfg(test)]
mod tests;
