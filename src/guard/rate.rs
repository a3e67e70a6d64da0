//! How often a runbook, and the daemon as a whole, may act. Counted in the journal, so that neither a restart
//! nor a crash loop resets it.

use jiff::Timestamp;

use super::{Question, allow, refuse};
use crate::clock::{after, before};
use crate::incident::ledger::{Attempt, Ledger};
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::incident::restore::RESTORE;
use crate::runbook::Rate;

pub(super) fn ask_runbook(question: &Question, ledger: &Ledger) -> (Answer, Option<Refusal>) {
    if question.wanted.plan.action.restores() {
        return super::restores(Guard::RunbookRate);
    }
    let mine = ledger.attempts.iter().filter(|attempt| attempt.runbook == question.runbook.name);
    hold(Guard::RunbookRate, question.runbook.limits.rate, mine, ledger.now)
}

pub(super) fn ask_global(question: &Question, ledger: &Ledger) -> (Answer, Option<Refusal>) {
    if question.wanted.plan.action.restores() {
        return super::restores(Guard::GlobalRate);
    }
    let all = ledger.attempts.iter().filter(|attempt| attempt.runbook != RESTORE);
    hold(Guard::GlobalRate, question.policy.rate, all, ledger.now)
}

fn hold<'a>(
    guard: Guard,
    rate: Rate,
    attempts: impl Iterator<Item = &'a Attempt>,
    now: Timestamp,
) -> (Answer, Option<Refusal>) {
    let since = before(now, rate.per);
    let mut within: Vec<Timestamp> = attempts.map(|attempt| attempt.at).filter(|at| *at > since).collect();
    within.sort_unstable();
    let saw = format!("{} so far", crate::text::count(within.len() as u64, "attempt", "attempts"));
    let limit = format!("at most {rate}");
    let room = rate.count as usize;
    if within.len() < room {
        return allow(guard, saw, limit);
    }
    // There is room again when so many have left the window that one less than the limit is left.
    let until = if room == 0 { None } else { within.get(within.len() - room).map(|at| after(*at, rate.per)) };
    refuse(guard, saw, limit, until)
}
