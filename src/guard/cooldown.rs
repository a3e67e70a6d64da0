//! After an attempt on a target there is none for a while, whoever made it and however it ended.
//! The next step of the same incident is not held up: it follows because the one before it did not help.

use super::{Question, allow, refuse};
use crate::clock::{after, between};
use crate::incident::ledger::Ledger;
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::incident::restore::RESTORE;
use crate::text::span;

pub(super) fn ask(question: &Question, ledger: &Ledger) -> (Answer, Option<Refusal>) {
    if question.wanted.plan.action.restores() {
        return super::restores(Guard::Cooldown);
    }
    let target = question.wanted.plan.key();
    let cooldown = question.runbook.limits.cooldown;
    let limit = format!("{} between two attempts", span(cooldown));
    let incident = question.wanted.incident();
    let last = ledger
        .attempts
        .iter()
        // What was put back was no attempt to cure anything.
        .filter(|attempt| attempt.runbook != RESTORE)
        .filter(|attempt| attempt.target == target && attempt.op.incident() != incident)
        .map(|attempt| attempt.at)
        .max();
    match last {
        None => allow(Guard::Cooldown, "no earlier attempt", limit),
        Some(last) => {
            let saw = format!("last attempt {} ago", span(between(last, ledger.now)));
            let over = after(last, cooldown);
            if ledger.now >= over {
                allow(Guard::Cooldown, saw, limit)
            } else {
                refuse(Guard::Cooldown, saw, limit, Some(over))
            }
        }
    }
}
