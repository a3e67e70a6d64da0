//! A journal in memory that says what the test wants, and counts what people said.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use runbookd::incident::changes::Entry;
use runbookd::incident::drill::{Announced, Drill};
use runbookd::incident::event::Opened;
use runbookd::incident::ledger::{Ledger, Pause};
use runbookd::incident::proof::Proof;
use runbookd::incident::{Event, Incident, IncidentId, Recorded};
use runbookd::runbook::Hash;
use runbookd::store::{
    Announcement, AskGuards, Begun, Behind, Claim, Committed, Intake, KeptProof, Receipt, Registered, Store,
    StoreError, Summary, Unanswered,
};
use tokio::sync::watch;

#[derive(Default)]
struct Journal {
    incidents: BTreeMap<IncidentId, Vec<Recorded>>,
    pause: Option<Pause>,
    unanswered: Vec<Unanswered>,
    broken: Option<StoreError>,
    hangs: bool,
    runs: BTreeMap<String, IncidentId>,
    proofs: Vec<Proof>,
    texts: Vec<String>,
    first: VecDeque<Event>,
    said: usize,
}

/// The journal.
pub(super) struct Fake {
    journal: Mutex<Journal>,
    changes: watch::Sender<u64>,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self { journal: Mutex::default(), changes: watch::Sender::new(0) }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap()
    }

    /// Every call fails like this from now on.
    pub(super) fn break_with(&self, error: StoreError) {
        self.journal().broken = Some(error);
    }

    /// A write never comes back.
    pub(super) fn hang(&self) {
        self.journal().hangs = true;
    }

    /// This event comes first when somebody says something: what they answered has moved on.
    pub(super) fn comes_first(&self, event: Event) {
        self.journal().first.push_back(event);
    }

    /// How often something that a person said was appended.
    pub(super) fn said(&self) -> usize {
        self.journal().said
    }

    /// The one runbook of the journal.
    pub(super) fn keep_text(&self, source: &str) {
        self.journal().texts.push(source.to_owned());
    }

    pub(super) fn keep_unanswered(&self, alert: Unanswered) {
        self.journal().unanswered.push(alert);
    }

    /// Puts an event into the journal.
    pub(super) fn put(&self, id: &IncidentId, at: Timestamp, event: Event) {
        append(&mut self.journal(), id, at, event);
        self.changes.send_modify(|change| *change += 1);
    }

    fn ask(&self) -> Result<MutexGuard<'_, Journal>, StoreError> {
        let journal = self.journal();
        match &journal.broken {
            Some(error) => Err(error.clone()),
            None => Ok(journal),
        }
    }
}

fn append(journal: &mut Journal, id: &IncidentId, at: Timestamp, event: Event) -> Recorded {
    let events = journal.incidents.entry(id.clone()).or_default();
    let recorded = Recorded { seq: events.len() as u64 + 1, at, event };
    events.push(recorded.clone());
    recorded
}

fn summary(id: &IncidentId, events: &[Recorded]) -> Summary {
    let opened = match &events[0].event {
        Event::Opened(opened) => Some(opened),
        _ => None,
    };
    let opened = opened.expect("every story begins with an alert");
    let closed = events.iter().find_map(|recorded| match &recorded.event {
        Event::Closed { outcome, .. } => Some((recorded.at, *outcome)),
        _ => None,
    });
    Summary {
        id: id.clone(),
        runbook: opened.runbook.clone(),
        scope: opened.scope.clone(),
        opened_at: events[0].at,
        closed_at: closed.map(|(at, _)| at),
        outcome: closed.map(|(_, outcome)| outcome),
        seq: events.len() as u64,
        begun_by: opened.by_hand().map(|run| run.by.clone()),
        drill: opened.drill.clone(),
    }
}

fn not_here<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("the API has no business here".to_owned()))
}

#[async_trait]
impl Store for Fake {
    async fn events(&self, incident: &IncidentId, after: u64) -> Result<Vec<Recorded>, StoreError> {
        let journal = self.ask()?;
        let events = journal.incidents.get(incident);
        let events = events.ok_or_else(|| StoreError::NoSuchIncident(incident.clone()))?;
        Ok(events.iter().filter(|recorded| recorded.seq > after).cloned().collect())
    }

    async fn say(&self, incident: &IncidentId, expected: u64, event: Event) -> Result<Recorded, StoreError> {
        let mut journal = self.ask()?;
        let at = runbookd::clock::now();
        if let Some(first) = journal.first.pop_front() {
            append(&mut journal, incident, at, first);
        }
        let events = journal.incidents.get(incident);
        let events = events.ok_or_else(|| StoreError::NoSuchIncident(incident.clone()))?;
        if events.len() as u64 != expected {
            return Err(StoreError::Moved(incident.clone()));
        }
        journal.said += 1;
        let recorded = append(&mut journal, incident, at, event);
        Incident::replay(incident, &journal.incidents[incident]).expect("only what is legal is appended");
        drop(journal);
        self.changes.send_modify(|change| *change += 1);
        Ok(recorded)
    }

    async fn pause(&self, by: &str, reason: &str) -> Result<Pause, StoreError> {
        let pause =
            Pause { reason: reason.to_owned(), by: by.to_owned(), at: Timestamp::from_second(1).unwrap() };
        self.ask()?.pause = Some(pause.clone());
        Ok(pause)
    }

    async fn resume(&self, _by: &str) -> Result<Option<Pause>, StoreError> {
        Ok(self.ask()?.pause.take())
    }

    async fn paused(&self) -> Result<Option<Pause>, StoreError> {
        Ok(self.ask()?.pause.clone())
    }

    async fn incidents(&self, only_open: bool, most: u32) -> Result<Vec<Summary>, StoreError> {
        let journal = self.ask()?;
        let all = journal.incidents.iter().rev().map(|(id, events)| summary(id, events));
        let wanted = all.filter(|summary| !only_open || summary.closed_at.is_none());
        Ok(wanted.take(most as usize).collect())
    }

    async fn incident(&self, incident: &IncidentId) -> Result<Summary, StoreError> {
        let events = self.events(incident, 0).await?;
        Ok(summary(incident, &events))
    }

    async fn unanswered(&self, most: u32) -> Result<Vec<Unanswered>, StoreError> {
        Ok(self.ask()?.unanswered.iter().take(most as usize).cloned().collect())
    }

    async fn open_run(&self, key: &str, opened: Opened) -> Result<Begun, StoreError> {
        let mut journal = self.ask()?;
        if let Some(known) = journal.runs.get(key) {
            return Ok(Begun::Known(known.clone()));
        }
        let same = |events: &Vec<Recorded>| {
            let closed = events.iter().any(|recorded| matches!(recorded.event, Event::Closed { .. }));
            matches!(&events[0].event, Event::Opened(there) if !closed && there.scope == opened.scope && there.runbook == opened.runbook)
        };
        if let Some((id, _)) = journal.incidents.iter().find(|(_, events)| same(events)) {
            return Ok(Begun::Busy(id.clone()));
        }
        let id = IncidentId::new(1_795_000_000_000 + journal.said as u64, 7);
        journal.said += 1;
        journal.runs.insert(key.to_owned(), id.clone());
        append(&mut journal, &id, runbookd::clock::now(), Event::Opened(opened));
        Ok(Begun::New(id))
    }

    async fn writable(&self) -> Result<(), StoreError> {
        let hangs = self.ask()?.hangs;
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    // The rest is the webhook's, the pipeline's and the sinks'.

    async fn take_in(&self, _: Intake) -> Result<Receipt, StoreError> {
        not_here()
    }
    async fn claim(&self, _: &str, _: Duration) -> Result<Vec<Claim>, StoreError> {
        not_here()
    }
    async fn renew(&self, _: &str, _: Duration) -> Result<(), StoreError> {
        not_here()
    }
    async fn release(&self, _: &str) -> Result<(), StoreError> {
        not_here()
    }
    async fn append(
        &self,
        _: &Claim,
        _: u64,
        _: Event,
        _: Option<Timestamp>,
    ) -> Result<Recorded, StoreError> {
        not_here()
    }
    async fn commit_effect(&self, _: &Claim, _: u64, _: AskGuards) -> Result<Committed, StoreError> {
        not_here()
    }
    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        not_here()
    }

    async fn open_restore(&self, _: Opened) -> Result<Option<IncidentId>, StoreError> {
        not_here()
    }

    async fn keep_proof(&self, proof: Proof) -> Result<KeptProof, StoreError> {
        let mut journal = self.ask()?;
        let same_run = |kept: &&Proof| (&kept.run, &kept.runbook) == (&proof.run, &proof.runbook);
        match journal.proofs.iter().find(same_run) {
            Some(kept) if *kept == proof => return Ok(KeptProof::Known),
            Some(_) => return Ok(KeptProof::Another),
            None => journal.proofs.push(proof),
        }
        Ok(KeptProof::New)
    }

    async fn proofs(&self) -> Result<Vec<Proof>, StoreError> {
        Ok(self.ask()?.proofs.clone())
    }

    async fn register_drill(&self, _: Drill) -> Result<Registered, StoreError> {
        not_here()
    }
    async fn end_drill(&self, _: &str) -> Result<Option<Drill>, StoreError> {
        not_here()
    }
    async fn drill(&self, _: &str) -> Result<Option<Drill>, StoreError> {
        not_here()
    }
    async fn drills(&self, _: u32) -> Result<Vec<Drill>, StoreError> {
        not_here()
    }
    async fn announce_fault(&self, _: Opened, _: Announced) -> Result<Announcement, StoreError> {
        not_here()
    }
    async fn ledger(&self) -> Result<Ledger, StoreError> {
        not_here()
    }
    async fn keep_runbook(&self, _: &str, _: &Hash, _: &str) -> Result<(), StoreError> {
        not_here()
    }
    async fn runbook(&self, _: &Hash) -> Result<Option<String>, StoreError> {
        Ok(self.ask()?.texts.first().cloned())
    }
    async fn behind(&self, _: &str, _: u32) -> Result<Vec<Behind>, StoreError> {
        not_here()
    }
    async fn delivered(&self, _: &str, _: &IncidentId, _: u64, _: &str) -> Result<(), StoreError> {
        not_here()
    }
    async fn slot(&self, _: &str, _: Duration) -> Result<Timestamp, StoreError> {
        not_here()
    }
}
