//! Everything that can happen to an incident. The events are the contract between the stages, the journal and
//! every reader of it: the audit log, the timeline, the Slack thread and the ledger of the limits are made of them.
//!
//! A variant or field may be added; one that was written once keeps its meaning. [`VERSION`] is stored beside each.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::drill::{Announced, Rehearsed};
use super::evidence::Evidence;
use super::outcome::{Outcome, StepResult};
use super::plan::{Plan, Target};
use super::refusal::{Answer, Refusal};
use super::{IncidentId, OperationId};
use crate::alert::{Alert, Fingerprint};
use crate::runbook::{Field, Hash};

pub use super::opened::{Opened, Restore};

/// The version of the event set that this release writes. A higher one is left alone and reported.
pub const VERSION: u32 = 1;

/// An event in its place in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// From 1, without gaps, per incident.
    pub seq: u64,
    /// The store's time at the commit.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// Something that happened to an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first alert of its scope came, and a runbook answers it; or a person began it.
    Opened(Opened),
    /// Further alerts of the same scope.
    AlertsJoined {
        /// As they came.
        alerts: Vec<Alert>,
        /// How many more came than an incident keeps.
        more: u64,
    },
    /// Alertmanager no longer hears of these alerts.
    AlertsResolved {
        /// Their fingerprints.
        fingerprints: Vec<Fingerprint>,
    },
    /// Alertmanager sends these alerts to nobody any more, although it still hears of them: a silence, an inhibition, or a mute
    /// time. Nothing more is begun for them; what is under way is seen through.
    AlertsSuppressed {
        /// Their fingerprints.
        fingerprints: Vec<Fingerprint>,
        /// By whom or what, such as "silenced in Alertmanager by ana: deploying".
        why: String,
    },
    /// It waits behind an incident of a runbook in `defer_to`.
    StoodBack {
        /// That incident.
        behind: IncidentId,
        /// That incident's runbook.
        runbook: String,
        /// When it looks again.
        until: Timestamp,
    },
    /// The probes of `confirm` have answered.
    Confirmed {
        /// What the answers come to.
        found: Found,
        /// Each probe's answer.
        answers: Vec<Evidence>,
        /// Where a person sees it for themselves.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        links: Vec<Link>,
    },
    /// The targets, most affected first.
    LegsChosen {
        /// What will be worked on, one after the other.
        legs: Vec<Leg>,
    },
    /// A target needs nothing any more.
    LegSkipped {
        /// Which.
        leg: usize,
        /// Why.
        why: String,
    },
    /// The next step on the same target, or the first one on the next.
    StepBegan {
        /// On which target.
        leg: usize,
        /// Which.
        step: usize,
    },
    /// A diagnosis has looked.
    Diagnosed {
        /// On which target.
        leg: usize,
        /// As which step.
        step: usize,
        /// What it is about, in the runbook's words; empty in journals of before that was kept.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        about: String,
        /// What it found.
        answers: Vec<Evidence>,
    },
    /// A step that only expects something begins to wait for it. Nothing before this moment counts.
    Awaiting {
        /// On which target.
        leg: usize,
        /// As which step.
        step: usize,
        /// In the runbook's words.
        expects: String,
    },
    /// Whether what a step expects has come.
    Awaited {
        /// On which target.
        leg: usize,
        /// As which step.
        step: usize,
        /// What the answers come to.
        found: Found,
        /// Each answer.
        answers: Vec<Evidence>,
    },
    /// A step whose condition does not hold.
    StepSkipped {
        /// On which target.
        leg: usize,
        /// Which.
        step: usize,
        /// Why.
        why: String,
        /// What the probes of its `when` found.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        answers: Vec<Evidence>,
    },
    /// What would be done, in full.
    Planned {
        /// On which target.
        leg: usize,
        /// As which step.
        step: usize,
        /// The change, the value before, what else is touched.
        plan: Plan,
        /// What the probes of its `when` found: why this step and no other.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        answers: Vec<Evidence>,
    },
    /// No plan can be made: the target does not exist, or can not be read.
    PlanFailed {
        /// On which target.
        leg: usize,
        /// As which step.
        step: usize,
        /// In an operator's words.
        why: String,
        /// Whether asking again can help.
        for_good: bool,
    },
    /// Changes that are no longer runbookd's to put back: somebody else has put them back, or changed them once more.
    Released {
        /// On which target.
        leg: usize,
        /// Which, and why.
        changes: Vec<Released>,
    },
    /// In shadow: this would have been done.
    WouldAct {
        /// On which target.
        leg: usize,
        /// As which step.
        step: usize,
        /// What every guard said.
        asked: Vec<Answer>,
        /// In a drill: what the other system said to the very call, asked not to carry it out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rehearsed: Option<Rehearsed>,
    },
    /// Somebody plays a drill and is about to make this fault. Written before they do, so whether they did is not known.
    FaultAnnounced {
        /// Names it for ever, as if it were an effect: what it sets is put back in its time.
        op: OperationId,
        /// What is broken.
        announced: Announced,
    },
    /// A guard said no.
    Refused {
        /// On which target.
        leg: usize,
        /// As which step.
        step: usize,
        /// Who, why, and until when.
        refusals: Vec<Refusal>,
        /// When it is asked again; none: not before the incident's deadline.
        until: Option<Timestamp>,
    },
    /// A person must approve the plan.
    ApprovalAsked {
        /// On which target.
        leg: usize,
        /// As which step.
        step: usize,
        /// What the person judges: see [`Plan::judged`].
        judged: Hash,
        /// After this moment nobody can.
        expires: Timestamp,
        /// Why a runbook that may act on its own asks: the proof that the configuration demands is missing. None: it is set so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A person said yes.
    Approved {
        /// Who.
        by: String,
        /// To what.
        judged: Hash,
    },
    /// A person said no.
    Declined {
        /// Who.
        by: String,
        /// Why, in their words.
        reason: String,
    },
    /// The intent: written before the effect, with what it uses up of the limits.
    EffectIntended {
        /// Names the effect for ever.
        op: OperationId,
        /// On which target.
        leg: usize,
        /// As which step.
        step: usize,
        /// What is about to be done.
        plan: Plan,
        /// What every guard said.
        asked: Vec<Answer>,
        /// After this moment the permit is void.
        not_after: Timestamp,
    },
    /// The same operation may be tried again: it was seen not to have happened.
    EffectRegranted {
        /// Which.
        op: OperationId,
        /// What the guards said that are asked again.
        asked: Vec<Answer>,
        /// After this moment the permit is void.
        not_after: Timestamp,
    },
    /// The other system answered.
    EffectAnswered {
        /// Which.
        op: OperationId,
        /// How.
        result: EffectResult,
    },
    /// The target was looked at, to learn what became of an effect.
    EffectObserved {
        /// Which.
        op: OperationId,
        /// What was seen.
        found: Observation,
    },
    /// The effect is complete: for a restart, the rollout has come to its end.
    EffectCompleted {
        /// Which.
        op: OperationId,
        /// What was seen, such as "2 of 2 pods are new and available".
        saw: String,
    },
    /// The effect was made and did not come to its end.
    EffectStalled {
        /// Which.
        op: OperationId,
        /// What was seen.
        saw: String,
        /// Whether it is known to have failed, or only not known to have come to its end.
        failed: bool,
    },
    /// What `verify` found.
    Verified {
        /// Which effect is judged.
        op: OperationId,
        /// What the answers come to.
        found: Found,
        /// Each answer.
        answers: Vec<Evidence>,
    },
    /// A step on a target has come to its end, and the target is free.
    StepEnded {
        /// On which target.
        leg: usize,
        /// Which.
        step: usize,
        /// Its effect; none for a step that only expected something.
        op: Option<OperationId>,
        /// How.
        result: StepResult,
        /// Why, for people.
        why: String,
    },
    /// The end.
    Closed {
        /// How.
        outcome: Outcome,
        /// Why, for people.
        why: String,
    },
}

/// An address for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What is there.
    pub title: String,
    /// Where.
    pub url: String,
}

/// A change that is no longer runbookd's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The object.
    pub object: Target,
    /// The field.
    pub field: Field,
    /// The operation that had changed it: one that was taken over since is kept.
    pub op: OperationId,
    /// What was seen, and who wrote it, as far as that can be told.
    pub why: String,
    /// Somebody changed it once more: it is not as it was before our first change, and a person is told.
    pub left_alone: bool,
}

/// What several answers come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// All hold.
    Holds,
    /// At least one fails, and none is unknown.
    Fails,
    /// At least one is unknown. Never acts, never counts as recovered.
    Unknown,
}

/// One target of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// The object.
    pub target: Target,
    /// The values that chose it, such as `app: chat-api`.
    pub each: BTreeMap<String, String>,
    /// How affected it is; the figure that put it in its place.
    pub figure: f64,
}

/// What became of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectResult {
    /// The other system said yes.
    Applied,
    /// The other system has taken it and works on it, under these names of its own: a change of Route 53.
    Begun {
        /// By which it is asked how far that has come.
        handles: Vec<String>,
    },
    /// It said no; nothing has happened, and trying again would not help.
    Refused {
        /// A word from the closed list of reasons.
        reason: String,
        /// Its words.
        message: String,
    },
    /// It could not take the call; nothing has happened, and trying again can help.
    NotTaken {
        /// A word from the closed list of reasons.
        reason: String,
        /// Its words.
        message: String,
    },
    /// It said no after a part of it was done, which stands; trying again would not help.
    InPart {
        /// A word from the closed list of reasons.
        reason: String,
        /// Its words, and what was done.
        message: String,
    },
    /// No answer, or one that leaves it open. The target is looked at before anything else.
    Unclear {
        /// A word from the closed list of reasons.
        reason: String,
        /// Its words.
        message: String,
    },
}

/// What a look at the target says about an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// It happened.
    Done,
    /// It did not happen: the value before still stands.
    NotDone,
    /// A part of it happened; the rest can be tried again, and is never taken for nothing.
    Partly {
        /// What was seen.
        saw: String,
    },
    /// It can not be told. Never retried; a person is told.
    Ambiguous {
        /// What was seen.
        saw: String,
    },
    /// The target could not be looked at; asked again until the incident's deadline.
    Unseen {
        /// In an operator's words.
        why: String,
    },
}

impl Event {
    /// Its name in the journal.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opened(_) => "opened",
            Self::AlertsJoined { .. } => "alerts_joined",
            Self::AlertsResolved { .. } => "alerts_resolved",
            Self::AlertsSuppressed { .. } => "alerts_suppressed",
            Self::StoodBack { .. } => "stood_back",
            Self::Confirmed { .. } => "confirmed",
            Self::LegsChosen { .. } => "legs_chosen",
            Self::LegSkipped { .. } => "leg_skipped",
            Self::StepBegan { .. } => "step_began",
            Self::Diagnosed { .. } => "diagnosed",
            Self::Awaiting { .. } => "awaiting",
            Self::Awaited { .. } => "awaited",
            Self::StepSkipped { .. } => "step_skipped",
            Self::Planned { .. } => "planned",
            Self::PlanFailed { .. } => "plan_failed",
            Self::Released { .. } => "released",
            Self::WouldAct { .. } => "would_act",
            Self::FaultAnnounced { .. } => "fault_announced",
            Self::Refused { .. } => "refused",
            Self::ApprovalAsked { .. } => "approval_asked",
            Self::Approved { .. } => "approved",
            Self::Declined { .. } => "declined",
            Self::EffectIntended { .. } => "effect_intended",
            Self::EffectRegranted { .. } => "effect_regranted",
            Self::EffectAnswered { .. } => "effect_answered",
            Self::EffectObserved { .. } => "effect_observed",
            Self::EffectCompleted { .. } => "effect_completed",
            Self::EffectStalled { .. } => "effect_stalled",
            Self::Verified { .. } => "verified",
            Self::StepEnded { .. } => "step_ended",
            Self::Closed { .. } => "closed",
        }
    }
}
