//! What an incident waits for that is not its own: another incident, or a guard that said no.

use jiff::Timestamp;

use super::{CONFIRM_AGAIN, Moment, Next, STAND_BACK, at_or_wait, close};
use crate::clock::after;
use crate::incident::event::Event;
use crate::incident::outcome::Outcome;
use crate::incident::refusal::Guard;
use crate::incident::state::{Incident, Stage};
use crate::runbook::Runbook;

/// Before the first intent an incident waits while another one is open that may well be the cause. What was chosen and planned is then chosen and
/// planned anew. A person who was asked stays asked: the answer is confirmed anew, and waits here if it must.
pub(super) fn stands_back(incident: &Incident, runbook: &Runbook, moment: &Moment) -> Option<Next> {
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

/// What the guards said the last time.
pub(super) fn reasons(incident: &Incident) -> String {
    let words: Vec<String> =
        incident.refusals.iter().map(|no| format!("{}: {} ({})", no.guard, no.saw, no.limit)).collect();
    words.join("; ")
}

/// A guard said no: wait until that ends, when it ends before the incident's deadline; then confirm anew.
pub(super) fn refused(
    incident: &Incident,
    runbook: &Runbook,
    moment: &Moment,
    until: Option<Timestamp>,
) -> Next {
    let deadline = incident.opened.deadline;
    let by_pause = incident.refusals.iter().any(|refusal| refusal.guard == Guard::Pause);
    let others_end = incident
        .refusals
        .iter()
        .filter(|refusal| refusal.guard != Guard::Pause)
        .all(|refusal| refusal.until.is_some_and(|until| until < deadline));
    if !others_end || moment.now >= deadline {
        return close(Outcome::Blocked, &reasons(incident));
    }
    if by_pause && moment.paused {
        // Nobody knows when a person resumes; the pipeline asks again when they do.
        return Next::Wait(deadline);
    }
    let until = until.unwrap_or_else(|| after(incident.touched_at, runbook.paced(CONFIRM_AGAIN)));
    at_or_wait(moment.now, until, Next::Confirm)
}
