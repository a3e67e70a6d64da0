//! What an incident is about, from the first question to its end.

use jiff::Timestamp;

use crate::incident::OperationId;
use crate::incident::event::Found;
use crate::incident::outcome::{Outcome, StepResult};
use crate::incident::plan::Plan;
use crate::runbook::Hash;

/// What follows when `confirm` holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// The targets are chosen.
    ChooseLegs,
    /// The step begins, or begins anew.
    Begin,
    /// The effect, seen not to have happened, is tried again.
    Regrant(Box<Effect>),
}

/// An effect on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Its name.
    pub op: OperationId,
    /// What it does.
    pub plan: Plan,
    /// When its intent was committed.
    pub intended_at: Timestamp,
    /// How often a permit was granted.
    pub permits: u32,
    /// Whether a person approved it.
    pub approved: bool,
    /// What was seen of it when only a part had happened.
    pub partly: Option<String>,
    /// What the other system calls its work on it, when it said so; lost when nobody heard its answer.
    pub handles: Vec<String>,
}

/// What an incident is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// `confirm` is asked.
    Confirm {
        /// How often it was.
        tries: u32,
        /// Since when.
        since: Timestamp,
        /// The last answer.
        last: Option<(Timestamp, Found)>,
        /// What follows when it holds.
        then: Then,
    },
    /// It waits behind another incident.
    StoodBack {
        /// When it looks again.
        until: Timestamp,
    },
    /// The targets are to be chosen.
    ChooseLegs,
    /// The step begins.
    Begin {
        /// How often a plan could not be made, and when last.
        failed: Option<(u32, Timestamp, String)>,
    },
    /// What the step expects is waited for.
    Awaiting {
        /// Since when: nothing before this counts.
        since: Timestamp,
        /// The last answer.
        last: Option<(Timestamp, Found)>,
        /// Since when every answer was yes.
        held_since: Option<Timestamp>,
    },
    /// The plan is made; the guards are to be asked.
    Planned(Plan),
    /// A guard said no.
    Refused {
        /// When it is asked again.
        until: Option<Timestamp>,
        /// What follows when `confirm` holds then.
        then: Then,
    },
    /// A person is asked.
    Asking {
        /// What for.
        plan: Plan,
        /// What the person judges.
        judged: Hash,
        /// Until when.
        expires: Timestamp,
        /// Why, where the runbook may act on its own otherwise.
        why: Option<String>,
    },
    /// A person said no.
    Declined {
        /// Who and why.
        why: String,
    },
    /// The intent is committed, and what became of it is not known.
    Intended(Effect),
    /// The target is looked at, to learn what became of the effect.
    Unclear {
        /// Which.
        effect: Effect,
        /// How often it could not be seen, and when last.
        unseen: Option<(u32, Timestamp)>,
    },
    /// The effect was seen not to have happened.
    NotDone {
        /// Which.
        effect: Effect,
        /// Since when.
        at: Timestamp,
    },
    /// The effect happened; it is followed to its end.
    Following {
        /// Which.
        effect: Effect,
        /// Since when.
        since: Timestamp,
    },
    /// The effect is complete; whether it helped is asked.
    Verifying {
        /// Which.
        effect: Effect,
        /// When it was complete: nothing before this counts.
        since: Timestamp,
        /// The last answer.
        last: Option<(Timestamp, Found)>,
    },
    /// The effect's fate is decided; the step is to be ended.
    Ending {
        /// Which.
        effect: Effect,
        /// How.
        result: StepResult,
        /// Why.
        why: String,
    },
    /// The step has ended, or the target needed nothing.
    StepEnded {
        /// How; none: the target needed nothing.
        result: Option<StepResult>,
        /// Why.
        why: String,
    },
    /// The end.
    Closed(Closed),
}

/// How an incident ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The word.
    pub outcome: Outcome,
    /// Why.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

pub(super) const fn effect_of(stage: &Stage) -> Option<&Effect> {
    match stage {
        Stage::Intended(effect)
        | Stage::Unclear { effect, .. }
        | Stage::NotDone { effect, .. }
        | Stage::Following { effect, .. }
        | Stage::Verifying { effect, .. }
        | Stage::Ending { effect, .. } => Some(effect),
        Stage::Confirm { then: Then::Regrant(effect), .. }
        | Stage::Refused { then: Then::Regrant(effect), .. } => Some(effect),
        _ => None,
    }
}

impl Stage {
    /// Its name, for people and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Confirm { .. } => "confirming",
            Self::StoodBack { .. } => "standing back",
            Self::ChooseLegs => "choosing targets",
            Self::Begin { .. } => "planning",
            Self::Awaiting { .. } => "expecting",
            Self::Planned(_) => "planned",
            Self::Refused { .. } => "refused, waiting",
            Self::Asking { .. } => "waiting for approval",
            Self::Declined { .. } => "declined",
            Self::Intended(_) => "acting",
            Self::Unclear { .. } => "observing",
            Self::NotDone { .. } => "seen not done",
            Self::Following { .. } => "following",
            Self::Verifying { .. } => "verifying",
            Self::Ending { .. } | Self::StepEnded { .. } => "ending the step",
            Self::Closed(_) => "closed",
        }
    }
}
