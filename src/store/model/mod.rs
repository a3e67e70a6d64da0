//! The journal in memory, for the tests: the same rules, without a disk. It gives way to other tasks before
//! every operation, so that whatever can come in between does, and it can be told to fail.

mod drills;
mod intake;
mod ledger;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use super::prepared::{Prepared, kept_proof, written};
use super::{
    Announcement, AskGuards, Begun, Behind, Claim, Committed, Intake, KeptProof, Receipt, Registered, SINKS,
    Store, StoreError, Summary, Unanswered, rules,
};
use crate::clock;
use crate::incident::changes::{Entries, Entry};
use crate::incident::drill::{Announced, Drill};
use crate::incident::event::Opened;
use crate::incident::ledger::{Ledger, Pause};
use crate::incident::proof::Proof;
use crate::incident::{Event, IncidentId, OperationId, Recorded};
use crate::runbook::Hash;

/// The journal in memory.
#[derive(Debug)]
pub struct Model {
    state: Mutex<State>,
    failures: Mutex<VecDeque<StoreError>>,
    changes: watch::Sender<u64>,
}

/// An incident and its events.
#[derive(Debug, Clone)]
struct Kept {
    summary: Summary,
    events: Vec<Recorded>,
    owner: Option<(String, Timestamp)>,
    epoch: i64,
}

#[derive(Debug, Clone)]
struct Effect {
    incident: IncidentId,
    runbook: String,
    target: String,
    at: Timestamp,
    ended: bool,
}

/// An alert's last episode, as a runbook has seen it.
#[derive(Debug, Clone)]
struct Episode {
    starts_at: i64,
    ends_at: Option<i64>,
    /// None: only its end was heard.
    incident: Option<IncidentId>,
}

/// How far a sink has come with an incident.
#[derive(Debug, Clone, Default)]
struct Reader {
    delivered: u64,
    note: String,
    /// Up to which event, and since when, it is behind.
    dirty: Option<(u64, Timestamp)>,
}

/// What is on disk in another store.
#[derive(Debug, Default)]
struct State {
    incidents: BTreeMap<IncidentId, Kept>,
    /// By alert and runbook.
    episodes: BTreeMap<(String, String), Episode>,
    effects: BTreeMap<OperationId, Effect>,
    changes: Vec<Entry>,
    /// By the key of the request.
    runs: BTreeMap<String, IncidentId>,
    /// By run and runbook.
    proofs: BTreeMap<(String, String), Proof>,
    drills: BTreeMap<String, Drill>,
    unanswered: BTreeMap<String, Unanswered>,
    runbooks: BTreeMap<Hash, String>,
    pause: Option<Pause>,
    readers: BTreeMap<(String, IncidentId), Reader>,
    slots: BTreeMap<String, Timestamp>,
}

impl Default for Model {
    fn default() -> Self {
        Self { state: Mutex::default(), failures: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl Model {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next operation fails with this, and does nothing; several are used up in turn.
    pub fn fail_next(&self, error: StoreError) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push_back(error);
    }

    async fn enter(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        tokio::task::yield_now().await;
        match self.failures.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
            Some(error) => Err(error),
            None => Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl State {
    fn kept(&self, incident: &IncidentId) -> Result<&Kept, StoreError> {
        self.incidents.get(incident).ok_or_else(|| StoreError::NoSuchIncident(incident.clone()))
    }

    /// Whether the event `expected + 1` may be written by who has this epoch; none: a person.
    fn check(&self, incident: &IncidentId, epoch: Option<i64>, expected: u64) -> Result<(), StoreError> {
        let kept = self.kept(incident)?;
        if epoch.is_some_and(|mine| mine != kept.epoch) {
            return Err(StoreError::NotMine(incident.clone()));
        }
        if kept.summary.seq != expected || kept.summary.closed_at.is_some() {
            return Err(StoreError::Moved(incident.clone()));
        }
        Ok(())
    }

    /// Adds the next event, and tells the sinks.
    fn record(
        &mut self,
        now: Timestamp,
        incident: &IncidentId,
        event: Event,
    ) -> Result<Recorded, StoreError> {
        let (_, event) = written(&event)?;
        let kept =
            self.incidents.get_mut(incident).ok_or_else(|| StoreError::NoSuchIncident(incident.clone()))?;
        let at = kept.events.last().map_or(now, |last| last.at.max(now));
        let recorded = Recorded { seq: kept.summary.seq + 1, at, event };
        kept.summary.seq = recorded.seq;
        kept.events.push(recorded.clone());
        match &recorded.event {
            Event::Closed { outcome, .. } => {
                kept.summary.outcome = Some(*outcome);
                kept.summary.closed_at = Some(at);
                for effect in self.effects.values_mut().filter(|effect| effect.incident == *incident) {
                    effect.ended = true;
                }
            }
            Event::StepEnded { op: Some(op), .. } => {
                let own = self.effects.get_mut(op).filter(|effect| effect.incident == *incident);
                own.into_iter().for_each(|effect| effect.ended = true);
            }
            _ => {}
        }
        let mut entries = Entries::from(std::mem::take(&mut self.changes));
        entries.after(incident, recorded.at, &recorded.event);
        self.changes = entries.into_inner();
        self.changes.sort_by_key(|entry| (entry.object.key(), entry.field.path().join(".")));
        for sink in SINKS {
            let reader = self.readers.entry((sink.to_owned(), incident.clone())).or_default();
            reader.dirty = Some((recorded.seq, reader.dirty.map_or(at, |(_, since)| since)));
        }
        Ok(recorded)
    }

    fn commit(
        &mut self,
        now: Timestamp,
        claim: &Claim,
        expected: u64,
        ask: AskGuards,
    ) -> Result<Committed, StoreError> {
        self.check(&claim.incident, Some(claim.epoch), expected)?;
        let (event, permit) = match rules::ask(ask, &self.ledger(now))? {
            Ok(granted) => granted,
            Err(asked) => return Ok(Committed::Refused(asked)),
        };
        rules::fits(&claim.incident, &event, &permit)?;
        let in_flight = |op: &OperationId| self.effects.get(op).is_some_and(|effect| !effect.ended);
        match &event {
            Event::EffectIntended { plan, .. } => {
                let target = plan.key();
                if self.effects.values().any(|effect| !effect.ended && effect.target == target) {
                    return Err(StoreError::TargetTaken(target));
                }
                let recorded = self.record(now, &claim.incident, event)?;
                let runbook = self.kept(&claim.incident)?.summary.runbook.clone();
                let (incident, at) = (claim.incident.clone(), recorded.at);
                let effect = Effect { incident, runbook, target, at, ended: false };
                self.effects.insert(permit.op().clone(), effect);
                Ok(Committed::Granted(recorded, permit))
            }
            _ if !in_flight(permit.op()) => Err(rules::not_in_flight(&permit)),
            _ => Ok(Committed::Granted(self.record(now, &claim.incident, event)?, permit)),
        }
    }
}

#[async_trait]
impl Store for Model {
    async fn take_in(&self, intake: Intake) -> Result<Receipt, StoreError> {
        let now = clock::now();
        let prepared = Prepared::new(intake, now);
        let receipt = self.enter().await?.take_in(now, &prepared)?;
        if !receipt.opened.is_empty() || receipt.joined > 0 || receipt.resolved > 0 {
            self.changed();
        }
        Ok(receipt)
    }

    async fn claim(&self, owner: &str, lease: Duration) -> Result<Vec<Claim>, StoreError> {
        let mut state = self.enter().await?;
        let now = clock::now();
        let free = |kept: &&mut Kept| {
            kept.summary.closed_at.is_none()
                && kept.owner.as_ref().is_none_or(|(of, until)| *until < now && of != owner)
        };
        let claim = |kept: &mut Kept| {
            kept.owner = Some((owner.to_owned(), clock::after(now, lease)));
            kept.epoch += 1;
            Claim { incident: kept.summary.id.clone(), epoch: kept.epoch }
        };
        Ok(state.incidents.values_mut().filter(free).map(claim).collect())
    }

    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        let mut state = self.enter().await?;
        let until = clock::after(clock::now(), lease);
        let leases = state.incidents.values_mut().filter_map(|kept| kept.owner.as_mut());
        leases.filter(|(of, _)| of == owner).for_each(|lease| lease.1 = until);
        Ok(())
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        let mut state = self.enter().await?;
        for kept in state.incidents.values_mut() {
            kept.owner.take_if(|(of, _)| of == owner);
        }
        drop(state);
        self.changed();
        Ok(())
    }

    async fn events(&self, incident: &IncidentId, after: u64) -> Result<Vec<Recorded>, StoreError> {
        let state = self.enter().await?;
        let events = &state.kept(incident)?.events;
        Ok(events.iter().filter(|recorded| recorded.seq > after).cloned().collect())
    }

    async fn append(
        &self,
        claim: &Claim,
        expected: u64,
        event: Event,
        _wake_at: Option<Timestamp>,
    ) -> Result<Recorded, StoreError> {
        rules::may_append(&event)?;
        let recorded = {
            let mut state = self.enter().await?;
            state.check(&claim.incident, Some(claim.epoch), expected)?;
            state.record(clock::now(), &claim.incident, event)?
        };
        self.changed();
        Ok(recorded)
    }

    async fn commit_effect(
        &self,
        claim: &Claim,
        expected: u64,
        ask: AskGuards,
    ) -> Result<Committed, StoreError> {
        let committed = self.enter().await?.commit(clock::now(), claim, expected, ask)?;
        if matches!(committed, Committed::Granted(..)) {
            self.changed();
        }
        Ok(committed)
    }

    async fn say(&self, incident: &IncidentId, expected: u64, event: Event) -> Result<Recorded, StoreError> {
        rules::may_say(&event)?;
        let recorded = {
            let mut state = self.enter().await?;
            state.check(incident, None, expected)?;
            state.record(clock::now(), incident, event)?
        };
        self.changed();
        Ok(recorded)
    }

    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        Ok(self.enter().await?.changes.clone())
    }

    async fn open_restore(&self, opened: Opened) -> Result<Option<IncidentId>, StoreError> {
        let incident = self.enter().await?.open_restore(clock::now(), opened)?;
        if incident.is_some() {
            self.changed();
        }
        Ok(incident)
    }

    async fn open_run(&self, key: &str, opened: Opened) -> Result<Begun, StoreError> {
        let begun = self.enter().await?.open_run(clock::now(), key, opened)?;
        if matches!(begun, Begun::New(_)) {
            self.changed();
        }
        Ok(begun)
    }

    async fn keep_proof(&self, proof: Proof) -> Result<KeptProof, StoreError> {
        let proof = kept_proof(proof)?;
        let mut state = self.enter().await?;
        let key = (proof.run.clone(), proof.runbook.clone());
        Ok(match state.proofs.get(&key) {
            Some(there) if *there == proof => KeptProof::Known,
            Some(_) => KeptProof::Another,
            None => {
                state.proofs.insert(key, proof);
                KeptProof::New
            }
        })
    }

    async fn proofs(&self) -> Result<Vec<Proof>, StoreError> {
        Ok(self.enter().await?.newest_proofs())
    }

    async fn register_drill(&self, drill: Drill) -> Result<Registered, StoreError> {
        Ok(self.enter().await?.register(clock::now(), drill))
    }

    async fn end_drill(&self, run: &str) -> Result<Option<Drill>, StoreError> {
        Ok(self.enter().await?.end_drill(clock::now(), run))
    }

    async fn drill(&self, run: &str) -> Result<Option<Drill>, StoreError> {
        Ok(self.enter().await?.drills.get(run).cloned())
    }

    async fn drills(&self, most: u32) -> Result<Vec<Drill>, StoreError> {
        let mut all: Vec<Drill> = self.enter().await?.drills.values().cloned().collect();
        all.sort_by_key(|drill| (std::cmp::Reverse(drill.began_at), drill.run.clone()));
        all.truncate(most as usize);
        Ok(all)
    }

    async fn announce_fault(&self, opened: Opened, announced: Announced) -> Result<Announcement, StoreError> {
        let made = self.enter().await?.announce(clock::now(), opened, announced)?;
        self.changed();
        Ok(made)
    }

    async fn ledger(&self) -> Result<Ledger, StoreError> {
        Ok(self.enter().await?.ledger(clock::now()))
    }

    async fn pause(&self, by: &str, reason: &str) -> Result<Pause, StoreError> {
        let pause = Pause { reason: reason.to_owned(), by: by.to_owned(), at: clock::now() };
        self.enter().await?.pause = Some(pause.clone());
        self.changed();
        Ok(pause)
    }

    async fn resume(&self, _by: &str) -> Result<Option<Pause>, StoreError> {
        let pause = self.enter().await?.pause.take();
        self.changed();
        Ok(pause)
    }

    async fn paused(&self) -> Result<Option<Pause>, StoreError> {
        Ok(self.enter().await?.pause.clone())
    }

    async fn keep_runbook(&self, _name: &str, hash: &Hash, text: &str) -> Result<(), StoreError> {
        self.enter().await?.runbooks.entry(hash.clone()).or_insert_with(|| text.to_owned());
        Ok(())
    }

    async fn runbook(&self, hash: &Hash) -> Result<Option<String>, StoreError> {
        Ok(self.enter().await?.runbooks.get(hash).cloned())
    }

    async fn incidents(&self, only_open: bool, most: u32) -> Result<Vec<Summary>, StoreError> {
        let state = self.enter().await?;
        let summaries = state.incidents.values().rev().map(|kept| &kept.summary);
        let wanted = summaries.filter(|summary| !only_open || summary.closed_at.is_none());
        Ok(wanted.take(most as usize).cloned().collect())
    }

    async fn incident(&self, incident: &IncidentId) -> Result<Summary, StoreError> {
        Ok(self.enter().await?.kept(incident)?.summary.clone())
    }

    async fn unanswered(&self, most: u32) -> Result<Vec<Unanswered>, StoreError> {
        let state = self.enter().await?;
        let mut all: Vec<_> = state.unanswered.iter().collect();
        all.sort_by_key(|(key, unanswered)| std::cmp::Reverse((unanswered.at, (*key).clone())));
        Ok(all.into_iter().take(most as usize).map(|(_, unanswered)| unanswered.clone()).collect())
    }

    async fn behind(&self, sink: &str, most: u32) -> Result<Vec<Behind>, StoreError> {
        let state = self.enter().await?;
        let of = state.readers.iter().filter(|((of, _), _)| of == sink);
        let mut behind: Vec<_> = of
            .filter_map(|((_, incident), reader)| {
                let (delivered, note) = (reader.delivered, reader.note.clone());
                reader.dirty.map(|(_, since)| (since, Behind { incident: incident.clone(), delivered, note }))
            })
            .collect();
        // The order of the map, by incident, stays among equals.
        behind.sort_by_key(|(since, _)| *since);
        Ok(behind.into_iter().take(most as usize).map(|(_, behind)| behind).collect())
    }

    async fn delivered(
        &self,
        sink: &str,
        incident: &IncidentId,
        seq: u64,
        note: &str,
    ) -> Result<(), StoreError> {
        {
            let mut state = self.enter().await?;
            let next = state.kept(incident)?.events.iter().find(|recorded| recorded.seq == seq + 1);
            let next = next.map(|recorded| recorded.at);
            let reader = state.readers.entry((sink.to_owned(), incident.clone())).or_default();
            reader.delivered = reader.delivered.max(seq);
            note.clone_into(&mut reader.note);
            reader.dirty = match reader.dirty {
                Some((last, since)) if last > seq => Some((last, next.unwrap_or(since))),
                _ => None,
            };
        }
        self.changed();
        Ok(())
    }

    async fn slot(&self, sink: &str, every: Duration) -> Result<Timestamp, StoreError> {
        let now = clock::now();
        let mut state = self.enter().await?;
        let next = state.slots.get(sink).map_or(now, |last| clock::after(*last, every).max(now));
        state.slots.insert(sink.to_owned(), next);
        Ok(next)
    }

    async fn writable(&self) -> Result<(), StoreError> {
        self.enter().await.map(|_| ())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
