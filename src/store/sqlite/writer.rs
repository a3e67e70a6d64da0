//! The one task that writes. It takes what is waiting, runs it in one transaction, each job in a savepoint of
//! its own, and answers the callers only after the commit. What fails is undone alone.

use std::collections::HashSet;
use std::fs::File;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::prepared::{Entry, Prepared};
use super::super::{Receipt, StoreError};
use super::intake;
use super::known::{Known, Learned};
use super::unavailable;

/// How many writes may wait; the next one is refused, because a caller that waits longer is no better off.
const WAITING: usize = 1024;
/// How many writes share a commit at the most.
const TOGETHER: usize = 256;

/// What a job does with the connection.
pub(super) type Doing<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// Whether those who wait for changes are woken after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wakes {
    /// Something was written that others look at.
    Yes,
    /// Nobody need look.
    No,
}

/// A write that waits for its turn.
pub(super) enum Job {
    /// A notification; those that stand together share their statements.
    TakeIn(Box<Prepared>, oneshot::Sender<Result<Receipt, StoreError>>),
    /// Anything else.
    Other(Box<dyn Step>),
    /// The end, after everything that came before.
    Close(oneshot::Sender<()>),
}

/// A write other than a notification.
#[async_trait]
pub(super) trait Step: Send {
    /// Does it; `Err` means that the savepoint is to be undone.
    async fn run(&mut self, connection: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError>;
    fn wakes(&self) -> Wakes;
    /// Tells the caller; an error says that nothing of the transaction was kept.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A [`Step`] made of a function and the caller who waits for its result.
pub(super) struct Asked<T, F> {
    pub(super) work: Option<F>,
    pub(super) result: Option<Result<T, StoreError>>,
    pub(super) caller: oneshot::Sender<Result<T, StoreError>>,
    pub(super) wakes: Wakes,
}

#[async_trait]
impl<T, F> Step for Asked<T, F>
where
    T: Send + Sync,
    F: for<'c> FnOnce(&'c mut SqliteConnection, Timestamp) -> Doing<'c, T> + Send,
{
    async fn run(&mut self, connection: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let result = work(connection, now).await;
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.result = Some(result);
        outcome
    }

    fn wakes(&self) -> Wakes {
        if matches!(self.result, Some(Ok(_))) { self.wakes } else { Wakes::No }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(StoreError::Unavailable("the write was not begun".to_owned())),
        };
        // A caller who has gone reads the journal when it comes back.
        let _ = self.caller.send(result);
    }
}

/// The way to the writer.
#[derive(Debug, Clone)]
pub(super) struct Queue(mpsc::Sender<Job>);

impl Queue {
    pub(super) fn put(&self, job: Job) -> Result<(), StoreError> {
        self.0.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })
    }

    /// Waits for room, then for the end of the writer.
    pub(super) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.0.send(Job::Close(done)).await.is_ok() {
            let _ = ended.await;
        }
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the journal is closed".to_owned())
}

/// Begins the task; it ends when the last [`Queue`] is gone, or when told, and gives the lock back then.
pub(super) fn start(
    connection: SqliteConnection,
    lock: File,
    known: Arc<Mutex<Known>>,
    changes: watch::Sender<u64>,
) -> Queue {
    let (queue, jobs) = mpsc::channel(WAITING);
    let writer = Writer { connection, alone: false, known, changes };
    tokio::spawn(writer.run(jobs, lock));
    Queue(queue)
}

struct Writer {
    connection: SqliteConnection,
    /// The transaction has one job only: it is its own savepoint.
    alone: bool,
    known: Arc<Mutex<Known>>,
    changes: watch::Sender<u64>,
}

/// A job that was run.
enum Done {
    TakenIn(oneshot::Sender<Result<Receipt, StoreError>>, Result<Receipt, StoreError>),
    Other(Box<dyn Step>),
}

impl Done {
    fn wakes(&self) -> bool {
        match self {
            Self::TakenIn(_, result) => result.as_ref().is_ok_and(|receipt| {
                !receipt.opened.is_empty() || receipt.joined > 0 || receipt.resolved > 0
            }),
            Self::Other(step) => step.wakes() == Wakes::Yes,
        }
    }

    fn answer(self, committed: Result<(), StoreError>) {
        match self {
            Self::TakenIn(caller, result) => {
                let _ = caller.send(committed.and(result));
            }
            Self::Other(step) => step.answer(committed),
        }
    }
}

/// The transaction as a whole is gone: nothing of it was kept.
struct Spoiled(StoreError);

impl Writer {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>, lock: File) {
        let mut waiting = Vec::with_capacity(TOGETHER);
        let mut end = None;
        while end.is_none() && jobs.recv_many(&mut waiting, TOGETHER).await > 0 {
            let mut batch = Vec::with_capacity(waiting.len());
            for job in waiting.drain(..) {
                match job {
                    // What came after the end is answered by its sender being dropped.
                    _ if end.is_some() => {}
                    Job::Close(done) => end = Some(done),
                    job @ (Job::TakeIn(..) | Job::Other(_)) => batch.push(job),
                }
            }
            if !batch.is_empty() {
                self.batch(batch).await;
            }
        }
        drop(jobs);
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "The journal was not closed cleanly; its WAL file is read at the next start");
        }
        // Only now may another process open the journal.
        drop(lock);
        if let Some(done) = end {
            let _ = done.send(());
        }
    }

    async fn batch(&mut self, batch: Vec<Job>) {
        let mut done = Vec::with_capacity(batch.len());
        let mut learned = Vec::new();
        let committed = match self.transaction(batch, &mut done, &mut learned).await {
            Ok(()) => self.sql("COMMIT").await.map_err(Spoiled),
            Err(spoiled) => Err(spoiled),
        };
        let committed = match committed {
            Ok(()) => Ok(()),
            Err(Spoiled(error)) => {
                tracing::error!(%error, writes = done.len(), "The journal did not take a transaction");
                // It may be gone already; when it is not, this ends it.
                let _ = self.sql("ROLLBACK").await;
                Err(error)
            }
        };
        if committed.is_ok() {
            // Only what is on disk may answer that nothing changes.
            self.known.lock().unwrap_or_else(PoisonError::into_inner).learn(learned);
            if done.iter().any(Done::wakes) {
                self.changes.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
        for job in done {
            job.answer(committed.clone());
        }
    }

    async fn transaction(
        &mut self,
        batch: Vec<Job>,
        done: &mut Vec<Done>,
        learned: &mut Vec<Learned>,
    ) -> Result<(), Spoiled> {
        let now = crate::clock::now();
        self.alone = batch.len() == 1;
        let mut state = self.sql("BEGIN IMMEDIATE").await.map_err(Spoiled);
        let mut notifications: Vec<(Box<Prepared>, oneshot::Sender<_>)> = Vec::new();
        let mut jobs = batch.into_iter().peekable();
        while let Some(job) = jobs.next() {
            match job {
                Job::TakeIn(prepared, caller) => notifications.push((prepared, caller)),
                Job::Other(mut step) => {
                    if state.is_ok() {
                        state = self.step(step.as_mut(), now).await;
                    }
                    done.push(Done::Other(step));
                }
                Job::Close(_) => {}
            }
            if !matches!(jobs.peek(), Some(Job::TakeIn(..))) && !notifications.is_empty() {
                let (prepared, callers): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut notifications).into_iter().unzip();
                let mut receipts = Vec::new();
                if state.is_ok() {
                    state = self.notifications(&prepared, now, &mut receipts, learned).await;
                }
                receipts.resize(prepared.len(), Err(StoreError::Unavailable("not begun".to_owned())));
                done.extend(
                    callers.into_iter().zip(receipts).map(|(caller, receipt)| Done::TakenIn(caller, receipt)),
                );
            }
        }
        state
    }

    /// Runs notifications together as far as they do not touch the same alert or scope, else one after the other.
    async fn notifications(
        &mut self,
        prepared: &[Box<Prepared>],
        now: Timestamp,
        receipts: &mut Vec<Result<Receipt, StoreError>>,
        learned: &mut Vec<Learned>,
    ) -> Result<(), Spoiled> {
        let mut rest: Vec<&Prepared> = prepared.iter().map(AsRef::as_ref).collect();
        while !rest.is_empty() {
            let others = rest.split_off(intake::together(&rest));
            let these = std::mem::replace(&mut rest, others);
            match self.take_in(&these, now, learned).await? {
                Ok(taken) => receipts.extend(taken.into_iter().map(Ok)),
                Err(_) if these.len() > 1 => {
                    for one in these {
                        let taken = self.take_in(&[one], now, learned).await?;
                        receipts.push(taken.map(|mut taken| taken.pop().unwrap_or_default()));
                    }
                }
                Err(error) => receipts.push(Err(error)),
            }
        }
        Ok(())
    }

    async fn take_in(
        &mut self,
        these: &[&Prepared],
        now: Timestamp,
        learned: &mut Vec<Learned>,
    ) -> Result<Result<Vec<Receipt>, StoreError>, Spoiled> {
        // An id that is taken already is a matter of chance; the next one is another.
        for last in [false, false, true] {
            self.save().await?;
            let known = learned.len();
            let new = self.new_alerts(these, learned);
            let result = intake::take_in(&mut self.connection, now, these, &new, learned).await;
            match result {
                Ok(receipts) => {
                    self.release().await?;
                    return Ok(Ok(receipts));
                }
                Err(error) => {
                    learned.truncate(known);
                    let taken = error.as_database_error().is_some_and(|error| error.is_unique_violation());
                    let error = unavailable(error);
                    self.undo(&error).await?;
                    if last || !taken {
                        return Ok(Err(error));
                    }
                }
            }
        }
        Ok(Err(StoreError::Unavailable("no free id was found".to_owned())))
    }

    /// The alerts of these that the journal surely has no episode of, not even earlier in this transaction.
    fn new_alerts(&self, these: &[&Prepared], learned: &[Learned]) -> HashSet<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let just_now: HashSet<&str> = learned.iter().map(|learned| learned.alert_key.as_str()).collect();
        these
            .iter()
            .flat_map(|prepared| &prepared.alerts)
            .map(Entry::key)
            .filter(|alert_key| !just_now.contains(alert_key) && known.is_new(alert_key))
            .map(str::to_owned)
            .collect()
    }

    async fn step(&mut self, step: &mut dyn Step, now: Timestamp) -> Result<(), Spoiled> {
        self.save().await?;
        match step.run(&mut self.connection, now).await {
            Ok(()) => self.release().await,
            Err(error) => self.undo(&error).await,
        }
    }

    async fn save(&mut self) -> Result<(), Spoiled> {
        if self.alone { Ok(()) } else { self.sql("SAVEPOINT job").await.map_err(Spoiled) }
    }

    async fn release(&mut self) -> Result<(), Spoiled> {
        if self.alone { Ok(()) } else { self.sql("RELEASE job").await.map_err(Spoiled) }
    }

    /// Undoes one job. SQLite ends the whole transaction by itself for some errors, such as a full disk: then
    /// there is no savepoint any more, and the error is everybody's.
    async fn undo(&mut self, error: &StoreError) -> Result<(), Spoiled> {
        if self.alone {
            // Nobody else's write is lost by this, and it may be undone already.
            let _ = self.sql("ROLLBACK").await;
            return self.sql("BEGIN IMMEDIATE").await.map_err(Spoiled);
        }
        let undone = match self.sql("ROLLBACK TO job").await {
            Ok(()) => self.sql("RELEASE job").await,
            gone => gone,
        };
        undone.map_err(|_| match error {
            StoreError::Unavailable(_) => Spoiled(error.clone()),
            other => Spoiled(StoreError::Unavailable(format!("a write could not be undone: {other}"))),
        })
    }

    async fn sql(&mut self, text: &'static str) -> Result<(), StoreError> {
        sqlx::query(text).execute(&mut self.connection).await.map(|_| ()).map_err(unavailable)
    }
}
