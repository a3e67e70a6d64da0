//! The connections that only read: a few, on the threads for blocking work, because SQLite waits for its disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::super::StoreError;
use super::writer::closed;

/// Whoever waits longer for a connection is told so.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Connections that take turns.
#[derive(Debug)]
pub(super) struct Readers {
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
    all: u32,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let all = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        let turns = Arc::new(Semaphore::new(connections.len()));
        Self { turns, idle: Arc::new(Mutex::new(connections)), all }
    }

    /// Reads when it is its turn. The journal may move on between two statements of `work`; one that must see one
    /// moment begins a transaction.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = tokio::time::timeout(TURN_WITHIN, Arc::clone(&self.turns).acquire_owned());
        let permit = permit.await.map_err(|_| StoreError::Overloaded)?.map_err(|_| closed())?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut turn = Turn { connection, idle: Arc::clone(&self.idle), _permit: permit };
        // A caller that goes away does not take the connection with it.
        let read = spawn_blocking(move || turn.connection.as_mut().map_or_else(|| Err(closed()), work));
        read.await.unwrap_or_else(|gone| Err(StoreError::Unavailable(format!("a read broke off: {gone}"))))
    }

    /// Waits for the reads that have begun; later ones are refused.
    pub(super) async fn close(&self) {
        let all = self.turns.acquire_many(self.all).await;
        self.turns.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        drop(all);
    }
}

/// Gives the connection back, also after a panic.
struct Turn {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    // After the connection: the next one in turn finds it.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
    }
}
