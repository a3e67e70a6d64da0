//! The one thread that writes. It owns the connection, takes what is waiting, runs it in one transaction, each job in
//! a savepoint of its own, and answers the callers only after the commit. What fails is undone alone.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::StoreError;
use super::known::{Known, Learned};
use super::sql;

/// How many writes may wait; the next one is refused, because a caller that waits longer is no better off.
const WAITING: usize = 1024;
/// How many writes share a commit at the most.
const TOGETHER: usize = 256;

/// A job's turn with the connection.
pub(super) struct Turn<'w> {
    pub(super) connection: &'w Connection,
    /// When the transaction began.
    pub(super) now: Timestamp,
    /// What will be on disk about alerts once this is committed.
    pub(super) learned: &'w mut Vec<Learned>,
}

/// A write that waits for its turn.
pub(super) trait Job: Send {
    /// Does it; `Err` means that the savepoint is to be undone.
    fn run(&mut self, turn: &mut Turn<'_>) -> Result<(), StoreError>;
    /// Whether those who wait for changes are to look.
    fn wakes(&self) -> bool;
    /// Tells the caller; an error says that nothing of the transaction was kept.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A [`Job`] made of a function and the caller who waits for its result.
pub(super) struct Asked<T, F> {
    pub(super) work: Option<F>,
    pub(super) result: Option<Result<T, StoreError>>,
    pub(super) caller: oneshot::Sender<Result<T, StoreError>>,
    /// Whether this result is something that others look at.
    pub(super) wakes: fn(&T) -> bool,
}

impl<T, F> Job for Asked<T, F>
where
    T: Send,
    F: FnOnce(&mut Turn<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, turn: &mut Turn<'_>) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let result = work(turn);
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.result = Some(result);
        outcome
    }

    fn wakes(&self) -> bool {
        self.result.as_ref().is_some_and(|result| result.as_ref().is_ok_and(self.wakes))
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(broken_off()),
        };
        // A caller who has gone reads the journal when it comes back.
        let _ = self.caller.send(result);
    }
}

enum Waiting {
    Job(Box<dyn Job>),
    /// The end, after everything that came before.
    Close(oneshot::Sender<()>),
}

/// The way to the writer.
#[derive(Debug, Clone)]
pub(super) struct Queue(mpsc::Sender<Waiting>);

impl Queue {
    pub(super) fn put(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.0.try_send(Waiting::Job(job)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })
    }

    /// Waits for room, then for the end of the writer.
    pub(super) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.0.send(Waiting::Close(done)).await.is_ok() {
            let _ = ended.await;
        }
    }
}

fn broken_off() -> StoreError {
    StoreError::Unavailable("the write broke off, and was undone; see the log".to_owned())
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the journal is closed".to_owned())
}

/// Begins the thread; it ends when the last [`Queue`] is gone, or when told, and gives the lock back then.
pub(super) fn start(
    connection: Connection,
    lock: File,
    known: Arc<Mutex<Known>>,
    changes: watch::Sender<u64>,
) -> std::io::Result<Queue> {
    let (queue, waiting) = mpsc::channel(WAITING);
    let writer = Writer { connection, known, changes };
    std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(waiting, lock))?;
    Ok(Queue(queue))
}

struct Writer {
    connection: Connection,
    known: Arc<Mutex<Known>>,
    changes: watch::Sender<u64>,
}

impl Writer {
    fn run(self, mut queue: mpsc::Receiver<Waiting>, lock: File) {
        let mut waiting = Vec::with_capacity(TOGETHER);
        let mut end = None;
        while end.is_none() && queue.blocking_recv_many(&mut waiting, TOGETHER) > 0 {
            let mut jobs = Vec::with_capacity(waiting.len());
            for one in waiting.drain(..) {
                match one {
                    // What came after the end is answered by its sender being dropped.
                    _ if end.is_some() => {}
                    Waiting::Close(done) => end = Some(done),
                    Waiting::Job(job) => jobs.push(job),
                }
            }
            if !jobs.is_empty() {
                self.together(jobs);
            }
        }
        drop(queue);
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "The journal was not closed cleanly; its WAL file is read at the next start");
        }
        // Only now may another process open the journal.
        // Said, and not only let go: a child process that is just being started holds every open file until it begins its own program.
        if let Err(error) = lock.unlock() {
            tracing::debug!(%error, "The lock could not be given back");
        }
        drop(lock);
        if let Some(done) = end {
            let _ = done.send(());
        }
    }

    fn together(&self, mut jobs: Vec<Box<dyn Job>>) {
        let mut learned = Vec::new();
        let committed = self.transaction(&mut jobs, &mut learned);
        match &committed {
            Ok(()) => {
                // Only what is on disk may answer that nothing changes.
                self.known.lock().unwrap_or_else(PoisonError::into_inner).learn(learned);
                if jobs.iter().any(|job| job.wakes()) {
                    self.changes.send_modify(|count| *count = count.wrapping_add(1));
                }
            }
            // SQLite may have ended it already; when it has not, this does.
            Err(_) => drop(self.sql("ROLLBACK")),
        }
        let writes = jobs.len();
        for job in jobs {
            job.answer(committed.clone());
        }
        if let Err(error) = committed {
            tracing::error!(%error, writes, "The journal did not take a transaction");
        }
    }

    /// An error says that nothing was kept.
    fn transaction(&self, jobs: &mut [Box<dyn Job>], learned: &mut Vec<Learned>) -> Result<(), StoreError> {
        let now = crate::clock::now();
        self.sql("BEGIN IMMEDIATE")?;
        for job in jobs {
            self.sql("SAVEPOINT job")?;
            let before = learned.len();
            let turn = &mut Turn { connection: &self.connection, now, learned };
            // One that panics is undone like one that fails, and does not take the journal with it.
            let ran = catch_unwind(AssertUnwindSafe(|| job.run(turn)));
            if let Err(error) = ran.unwrap_or_else(|_| Err(broken_off())) {
                learned.truncate(before);
                // SQLite ends the whole transaction by itself for some errors, such as a full disk: then the error
                // is everybody's.
                if self.connection.is_autocommit() {
                    return Err(error);
                }
                self.sql("ROLLBACK TO job")?;
            }
            self.sql("RELEASE job")?;
        }
        self.sql("COMMIT")
    }

    fn sql(&self, text: &'static str) -> Result<(), StoreError> {
        sql::execute(&self.connection, text, &[])?;
        Ok(())
    }
}
