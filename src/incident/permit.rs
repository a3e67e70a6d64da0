//! The proof that every guard was asked and none said no. Without it the dangerous call does not compile.
//!
//! Only the store hands one out, after the intent is committed; `act` takes it by value.

use jiff::Timestamp;

use super::event::Event;
use super::plan::Plan;
use super::refusal::{Answer, Guard, Refusal};
use super::{IncidentId, OperationId};

/// Leave to make one effect, once, before [`Permit::not_after`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is dropped leaves an intent in the journal without an effect"]
pub struct Permit {
    op: OperationId,
    plan: Plan,
    not_after: Timestamp,
}

impl Permit {
    /// Names the effect.
    #[must_use]
    pub const fn op(&self) -> &OperationId {
        &self.op
    }

    /// What is permitted, and nothing else.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// After this moment it is void.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// What all guards said. Can only be made by asking every one of them.
#[derive(Debug)]
pub struct Asked {
    answers: Vec<Answer>,
    refusals: Vec<Refusal>,
}

impl Asked {
    /// Asks every guard of the list, whatever the others said: people see all reasons at once.
    pub fn every(mut ask: impl FnMut(Guard) -> (Answer, Option<Refusal>)) -> Self {
        let (answers, refusals): (Vec<_>, Vec<_>) = Guard::ALL.into_iter().map(&mut ask).unzip();
        Self { answers, refusals: refusals.into_iter().flatten().collect() }
    }

    /// What each said.
    #[must_use]
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// The ones that said no.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// A permit, and the intent that must be committed before it is handed out.
    ///
    /// # Errors
    /// The answers again, when any guard said no.
    pub fn grant(self, wanted: Wanted, not_after: Timestamp) -> Result<(Event, Permit), Self> {
        if !self.refusals.is_empty() {
            return Err(self);
        }
        let Wanted { op, leg, step, plan, again } = wanted;
        let event = if again {
            Event::EffectRegranted { op: op.clone(), asked: self.answers, not_after }
        } else {
            Event::EffectIntended {
                op: op.clone(),
                leg,
                step,
                plan: plan.clone(),
                asked: self.answers,
                not_after,
            }
        };
        Ok((event, Permit { op, plan, not_after }))
    }
}

/// The effect that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub op: OperationId,
    /// On which target of the incident.
    pub leg: usize,
    /// As which step.
    pub step: usize,
    /// What it does.
    pub plan: Plan,
    /// Whether the operation's intent is in the journal already, and it was seen not to have happened.
    pub again: bool,
}

impl Wanted {
    /// The incident that wants it.
    #[must_use]
    pub fn incident(&self) -> IncidentId {
        self.op.incident()
    }
}
