//! One effect per target: while another incident's step is on its way there, this one waits.

use std::time::Duration;

use super::{Question, allow, refuse};
use crate::clock::after;
use crate::incident::ledger::Ledger;
use crate::incident::refusal::{Answer, Guard, Refusal};

/// Nobody knows when the other incident is done; it is looked at again after this long.
const AGAIN: Duration = Duration::from_secs(60);

pub(super) fn ask(question: &Question, ledger: &Ledger) -> (Answer, Option<Refusal>) {
    let target = question.wanted.plan.key();
    let limit = "one effect per target at a time";
    match ledger.in_flight.iter().find(|effect| effect.target == target) {
        None => allow(Guard::Busy, format!("nothing in flight on {target}"), limit),
        Some(effect) => {
            let saw = format!("incident {} works on {target}", effect.incident);
            refuse(Guard::Busy, saw, limit, Some(after(ledger.now, question.runbook.paced(AGAIN))))
        }
    }
}
