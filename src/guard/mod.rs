//! The guards: pure questions over the ledger, the plan and the runbook. No effect without a permit, and only
//! this module makes one. A guard that can not answer refuses.
//!
//! One file per guard. [`ask`] asks every one of them, whatever the others said.

mod busy;
mod circumstances;
mod cooldown;
mod deploying;
mod freshness;
mod mode;
mod namespace;
mod pause;
mod rate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;
use crate::incident::Event;
use crate::incident::ledger::Ledger;
use crate::incident::permit::{Asked, Permit, Wanted};
use crate::incident::proven::Demand;
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::runbook::{Mode, Rate, Runbook};

/// What the operator allows, from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The most that any runbook may do.
    pub ceiling: Mode,
    /// The namespaces that may be acted on, and the most that may be done there. Empty: none.
    pub namespaces: BTreeMap<String, Mode>,
    /// The most that may be done to a node itself, which pods of every namespace run on.
    pub nodes: Mode,
    /// At most this many attempts of all runbooks together.
    pub rate: Rate,
    /// What must be proven of a runbook before it may act on its own; none: nothing. Without it a person is asked.
    pub proof: Option<Demand>,
}

/// One question to all guards. Owns what it looks at, because it is asked under the ledger's lock.
#[derive(Debug, Clone)]
pub struct Question {
    /// The effect that is wanted.
    pub wanted: Wanted,
    /// The runbook that wants it.
    pub runbook: Arc<Runbook>,
    /// What the operator allows.
    pub policy: Arc<Policy>,
    /// When `confirm` held the last time.
    pub held_at: Option<Timestamp>,
    /// Whether a person approved exactly this plan.
    pub approved: bool,
    /// The most that may be done for its alerts: nothing for those that a drill has made up, and nothing without a person for those that say so of themselves.
    pub most: Mode,
}

/// How long a permit is good for.
const PERMIT: Duration = Duration::from_secs(30);

/// Asks every guard.
#[must_use]
pub fn ask(question: &Question, ledger: &Ledger) -> Asked {
    Asked::every(|guard| {
        if question.wanted.again && !guard.asked_again() {
            return allow(guard, "counted already", "asked at the first permit of this operation");
        }
        match guard {
            Guard::Mode => mode::ask(question, ledger),
            Guard::Namespace => namespace::ask(question),
            Guard::Pause => pause::ask(ledger),
            Guard::Freshness => freshness::ask(question, ledger.now),
            Guard::Circumstances => circumstances::ask(question, ledger.now),
            Guard::Deploying => deploying::ask(question, ledger.now),
            Guard::Busy => busy::ask(question, ledger),
            Guard::Cooldown => cooldown::ask(question, ledger),
            Guard::RunbookRate => rate::ask_runbook(question, ledger),
            Guard::GlobalRate => rate::ask_global(question, ledger),
        }
    })
}

/// Asks every guard, and makes the permit when none says no. Pure: what the store runs under its lock.
///
/// # Errors
/// What the guards said, when one of them said no.
pub fn grant(question: &Question, ledger: &Ledger) -> Result<(Event, Permit), Asked> {
    ask(question, ledger).grant(question.wanted.clone(), after(ledger.now, PERMIT))
}

/// The mode that is set: the lowest of the ceiling, the namespace's, the runbook's and the step's. Where it is `act`, the guard may still lower it to
/// `ask`, because a proof is missing in the ledger: see [`waits_for_a_person`].
#[must_use]
pub fn effective_mode(question: &Question) -> Mode {
    mode::set(question).0
}

/// Whether this refusal ends with a person's yes to the plan.
#[must_use]
pub fn waits_for_a_person(refusal: &Refusal) -> bool {
    refusal.guard == Guard::Mode && refusal.saw == Mode::Ask.as_str()
}

/// What is meant for a while must not become permanent because something was lowered or used up since.
fn restores(guard: Guard) -> (Answer, Option<Refusal>) {
    allow(guard, "it ends a change of runbookd's own", "not asked of a restore")
}

fn allow(guard: Guard, saw: impl Into<String>, limit: impl Into<String>) -> (Answer, Option<Refusal>) {
    (Answer { guard, saw: saw.into(), limit: limit.into(), allows: true }, None)
}

fn refuse(
    guard: Guard,
    saw: impl Into<String>,
    limit: impl Into<String>,
    until: Option<Timestamp>,
) -> (Answer, Option<Refusal>) {
    let (saw, limit) = (saw.into(), limit.into());
    let refusal = Refusal { guard, saw: saw.clone(), limit: limit.clone(), until };
    (Answer { guard, saw, limit, allows: false }, Some(refusal))
}
