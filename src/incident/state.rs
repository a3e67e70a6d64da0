//! The state of an incident, and how each event moves it. An event that does not belong here is an illegal
//! move: the incident is then left alone and reported, never guessed at.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::alerts::AlertState;
use super::event::{EffectResult, Event, Found, Leg, Observation, Opened, Recorded};
use super::evidence::Evidence;
use super::outcome::{Outcome, StepResult};
use super::plan::{Plan, Target};
use super::refusal::{Guard, Refusal};
use super::{IncidentId, OperationId};
use crate::alert::Fingerprint;
use crate::runbook::Hash;

/// The fold of an incident's events.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// The number of the last event.
    pub seq: u64,
    /// How it began.
    pub opened: Opened,
    /// When.
    pub opened_at: Timestamp,
    /// When the last event was recorded.
    pub touched_at: Timestamp,
    /// Its alerts as they stand.
    pub alerts: BTreeMap<Fingerprint, AlertState>,
    /// How many alerts it does not keep, and how many of those have resolved.
    pub more: (u64, u64),
    /// The latest answers of `confirm`.
    pub evidence: Vec<Evidence>,
    /// When `confirm` held the last time.
    pub held_at: Option<Timestamp>,
    /// Its targets, in order.
    pub legs: Vec<LegState>,
    /// Which target it works on.
    pub leg: usize,
    /// Which step it is at.
    pub step: usize,
    /// What it is about.
    pub stage: Stage,
    /// How many effects it intended.
    pub attempts: u32,
    /// How many of them may have happened.
    pub effects: u32,
    /// What a person approved and was not used yet.
    pub approved: Option<(Hash, String)>,
    /// The latest refusals.
    pub refusals: Vec<Refusal>,
    /// Whether another incident's work on this target was what kept it away, now or before.
    pub kept_away: bool,
    /// Alerts joined after the targets were chosen: nobody has looked for theirs yet.
    pub unseen: bool,
    /// The targets that recovered, which are not chosen again.
    pub cured: Vec<Target>,
}

/// A target of an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct LegState {
    /// Which.
    pub leg: Leg,
    /// How its last step ended.
    pub result: Option<StepResult>,
    /// Its last step did not help, and nothing that was done since did.
    pub in_vain: bool,
    /// Something may have been done to it.
    pub acted: bool,
    /// Why nothing was needed.
    pub skipped: Option<String>,
}

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

/// `confirm` is asked for the choice of targets.
const fn stage_for_all(since: Timestamp) -> Stage {
    Stage::Confirm { tries: 0, since, last: None, then: Then::ChooseLegs }
}

const fn effect_of(stage: &Stage) -> Option<&Effect> {
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

/// An event that can not follow on what came before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} ({event}) can not follow on an incident that is {stage}")]
pub struct IllegalMove {
    /// The event's number.
    pub seq: u64,
    /// Its name.
    pub event: String,
    /// Where the incident was.
    pub stage: String,
}

impl Incident {
    /// The incident that these events make.
    ///
    /// # Errors
    /// [`IllegalMove`] for the first event that can not follow on those before it.
    pub fn replay<'a>(
        id: &IncidentId,
        events: impl IntoIterator<Item = &'a Recorded>,
    ) -> Result<Self, IllegalMove> {
        let mut events = events.into_iter();
        let begin = |recorded: Option<&Recorded>| match recorded {
            Some(Recorded { seq: 1, at, event: Event::Opened(opened) }) => {
                Ok(Self::open(id.clone(), *at, opened.clone()))
            }
            other => Err(IllegalMove {
                seq: other.map_or(0, |recorded| recorded.seq),
                event: other.map_or("nothing", |recorded| recorded.event.name()).to_owned(),
                stage: "not begun".to_owned(),
            }),
        };
        let first = begin(events.next())?;
        events.try_fold(first, |incident, recorded| incident.after(recorded))
    }

    fn open(id: IncidentId, at: Timestamp, opened: Opened) -> Self {
        let mut incident = Self {
            id,
            seq: 1,
            opened_at: at,
            touched_at: at,
            alerts: BTreeMap::new(),
            more: (opened.more, 0),
            evidence: Vec::new(),
            held_at: None,
            legs: Vec::new(),
            leg: 0,
            step: 0,
            stage: Stage::Confirm { tries: 0, since: at, last: None, then: Then::ChooseLegs },
            attempts: 0,
            effects: 0,
            approved: None,
            refusals: Vec::new(),
            kept_away: false,
            unseen: false,
            cured: Vec::new(),
            opened,
        };
        for alert in incident.opened.alerts.clone() {
            incident.join(alert);
        }
        incident
    }

    /// Whether it is at its end.
    #[must_use]
    pub const fn closed(&self) -> Option<&Closed> {
        match &self.stage {
            Stage::Closed(closed) => Some(closed),
            _ => None,
        }
    }

    /// The target that it works on.
    #[must_use]
    pub fn current_leg(&self) -> Option<&Leg> {
        self.legs.get(self.leg).map(|state| &state.leg)
    }

    /// The effect that is on its way, from the intent to the end of its step.
    #[must_use]
    pub const fn effect(&self) -> Option<&Effect> {
        effect_of(&self.stage)
    }

    /// The incident after one more event.
    ///
    /// # Errors
    /// [`IllegalMove`] when the event can not follow on what came before it.
    pub fn after(mut self, recorded: &Recorded) -> Result<Self, IllegalMove> {
        let illegal = |stage: &Stage| IllegalMove {
            seq: recorded.seq,
            event: recorded.event.name().to_owned(),
            stage: stage.name().to_owned(),
        };
        if recorded.seq != self.seq + 1 || self.closed().is_some() {
            return Err(illegal(&self.stage));
        }
        let at = recorded.at;
        let before = self.stage.clone();
        self.stage = match (self.stage.clone(), recorded.event.clone()) {
            (stage, Event::AlertsJoined { alerts, more }) => {
                self.unseen |= !self.legs.is_empty();
                alerts.into_iter().for_each(|alert| self.join(alert));
                self.more.0 += more;
                stage
            }
            (stage, Event::AlertsResolved { fingerprints }) => {
                fingerprints.iter().for_each(|fingerprint| self.resolve(fingerprint));
                stage
            }
            (stage, Event::AlertsSuppressed { fingerprints, why }) => {
                fingerprints.iter().for_each(|fingerprint| self.suppress(fingerprint, &why));
                stage
            }
            (
                stage @ (Stage::Confirm { .. }
                | Stage::StoodBack { .. }
                | Stage::Refused { .. }
                | Stage::Begin { .. }
                | Stage::Planned(_)
                | Stage::NotDone { .. }),
                Event::Confirmed { found, answers },
            ) => {
                self.evidence = answers;
                self.confirmed(stage, found, at)
            }
            (
                Stage::Confirm { .. }
                | Stage::StoodBack { .. }
                | Stage::ChooseLegs
                | Stage::Begin { .. }
                | Stage::Planned(_)
                | Stage::Refused { .. },
                Event::StoodBack { until, .. },
            ) if effect_of(&before).is_none() => {
                self.kept_away = true;
                self.approved = None;
                Stage::StoodBack { until }
            }
            (Stage::StepEnded { .. }, Event::Confirmed { found, answers }) if self.unseen => {
                self.evidence = answers;
                self.step = 0;
                self.confirmed(stage_for_all(at), found, at)
            }
            (Stage::ChooseLegs, Event::LegsChosen { legs }) if !legs.is_empty() => {
                (self.leg, self.step, self.unseen) = (0, 0, false);
                self.legs = legs
                    .into_iter()
                    .map(|leg| LegState { leg, result: None, in_vain: false, acted: false, skipped: None })
                    .collect();
                Stage::Begin { failed: None }
            }
            (Stage::Begin { .. }, Event::LegSkipped { leg, why }) if leg == self.leg => {
                self.legs[leg].skipped = Some(why.clone());
                self.approved = None;
                Stage::StepEnded { result: None, why }
            }
            (
                Stage::Begin { .. },
                Event::Diagnosed { leg, step, .. } | Event::StepSkipped { leg, step, .. },
            ) if (leg, step) == (self.leg, self.step) => {
                self.step += 1;
                self.approved = None;
                Stage::Begin { failed: None }
            }
            (Stage::Begin { .. }, Event::Awaiting { leg, step, .. })
                if (leg, step) == (self.leg, self.step) =>
            {
                Stage::Awaiting { since: at, last: None, held_since: None }
            }
            (Stage::Awaiting { since, held_since, .. }, Event::Awaited { leg, step, found, .. })
                if (leg, step) == (self.leg, self.step) =>
            {
                let held_since = (found == Found::Holds).then_some(held_since.unwrap_or(at));
                Stage::Awaiting { since, last: Some((at, found)), held_since }
            }
            (Stage::Begin { .. }, Event::Planned { leg, step, plan, .. })
                if (leg, step) == (self.leg, self.step) =>
            {
                Stage::Planned(plan)
            }
            (Stage::Begin { failed }, Event::PlanFailed { leg, step, why, for_good })
                if (leg, step) == (self.leg, self.step) =>
            {
                if for_good {
                    self.legs[leg].result = Some(StepResult::Failed);
                    Stage::StepEnded { result: Some(StepResult::Failed), why }
                } else {
                    let tries = failed.map_or(0, |(tries, ..)| tries) + 1;
                    Stage::Begin { failed: Some((tries, at, why)) }
                }
            }
            (Stage::Planned(_), Event::WouldAct { leg, .. }) if leg == self.leg => {
                self.legs[leg].result = Some(StepResult::WouldAct);
                Stage::StepEnded { result: Some(StepResult::WouldAct), why: String::new() }
            }
            (stage @ (Stage::Planned(_) | Stage::NotDone { .. }), Event::Refused { refusals, until, .. }) => {
                self.kept_away |= refusals.iter().any(|refusal| refusal.guard == Guard::Busy);
                self.refusals = refusals;
                // What a person said yes to was meant for now.
                self.approved = None;
                let then = match stage {
                    Stage::NotDone { effect, .. } => Then::Regrant(Box::new(effect)),
                    _ => Then::Begin,
                };
                Stage::Refused { until, then }
            }
            (Stage::Planned(plan), Event::ApprovalAsked { judged, expires, .. }) => {
                self.approved = None;
                Stage::Asking { plan, judged, expires }
            }
            (Stage::Asking { judged, .. }, Event::Approved { by, judged: approved })
                if judged == approved =>
            {
                self.approved = Some((approved, by));
                Stage::Confirm { tries: 0, since: at, last: None, then: Then::Begin }
            }
            (Stage::Asking { .. }, Event::Declined { by, reason }) => {
                Stage::Declined { why: format!("{by}: {reason}") }
            }
            (Stage::Planned(_), Event::EffectIntended { op, plan, .. }) => {
                self.attempts += 1;
                self.effects += 1;
                if let Some(leg) = self.legs.get_mut(self.leg) {
                    leg.acted = true;
                }
                let approved = self.approved.take().is_some();
                Stage::Intended(Effect { op, plan, intended_at: at, permits: 1, approved, partly: None })
            }
            (Stage::NotDone { effect, .. }, Event::EffectRegranted { op, .. }) if effect.op == op => {
                Stage::Intended(Effect { permits: effect.permits + 1, ..effect })
            }
            (Stage::Intended(effect), Event::EffectAnswered { op, result }) if effect.op == op => {
                Self::answered(effect, result, at)
            }
            (
                Stage::Intended(effect) | Stage::Unclear { effect, .. } | Stage::NotDone { effect, .. },
                Event::EffectObserved { op, found },
            ) if effect.op == op => Self::observed(&before, effect, found, at),
            (Stage::Following { effect, .. }, Event::EffectCompleted { op, .. }) if effect.op == op => {
                Stage::Verifying { effect, since: at, last: None }
            }
            (Stage::Following { effect, .. }, Event::EffectStalled { op, saw, failed })
                if effect.op == op =>
            {
                let result = if failed { StepResult::Failed } else { StepResult::Inconclusive };
                Stage::Ending { effect, result, why: saw }
            }
            (Stage::Verifying { effect, since, .. }, Event::Verified { op, found, .. })
                if effect.op == op =>
            {
                Stage::Verifying { effect, since, last: Some((at, found)) }
            }
            (stage, Event::StepEnded { leg, op, result, why, .. })
                if leg == self.leg
                    && op.is_some() != matches!(stage, Stage::Awaiting { .. })
                    && op.as_ref() == effect_of(&stage).map(|effect| &effect.op) =>
            {
                if result == StepResult::Dropped {
                    self.effects -= 1;
                }
                self.legs[leg].result = Some(result);
                match result {
                    StepResult::NotRecovered => self.legs[leg].in_vain = true,
                    // It never happened.
                    StepResult::Dropped => {}
                    _ => self.legs[leg].in_vain = false,
                }
                // One that recovered by itself is looked at again when more alerts come.
                if result == StepResult::Recovered && op.is_some() {
                    self.cured.push(self.legs[leg].leg.target.clone());
                }
                Stage::StepEnded { result: Some(result), why }
            }
            (Stage::StepEnded { .. }, Event::StepBegan { leg, step })
                if leg == self.leg && step == self.step + 1 =>
            {
                self.step = step;
                self.approved = None;
                Stage::Begin { failed: None }
            }
            (Stage::StepEnded { .. }, Event::StepBegan { leg, step: 0 })
                if leg == self.leg + 1 && leg < self.legs.len() =>
            {
                (self.leg, self.step) = (leg, 0);
                self.refusals.clear();
                self.approved = None;
                self.kept_away = false;
                Stage::Confirm { tries: 0, since: at, last: None, then: Then::Begin }
            }
            // While an effect is on its way only the end of its step can come: an effect is never forgotten.
            (stage, Event::Closed { outcome, why }) if effect_of(&stage).is_none() => {
                Stage::Closed(Closed { outcome, why, at })
            }
            _ => return Err(illegal(&before)),
        };
        self.seq = recorded.seq;
        self.touched_at = at;
        Ok(self)
    }

    fn confirmed(&mut self, stage: Stage, found: Found, at: Timestamp) -> Stage {
        let (tries, since, then) = match stage {
            Stage::Confirm { tries, since, then, .. } => (tries, since, then),
            Stage::Refused { then, .. } => (0, at, then),
            Stage::NotDone { effect, .. } => (0, at, Then::Regrant(Box::new(effect))),
            Stage::Begin { .. } | Stage::Planned(_) => (0, at, Then::Begin),
            _ => (0, at, Then::ChooseLegs),
        };
        if found != Found::Holds {
            return Stage::Confirm { tries: tries + 1, since, last: Some((at, found)), then };
        }
        // The evidence is as old as what was looked at, however long the answer took.
        let looked = self.evidence.iter().filter_map(|answer| answer.window).map(|(_, to)| to).min();
        self.held_at = Some(looked.map_or(at, |to| to.min(at)));
        match then {
            Then::ChooseLegs => Stage::ChooseLegs,
            Then::Begin => Stage::Begin { failed: None },
            Then::Regrant(effect) => Stage::NotDone { effect: *effect, at },
        }
    }

    fn answered(effect: Effect, result: EffectResult, at: Timestamp) -> Stage {
        match result {
            EffectResult::Applied => Stage::Following { effect, since: at },
            EffectResult::Refused { message, .. } => {
                Stage::Ending { effect, result: StepResult::Failed, why: message }
            }
            EffectResult::NotTaken { .. } => Stage::NotDone { effect, at },
            EffectResult::Unclear { .. } => Stage::Unclear { effect, unseen: None },
        }
    }

    fn observed(before: &Stage, effect: Effect, found: Observation, at: Timestamp) -> Stage {
        match found {
            Observation::Done => Stage::Following { effect, since: at },
            Observation::NotDone => Stage::NotDone { effect, at },
            Observation::Partly { saw } => {
                Stage::NotDone { effect: Effect { partly: Some(saw), ..effect }, at }
            }
            Observation::Ambiguous { saw } => {
                Stage::Ending { effect, result: StepResult::Ambiguous, why: saw }
            }
            Observation::Unseen { .. } => {
                let tries = match before {
                    Stage::Unclear { unseen: Some((tries, _)), .. } => *tries,
                    _ => 0,
                };
                Stage::Unclear { effect, unseen: Some((tries + 1, at)) }
            }
        }
    }
}
