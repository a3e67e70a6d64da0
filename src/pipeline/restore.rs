//! Puts back what was changed for a while, when its time has come: opens an incident for each object, and answers the questions of that
//! incident that are not about an alert. All else is the way of any incident.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{Left, Pipeline};
use crate::act::{PlanError, Restoring};
use crate::alert::Labels;
use crate::clock::{self, after};
use crate::incident::changes::{Entry, LONGEST};
use crate::incident::drill;
use crate::incident::event::{Found, Leg, Opened, Restore};
use crate::incident::evidence::{Evidence, Verdict};
use crate::incident::plan::{Stays, Target};
use crate::incident::restore::{self, CHANGE_AGAIN, RESTORE};
use crate::incident::{Event, Incident, IncidentId, Outcome, Recorded};
use crate::runbook::{RestoreWhen, Runbook};
use crate::store::Summary;

/// How often it is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A restore that could not be made is tried again this much later; in between a person can see why.
const TRY_AGAIN: Duration = Duration::from_hours(1);
/// For so long a restore waits for a rollout or another incident to end.
const DEADLINE: Duration = Duration::from_hours(2);
/// What should be put back when the trouble is over is put back this long after an incident that could not end it.
const OR_ELSE: Duration = Duration::from_hours(2);

/// Among so many of the newest incidents the last restore of an object is looked for.
const LOOKED_BACK: u32 = 1_000;

/// How long a change of this runbook stays.
pub(super) fn stays(runbook: &Runbook, restore: RestoreWhen) -> Stays {
    match restore {
        RestoreWhen::Never => Stays::ForGood,
        RestoreWhen::After(time) => Stays::For(time),
        RestoreWhen::Recovered => Stays::UntilRecovered { or_else: runbook.paced(OR_ELSE) },
    }
}

/// The runbook that an incident follows: a restore has one of its own, made of the one it began with.
pub(super) fn runbook_of(incident: &Incident, began_with: Arc<Runbook>) -> Result<Arc<Runbook>, Left> {
    let Some(restore) = &incident.opened.restore else { return Ok(began_with) };
    let of = restore::runbook(&began_with, restore.step);
    of.map(Arc::new).ok_or_else(|| Left::NoRunbook(format!("it has no step {} to undo", restore.step + 1)))
}

/// On what, and in which step, the operation of an entry was begun. An incident can choose its targets more than once.
fn changed_by(events: &[Recorded], entry: &Entry) -> Option<(Leg, usize)> {
    let mut chosen: &[Leg] = &[];
    for recorded in events {
        match &recorded.event {
            Event::FaultAnnounced { op, announced } if *op == entry.now.op => {
                let target = announced.object.clone();
                return Some((Leg { target, each: [].into(), figure: 0.0 }, drill::step_of(announced)));
            }
            Event::LegsChosen { legs } => chosen = legs,
            Event::EffectIntended { op, leg, step, plan, .. } if *op == entry.now.op => {
                let leg = chosen.get(*leg).filter(|leg| leg.target == plan.target).cloned();
                let bare = || Leg { target: entry.target.clone(), each: [].into(), figure: 0.0 };
                return Some((leg.unwrap_or_else(bare), *step));
            }
            _ => {}
        }
    }
    None
}

impl Pipeline {
    /// Opens an incident for whatever is due, until `shutdown` becomes true.
    pub async fn restore_what_is_due(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        while !*shutdown.borrow_and_update() {
            if let Err(error) = self.open_what_is_due().await {
                warn!(%error, "What is to be put back could not be looked up");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = shutdown.changed() => {}
            }
        }
    }

    async fn open_what_is_due(&self) -> Result<(), Left> {
        let now = clock::now();
        let entries = self.store.entries().await?;
        let due: Vec<&Entry> = entries.iter().filter(|entry| entry.is_due(now)).collect();
        self.metrics.changes.set(i64::try_from(entries.len()).unwrap_or(i64::MAX));
        self.metrics.changes_overdue.set(i64::try_from(due.len()).unwrap_or(i64::MAX));
        // Nothing is begun while a person has stopped all effects; what is overdue is seen in the metric and in `runbookd changes`.
        if due.is_empty() || self.store.paused().await?.is_some() {
            return Ok(());
        }
        let open = self.open().await?;
        let mut done: Vec<&Target> = Vec::new();
        for entry in due {
            if done.contains(&&entry.object) || open.contains(&entry.now.op.incident()) {
                continue;
            }
            done.push(&entry.object);
            if let Err(error) = self.open_restore(entry, now).await {
                warn!(object = %entry.object, field = %entry.field, %error, "A change can not be put back; a person should look");
            }
        }
        Ok(())
    }

    /// The open incidents. What belongs to one is not taken from under it: it is being verified, or its next step builds upon it.
    async fn open(&self) -> Result<Vec<IncidentId>, Left> {
        let now = clock::now();
        let open = self.store.incidents(true, u32::MAX).await?.into_iter();
        // One that is left alone, since its journal can not be followed, would hold what it changed for ever.
        Ok(open.filter(|open| after(open.opened_at, LONGEST) > now).map(|open| open.id).collect())
    }

    async fn open_restore(&self, entry: &Entry, now: Timestamp) -> Result<(), Left> {
        let of = entry.now.op.incident();
        let events = self.store.events(&of, 0).await?;
        let incident = Incident::replay(&of, &events)?;
        let Some((leg, step)) = changed_by(&events, entry) else {
            return Err(Left::NoRunbook(format!("incident {of} has no operation {}", entry.now.op)));
        };
        // A restore's own second change goes back to where the first one came from.
        let (of, runbook, leg, step) = match &incident.opened.restore {
            Some(restore) => (restore.of.clone(), restore.runbook.clone(), restore.leg.clone(), restore.step),
            None => (of, incident.opened.runbook.clone(), leg, step),
        };
        let scale = self.shelf.version(&self.store, &incident.opened.hash).await?.time_scale.max(1);
        if self.tried_lately(&entry.object, now, TRY_AGAIN / scale).await? {
            return Ok(());
        }
        let opened = Opened {
            runbook: RESTORE.to_owned(),
            hash: incident.opened.hash.clone(),
            scope: Labels::from([("object", entry.object.key().as_str())]),
            deadline: after(now, DEADLINE / scale),
            alerts: incident.alerts.into_values().map(|state| state.alert).collect(),
            more: 0,
            truncated: 0,
            restore: Some(Restore { object: entry.object.clone(), of, runbook, leg, step }),
            run: incident.opened.run,
            // What a drill has broken is really put back.
            drill: None,
        };
        if let Some(id) = self.store.open_restore(opened).await? {
            info!(incident.id = %id, object = %entry.object, "It is time to put back what was changed");
        }
        Ok(())
    }

    /// Whether a restore of the object ended a short time ago without putting everything back.
    async fn tried_lately(&self, object: &Target, now: Timestamp, again: Duration) -> Result<bool, Left> {
        let key = object.key();
        let restores = self.store.incidents(false, LOOKED_BACK).await?;
        let of_object = |one: &&Summary| one.runbook == RESTORE && one.scope.get("object") == key;
        let failed = |last: &Summary| !matches!(last.outcome, Some(Outcome::Recovered | Outcome::SelfHealed));
        let last = restores.iter().find(of_object);
        Ok(last.is_some_and(|last| failed(last) && after(last.closed_at.unwrap_or(now), again) > now))
    }

    /// The entries of a restore whose time has come. Once it has begun to put them back, those that it began with.
    async fn due(&self, incident: &Incident, restore: &Restore) -> Result<Vec<Entry>, Left> {
        let now = clock::now();
        let open = self.open().await?;
        let mine = |entry: &Entry| match incident.effect() {
            Some(effect) => entry.now.op == effect.op,
            None => {
                let of = entry.now.op.incident();
                of == incident.id || !open.contains(&of)
            }
        };
        let entries = self.store.entries().await?.into_iter();
        let of_object = entries.filter(|entry| entry.object == restore.object && entry.is_due(now));
        Ok(of_object.filter(mine).collect())
    }

    /// What stands for `confirm` in a restore: the ledger says whether there still is something to put back.
    pub(super) async fn confirm_restore(&self, incident: &Incident) -> Result<Event, Left> {
        let Some(restore) = &incident.opened.restore else {
            return Err(Left::NoRunbook("the incident puts nothing back".to_owned()));
        };
        let due = self.due(incident, restore).await?;
        let (holds, saw) = match due.as_slice() {
            _ if incident.step == CHANGE_AGAIN => (true, "the trouble came back with it".to_owned()),
            [] => (false, format!("nothing of {} is to be put back any more", restore.object)),
            entries => {
                let one = |entry: &Entry| {
                    let now = entry.field.or_absent(entry.now.value.as_deref()).unwrap_or("nothing");
                    let base = entry.field.or_absent(entry.base.as_deref()).unwrap_or("nothing");
                    format!("{} is {now}, and was {base}", entry.field)
                };
                (true, entries.iter().map(one).collect::<Vec<_>>().join("; "))
            }
        };
        let answer = Evidence {
            probe: "ledger".to_owned(),
            asked: format!("what of {} is to be put back by now", restore.object),
            verdict: if holds { Verdict::Holds } else { Verdict::Fails },
            saw,
            by: BTreeMap::new(),
            samples: Vec::new(),
            window: None,
            clues: BTreeMap::new(),
        };
        let found = if holds { Found::Holds } else { Found::Fails };
        Ok(Event::Confirmed { found, answers: vec![answer], links: Vec::new() })
    }

    /// How the fields are put back, or changed again; or that they are no longer ours to put back.
    pub(super) async fn plan_restore(&self, incident: &Incident) -> Result<Event, Left> {
        let (leg, step) = (incident.leg, incident.step);
        let failed =
            |error: PlanError| Event::PlanFailed { leg, step, why: error.why, for_good: error.for_good };
        let skipped = |why: &str| Event::LegSkipped { leg, why: why.to_owned() };
        let Some(restore) = &incident.opened.restore else { return Ok(skipped("it puts nothing back")) };
        if step == CHANGE_AGAIN {
            let events = self.store.events(&incident.id, 0).await?;
            let put_back = events.iter().rev().find_map(|recorded| match &recorded.event {
                Event::EffectIntended { plan, step: 0, .. } => Some(plan),
                _ => None,
            });
            let Some(put_back) = put_back else { return Ok(skipped("nothing was put back")) };
            return Ok(match self.hands.plan_again(put_back, clock::now()).await {
                Ok(plan) => Event::Planned { leg, step, plan, answers: Vec::new() },
                Err(error) => failed(error),
            });
        }
        let due = self.due(incident, restore).await?;
        if due.is_empty() {
            return Ok(skipped("nothing of it is left to put back"));
        }
        Ok(match self.hands.plan_restore(&due, &restore.leg.target, clock::now()).await {
            Err(error) => failed(error),
            Ok(Restoring { released, .. }) if !released.is_empty() => {
                Event::Released { leg, changes: released }
            }
            Ok(Restoring { plan: Some(plan), .. }) => Event::Planned { leg, step, plan, answers: Vec::new() },
            Ok(Restoring { plan: None, .. }) => skipped("nothing of it is left to put back"),
        })
    }
}
