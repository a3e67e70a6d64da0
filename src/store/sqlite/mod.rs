//! The journal in one SQLite file: one process, one writing task, a few readers.
//!
//! Writes that wait together share a commit, so that a slow disk makes them wait and not fall over. A caller
//! is answered only after the commit; a notification that changes nothing is recognised without one.

mod append;
mod claims;
mod effect;
mod events;
mod intake;
mod known;
mod ledger;
mod lock;
mod open;
mod reads;
mod rows;
mod sinks;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{oneshot, watch};

use super::prepared::{Prepared, written};
use super::{
    AskGuards, Behind, Claim, Committed, Intake, Receipt, Store, StoreError, Summary, Unanswered, rules,
};
use crate::clock;
use crate::incident::ledger::{Ledger, Pause};
use crate::incident::{Event, IncidentId, Recorded};
use crate::runbook::Hash;
use append::{Place, Wake};
use known::{Known, Learned};
use writer::{Asked, Doing, Job, Queue, Wakes};

pub use open::OpenError;

/// The journal in a file.
#[derive(Debug)]
pub struct Sqlite {
    queue: Queue,
    readers: SqlitePool,
    known: Arc<Mutex<Known>>,
    changes: watch::Receiver<u64>,
}

impl Sqlite {
    /// Opens the journal, or makes it, with its directory.
    ///
    /// # Errors
    /// [`OpenError`] says what a person can do about it.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let opened = open::open(path).await?;
        let mut known = Known::default();
        let (learned, all) = remembered(&opened.readers)
            .await
            .map_err(|source| OpenError::Other { path: path.to_owned(), source })?;
        known.learn(learned);
        if !all {
            known.is_incomplete();
        }
        let known = Arc::new(Mutex::new(known));
        let (changed, changes) = watch::channel(0);
        let queue = writer::start(opened.writer, opened.lock, Arc::clone(&known), changed);
        Ok(Self { queue, readers: opened.readers, known, changes })
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
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")));
        self.write(Wakes::No, move |connection, _| {
            Box::pin(async move { query.execute(connection).await.map(|_| ()).map_err(unavailable) })
        })
        .await
    }

    async fn write<T, F>(&self, wakes: Wakes, work: F) -> Result<T, StoreError>
    where
        T: Send + Sync + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection, Timestamp) -> Doing<'c, T> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        self.queue.put(Job::Other(Box::new(Asked { work: Some(work), result: None, caller, wakes })))?;
        answer.await.unwrap_or_else(|_| Err(writer::closed()))
    }
}

/// The episodes and who answers them, the open ones first, and whether these are all.
async fn remembered(pool: &SqlitePool) -> Result<(Vec<Learned>, bool), sqlx::Error> {
    let most = i64::try_from(Known::MOST).unwrap_or(i64::MAX);
    let rows: Vec<(String, i64, Option<i64>, Option<String>)> = sqlx::query_as(
        "SELECT e.alert_key, e.starts_at, e.ends_at, a.runbook FROM episodes e
         LEFT JOIN answered a ON a.alert_key = e.alert_key AND a.number = e.number
         ORDER BY e.ends_at IS NOT NULL, e.alert_key LIMIT $1",
    )
    .bind(most)
    .fetch_all(pool)
    .await?;
    let all = i64::try_from(rows.len()).is_ok_and(|rows| rows < most);
    let mut learned: Vec<Learned> = Vec::new();
    for (alert_key, starts_at, ends_at, runbook) in rows {
        match learned.last_mut() {
            Some(last) if last.alert_key == alert_key => last.answered.extend(runbook),
            _ => {
                let answered = runbook.into_iter().collect();
                learned.push(Learned { alert_key, starts_at, ends_at, answered });
            }
        }
    }
    Ok((learned, all))
}

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
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
        let prepared = Prepared::new(intake, clock::now());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).nothing_changes(&prepared);
        if let Some(receipt) = known {
            return Ok(receipt);
        }
        let (caller, answer) = oneshot::channel();
        self.queue.put(Job::TakeIn(Box::new(prepared), caller))?;
        answer.await.unwrap_or_else(|_| Err(writer::closed()))
    }

    async fn claim(&self, owner: &str, lease: Duration) -> Result<Vec<Claim>, StoreError> {
        let owner = owner.to_owned();
        self.write(Wakes::No, move |connection, now| {
            Box::pin(async move { claims::claim(connection, now, &owner, lease).await })
        })
        .await
    }

    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        let owner = owner.to_owned();
        self.write(Wakes::No, move |connection, now| {
            Box::pin(async move { claims::hold(connection, &owner, Some(clock::after(now, lease))).await })
        })
        .await
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        let owner = owner.to_owned();
        self.write(Wakes::Yes, move |connection, _| {
            Box::pin(async move { claims::hold(connection, &owner, None).await })
        })
        .await
    }

    async fn events(&self, incident: &IncidentId, after: u64) -> Result<Vec<Recorded>, StoreError> {
        reads::events(&self.readers, incident, after).await
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
        self.write(Wakes::Yes, move |connection, now| {
            Box::pin(async move {
                let wake = Wake::At(wake_at);
                Ok(append::append(connection, now, &place, event, body, wake).await?.recorded)
            })
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
        self.write(Wakes::Yes, move |connection, now| {
            Box::pin(async move { effect::commit(connection, now, place, ask).await })
        })
        .await
    }

    async fn say(&self, incident: &IncidentId, expected: u64, event: Event) -> Result<Recorded, StoreError> {
        rules::may_say(&event)?;
        let (body, event) = written(&event)?;
        let place = Place { incident: incident.clone(), epoch: None, expected };
        self.write(Wakes::Yes, move |connection, now| {
            Box::pin(async move {
                let wake = Wake::At(Some(now));
                Ok(append::append(connection, now, &place, event, body, wake).await?.recorded)
            })
        })
        .await
    }

    async fn ledger(&self) -> Result<Ledger, StoreError> {
        let mut transaction = self.readers.begin().await.map_err(unavailable)?;
        ledger::read(&mut transaction, clock::now()).await
    }

    async fn pause(&self, by: &str, reason: &str) -> Result<Pause, StoreError> {
        let (by, reason) = (by.to_owned(), reason.to_owned());
        self.write(Wakes::Yes, move |connection, at| {
            Box::pin(async move {
                ledger::say(connection, true, &by, &reason, at).await?;
                Ok(Pause { reason, by, at })
            })
        })
        .await
    }

    async fn resume(&self, by: &str) -> Result<Option<Pause>, StoreError> {
        let by = by.to_owned();
        self.write(Wakes::Yes, move |connection, at| {
            Box::pin(async move {
                let pause = ledger::pause(connection).await?;
                if pause.is_some() {
                    ledger::say(connection, false, &by, "", at).await?;
                }
                Ok(pause)
            })
        })
        .await
    }

    async fn paused(&self) -> Result<Option<Pause>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(unavailable)?;
        ledger::pause(&mut connection).await
    }

    async fn keep_runbook(&self, name: &str, hash: &Hash, text: &str) -> Result<(), StoreError> {
        const KEEP: &str =
            "INSERT INTO runbooks (hash, name, text) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING";
        let query = sqlx::query(KEEP).bind(&hash.0).bind(name).bind(text);
        self.write(Wakes::No, move |connection, _| {
            Box::pin(async move { query.execute(connection).await.map(|_| ()).map_err(unavailable) })
        })
        .await
    }

    async fn runbook(&self, hash: &Hash) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT text FROM runbooks WHERE hash = $1")
            .bind(&hash.0)
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)
    }

    async fn incidents(&self, only_open: bool, most: u32) -> Result<Vec<Summary>, StoreError> {
        reads::incidents(&self.readers, only_open, most).await
    }

    async fn incident(&self, incident: &IncidentId) -> Result<Summary, StoreError> {
        reads::incident(&self.readers, incident).await
    }

    async fn unanswered(&self, most: u32) -> Result<Vec<Unanswered>, StoreError> {
        reads::unanswered(&self.readers, most).await
    }

    async fn behind(&self, sink: &str, most: u32) -> Result<Vec<Behind>, StoreError> {
        reads::behind(&self.readers, sink, most).await
    }

    async fn delivered(
        &self,
        sink: &str,
        incident: &IncidentId,
        seq: u64,
        note: &str,
    ) -> Result<(), StoreError> {
        let (sink, incident, note) = (sink.to_owned(), incident.clone(), note.to_owned());
        self.write(Wakes::Yes, move |connection, _| {
            Box::pin(async move { sinks::delivered(connection, &sink, &incident, seq, &note).await })
        })
        .await
    }

    async fn slot(&self, sink: &str, every: Duration) -> Result<Timestamp, StoreError> {
        let sink = sink.to_owned();
        self.write(Wakes::No, move |connection, now| {
            Box::pin(async move { sinks::slot(connection, now, &sink, every).await })
        })
        .await
    }

    async fn writable(&self) -> Result<(), StoreError> {
        const PULSE: &str =
            "INSERT INTO pulse (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = excluded.at";
        self.write(Wakes::No, move |connection, now| {
            Box::pin(async move {
                let query = sqlx::query(PULSE).bind(now.as_microsecond());
                query.execute(connection).await.map(|_| ()).map_err(unavailable)
            })
        })
        .await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}
