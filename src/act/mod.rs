//! Actions: one file each, with plan, apply, observe, follow. Only here is anything changed, and only with a
//! permit, which is taken by value.
//!
//! A plan reads. `apply` makes the call once and never again by itself. `observe` tells what became of it.
//! `follow` looks whether the effect has come to its end. An action that changes something for a while adds
//! `revert`; a restart has nothing to put back.

mod restart;

use jiff::Timestamp;

use crate::clients::kubernetes::Kubernetes;
use crate::clients::{CallError, Reason};
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Plan, Target};
use crate::runbook::Action;

/// The hands: everything that can change something.
#[derive(Clone)]
pub struct Hands {
    kubernetes: Kubernetes,
}

/// No plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct PlanError {
    /// In an operator's words.
    pub why: String,
    /// Whether asking again can not help.
    pub for_good: bool,
}

/// Whether an effect has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// It has.
    Complete(String),
    /// Not yet.
    NotYet(String),
    /// It never will.
    Failed(String),
    /// Something else came on top of it.
    Overtaken(String),
    /// It could not be looked at.
    Unseen(String),
}

impl Hands {
    /// Hands for this cluster.
    #[must_use]
    pub const fn new(kubernetes: Kubernetes) -> Self {
        Self { kubernetes }
    }

    /// What the action would do. Reads only.
    ///
    /// # Errors
    /// [`PlanError`] when the target does not exist or can not be read.
    pub async fn plan(&self, action: Action, target: &Target, now: Timestamp) -> Result<Plan, PlanError> {
        match action {
            Action::Restart => restart::plan(&self.kubernetes, target, now).await,
        }
    }

    /// Makes the effect, once. The permit is used up, whatever comes of it.
    pub async fn apply(&self, permit: Permit, now: Timestamp) -> EffectResult {
        if now > permit.not_after() {
            return EffectResult::NotTaken {
                reason: Reason::Timeout.as_str().to_owned(),
                message: "the permit had run out before the call was made".to_owned(),
            };
        }
        match permit.plan().action {
            Action::Restart => restart::apply(&self.kubernetes, permit).await,
        }
    }

    /// What became of an effect that was intended.
    pub async fn observe(&self, plan: &Plan) -> Observation {
        match plan.action {
            Action::Restart => restart::observe(&self.kubernetes, plan).await,
        }
    }

    /// Whether an effect that happened has come to its end.
    pub async fn follow(&self, plan: &Plan) -> Followed {
        match plan.action {
            Action::Restart => restart::follow(&self.kubernetes, plan).await,
        }
    }
}

/// What a failed write means for its effect.
fn result_of(error: CallError) -> EffectResult {
    let (reason, message) = (error.reason.as_str().to_owned(), error.to_string());
    match error.reason {
        // One 403 is no proof: an API server that has just started was seen to refuse what it allows.
        Reason::RateLimited | Reason::Unreachable | Reason::Denied => {
            EffectResult::NotTaken { reason, message }
        }
        Reason::NotFound | Reason::Conflict | Reason::ClientError => {
            EffectResult::Refused { reason, message }
        }
        Reason::Timeout | Reason::ServerError => EffectResult::Unclear { reason, message },
    }
}
