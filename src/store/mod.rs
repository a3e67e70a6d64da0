//! The journal: one append-only record that is the audit log, the crash log, the timeline and the ledger of the
//! limits. Everything that must survive `kill -9` goes through here, and nothing is true before it is committed.
//!
//! Rules that every store keeps, whatever its database:
//!
//! 1. No global cursor: readers ask per incident, and a `dirty` row is written in the append's transaction.
//! 2. No read before a write: unique (partial) indexes and `ON CONFLICT` decide, so that two writers can not both win.
//! 3. Limits are counted and reserved under one lock, in the transaction that appends the intent.
//! 4. Every append names the epoch of its claim and the sequence number it expects; timers are `wake_at`.
//! 5. Time is the store's, in whole microseconds of UTC.
//! 6. Events carry a version; an incident with an event that this release can not read is left alone and reported.
//! 7. A hash chain per incident over the stored bytes.
//! 8. The runbook's text is kept by hash: open incidents keep the version they began with.
//! 9. A sink's pace is a lease in the store.
//! 10. One SQL text for every database; ids are made by the program.

mod chain;
mod chance;
#[doc(hidden)]
pub mod model;
#[doc(hidden)]
pub mod nothing;
mod prepared;
mod rules;
pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::alert::{Alert, Fingerprint, Labels};
use crate::incident::changes::Entry;
use crate::incident::drill::{Announced, Drill};
use crate::incident::event::Opened;
use crate::incident::ledger::{Ledger, Pause};
use crate::incident::permit::{Asked, Permit};
use crate::incident::proof::Proof;
use crate::incident::{Event, IncidentId, Outcome, Recorded};
use crate::runbook::Hash;

#[doc(hidden)]
pub use model::Model;
pub use sqlite::{OpenError, Sqlite};

/// The readers of the journal that are told of every event: an append marks its incident for each of them.
pub const SINKS: [&str; 1] = ["slack"];

/// How many alerts one event keeps whole; of more it keeps the number.
pub const ALERTS_PER_EVENT: usize = 500;

/// How many alerts that no runbook answered are kept.
pub const UNANSWERED_KEPT: u32 = 1_000;

/// One notification, matched, as it goes into the journal in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Intake {
    /// The alerts that at least one runbook answers.
    pub answered: Vec<Answered>,
    /// The others, each with the reason.
    pub unanswered: Vec<Unanswered>,
    /// The alerts that Alertmanager still hears of, and sends to nobody.
    pub suppressed: Vec<Suppressed>,
    /// How many alerts Alertmanager cut off.
    pub truncated: u64,
}

/// An alert that a person, or a rule that a person wrote, keeps quiet in Alertmanager; or one that Alertmanager has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    /// Which.
    pub fingerprint: Fingerprint,
    /// Its labels.
    pub labels: Labels,
    /// By whom or what, such as "silenced in Alertmanager by ana: deploying"; none when Alertmanager no longer hears of it, which ends it.
    pub why: Option<String>,
}

/// An alert and the runbooks that answer it.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The alert.
    pub alert: Alert,
    /// Empty only for an alert that resolved: an open incident may still wait for that.
    pub by: Vec<AnsweredBy>,
}

/// A runbook that answers an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredBy {
    /// Its name.
    pub runbook: String,
    /// Its version.
    pub hash: Hash,
    /// The scope of the alert under it.
    pub scope: Labels,
    /// How long an incident that is opened now has.
    pub deadline: Duration,
    /// The drill that made the alert up; its scope then has the drill in it, so that no incident has alerts of both kinds.
    pub drill: Option<String>,
}

/// An alert that no runbook answered, or that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// When it came. The store's time when it is taken in.
    pub at: Timestamp,
    /// Its labels as text, or, when it could not be read, the alert as it came, cut.
    pub alert: String,
    /// Whether it could not be read.
    pub refused: bool,
    /// Why nothing was done.
    pub reason: String,
}

/// What became of an intake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Incidents that were opened.
    pub opened: Vec<IncidentId>,
    /// How many alerts joined an open incident.
    pub joined: usize,
    /// How many alerts resolved in an open incident.
    pub resolved: usize,
    /// How many alerts changed nothing: sent again, late, or already worked on.
    pub repeated: usize,
    /// How many alerts are suppressed in an open incident from now on.
    pub suppressed: usize,
    /// The alerts that opened an incident or joined one.
    pub taken: Vec<Fingerprint>,
    /// How many alerts were made up by a drill that is over.
    pub late: usize,
}

/// The right to work on an incident, as long as nobody else has claimed it since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub incident: IncidentId,
    /// Every append says `WHERE epoch = ` this.
    pub epoch: i64,
}

/// What the guards made of a wanted effect.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub enum Committed {
    /// The intent is on disk; here is the permit.
    Granted(Recorded, Permit),
    /// Nothing was written.
    Refused(Asked),
}

/// Asked under the ledger's lock, pure: what the guards say about the ledger as it is now.
pub type AskGuards = Box<dyn FnOnce(&Ledger) -> Result<(Event, Permit), Asked> + Send>;

/// An incident in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its name.
    pub id: IncidentId,
    /// The runbook that answers.
    pub runbook: String,
    /// The label values that make it one incident.
    pub scope: Labels,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The number of its last event.
    pub seq: u64,
    /// Who began it by hand; none: an alert did, or it puts something back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_by: Option<String>,
    /// The drill that it belongs to: its alerts are made up, or it announces a fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
}

/// What became of a person's wish to begin an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is on disk.
    New(IncidentId),
    /// The same request came before, and began this one.
    Known(IncidentId),
    /// Nothing was written: this one of the same runbook and scope is open.
    Busy(IncidentId),
}

/// What became of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptProof {
    /// It is on disk.
    New,
    /// The very same came before.
    Known,
    /// Nothing was written: its run has said something else of that runbook before.
    Another,
}

/// What became of a drill that was to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// It is on disk.
    New(Drill),
    /// The same request came before.
    Known(Drill),
    /// Nothing was written.
    NotNow(Hindrance),
}

/// What became of a fault that was to be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// It is on disk, with what it sets, as this incident.
    Made(IncidentId),
    /// Nothing was written.
    NotNow(Hindrance),
}

/// What stands against a drill, or against a fault in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// A person has stopped all effects.
    Paused(Pause),
    /// A real incident is open.
    Incident {
        /// Which.
        id: IncidentId,
        /// Which runbook answers it.
        runbook: String,
    },
    /// Another drill is played.
    Drill(Box<Drill>),
    /// There is no drill of this id.
    Unknown,
    /// This one is over.
    Over,
    /// This one was registered for alerts that are made up, and for no fault.
    NoFaults,
    /// The field is changed for a while already.
    Changed {
        /// Of which object, in words.
        object: String,
        /// Which, in words.
        field: String,
    },
}

/// How far a reader of the journal has come with one incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// Which.
    pub incident: IncidentId,
    /// The last event that it has delivered; 0: none.
    pub delivered: u64,
    /// What it wrote down for itself, such as Slack's `ts`.
    pub note: String,
}

/// Why the store did not do it. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another event came first; read again and decide again.
    #[error("incident {0} has moved on")]
    Moved(IncidentId),
    /// Another owner has claimed it since.
    #[error("incident {0} is claimed by another owner")]
    NotMine(IncidentId),
    /// Another incident's effect is in flight on the target.
    #[error("another incident works on {0}")]
    TargetTaken(String),
    /// There is no such incident.
    #[error("there is no incident {0}")]
    NoSuchIncident(IncidentId),
    /// An event that this release can not read, or whose hash does not fit.
    #[error("event {seq} of incident {incident} can not be read: {why}")]
    Unreadable {
        /// Which incident.
        incident: IncidentId,
        /// Which event.
        seq: u64,
        /// Why.
        why: String,
    },
    /// An event that has a way of its own into the journal, or that does not fit its permit.
    #[error("{0} is not written this way")]
    NotThisWay(String),
    /// Too many writes are waiting.
    #[error("too many writes are waiting for the journal")]
    Overloaded,
    /// The database did not take it.
    #[error("the journal is not available: {0}")]
    Unavailable(String),
}

/// The journal.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Takes one notification in, all of it in one transaction: when this returns `Ok`, it is on disk.
    /// The same notification again changes nothing.
    ///
    /// An *episode* is one alert (by fingerprint) from firing to resolved, as one runbook that answers it has seen it.
    /// Firing opens one when none is open and `starts_at` is later than the end of the last; an earlier or equal
    /// `starts_at` belongs to the episode that is there, whether it is open or over (a late copy). A later `starts_at`
    /// while one is open opens the next: the end was never heard, and startsAt only ever moves earlier within an
    /// episode. Resolved ends it when `ends_at` is not before its beginning. A runbook answers an episode once: while
    /// it fires, copies of it open nothing.
    ///
    /// Times of a beginning are compared in whole milliseconds: Alertmanager's API tells no more of them than that, and
    /// its webhook does.
    ///
    /// An alert that is suppressed takes its open episode out of the open incidents that answer it, and leaves no trace of
    /// the episode: when the suppression ends, the same beginning counts as never heard, and is answered anew. So it is with one that
    /// Alertmanager no longer hears of: when Prometheus reaches it again, it says the same beginning again.
    async fn take_in(&self, intake: Intake) -> Result<Receipt, StoreError>;

    /// Claims the open incidents that nobody owns, or whose owner's lease has run out.
    async fn claim(&self, owner: &str, lease: Duration) -> Result<Vec<Claim>, StoreError>;
    /// Prolongs the leases of this owner.
    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError>;
    /// Gives every lease of this owner back, for a graceful end.
    async fn release(&self, owner: &str) -> Result<(), StoreError>;

    /// The events of an incident after `seq`, in order, their hashes checked.
    async fn events(&self, incident: &IncidentId, after: u64) -> Result<Vec<Recorded>, StoreError>;
    /// Appends one event as number `expected + 1`, and the moment at which the incident wants to be looked at.
    /// An [`Event::StepEnded`] with an operation, and [`Event::Closed`], free the target.
    async fn append(
        &self,
        claim: &Claim,
        expected: u64,
        event: Event,
        wake_at: Option<Timestamp>,
    ) -> Result<Recorded, StoreError>;
    /// The one dangerous moment: asks the guards under the ledger's lock and commits the intent with what it
    /// uses up. The permit is handed out after the commit. An effect of another incident that is in flight on
    /// the same target is refused by a unique row, whatever the guards said.
    async fn commit_effect(
        &self,
        claim: &Claim,
        expected: u64,
        ask: AskGuards,
    ) -> Result<Committed, StoreError>;
    /// Appends what a person said ([`Event::Approved`], [`Event::Declined`]); no claim is needed.
    async fn say(&self, incident: &IncidentId, expected: u64, event: Event) -> Result<Recorded, StoreError>;

    /// What is changed for a while now.
    async fn entries(&self) -> Result<Vec<Entry>, StoreError>;
    /// Opens the incident of a restore ([`Opened::restore`]); none when one is open for that object already, or nothing of the object is
    /// changed any more.
    async fn open_restore(&self, opened: Opened) -> Result<Option<IncidentId>, StoreError>;

    /// Opens the incident of a run ([`Opened::run`]), when none of the same runbook and scope is open, whoever began that. The same `key` again opens
    /// nothing, for ever. It is not joined: an alert of the same scope opens an incident of its own.
    async fn open_run(&self, key: &str, opened: Opened) -> Result<Begun, StoreError>;

    /// Keeps what a run has shown of a runbook, once for each run and runbook. From the commit on every [`Ledger`] has it where it is the newest of its
    /// runbook at its level, whether it has passed or failed.
    async fn keep_proof(&self, proof: Proof) -> Result<KeptProof, StoreError>;
    /// The newest proof of each runbook at each level by each scenario of each text, in that order, failed ones included; of two at the same moment the one that failed.
    async fn proofs(&self) -> Result<Vec<Proof>, StoreError>;

    /// Registers a drill, unless effects are paused, a real incident is open, or another drill is played; the store says when it began. The same id again
    /// registers nothing, for ever.
    async fn register_drill(&self, drill: Drill) -> Result<Registered, StoreError>;
    /// A drill is over; it, when there is one of this id. What it has announced is due from then on.
    async fn end_drill(&self, run: &str) -> Result<Option<Drill>, StoreError>;
    /// The drill of this id, however long it has been over.
    async fn drill(&self, run: &str) -> Result<Option<Drill>, StoreError>;
    /// The newest drills, the newest first.
    async fn drills(&self, most: u32) -> Result<Vec<Drill>, StoreError>;
    /// Opens the incident of a fault that is about to be made in a drill ([`Opened::announces`]), and closes it: what the fault sets is among the
    /// [`entries`](Store::entries) from the commit on, as a change of which nobody knows whether it happened. Never over another change; the very same of the same
    /// drill again is the incident that is there. The first one of a drill is refused while a real incident is open.
    async fn announce_fault(&self, opened: Opened, announced: Announced) -> Result<Announcement, StoreError>;

    /// The ledger as the guards would see it now; for shadow and for people.
    async fn ledger(&self) -> Result<Ledger, StoreError>;
    /// Stops all effects, durably.
    async fn pause(&self, by: &str, reason: &str) -> Result<Pause, StoreError>;
    /// Allows effects again; what was paused, if anything.
    async fn resume(&self, by: &str) -> Result<Option<Pause>, StoreError>;
    /// Whether a person has stopped all effects.
    async fn paused(&self) -> Result<Option<Pause>, StoreError>;

    /// Keeps a runbook's text under its hash.
    async fn keep_runbook(&self, name: &str, hash: &Hash, text: &str) -> Result<(), StoreError>;
    /// The text of a runbook.
    async fn runbook(&self, hash: &Hash) -> Result<Option<String>, StoreError>;

    /// Incidents, newest first, at most `most`: all of them, or those that are open.
    async fn incidents(&self, only_open: bool, most: u32) -> Result<Vec<Summary>, StoreError>;
    /// One incident's summary.
    async fn incident(&self, incident: &IncidentId) -> Result<Summary, StoreError>;
    /// The alerts that no runbook answered, newest first.
    async fn unanswered(&self, most: u32) -> Result<Vec<Unanswered>, StoreError>;

    /// The incidents of which a sink has not delivered every event, longest waiting first.
    async fn behind(&self, sink: &str, most: u32) -> Result<Vec<Behind>, StoreError>;
    /// Writes down that a sink has delivered everything up to `seq`, with a note for itself.
    async fn delivered(
        &self,
        sink: &str,
        incident: &IncidentId,
        seq: u64,
        note: &str,
    ) -> Result<(), StoreError>;
    /// Reserves the next moment at which a sink may send, `every` apart.
    async fn slot(&self, sink: &str, every: Duration) -> Result<Timestamp, StoreError>;

    /// Whether a write goes through, for readiness.
    async fn writable(&self) -> Result<(), StoreError>;
    /// Changes after every commit that touched an incident, the pause or a sink.
    fn changes(&self) -> watch::Receiver<u64>;
}
