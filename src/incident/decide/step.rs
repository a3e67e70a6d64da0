//! The way of a step that has no effect on its way: how it begins, what it expects, and what follows on its end.

use jiff::Timestamp;

use super::over::{GONE_BEFORE_THE_NEXT_STEP, RESOLVED_BY_ITSELF, nothing_left, suppressed};
use super::wait::reasons;
use super::{FRESH, Next, VERIFY_EVERY, again, at_or_wait, close, current, in_vain};
use crate::clock::after;
use crate::incident::event::{Event, Found};
use crate::incident::evidence::all_of;
use crate::incident::outcome::{Outcome, StepResult};
use crate::incident::state::Incident;
use crate::runbook::{Runbook, StepKind};
use crate::text::span;

pub(super) fn begin(
    incident: &Incident,
    runbook: &Runbook,
    now: Timestamp,
    failed: Option<&(u32, Timestamp, String)>,
) -> Next {
    if let (Some(each), Some(leg)) = (&runbook.targets.each, incident.current_leg())
        && let Some(value) = leg.each.get(&each.label)
        && let Some(evidence) = incident.evidence.iter().find(|evidence| evidence.probe == each.probe)
        && !evidence.by.contains_key(value)
    {
        if incident.effects > 0 && in_vain(incident) {
            return close(Outcome::Stopped, GONE_BEFORE_THE_NEXT_STEP);
        }
        let why = format!("{} no longer shows {}={value}", each.probe, each.label);
        return Next::Append(Event::LegSkipped { leg: incident.leg, why });
    }
    let step = runbook.steps.get(incident.step);
    let next = match step.map(|step| &step.kind) {
        None => return no_step_left(incident, runbook),
        // Nothing is begun after the deadline.
        Some(_) if incident.effects == 0 && now >= incident.opened.deadline => {
            return match current(incident).is_some_and(|leg| leg.in_vain) {
                true => close(Outcome::NotRecovered, "what was expected did not come before the deadline"),
                // It was looked at once more, and there was no time left to ask them again.
                false if failed.is_none() && !incident.refusals.is_empty() => {
                    close(Outcome::Blocked, &reasons(incident))
                }
                false => {
                    let why = failed
                        .as_ref()
                        .map(|(_, _, why)| format!("no plan could be made before the deadline: {why}"));
                    let nothing = "the deadline came before anything was begun";
                    close(Outcome::Inconclusive, why.as_deref().unwrap_or(nothing))
                }
            };
        }
        Some(StepKind::Diagnose(_)) => Next::Diagnose,
        Some(StepKind::Expect(_)) => {
            let expects = step.map(|step| step.title.clone()).unwrap_or_default();
            return Next::Append(Event::Awaiting { leg: incident.leg, step: incident.step, expects });
        }
        // Time has passed while something was expected or verified: what is planned rests on what is so now.
        Some(StepKind::Remediate { .. })
            if incident.step > 0 && failed.is_none() && is_old(incident, runbook, now) =>
        {
            Next::Confirm
        }
        Some(StepKind::Remediate { .. }) => Next::Plan,
    };
    match failed {
        None => next,
        Some((_, _, why)) if now >= incident.opened.deadline => {
            close(Outcome::Inconclusive, &format!("no plan could be made before the deadline: {why}"))
        }
        Some((tries, at, _)) => {
            // What was confirmed grows old while the cluster can not be read.
            let next = if is_old(incident, runbook, now) { Next::Confirm } else { next };
            at_or_wait(now, again(runbook, *at, *tries), next)
        }
    }
}

/// What a step expects has come when every answer was yes for as long as its `hold`: what crashes again and again is well in between.
pub(super) fn awaiting(
    incident: &Incident,
    runbook: &Runbook,
    now: Timestamp,
    since: Timestamp,
    last: Option<(Timestamp, Found)>,
    held_since: Option<Timestamp>,
) -> Next {
    let (leg, step) = (incident.leg, incident.step);
    let ended = |result, why| Next::Append(Event::StepEnded { leg, step, op: None, result, why });
    let Some(StepKind::Expect(verify)) = runbook.steps.get(step).map(|step| &step.kind) else {
        return ended(StepResult::Inconclusive, "the runbook expects nothing here".to_owned());
    };
    let Some((at, found)) = last else { return Next::Await(since) };
    let every = runbook.paced(VERIFY_EVERY).max(verify.within / 20);
    let mut next = after(at, every);
    let deadline = after(since, verify.within);
    match (found, held_since) {
        (Found::Holds, Some(held_since)) => {
            let held = after(held_since, verify.hold);
            if at >= held {
                let why = format!("what was expected came, and held for {}", span(verify.hold));
                return ended(StepResult::Recovered, why);
            }
            next = next.min(held);
        }
        (Found::Unknown, _) if at >= deadline => {
            let within = span(verify.within);
            let why =
                format!("whether it came could not be answered within {within}; no further step was begun");
            return ended(StepResult::Inconclusive, why);
        }
        _ if at >= deadline => {
            let why = format!("what was expected did not come within {}", span(verify.within));
            return ended(StepResult::NotRecovered, why);
        }
        _ => next = next.min(deadline),
    }
    at_or_wait(now, next, Next::Await(since))
}

pub(super) fn step_ended(
    incident: &Incident,
    runbook: &Runbook,
    result: Option<StepResult>,
    why: &str,
) -> Next {
    let next_leg = incident.leg + 1;
    let more_legs = next_leg < incident.legs.len();
    let go_on = || Next::Append(Event::StepBegan { leg: next_leg, step: 0 });
    let more = match result {
        None | Some(StepResult::Recovered) => more_legs || incident.unseen,
        Some(StepResult::NotRecovered) => incident.step + 1 < runbook.steps.len(),
        Some(StepResult::Dropped) => true,
        _ => false,
    };
    if let Some(quiet) = incident.suppressed().filter(|_| more) {
        let (outcome, why) = suppressed(incident, quiet);
        return close(outcome, &why);
    }
    match result {
        None | Some(StepResult::Recovered) if more_legs && !incident.resolved() => go_on(),
        // Alerts came while it worked: their targets are looked for before it is over.
        None | Some(StepResult::Recovered) if incident.unseen && !incident.resolved() => Next::Confirm,
        None | Some(StepResult::Recovered) => {
            let healed = match result {
                Some(_) => "what was expected came, and nothing had to be done",
                None => "no target shows the evidence any more",
            };
            nothing_left(incident, "verify held on every target", healed)
        }
        Some(StepResult::WouldAct) if more_legs && !incident.resolved() => go_on(),
        Some(StepResult::WouldAct) => close(Outcome::WouldAct, "in shadow: nothing was done"),
        Some(StepResult::NotRecovered) => {
            let more_steps = incident.step + 1 < runbook.steps.len();
            if more_steps && incident.resolved() {
                match in_vain(incident) {
                    true => close(
                        Outcome::Stopped,
                        "verify did not hold, and the alert resolved before the next step",
                    ),
                    // It was only waited for here; other targets were recovered before, perhaps.
                    false => nothing_left(incident, RESOLVED_BY_ITSELF, RESOLVED_BY_ITSELF),
                }
            } else if more_steps {
                Next::Append(Event::StepBegan { leg: incident.leg, step: incident.step + 1 })
            } else {
                close(Outcome::NotRecovered, why)
            }
        }
        Some(StepResult::Inconclusive) => close(Outcome::Inconclusive, why),
        Some(StepResult::Failed) => close(Outcome::Failed, why),
        Some(StepResult::Ambiguous) => close(Outcome::Ambiguous, why),
        Some(StepResult::Dropped) => {
            let last = match incident.evidence.as_slice() {
                [] => Found::Unknown,
                answers => all_of(answers),
            };
            match last {
                _ if !incident.resolved() && last != Found::Fails => {
                    close(if last == Found::Holds { Outcome::Blocked } else { Outcome::Inconclusive }, why)
                }
                // What came before this step still counts.
                _ if incident.effects == 0 => close(Outcome::SelfHealed, why),
                _ if in_vain(incident) => close(Outcome::Stopped, GONE_BEFORE_THE_NEXT_STEP),
                _ => close(Outcome::Recovered, "the remaining targets need nothing any more"),
            }
        }
    }
}

/// Every step was taken or left out, and none of them helped.
fn no_step_left(incident: &Incident, runbook: &Runbook) -> Next {
    let why = match current(incident) {
        Some(leg) if leg.acted => "every step was tried, and verify did not hold",
        Some(leg) if leg.in_vain => "what was expected did not come, and no step is left that applies",
        // What a person begins for its own sake is no trouble that is left.
        _ if runbook.is_on_demand() && incident.effects == 0 => {
            return close(Outcome::SelfHealed, "no step had anything to do");
        }
        _ => "no step of the runbook applies",
    };
    close(Outcome::NotRecovered, why)
}

/// Whether what was confirmed is too old to act on.
fn is_old(incident: &Incident, runbook: &Runbook, now: Timestamp) -> bool {
    incident.held_at.is_some_and(|held| now > after(held, runbook.paced(FRESH)))
}
