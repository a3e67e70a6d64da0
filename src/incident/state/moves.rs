//! How each event moves an incident: one match arm for each event and stage, read as one table. An event that does
//! not belong here is an illegal move: the incident is then left alone and reported, never guessed at.

use jiff::Timestamp;

use super::stage::{Closed, Effect, Stage, Then, effect_of};
use super::{Incident, LegState};
use crate::incident::event::{EffectResult, Event, Found, Observation, Recorded};
use crate::incident::evidence::Evidence;
use crate::incident::outcome::StepResult;
use crate::incident::refusal::Guard;
use crate::incident::restore::CHANGE_AGAIN;

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

/// `confirm` is asked for the choice of targets.
const fn stage_for_all(since: Timestamp) -> Stage {
    Stage::Confirm { tries: 0, since, last: None, then: Then::ChooseLegs }
}

impl Incident {
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
                Event::Confirmed { found, answers, .. },
            ) => {
                // Of several targets, nobody knows whose line it was.
                if self.legs.len() <= 1 {
                    self.learn(&answers);
                }
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
            (Stage::StepEnded { .. }, Event::Confirmed { found, answers, .. }) if self.unseen => {
                // Of several targets, nobody knows whose line it was.
                if self.legs.len() <= 1 {
                    self.learn(&answers);
                }
                self.evidence = answers;
                self.step = 0;
                self.confirmed(stage_for_all(at), found, at)
            }
            (Stage::ChooseLegs, Event::LegsChosen { legs }) if !legs.is_empty() => {
                (self.leg, self.step, self.unseen) = (0, 0, false);
                // The same here.
                if legs.len() > 1 {
                    self.clues.clear();
                }
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
                event @ (Event::Diagnosed { leg, step, .. } | Event::StepSkipped { leg, step, .. }),
            ) if (leg, step) == (self.leg, self.step) => {
                if let Event::Diagnosed { answers, .. } = &event {
                    self.learn(answers);
                }
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
            (Stage::Begin { .. }, Event::Released { leg, changes })
                if leg == self.leg && self.opened.restore.is_some() =>
            {
                let others = changes.into_iter().filter(|change| change.left_alone);
                self.left_alone.extend(others.map(|change| change.why));
                Stage::Begin { failed: None }
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
            // It is about nothing but that, and waits for nothing.
            (stage @ Stage::Confirm { .. }, Event::FaultAnnounced { .. }) if self.opened.announces() => stage,
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
            (Stage::Planned(plan), Event::ApprovalAsked { judged, expires, why, .. }) => {
                self.approved = None;
                Stage::Asking { plan, judged, expires, why }
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
                Stage::Intended(Effect {
                    op,
                    plan,
                    intended_at: at,
                    permits: 1,
                    approved,
                    partly: None,
                    handles: Vec::new(),
                })
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
                let result = match failed {
                    // What was put back does not run: that is the trouble coming back, and it is changed again.
                    true if self.opened.restore.is_some() && self.step != CHANGE_AGAIN => {
                        StepResult::NotRecovered
                    }
                    true => StepResult::Failed,
                    false => StepResult::Inconclusive,
                };
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
                // What was found so far is of another target.
                self.clues.clear();
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

    /// Keeps what other questions want to know of the lines that were found: the newest word, and while nothing is found the one before.
    fn learn(&mut self, answers: &[Evidence]) {
        self.clues.extend(answers.iter().flat_map(|answer| answer.clues.clone()));
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
            EffectResult::Begun { handles } => {
                Stage::Following { effect: Effect { handles, ..effect }, since: at }
            }
            EffectResult::Refused { message, .. } | EffectResult::InPart { message, .. } => {
                // What was seen of it before is no less done for this.
                let message = match &effect.partly {
                    Some(saw) => format!("{message}; before that it was done in part ({saw})"),
                    None => message,
                };
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
