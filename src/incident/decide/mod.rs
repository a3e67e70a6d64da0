//! What comes next. The rules of the way stand here, and nowhere else.

mod effect;

use std::time::Duration;

use jiff::Timestamp;

use super::event::{Event, Found};
use super::outcome::{Outcome, StepResult};
use super::permit::Wanted;
use super::state::{Effect, Incident, LegState, Stage};
use super::{IncidentId, OperationId};
use crate::clock::after;
use crate::runbook::{Runbook, StepKind};
use crate::text::span;

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
/// How often `verify` is asked at the most; it is asked at most twenty times in its `within`.
pub const VERIFY_EVERY: Duration = Duration::from_secs(5);
/// Evidence and plans older than this are made anew before they are used.
pub const FRESH: Duration = Duration::from_secs(60);
/// An incident that stands back looks again after this long.
pub const STAND_BACK: Duration = Duration::from_secs(15);
/// How often an effect that surely did not happen is tried.
pub const PERMITS_AT_MOST: u32 = 4;

/// Late is not never, but it is not what `verify` was promised either: a person should know.
const GONE_BEFORE_THE_NEXT_STEP: &str =
    "verify did not hold in time, and the evidence went away before the next step";

const RESOLVED_BY_ITSELF: &str = "the alert resolved; the remaining targets need nothing";

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

/// What a step expects has come when every answer was yes for as long as its `hold`: what crashes again and again is well in between.
fn awaiting(
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

/// Before the first intent an incident waits while another one is open that may well be the cause. What was chosen and planned is then chosen and
/// planned anew. A person who was asked stays asked: the answer is confirmed anew, and waits here if it must.
fn stands_back(incident: &Incident, runbook: &Runbook, moment: &Moment) -> Option<Next> {
    let (behind, of) = moment.behind.as_ref().filter(|_| incident.effects == 0)?;
    let until = after(moment.now, runbook.paced(STAND_BACK));
    match &incident.stage {
        Stage::Asking { .. } | Stage::Declined { .. } | Stage::StepEnded { .. } | Stage::Awaiting { .. } => {
            None
        }
        _ if moment.now >= incident.opened.deadline => {
            Some(close(Outcome::Blocked, "it stood back behind another incident until its deadline"))
        }
        Stage::StoodBack { .. } => Some(Next::Wait(until.min(incident.opened.deadline))),
        Stage::Confirm { .. }
        | Stage::ChooseLegs
        | Stage::Begin { .. }
        | Stage::Planned(_)
        | Stage::Refused { .. } => {
            let (behind, runbook) = (behind.clone(), of.clone());
            Some(Next::Append(Event::StoodBack { behind, runbook, until }))
        }
        _ => None,
    }
}

/// All alerts have resolved or are suppressed, and no effect is on its way: no further step is begun.
fn on_resolved(incident: &Incident) -> Option<Event> {
    let closed = |outcome, why: &str| Some(Event::Closed { outcome, why: why.to_owned() });
    if incident.effects == 0 {
        let shadowed = incident.legs.iter().any(|leg| leg.result == Some(StepResult::WouldAct));
        return match incident.stage {
            // What ended has its own word.
            Stage::StepEnded { result: Some(StepResult::Failed), .. } | Stage::Declined { .. } => None,
            _ if shadowed => None,
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

/// Something was done, and the rest is no longer wanted. What did not help is a person's to know all the same.
fn suppressed(incident: &Incident, why: &str) -> (Outcome, String) {
    match in_vain(incident) {
        true => {
            (Outcome::Stopped, format!("verify did not hold, and the alert was {why}, before the next step"))
        }
        false => (Outcome::Declined, format!("the alert was {why}; nothing more was begun")),
    }
}

fn on_not_confirmed(
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
            closed(Outcome::NotConfirmed, "the alert fires, and the evidence says no".to_owned())
        }
        Found::Fails => None,
    }
}

fn begin(
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
        None => return no_step_left(incident),
        // Nothing is begun after the deadline.
        Some(_) if incident.effects == 0 && now >= incident.opened.deadline => {
            return match current(incident).is_some_and(|leg| leg.in_vain) {
                true => close(Outcome::NotRecovered, "what was expected did not come before the deadline"),
                false => close(Outcome::Inconclusive, "the deadline came before anything was begun"),
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

fn current(incident: &Incident) -> Option<&LegState> {
    incident.legs.get(incident.leg)
}

/// Whether something was done to the target at hand, and did not help.
fn in_vain(incident: &Incident) -> bool {
    current(incident).is_some_and(|leg| leg.in_vain && leg.acted)
}

/// Every step was taken or left out, and none of them helped.
fn no_step_left(incident: &Incident) -> Next {
    let why = match current(incident) {
        Some(leg) if leg.acted => "every step was tried, and verify did not hold",
        Some(leg) if leg.in_vain => "what was expected did not come, and no step is left that applies",
        _ => "no step of the runbook applies",
    };
    close(Outcome::NotRecovered, why)
}

/// Whether what was confirmed is too old to act on.
fn is_old(incident: &Incident, runbook: &Runbook, now: Timestamp) -> bool {
    incident.held_at.is_some_and(|held| now > after(held, runbook.paced(FRESH)))
}

/// A guard said no: wait until that ends, when it ends before the incident's deadline; then confirm anew.
fn refused(incident: &Incident, runbook: &Runbook, moment: &Moment, until: Option<Timestamp>) -> Next {
    use super::refusal::Guard;
    let deadline = incident.opened.deadline;
    let reasons = || {
        let words: Vec<String> =
            incident.refusals.iter().map(|no| format!("{}: {} ({})", no.guard, no.saw, no.limit)).collect();
        words.join("; ")
    };
    let by_pause = incident.refusals.iter().any(|refusal| refusal.guard == Guard::Pause);
    let others_end = incident
        .refusals
        .iter()
        .filter(|refusal| refusal.guard != Guard::Pause)
        .all(|refusal| refusal.until.is_some_and(|until| until < deadline));
    if !others_end || moment.now >= deadline {
        return close(Outcome::Blocked, &reasons());
    }
    if by_pause && moment.paused {
        // Nobody knows when a person resumes; the pipeline asks again when they do.
        return Next::Wait(deadline);
    }
    let until = until.unwrap_or_else(|| after(incident.touched_at, runbook.paced(CONFIRM_AGAIN)));
    at_or_wait(moment.now, until, Next::Confirm)
}

fn step_ended(incident: &Incident, runbook: &Runbook, result: Option<StepResult>, why: &str) -> Next {
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
                answers => super::evidence::all_of(answers),
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

/// Nothing is left to be done: what was done before, and on which target, says how it went.
fn nothing_left(incident: &Incident, recovered: &str, healed: &str) -> Next {
    if incident.effects > 0 {
        close(Outcome::Recovered, recovered)
    } else if incident.legs.iter().any(|leg| leg.result == Some(StepResult::WouldAct)) {
        close(Outcome::WouldAct, "in shadow: nothing was done")
    } else {
        close(Outcome::SelfHealed, healed)
    }
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
