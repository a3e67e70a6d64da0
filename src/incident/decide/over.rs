//! What it means when the alerts or the evidence go away, or nothing is left to be done.

use jiff::Timestamp;

use super::{Next, close, in_vain};
use crate::clock::after;
use crate::incident::event::{Event, Found};
use crate::incident::outcome::{Outcome, StepResult};
use crate::incident::restore::CHANGE_AGAIN;
use crate::incident::state::{Incident, Stage};
use crate::runbook::Runbook;

/// Late is not never, but it is not what `verify` was promised either: a person should know.
pub(super) const GONE_BEFORE_THE_NEXT_STEP: &str =
    "verify did not hold in time, and the evidence went away before the next step";

pub(super) const RESOLVED_BY_ITSELF: &str = "the alert resolved; the remaining targets need nothing";

/// All alerts have resolved or are suppressed, and no effect is on its way: no further step is begun.
pub(super) fn on_resolved(incident: &Incident) -> Option<Event> {
    let closed = |outcome, why: &str| Some(Event::Closed { outcome, why: why.to_owned() });
    if incident.effects == 0 {
        return match incident.stage {
            // What ended has its own word.
            Stage::StepEnded { result: Some(StepResult::Failed), .. } | Stage::Declined { .. } => None,
            _ if shadowed(incident) => None,
            _ if let Some(why) = incident.suppressed() => {
                closed(Outcome::Declined, &format!("the alert was {why}, before anything was done"))
            }
            _ if incident.kept_away => {
                closed(Outcome::Joined, "another incident was worked on meanwhile, and the alert resolved")
            }
            _ => closed(Outcome::SelfHealed, "the alert resolved before anything was done"),
        };
    }
    match incident.stage {
        // The end of a step says itself how it went.
        Stage::StepEnded { .. } | Stage::Declined { .. } => None,
        _ if let Some(why) = incident.suppressed() => {
            let (outcome, why) = suppressed(incident, why);
            closed(outcome, &why)
        }
        _ if in_vain(incident) => {
            closed(Outcome::Stopped, "the alert resolved before the next step; what was done did not verify")
        }
        _ => closed(Outcome::Recovered, RESOLVED_BY_ITSELF),
    }
}

/// Whether something would have been done to a target, but for the shadow.
fn shadowed(incident: &Incident) -> bool {
    incident.legs.iter().any(|leg| leg.result == Some(StepResult::WouldAct))
}

/// Something was done, and the rest is no longer wanted. What did not help is a person's to know all the same.
pub(super) fn suppressed(incident: &Incident, why: &str) -> (Outcome, String) {
    match in_vain(incident) {
        true => {
            (Outcome::Stopped, format!("verify did not hold, and the alert was {why}, before the next step"))
        }
        false => (Outcome::Declined, format!("the alert was {why}; nothing more was begun")),
    }
}

pub(super) fn on_not_confirmed(
    incident: &Incident,
    runbook: &Runbook,
    since: Timestamp,
    at: Timestamp,
    found: Found,
) -> Option<Event> {
    let closed = |outcome, why: String| Some(Event::Closed { outcome, why });
    match found {
        Found::Holds => None,
        Found::Unknown if at >= incident.opened.deadline => {
            closed(Outcome::Inconclusive, "the evidence could not be had before the deadline".to_owned())
        }
        Found::Unknown => None,
        Found::Fails if incident.effects > 0 && in_vain(incident) => {
            closed(Outcome::Stopped, GONE_BEFORE_THE_NEXT_STEP.to_owned())
        }
        Found::Fails if incident.effects > 0 => {
            closed(Outcome::Recovered, "the remaining targets show no evidence any more".to_owned())
        }
        Found::Fails if incident.kept_away => closed(
            Outcome::Joined,
            "another incident was worked on meanwhile, and the evidence is gone".to_owned(),
        ),
        Found::Fails if incident.held_at.is_some() => {
            closed(Outcome::SelfHealed, "the evidence went away before anything was done".to_owned())
        }
        Found::Fails if at >= after(since, runbook.confirm_within).min(incident.opened.deadline) => {
            let why = match incident.opened.by_hand() {
                Some(_) => "it was begun by hand, and the evidence says no",
                None => "the alert fires, and the evidence says no",
            };
            closed(Outcome::NotConfirmed, why.to_owned())
        }
        Found::Fails => None,
    }
}

/// Nothing is left to be done: what was done before, and on which target, says how it went.
pub(super) fn nothing_left(incident: &Incident, recovered: &str, healed: &str) -> Next {
    if incident.opened.restore.is_some() {
        return nothing_left_to_restore(incident);
    }
    if incident.effects > 0 {
        close(Outcome::Recovered, recovered)
    } else if shadowed(incident) {
        close(Outcome::WouldAct, "in shadow: nothing was done")
    } else {
        close(Outcome::SelfHealed, healed)
    }
}

/// A restore is well when everything is as it was before, and stays well.
fn nothing_left_to_restore(incident: &Incident) -> Next {
    if incident.step == CHANGE_AGAIN && incident.effects > 0 {
        return close(
            Outcome::NotRecovered,
            "the trouble came back when it was put back, so it was changed again, once; it stays so until a person decides",
        );
    }
    if !incident.left_alone.is_empty() {
        return close(Outcome::Blocked, &format!("left alone: {}", incident.left_alone.join("; ")));
    }
    match incident.effects {
        0 => close(Outcome::SelfHealed, "nothing was left to put back"),
        _ => close(Outcome::Recovered, "it is as it was before, and verify held"),
    }
}
