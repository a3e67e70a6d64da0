//! No journal at all: takes everything in and keeps nothing. It is what the benchmark holds the journal against,
//! and never part of the daemon.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    Announcement, AskGuards, Begun, Behind, Claim, Committed, Intake, KeptProof, Receipt, Registered, Store,
    StoreError, Summary, Unanswered,
};
use crate::incident::changes::Entry;
use crate::incident::drill::{Announced, Drill};
use crate::incident::event::Opened;
use crate::incident::ledger::{Ledger, Pause};
use crate::incident::proof::Proof;
use crate::incident::{Event, IncidentId, Recorded};
use crate::runbook::Hash;

/// Keeps nothing.
#[derive(Debug)]
pub struct Nothing(watch::Sender<u64>);

impl Default for Nothing {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

fn nothing<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("there is no journal".to_owned()))
}

#[async_trait]
impl Store for Nothing {
    async fn take_in(&self, intake: Intake) -> Result<Receipt, StoreError> {
        Ok(Receipt { repeated: intake.answered.len(), ..Receipt::default() })
    }

    async fn claim(&self, _owner: &str, _lease: Duration) -> Result<Vec<Claim>, StoreError> {
        nothing()
    }

    async fn renew(&self, _owner: &str, _lease: Duration) -> Result<(), StoreError> {
        nothing()
    }

    async fn release(&self, _owner: &str) -> Result<(), StoreError> {
        nothing()
    }

    async fn events(&self, _incident: &IncidentId, _after: u64) -> Result<Vec<Recorded>, StoreError> {
        nothing()
    }

    async fn append(
        &self,
        _claim: &Claim,
        _expected: u64,
        _event: Event,
        _wake_at: Option<Timestamp>,
    ) -> Result<Recorded, StoreError> {
        nothing()
    }

    async fn commit_effect(
        &self,
        _claim: &Claim,
        _expected: u64,
        _ask: AskGuards,
    ) -> Result<Committed, StoreError> {
        nothing()
    }

    async fn say(
        &self,
        _incident: &IncidentId,
        _expected: u64,
        _event: Event,
    ) -> Result<Recorded, StoreError> {
        nothing()
    }

    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    async fn open_restore(&self, _opened: Opened) -> Result<Option<IncidentId>, StoreError> {
        nothing()
    }

    async fn open_run(&self, _key: &str, _opened: Opened) -> Result<Begun, StoreError> {
        nothing()
    }

    async fn keep_proof(&self, _proof: Proof) -> Result<KeptProof, StoreError> {
        nothing()
    }

    async fn proofs(&self) -> Result<Vec<Proof>, StoreError> {
        Ok(Vec::new())
    }

    async fn register_drill(&self, _drill: Drill) -> Result<Registered, StoreError> {
        nothing()
    }

    async fn end_drill(&self, _run: &str) -> Result<Option<Drill>, StoreError> {
        nothing()
    }

    async fn drill(&self, _run: &str) -> Result<Option<Drill>, StoreError> {
        nothing()
    }

    async fn drills(&self, _most: u32) -> Result<Vec<Drill>, StoreError> {
        nothing()
    }

    async fn announce_fault(
        &self,
        _opened: Opened,
        _announced: Announced,
    ) -> Result<Announcement, StoreError> {
        nothing()
    }

    async fn ledger(&self) -> Result<Ledger, StoreError> {
        nothing()
    }

    async fn pause(&self, _by: &str, _reason: &str) -> Result<Pause, StoreError> {
        nothing()
    }

    async fn resume(&self, _by: &str) -> Result<Option<Pause>, StoreError> {
        nothing()
    }

    async fn paused(&self) -> Result<Option<Pause>, StoreError> {
        nothing()
    }

    async fn keep_runbook(&self, _name: &str, _hash: &Hash, _text: &str) -> Result<(), StoreError> {
        nothing()
    }

    async fn runbook(&self, _hash: &Hash) -> Result<Option<String>, StoreError> {
        nothing()
    }

    async fn incidents(&self, _only_open: bool, _most: u32) -> Result<Vec<Summary>, StoreError> {
        nothing()
    }

    async fn incident(&self, _incident: &IncidentId) -> Result<Summary, StoreError> {
        nothing()
    }

    async fn unanswered(&self, _most: u32) -> Result<Vec<Unanswered>, StoreError> {
        nothing()
    }

    async fn behind(&self, _sink: &str, _most: u32) -> Result<Vec<Behind>, StoreError> {
        nothing()
    }

    async fn delivered(
        &self,
        _sink: &str,
        _incident: &IncidentId,
        _seq: u64,
        _note: &str,
    ) -> Result<(), StoreError> {
        nothing()
    }

    async fn slot(&self, _sink: &str, _every: Duration) -> Result<Timestamp, StoreError> {
        nothing()
    }

    async fn writable(&self) -> Result<(), StoreError> {
        nothing()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
