//! What comes next. The rules of the way stand here, and nowhere else.

mod effect;
mod over;
mod step;
mod wait;

use std::time::Duration;

use jiff::Timestamp;

use over::{on_not_confirmed, on_resolved};
use step::{awaiting, begin, step_ended};
use wait::{refused, stands_back};

use super::event::Event;
use super::outcome::Outcome;
use super::permit::Wanted;
use super::state::{Effect, Incident, LegState, Stage};
use super::{IncidentId, OperationId};
use crate::clock::after;
use crate::runbook::Runbook;

/// The present, as far as a decision needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// Whether a person has stopped all effects.
    pub paused: bool,
    /// An open incident of a runbook in `defer_to`, and that runbook.
    pub behind: Option<(IncidentId, String)>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Ask the probes of `confirm`.
    Confirm,
    /// Choose the targets from the evidence.
    ChooseLegs,
    /// Ask the probes of a diagnosis.
    Diagnose,
    /// Read the cluster and make the plan.
    Plan,
    /// Ask the guards, commit the intent, and act.
    Commit(Box<Wanted>),
    /// Look at the target, to learn what became of the effect.
    Observe(Effect),
    /// Look whether the effect has come to its end.
    Follow(Effect),
    /// Ask the probes of `verify` about the time since the effect was complete.
    Verify(Effect, Timestamp),
    /// Ask whether what the step expects has come since this moment.
    Await(Timestamp),
    /// Record this.
    Append(Event),
    /// Nothing before this moment, but for a further event.
    Wait(Timestamp),
    /// Nothing, for ever.
    Nothing,
}

/// A `confirm` that is unknown, or fails soon after the alert, is asked again after this long, then after
/// twice as long, and so on up to [`CONFIRM_AT_MOST`].
pub const CONFIRM_AGAIN: Duration = Duration::from_secs(10);
/// See [`CONFIRM_AGAIN`].
pub const CONFIRM_AT_MOST: Duration = Duration::from_secs(120);
/// How often the end of an effect is looked for.
pub const FOLLOW_EVERY: Duration = Duration::from_secs(3);
/// How often `verify` is asked at the most: after a quarter of the time that has passed, and at least twenty times in its `within`.
pub const VERIFY_EVERY: Duration = Duration::from_secs(5);
/// A `verify` without an answer is asked again after this long at the latest.
pub const UNKNOWN_AGAIN: Duration = Duration::from_mins(10);
/// Evidence and plans older than this are made anew before they are used.
pub const FRESH: Duration = Duration::from_secs(60);
/// An incident that stands back looks again after this long.
pub const STAND_BACK: Duration = Duration::from_secs(15);
/// How often an effect that surely did not happen is tried.
pub const PERMITS_AT_MOST: u32 = 4;

/// What comes next for this incident.
#[must_use]
pub fn decide(incident: &Incident, runbook: &Runbook, moment: &Moment) -> Next {
    let now = moment.now;
    if incident.closed().is_some() {
        return Next::Nothing;
    }
    if let Some(effect) = incident.effect() {
        return effect::with_effect(incident, runbook, moment, effect);
    }
    if incident.resolved()
        && let Some(event) = on_resolved(incident)
    {
        return Next::Append(event);
    }
    if let Some(next) = stands_back(incident, runbook, moment) {
        return next;
    }
    match &incident.stage {
        Stage::Confirm { tries, since, last, .. } => match last {
            None => Next::Confirm,
            Some((at, found)) => {
                if let Some(event) = on_not_confirmed(incident, runbook, *since, *at, *found) {
                    return Next::Append(event);
                }
                at_or_wait(now, again(runbook, *at, *tries), Next::Confirm)
            }
        },
        Stage::StoodBack { until } => {
            if now >= incident.opened.deadline {
                return close(Outcome::Blocked, "it stood back behind another incident until its deadline");
            }
            at_or_wait(now, *until, Next::Confirm)
        }
        Stage::ChooseLegs => Next::ChooseLegs,
        Stage::Begin { failed } => begin(incident, runbook, now, failed.as_ref()),
        Stage::Awaiting { since, last, held_since } => {
            awaiting(incident, runbook, now, *since, *last, *held_since)
        }
        Stage::Planned(plan) => {
            if now >= incident.opened.deadline && now > after(plan.made_at, runbook.paced(FRESH)) {
                return close(
                    Outcome::Blocked,
                    "the plan grew old before it could be used, until the deadline",
                );
            }
            if now > after(plan.made_at, runbook.paced(FRESH)) {
                // A crash lies between the plan and this moment, or a very slow store.
                return Next::Confirm;
            }
            Next::Commit(Box::new(Wanted {
                op: OperationId::new(&incident.id, incident.attempts + 1),
                leg: incident.leg,
                step: incident.step,
                plan: plan.clone(),
                again: false,
            }))
        }
        Stage::Refused { until, .. } => refused(incident, runbook, moment, *until),
        Stage::Asking { expires, .. } => {
            if now >= *expires {
                return close(Outcome::Expired, "nobody approved or declined in time");
            }
            Next::Wait(*expires)
        }
        Stage::Declined { why } => close(Outcome::Declined, why),
        Stage::StepEnded { result, why } => step_ended(incident, runbook, *result, why),
        // Those with an effect were handled above.
        Stage::Intended(_)
        | Stage::Unclear { .. }
        | Stage::NotDone { .. }
        | Stage::Following { .. }
        | Stage::Verifying { .. }
        | Stage::Ending { .. }
        | Stage::Closed(_) => Next::Nothing,
    }
}

fn current(incident: &Incident) -> Option<&LegState> {
    incident.legs.get(incident.leg)
}

/// Whether something was done to the target at hand, and did not help.
fn in_vain(incident: &Incident) -> bool {
    current(incident).is_some_and(|leg| leg.in_vain && leg.acted)
}

fn close(outcome: Outcome, why: &str) -> Next {
    Next::Append(Event::Closed { outcome, why: why.to_owned() })
}

fn at_or_wait(now: Timestamp, at: Timestamp, next: Next) -> Next {
    if now >= at { next } else { Next::Wait(at) }
}

/// The moment of the next try: exponential from [`CONFIRM_AGAIN`] up to [`CONFIRM_AT_MOST`].
fn again(runbook: &Runbook, last: Timestamp, tries: u32) -> Timestamp {
    let delay = CONFIRM_AGAIN.saturating_mul(1 << tries.saturating_sub(1).min(8)).min(CONFIRM_AT_MOST);
    after(last, runbook.paced(delay))
}
