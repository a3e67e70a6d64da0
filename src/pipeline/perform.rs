//! Performs what was decided, and says what came of it as an event. Nothing is appended here but the intent,
//! which the store commits together with its permit.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::info;

use super::{Left, Pipeline, links, past, restore, targets};
use crate::act::{Followed, STICKS_AFTER, Wish};
use crate::clock;
use crate::guard::{self, Question};
use crate::incident::decide::{CONFIRM_AGAIN, FOLLOW_EVERY, FRESH};
use crate::incident::event::{Found, Observation};
use crate::incident::evidence::{Evidence, all_of};
use crate::incident::permit::{Asked, Wanted};
use crate::incident::plan::{Circumstances, Plan};
use crate::incident::refusal::{Guard, Refusal};
use crate::incident::{Effect, Event, Incident, Next, Outcome};
use crate::probe::NoOwner;
use crate::runbook::{Action, Mode, Named, Remedy, Runbook, Step, StepKind};
use crate::store::{Claim, Committed, StoreError};

const NO_STEP: &str = "the runbook has no such step";

/// What a step wants to be done, and its condition; none for one that does nothing.
fn wish(runbook: &Runbook, step: usize) -> Option<(Wish<'_>, &[Named])> {
    let Step { when, kind, .. } = runbook.steps.get(step)?;
    let StepKind::Remediate { remedy, restore, make_it_last, .. } = kind else { return None };
    let stays = restore::stays(runbook, *restore);
    Some((Wish { remedy, stays, make_it_last: make_it_last.as_deref() }, when))
}

impl Pipeline {
    /// Does it. None: something was appended already, or there is nothing to record yet.
    pub(super) async fn perform(
        &self,
        claim: &Claim,
        incident: &Incident,
        runbook: &Arc<Runbook>,
        next: Next,
    ) -> Result<Option<Event>, Left> {
        let (leg, step) = (incident.leg, incident.step);
        Ok(match next {
            Next::Nothing | Next::Wait(_) => None,
            Next::Append(event) => {
                if matches!(event, Event::Closed { .. }) && keeps_plans(runbook) {
                    self.forget(incident).await;
                }
                Some(event)
            }
            Next::Confirm if incident.opened.restore.is_some() => Some(self.confirm_restore(incident).await?),
            Next::Confirm => {
                let (found, answers) = self.eyes.confirm(incident, runbook).await;
                // Said once: afterwards it is about single targets.
                let first = found == Found::Holds && incident.legs.is_empty();
                let links = || links::of(self.grafana.as_ref(), incident, runbook, &answers, clock::now());
                let links = if first { links() } else { Vec::new() };
                Some(Event::Confirmed { found, answers, links })
            }
            Next::ChooseLegs if let Some(restore) = &incident.opened.restore => {
                Some(Event::LegsChosen { legs: vec![restore.leg.clone()] })
            }
            Next::ChooseLegs => match targets::choose(&self.eyes, incident, runbook).await {
                Ok(legs) if legs.is_empty() => {
                    let why = "every target that the evidence names has recovered".to_owned();
                    Some(Event::Closed { outcome: Outcome::Recovered, why })
                }
                Ok(legs) => Some(Event::LegsChosen { legs }),
                Err(NoOwner::None(why)) => Some(Event::Closed { outcome: Outcome::Blocked, why }),
                Err(NoOwner::Unread(why)) if clock::now() >= incident.opened.deadline => {
                    Some(Event::Closed { outcome: Outcome::Inconclusive, why })
                }
                Err(NoOwner::Unread(why)) => {
                    info!("The targets can not be looked up yet: {why}");
                    tokio::time::sleep(runbook.paced(CONFIRM_AGAIN)).await;
                    None
                }
            },
            Next::Diagnose => {
                let answers = match runbook.steps.get(step).map(|step| &step.kind) {
                    Some(StepKind::Diagnose(probes)) => {
                        self.eyes.about_target(incident, runbook, probes).await
                    }
                    _ => Vec::new(),
                };
                let about = runbook.steps.get(step).map(|step| step.title.clone()).unwrap_or_default();
                Some(Event::Diagnosed { leg, step, about, answers })
            }
            Next::Plan if incident.opened.restore.is_some() => Some(self.plan_restore(incident).await?),
            Next::Plan => Some(self.plan(incident, runbook).await),
            Next::Commit(wanted) => self.commit(claim, incident, runbook, *wanted).await?,
            Next::Observe(effect) => {
                let found = self.hands.observe(&effect.plan).await;
                let found = self.settled(claim, &effect, found).await?;
                if let Observation::Unseen { why } = &found {
                    info!(op = %effect.op, "What became of the effect can not be seen yet: {why}");
                }
                Some(Event::EffectObserved { op: effect.op, found })
            }
            Next::Follow(effect) => self.follow(runbook, effect).await,
            Next::Verify(effect, since) => match runbook.steps.get(step).map(|step| &step.kind) {
                Some(StepKind::Remediate { verify, .. }) => {
                    let (found, answers) = self.eyes.verify(incident, runbook, verify, since).await;
                    Some(Event::Verified { op: effect.op, found, answers })
                }
                _ => None,
            },
            Next::Await(since) => match runbook.steps.get(step).map(|step| &step.kind) {
                Some(StepKind::Expect(verify)) => {
                    // One crash since the step began is no reason to say no for ever; one in the time that must be good is.
                    let since = clock::before(clock::now(), verify.hold).max(since);
                    let (found, answers) = self.eyes.verify(incident, runbook, verify, since).await;
                    Some(Event::Awaited { leg, step, found, answers })
                }
                _ => None,
            },
        })
    }

    /// What is seen of a call that was not answered. Its server may still work on it, as it does not stop when its client leaves, and until that
    /// is over the call is not known not to have happened.
    async fn settled(&self, claim: &Claim, effect: &Effect, found: Observation) -> Result<Observation, Left> {
        let is_open = matches!(found, Observation::NotDone | Observation::Partly { .. });
        if !is_open || effect.plan.under_way().is_none() {
            return Ok(found);
        }
        let events = self.store.events(&claim.incident, 0).await?;
        Ok(past::looked_at(&events, &effect.op, &effect.plan, found, clock::now()))
    }

    async fn plan(&self, incident: &Incident, runbook: &Runbook) -> Event {
        let (leg, step) = (incident.leg, incident.step);
        let failed = |why: String, for_good| Event::PlanFailed { leg, step, why, for_good };
        let Some((wish, when)) = wish(runbook, step) else { return failed(NO_STEP.to_owned(), true) };
        let Some(target) = incident.current_leg().map(|leg| &leg.target) else {
            return failed("the incident has no target".to_owned(), true);
        };
        let plan = match self.unused(incident, runbook, wish.remedy).await {
            Some(plan) => self.hands.renewed(&plan).await.transpose(),
            None => None,
        };
        let plan = match plan {
            Some(plan) => plan,
            None => self.hands.plan(&wish, target, incident.opened_at, clock::now()).await,
        };
        // A person has judged this very plan with the answers before them; a window that passed while they read is no new answer.
        let is_judged = |plan: &Plan| {
            let judged = plan.judged(&runbook.hash, step);
            incident.approved.as_ref().is_some_and(|(approved, _)| *approved == judged)
        };
        let when = if plan.as_ref().is_ok_and(is_judged) { &[] } else { when };
        let answers = self.eyes.about_target(incident, runbook, when).await;
        match all_of(&answers) {
            // Nothing of nothing holds, elsewhere; a step without a condition is always meant.
            _ if when.is_empty() => {}
            Found::Holds => {}
            Found::Fails => {
                plan.iter().for_each(|plan| self.hands.discard(plan));
                let why = format!("its condition does not hold: {}", saw(&answers, Found::Fails));
                return Event::StepSkipped { leg, step, why, answers };
            }
            // Unknown never acts, and it is no reason to try the next step either.
            Found::Unknown => {
                plan.iter().for_each(|plan| self.hands.discard(plan));
                let why = format!("its condition can not be answered: {}", saw(&answers, Found::Unknown));
                return failed(why, false);
            }
        }
        match plan {
            Ok(plan) if plan.is_empty() => Event::StepSkipped { leg, step, why: plan.says, answers },
            Ok(plan) => Event::Planned { leg, step, plan, answers },
            Err(error) => failed(error.why, error.for_good),
        }
    }

    /// The plan that this step had already and may still use: a person has said yes to this very one, or it took so long that the evidence had to be asked
    /// anew. After any other wait a new one is made.
    async fn unused(&self, incident: &Incident, runbook: &Runbook, remedy: &Remedy) -> Option<Plan> {
        if remedy.action() != Action::Terraform {
            return None;
        }
        let target = &incident.current_leg()?.target;
        let (plan, reusable) = self.last_plan(incident).await?;
        let judged = plan.judged(&runbook.hash, incident.step);
        let is_approved = incident.approved.as_ref().is_some_and(|(approved, _)| *approved == judged);
        (plan.target == *target && (is_approved || reusable && incident.approved.is_none())).then_some(plan)
    }

    /// The newest plan of this step that nobody has used, and whether nothing but old evidence has kept it from being used.
    async fn last_plan(&self, incident: &Incident) -> Option<(Plan, bool)> {
        past::last_plan(self.store.events(&incident.id, 0).await.ok()?, (incident.leg, incident.step))
    }

    /// What was kept for a plan that nobody will use is removed.
    async fn forget(&self, incident: &Incident) {
        if let Some((plan, _)) = self.last_plan(incident).await {
            self.hands.discard(&plan);
        }
    }

    /// What surrounds the target of a plan now; else why it can not be told.
    async fn circumstances(
        &self,
        incident: &Incident,
        runbook: &Runbook,
        plan: &Plan,
    ) -> Result<Result<Circumstances, String>, Left> {
        // A new plan would be another one.
        if plan.action.is_elsewhere() {
            return Ok(Ok(self.hands.around(plan.clone()).await.circumstances));
        }
        if incident.opened.restore.is_none() {
            let Some((wish, _)) = wish(runbook, incident.step) else { return Ok(Err(NO_STEP.to_owned())) };
            let planned = self.hands.plan(&wish, &plan.target, incident.opened_at, clock::now()).await;
            return Ok(planned.map(|plan| plan.circumstances).map_err(|error| error.why));
        }
        Ok(match self.plan_restore(incident).await? {
            Event::Planned { plan, .. } => Ok(plan.circumstances),
            Event::PlanFailed { why, .. } => Err(why),
            _ => Err("it is no longer ours to put back".to_owned()),
        })
    }

    /// The one dangerous moment. The guards are asked under the ledger's lock, the intent is committed, and only
    /// then is the permit in hand; the call is made at once.
    async fn commit(
        &self,
        claim: &Claim,
        incident: &Incident,
        runbook: &Arc<Runbook>,
        wanted: Wanted,
    ) -> Result<Option<Event>, Left> {
        let mut wanted = wanted;
        if wanted.again {
            // A call that timed out can have arrived since it was looked.
            match self.hands.observe(&wanted.plan).await {
                Observation::NotDone | Observation::Partly { .. } => {}
                Observation::Unseen { why } => return Ok(Some(unseen(&wanted, runbook, why))),
                found => return Ok(Some(Event::EffectObserved { op: wanted.op, found })),
            }
            // The plan is the old one, the target may not be: paused, scaled to zero, taken over.
            match self.circumstances(incident, runbook, &wanted.plan).await? {
                Ok(now) => wanted.plan.circumstances = now,
                Err(why) => return Ok(Some(unseen(&wanted, runbook, why))),
            }
        }
        let judged = wanted.plan.judged(&runbook.hash, wanted.step);
        let by_a_person = wanted.again && incident.effect().is_some_and(|effect| effect.approved);
        let approved = incident.approved.as_ref().is_some_and(|(approved, _)| *approved == judged);
        let question = Question {
            wanted: wanted.clone(),
            runbook: Arc::clone(runbook),
            policy: Arc::clone(&self.policy),
            held_at: incident.held_at,
            approved: approved || by_a_person,
            most: incident.opened.most(),
        };
        let mode = guard::effective_mode(&question);
        if mode == Mode::Shadow && !wanted.again {
            let asked = guard::ask(&question, &self.store.ledger().await?).answers().to_vec();
            info!(runbook = runbook.name, "In shadow: would {}", wanted.plan.says);
            let rehearsed = match &incident.opened.drill {
                Some(_) => Some(self.hands.rehearse(&wanted.plan).await),
                None => None,
            };
            self.hands.discard(&wanted.plan);
            return Ok(Some(Event::WouldAct { leg: wanted.leg, step: wanted.step, asked, rehearsed }));
        }
        crate::crash::here("intent-before-commit");
        let ask = Box::new(move |ledger: &_| guard::grant(&question, ledger));
        let committed = match self.store.commit_effect(claim, incident.seq, ask).await {
            // Another incident was faster by a hair: what the guard `busy` would have said a moment later.
            Err(StoreError::TargetTaken(target)) => {
                let refusal = Refusal {
                    guard: Guard::Busy,
                    saw: format!("another incident works on {target}"),
                    limit: "one effect per target at a time".to_owned(),
                    until: Some(clock::after(clock::now(), runbook.paced(FRESH / 2))),
                };
                let (leg, step, until) = (wanted.leg, wanted.step, refusal.until);
                return Ok(Some(Event::Refused { leg, step, refusals: vec![refusal], until }));
            }
            committed => committed?,
        };
        match committed {
            Committed::Granted(_, permit) => {
                crate::crash::here("intent-after-commit");
                let (op, says) = (permit.op().clone(), permit.plan().says.clone());
                let action = permit.plan().action;
                info!(runbook = runbook.name, op = %op, "Permitted: {says}");
                let result = self.hands.apply(permit, clock::now()).await;
                crate::crash::here("effect-sent");
                self.metrics.acted(action, &result);
                // The intent was appended by the store; it is applied, and then the answer is recorded.
                let answer = Event::EffectAnswered { op, result };
                self.record_after_intent(claim, incident, runbook, answer).await?;
                Ok(None)
            }
            Committed::Refused(asked) => {
                let until = (incident.opened.deadline, incident.effects > 0);
                Ok(Some(self.refused(&wanted, runbook, judged, mode, &asked, until)))
            }
        }
    }

    async fn record_after_intent(
        &self,
        claim: &Claim,
        incident: &Incident,
        runbook: &Runbook,
        answer: Event,
    ) -> Result<(), Left> {
        let mut now = incident.clone();
        loop {
            for recorded in self.store.events(&claim.incident, now.seq).await? {
                now = now.after(&recorded)?;
            }
            // The webhook may append at any moment; the answer must not be lost to that.
            match self.record(claim, now.clone(), runbook, answer.clone()).await {
                Err(Left::Store(StoreError::Moved(_))) => {}
                other => return other.map(|_| ()),
            }
        }
    }

    fn refused(
        &self,
        wanted: &Wanted,
        runbook: &Runbook,
        judged: crate::runbook::Hash,
        mode: Mode,
        asked: &Asked,
        (deadline, acted): (Timestamp, bool),
    ) -> Event {
        let (leg, step) = (wanted.leg, wanted.step);
        // A person is asked last, when nothing else stands against it; and not about what was begun already: that ends here.
        let (by_mode, mut others): (Vec<Refusal>, Vec<Refusal>) =
            asked.refusals().iter().cloned().partition(guard::waits_for_a_person);
        if wanted.again {
            others.extend(by_mode.iter().cloned());
        }
        if others.is_empty() {
            let expires = clock::after(clock::now(), self.approval_within);
            // Nothing is begun after the deadline.
            let expires = if acted { expires } else { expires.min(deadline) };
            // It may act as far as its mode goes: people are told what is missing.
            let why = by_mode.into_iter().next().filter(|_| mode == Mode::Act).map(|refusal| refusal.limit);
            info!(runbook = runbook.name, why, "A person must approve: {}", wanted.plan.says);
            return Event::ApprovalAsked { leg, step, judged, expires, why };
        }
        let until = others.iter().map(|refusal| refusal.until).max().flatten();
        Event::Refused { leg, step, refusals: others, until }
    }

    async fn follow(&self, runbook: &Runbook, effect: Effect) -> Option<Event> {
        let op = effect.op;
        // Whoever undoes a field needs a moment to notice.
        let sticks = clock::after(effect.intended_at, runbook.paced(STICKS_AFTER));
        let is_young = effect.plan.sets.is_some() && clock::now() < sticks;
        match self.hands.follow(&effect.plan, &effect.handles).await {
            Followed::Complete(saw) if is_young => {
                tracing::debug!(%op, "Complete, and not yet seen to stick: {saw}");
                tokio::time::sleep(runbook.paced(FOLLOW_EVERY)).await;
                None
            }
            Followed::Complete(saw) => Some(Event::EffectCompleted { op, saw }),
            Followed::Failed(saw) => Some(Event::EffectStalled { op, saw, failed: true }),
            Followed::Overtaken(saw) => Some(Event::EffectStalled { op, saw, failed: false }),
            Followed::NotYet(saw) | Followed::Unseen(saw) => {
                tracing::debug!(%op, "Not complete yet: {saw}");
                tokio::time::sleep(runbook.paced(FOLLOW_EVERY)).await;
                None
            }
        }
    }
}

/// Whether a plan of it is more than what the journal holds.
fn keeps_plans(runbook: &Runbook) -> bool {
    let is_terraform = |step: &Step| match &step.kind {
        StepKind::Remediate { remedy, .. } => remedy.action() == Action::Terraform,
        StepKind::Diagnose(_) | StepKind::Expect(_) => false,
    };
    runbook.steps.iter().any(is_terraform)
}

/// What the probes saw whose answers come to this.
fn saw(answers: &[Evidence], found: Found) -> String {
    let words: Vec<&str> = answers
        .iter()
        .filter(|answer| all_of(std::slice::from_ref(*answer)) == found)
        .map(|answer| answer.saw.as_str())
        .collect();
    words.join("; ")
}

/// The target could not be looked at before a second permit: asked again in a moment.
fn unseen(wanted: &Wanted, runbook: &Runbook, saw: String) -> Event {
    let until = Some(clock::after(clock::now(), runbook.paced(CONFIRM_AGAIN)));
    let limit = "the target must be seen before it is changed".to_owned();
    let refusal = Refusal { guard: Guard::Circumstances, saw, limit, until };
    Event::Refused { leg: wanted.leg, step: wanted.step, refusals: vec![refusal], until }
}
