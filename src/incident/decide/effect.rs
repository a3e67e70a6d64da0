//! What comes next while an effect is on its way, and what the answers to a `verify` mean.

use jiff::Timestamp;

use super::wait::refused;
use super::{
    CONFIRM_AGAIN, FRESH, Moment, Next, PERMITS_AT_MOST, UNKNOWN_AGAIN, VERIFY_EVERY, again, at_or_wait,
};
use crate::clock::{after, between};
use crate::incident::event::{Event, Found};
use crate::incident::outcome::StepResult;
use crate::incident::permit::Wanted;
use crate::incident::state::{Effect, Incident, Stage};
use crate::runbook::{Runbook, StepKind, Verify};
use crate::text::span;

/// An effect is on its way: it is brought to its end whatever else happens.
pub(super) fn with_effect(incident: &Incident, runbook: &Runbook, moment: &Moment, effect: &Effect) -> Next {
    let now = moment.now;
    let end = |result: StepResult, why: String| {
        Next::Append(Event::StepEnded {
            leg: incident.leg,
            step: incident.step,
            op: Some(effect.op.clone()),
            result,
            why,
        })
    };
    // What happened in part did happen.
    let dropped = |why: String| match &effect.partly {
        None => end(StepResult::Dropped, format!("it did not happen, and {why}")),
        Some(saw) => end(StepResult::Ambiguous, format!("it was done in part ({saw}), and {why}")),
    };
    let deadline = incident.opened.deadline.max(after(effect.intended_at, effect.plan.settles_within));
    match &incident.stage {
        Stage::Unclear { unseen: None, .. } => Next::Observe(effect.clone()),
        Stage::Unclear { unseen: Some((tries, at)), .. } => {
            if now >= deadline {
                let why = "the target could not be looked at, so it is not known whether this was done";
                return end(StepResult::Ambiguous, why.to_owned());
            }
            at_or_wait(now, again(runbook, *at, *tries), Next::Observe(effect.clone()))
        }
        Stage::NotDone { at, .. } => {
            if incident.resolved() {
                let gone = incident.suppressed().map(|why| format!("was {why}"));
                let gone = gone.as_deref().unwrap_or("has resolved");
                // A call that timed out can still arrive: a last look, unless the last one was just now.
                if now > after(*at, runbook.paced(CONFIRM_AGAIN)) {
                    return Next::Observe(effect.clone());
                }
                return dropped(format!("the alert {gone}"));
            }
            if effect.permits >= PERMITS_AT_MOST {
                let why = format!("it was tried {} times and could not be done", effect.permits);
                return end(StepResult::Failed, why);
            }
            let fresh = incident.held_at.is_some_and(|held| now <= after(held, runbook.paced(FRESH)));
            if !fresh {
                return Next::Confirm;
            }
            let wanted = Wanted {
                op: effect.op.clone(),
                leg: incident.leg,
                step: incident.step,
                plan: effect.plan.clone(),
                again: true,
            };
            at_or_wait(
                now,
                again(runbook, *at, effect.permits.saturating_sub(1)),
                Next::Commit(Box::new(wanted)),
            )
        }
        Stage::Confirm { tries, last, .. } => match last {
            None => Next::Confirm,
            Some((_, Found::Fails)) => dropped("the evidence is gone".to_owned()),
            Some(_) if now >= deadline || incident.resolved() => {
                dropped("it could not be confirmed anew".to_owned())
            }
            Some((at, _)) => at_or_wait(now, again(runbook, *at, *tries), Next::Confirm),
        },
        Stage::Refused { until, .. } => {
            if incident.resolved() || now >= deadline {
                return dropped("it is no longer allowed".to_owned());
            }
            match refused(incident, runbook, moment, *until) {
                Next::Append(_) => dropped("it is no longer allowed".to_owned()),
                next => next,
            }
        }
        Stage::Following { since, .. } => {
            let until = after(effect.intended_at.max(*since), effect.plan.settles_within);
            if now >= until {
                let saw = format!("not complete after {}", span(effect.plan.settles_within));
                return Next::Append(Event::EffectStalled { op: effect.op.clone(), saw, failed: false });
            }
            Next::Follow(effect.clone())
        }
        Stage::Verifying { since, last, .. } => verifying(incident, runbook, now, effect, *since, *last, end),
        Stage::Ending { result, why, .. } => end(*result, why.clone()),
        // An intent without an answer: the process died in between. Nothing is done before it was looked.
        _ => Next::Observe(effect.clone()),
    }
}

fn verifying(
    incident: &Incident,
    runbook: &Runbook,
    now: Timestamp,
    effect: &Effect,
    since: Timestamp,
    last: Option<(Timestamp, Found)>,
    end: impl Fn(StepResult, String) -> Next,
) -> Next {
    let Some(StepKind::Remediate { verify, .. }) = runbook.steps.get(incident.step).map(|step| &step.kind)
    else {
        return end(StepResult::Inconclusive, "the runbook has no verify for this step".to_owned());
    };
    judged(runbook, now, verify, (since, last), Next::Verify(effect.clone(), since), end)
}

/// What the last answer means, or when it is asked again.
pub(super) fn judged(
    runbook: &Runbook,
    now: Timestamp,
    verify: &Verify,
    (since, last): (Timestamp, Option<(Timestamp, Found)>),
    ask: Next,
    end: impl Fn(StepResult, String) -> Next,
) -> Next {
    let deadline = after(since, verify.within.max(verify.hold));
    match last {
        Some((_, Found::Holds)) => {
            return end(StepResult::Recovered, format!("verify held for {}", span(verify.hold)));
        }
        Some((at, found)) if at >= deadline => {
            let within = span(verify.within);
            return match found {
                Found::Unknown => end(
                    StepResult::Inconclusive,
                    format!("verify could not be answered within {within}; no further step was begun"),
                ),
                Found::Holds | Found::Fails => {
                    end(StepResult::NotRecovered, format!("verify did not hold within {within}"))
                }
            };
        }
        _ => {}
    }
    let first = after(since, verify.hold);
    // What may take days is asked often at first, and then less and less.
    let every = |at| runbook.paced(VERIFY_EVERY).max((between(since, at) / 4).min(verify.within / 20));
    let next = last.map_or(first, |(at, found)| match found {
        // No answer says nothing of the hours to come.
        Found::Unknown => after(at, every(at).min(runbook.paced(UNKNOWN_AGAIN))),
        Found::Holds | Found::Fails => after(at, every(at)),
    });
    let next = next.clamp(first, deadline.max(first));
    at_or_wait(now, next, ask)
}
