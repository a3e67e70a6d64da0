//! The journal in one SQLite file: one process, one writing thread, a few readers.
//!
//! Writes that wait together share a commit, so that a slow disk makes them wait and not fall over. A caller
//! is answered only after the commit; a notification that changes nothing is recognised without one.

mod append;
mod changes;
mod claims;
mod drills;
mod effect;
mod events;
mod intake;
mod known;
mod ledger;
mod lock;
mod open;
mod proofs;
mod readers;
mod reads;
mod runs;
mod sinks;
mod sql;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::prepared::{Prepared, written};
use super::{
    Announcement, AskGuards, Begun, Behind, Claim, Committed, Intake, KeptProof, Receipt, Registered, Store,
    StoreError, Summary, Unanswered, rules,
};
use crate::clock;
use crate::incident::changes::Entry;
use crate::incident::drill::{Announced, Drill};
use crate::incident::event::Opened;
use crate::incident::ledger::{Ledger, Pause};
use crate::incident::proof::Proof;
use crate::incident::{Event, IncidentId, Recorded};
use crate::runbook::Hash;
use append::{Place, Wake};
use known::{Known, Learned};
use readers::Readers;
use writer::{Asked, Queue, Turn};

pub use open::OpenError;

/// The journal in a file.
#[derive(Debug)]
pub struct Sqlite {
    queue: Queue,
    readers: Readers,
    known: Arc<Mutex<Known>>,
    changes: watch::Receiver<u64>,
}

impl Sqlite {
    /// Opens the journal, or makes it, with its directory.
    ///
    /// # Errors
    /// [`OpenError`] says what a person can do about it.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let path = path.to_owned();
        let opening = tokio::task::spawn_blocking(move || Self::open_here(&path));
        opening.await.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))
    }

    fn open_here(path: &Path) -> Result<Self, OpenError> {
        let opened = open::open(path)?;
        let known = remembered(&opened.writer)
            .map_err(|source| OpenError::Other { path: path.to_owned(), source: source.into() })?;
        let known = Arc::new(Mutex::new(known));
        let (changed, changes) = watch::channel(0);
        let queue = writer::start(opened.writer, opened.lock, Arc::clone(&known), changed)
            .map_err(|source| OpenError::Other { path: path.to_owned(), source: source.into() })?;
        Ok(Self { queue, readers: Readers::new(opened.readers), known, changes })
    }

    /// Finishes the writes that wait, closes the file and gives the lock back. Later calls are refused.
    pub async fn close(&self) {
        self.readers.close().await;
        self.queue.close().await;
    }

    /// Makes the file full at this many pages, or takes that back; for the tests.
    ///
    /// # Errors
    /// As for any write.
    #[doc(hidden)]
    pub async fn limit_pages(&self, pages: Option<u32>) -> Result<(), StoreError> {
        let pages = pages.unwrap_or(u32::MAX - 1);
        self.write(quiet, move |turn| {
            turn.connection.pragma_update(None, "max_page_count", pages).map_err(Into::into)
        })
        .await
    }

    /// `wakes`: whether those who wait for changes are told of this result.
    async fn write<T: Send + 'static>(
        &self,
        wakes: fn(&T) -> bool,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (caller, answer) = oneshot::channel();
        self.queue.put(Box::new(Asked { work: Some(work), result: None, caller, wakes }))?;
        answer.await.unwrap_or_else(|_| Err(writer::closed()))
    }
}

const PULSE: &str =
    "INSERT INTO pulse (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = excluded.at";

/// A result that others look at.
const fn seen<T>(_: &T) -> bool {
    true
}

/// A result that nobody need look at.
const fn quiet<T>(_: &T) -> bool {
    false
}

/// The episodes of the alerts, the open ones first.
fn remembered(connection: &Connection) -> Result<Known, rusqlite::Error> {
    const EPISODES: &str = "SELECT alert_key, runbook, starts_at, ends_at FROM episodes
         ORDER BY ends_at IS NOT NULL, alert_key LIMIT $1";
    let most = i64::try_from(Known::MOST).unwrap_or(i64::MAX);
    type Columns = (Arc<str>, Arc<str>, i64, Option<i64>);
    let rows: Vec<Columns> = sql::all(connection, EPISODES, &[&most])?;
    let mut learned: Vec<Learned> = Vec::new();
    for (alert_key, runbook, starts_at, ends_at) in rows {
        let row = (runbook, starts_at, ends_at);
        match learned.last_mut() {
            Some(last) if last.alert_key == alert_key => last.rows.push(row),
            // Rows that are over come later, or were cut off.
            _ => learned.push(Learned { alert_key, rows: vec![row], whole: false }),
        }
    }
    let mut known = Known::default();
    // The open ones last: what is learned first is forgotten first.
    known.learn(learned.into_iter().rev());
    Ok(known)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|error| StoreError::Unavailable(error.to_string()))
}

fn id(text: &str) -> Result<IncidentId, StoreError> {
    text.parse().map_err(|error: crate::incident::BadId| StoreError::Unavailable(error.to_string()))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[async_trait]
impl Store for Sqlite {
    async fn take_in(&self, intake: Intake) -> Result<Receipt, StoreError> {
        let prepared = Arc::new(Prepared::new(intake, clock::now()));
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).nothing_changes(&prepared);
        if let Some(receipt) = known {
            return Ok(receipt);
        }
        let changes = |receipt: &Receipt| {
            !receipt.opened.is_empty() || receipt.joined + receipt.resolved + receipt.suppressed > 0
        };
        // It is made and freed here, and not by the one thread that writes.
        let job = Arc::clone(&prepared);
        self.write(changes, move |turn| Ok(intake::take_in(turn, &job)?)).await
    }

    async fn claim(&self, owner: &str, lease: Duration) -> Result<Vec<Claim>, StoreError> {
        let owner = owner.to_owned();
        self.write(quiet, move |turn| claims::claim(turn.connection, turn.now, &owner, lease)).await
    }

    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        let owner = owner.to_owned();
        self.write(quiet, move |turn| {
            claims::hold(turn.connection, &owner, Some(clock::after(turn.now, lease)))
        })
        .await
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        let owner = owner.to_owned();
        self.write(seen, move |turn| claims::hold(turn.connection, &owner, None)).await
    }

    async fn events(&self, incident: &IncidentId, after: u64) -> Result<Vec<Recorded>, StoreError> {
        let incident = incident.clone();
        self.readers.read(move |connection| reads::events(connection, &incident, after)).await
    }

    async fn append(
        &self,
        claim: &Claim,
        expected: u64,
        event: Event,
        wake_at: Option<Timestamp>,
    ) -> Result<Recorded, StoreError> {
        rules::may_append(&event)?;
        let (body, event) = written(&event)?;
        let place = Place::of(claim, expected);
        self.write(seen, move |turn| {
            let wake = Wake::At(wake_at);
            Ok(append::append(turn.connection, turn.now, &place, event, &body, wake)?.recorded)
        })
        .await
    }

    async fn commit_effect(
        &self,
        claim: &Claim,
        expected: u64,
        ask: AskGuards,
    ) -> Result<Committed, StoreError> {
        let place = Place::of(claim, expected);
        self.write(seen, move |turn| effect::commit(turn.connection, turn.now, &place, ask)).await
    }

    async fn say(&self, incident: &IncidentId, expected: u64, event: Event) -> Result<Recorded, StoreError> {
        rules::may_say(&event)?;
        let (body, event) = written(&event)?;
        let place = Place { incident: incident.clone(), epoch: None, expected };
        self.write(seen, move |turn| {
            let wake = Wake::At(Some(turn.now));
            Ok(append::append(turn.connection, turn.now, &place, event, &body, wake)?.recorded)
        })
        .await
    }

    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        self.readers.read(|connection| changes::all(connection)).await
    }

    async fn open_restore(&self, opened: Opened) -> Result<Option<IncidentId>, StoreError> {
        self.write(Option::is_some, move |turn| intake::open_restore(turn, opened)).await
    }

    async fn open_run(&self, key: &str, opened: Opened) -> Result<Begun, StoreError> {
        let key = key.to_owned();
        let opens = |begun: &Begun| matches!(begun, Begun::New(_));
        self.write(opens, move |turn| runs::open(turn, &key, opened)).await
    }

    async fn keep_proof(&self, proof: Proof) -> Result<KeptProof, StoreError> {
        self.write(quiet, move |turn| proofs::keep(turn, proof)).await
    }

    async fn proofs(&self) -> Result<Vec<Proof>, StoreError> {
        self.readers.read(|connection| proofs::newest(connection)).await
    }

    async fn register_drill(&self, drill: Drill) -> Result<Registered, StoreError> {
        self.write(quiet, move |turn| drills::register(turn, &drill)).await
    }

    async fn end_drill(&self, run: &str) -> Result<Option<Drill>, StoreError> {
        let run = run.to_owned();
        self.write(quiet, move |turn| drills::end(turn, &run)).await
    }

    async fn drill(&self, run: &str) -> Result<Option<Drill>, StoreError> {
        let run = run.to_owned();
        self.readers.read(move |connection| drills::one(connection, &run)).await
    }

    async fn drills(&self, most: u32) -> Result<Vec<Drill>, StoreError> {
        self.readers.read(move |connection| drills::newest(connection, most)).await
    }

    async fn announce_fault(&self, opened: Opened, announced: Announced) -> Result<Announcement, StoreError> {
        let made = |announcement: &Announcement| matches!(announcement, Announcement::Made(_));
        self.write(made, move |turn| drills::announce(turn, opened, announced)).await
    }

    async fn ledger(&self) -> Result<Ledger, StoreError> {
        self.readers.read(|connection| ledger::read(&*connection.transaction()?, clock::now())).await
    }

    async fn pause(&self, by: &str, reason: &str) -> Result<Pause, StoreError> {
        let (by, reason) = (by.to_owned(), reason.to_owned());
        self.write(seen, move |turn| {
            ledger::say(turn.connection, true, &by, &reason, turn.now)?;
            Ok(Pause { reason, by, at: turn.now })
        })
        .await
    }

    async fn resume(&self, by: &str) -> Result<Option<Pause>, StoreError> {
        let by = by.to_owned();
        self.write(seen, move |turn| {
            let pause = ledger::pause(turn.connection)?;
            if pause.is_some() {
                ledger::say(turn.connection, false, &by, "", turn.now)?;
            }
            Ok(pause)
        })
        .await
    }

    async fn paused(&self) -> Result<Option<Pause>, StoreError> {
        self.readers.read(|connection| ledger::pause(connection)).await
    }

    async fn keep_runbook(&self, name: &str, hash: &Hash, text: &str) -> Result<(), StoreError> {
        const KEEP: &str =
            "INSERT INTO runbooks (hash, name, text) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING";
        let (name, hash, text) = (name.to_owned(), hash.0.clone(), text.to_owned());
        self.write(quiet, move |turn| {
            sql::execute(turn.connection, KEEP, &[&hash, &name, &text])?;
            Ok(())
        })
        .await
    }

    async fn runbook(&self, hash: &Hash) -> Result<Option<String>, StoreError> {
        const TEXT: &str = "SELECT text FROM runbooks WHERE hash = $1";
        let hash = hash.0.clone();
        let read =
            self.readers.read(move |connection| Ok(sql::first::<(String,)>(connection, TEXT, &[&hash])?));
        Ok(read.await?.map(|(text,)| text))
    }

    async fn incidents(&self, only_open: bool, most: u32) -> Result<Vec<Summary>, StoreError> {
        self.readers.read(move |connection| reads::incidents(connection, only_open, most)).await
    }

    async fn incident(&self, incident: &IncidentId) -> Result<Summary, StoreError> {
        let incident = incident.clone();
        self.readers.read(move |connection| reads::incident(connection, &incident)).await
    }

    async fn unanswered(&self, most: u32) -> Result<Vec<Unanswered>, StoreError> {
        self.readers.read(move |connection| reads::unanswered(connection, most)).await
    }

    async fn behind(&self, sink: &str, most: u32) -> Result<Vec<Behind>, StoreError> {
        let sink = sink.to_owned();
        self.readers.read(move |connection| reads::behind(connection, &sink, most)).await
    }

    async fn delivered(
        &self,
        sink: &str,
        incident: &IncidentId,
        seq: u64,
        note: &str,
    ) -> Result<(), StoreError> {
        let (sink, incident, note) = (sink.to_owned(), incident.clone(), note.to_owned());
        self.write(seen, move |turn| sinks::delivered(turn.connection, &sink, &incident, seq, &note)).await
    }

    async fn slot(&self, sink: &str, every: Duration) -> Result<Timestamp, StoreError> {
        let sink = sink.to_owned();
        self.write(quiet, move |turn| sinks::slot(turn.connection, turn.now, &sink, every)).await
    }

    async fn writable(&self) -> Result<(), StoreError> {
        self.write(quiet, |turn| {
            sql::execute(turn.connection, PULSE, &[&turn.now.as_microsecond()])?;
            Ok(())
        })
        .await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_that_panics_is_undone_alone_and_the_next_one_goes_through() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("journal.db")).await.unwrap();
        let broken = store.write(quiet, |turn| -> Result<(), StoreError> {
            ledger::say(turn.connection, true, "Ada", "half done", turn.now)?;
            panic!("a mistake of ours")
        });
        let (broken, beside) = tokio::join!(broken, store.pause("Bob", "a migration"));
        assert!(matches!(broken, Err(StoreError::Unavailable(_))), "{broken:?}");
        assert_eq!(store.paused().await.unwrap(), Some(beside.unwrap()));
        let pauses = store.write(quiet, |turn| {
            Ok(sql::first::<(i64,)>(turn.connection, "SELECT COUNT(*) FROM pauses", &[])?)
        });
        assert_eq!(pauses.await.unwrap(), Some((1,)), "nothing of it is left");
    }
}
