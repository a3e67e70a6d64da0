//! Opens the journal: lock, file, version of SQLite, schema. Every failure says what a person can do about it.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::lock::{self, LockError};

/// Before this release a WAL file that several connections share could be reset wrongly and lose data.
const SQLITE_AT_LEAST: [u32; 3] = [3, 51, 3];
/// More than there are texts.
const STATEMENTS_KEPT: usize = 100;
const READERS: usize = 4;
/// How long a connection waits for another process, such as a backup.
const BUSY: Duration = Duration::from_secs(5);
const MIGRATIONS: &[M<'static>] = &[
    M::up(include_str!("../migrations/1_journal.sql")),
    M::up(include_str!("../migrations/2_changes.sql")),
    M::up(include_str!("../migrations/3_runs.sql")),
    M::up(include_str!("../migrations/4_proofs.sql")),
    M::up(include_str!("../migrations/5_drills.sql")),
];

/// Why the journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by {who}; stop it first or choose another `journal:`", path.display())]
    InUse {
        /// The journal.
        path: PathBuf,
        /// What that process says of itself.
        who: String,
    },
    /// The file is something else.
    #[error("{} is not a SQLite database; move it away or choose another `journal:`", path.display())]
    NotADatabase {
        /// The journal.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{} is damaged: {why}; restore it from a backup or move it away", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// In SQLite's words.
        why: String,
    },
    /// The file or its directory may not be written.
    #[error("{} can not be written by this user; the journal needs its directory, too", path.display())]
    NoPermission {
        /// The journal.
        path: PathBuf,
    },
    /// There is no room.
    #[error("the disk of {} is full", path.display())]
    DiskFull {
        /// The journal.
        path: PathBuf,
    },
    /// The schema is not known here.
    #[error("{} was written by a newer runbookd (schema {schema}); start that release", path.display())]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its version.
        schema: i64,
    },
    /// This program was built with a SQLite that can lose data.
    #[error("SQLite {found} can damage a journal in WAL mode; runbookd needs 3.51.3 or later")]
    OldSqlite {
        /// Its version.
        found: String,
    },
    /// Anything else.
    #[error("{} could not be opened", path.display())]
    Other {
        /// The journal.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What an open journal consists of.
pub(super) struct Opened {
    pub(super) lock: std::fs::File,
    pub(super) writer: Connection,
    pub(super) readers: Vec<Connection>,
}

pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    let from_io = |error: io::Error| io_error(path, error);
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(from_io)?;
    }
    let lock = lock::take(path).map_err(|error| match error {
        LockError::Held(who) => OpenError::InUse { path: path.to_owned(), who },
        LockError::Io(error) => from_io(error),
    })?;
    // Alerts may hold what is not for everybody, and SQLite gives its side files the mode of this one.
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(from_io)?;

    if version(rusqlite::version()) < SQLITE_AT_LEAST {
        return Err(OpenError::OldSqlite { found: rusqlite::version().to_owned() });
    }
    let from_sql = |error: rusqlite::Error| sql_error(path, error);
    let mut writer = writer(path).map_err(from_sql)?;
    let mode: String =
        writer.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(from_sql)?;
    // A file system without shared memory keeps another mode without an error.
    if mode != "wal" {
        let why = format!(
            "SQLite keeps the journal mode {mode} there and can not change to WAL; choose a local file system"
        );
        return Err(OpenError::Other { path: path.to_owned(), source: why.into() });
    }
    migrate(path, &mut writer)?;
    // The lock proves that every earlier owner is dead; its leases need not run out first.
    const FREE: &str = "UPDATE incidents SET owner = NULL, lease_until = NULL WHERE owner IS NOT NULL";
    writer.execute(FREE, []).map_err(from_sql)?;
    // After `kill -9` the last commit may be in the page cache only, and what is known from it is answered without a
    // further write. A commit syncs the whole WAL file.
    writer.execute(super::PULSE, [crate::clock::now().as_microsecond()]).map_err(from_sql)?;
    let readers = (0..READERS).map(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY));
    let readers = readers.collect::<Result<_, _>>().map_err(from_sql)?;
    Ok(Opened { lock, writer, readers })
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, rusqlite::Error> {
    // One thread at a time has it, so that SQLite need not lock.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

fn writer(path: &Path) -> Result<Connection, rusqlite::Error> {
    let writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    writer.pragma_update(None, "synchronous", "FULL")?;
    writer.pragma_update(None, "foreign_keys", true)?;
    // What a savepoint would put back is kept in memory, and not in a file that is written for each page.
    writer.pragma_update(None, "temp_store", "MEMORY")?;
    // Fewer, longer checkpoints: each one waits for the disk twice.
    writer.pragma_update(None, "wal_autocheckpoint", 4000)?;
    // In KiB: the alerts of a storm fall anywhere in the index.
    writer.pragma_update(None, "cache_size", -32_000)?;
    Ok(writer)
}

fn migrate(path: &Path, writer: &mut Connection) -> Result<(), OpenError> {
    Migrations::from_slice(MIGRATIONS).to_latest(writer).map_err(|error| match error {
        rusqlite_migration::Error::MigrationDefinition(_) => {
            let schema = writer.pragma_query_value(None, "user_version", |row| row.get(0));
            OpenError::Newer { path: path.to_owned(), schema: schema.unwrap_or_default() }
        }
        rusqlite_migration::Error::RusqliteError { err, .. } => sql_error(path, err),
        other => OpenError::Other { path: path.to_owned(), source: other.into() },
    })
}

fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or_default());
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

fn io_error(path: &Path, error: io::Error) -> OpenError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::NoPermission { path }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::DiskFull { path },
        _ => OpenError::Other { path, source: error.into() },
    }
}

fn sql_error(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, why: error.to_string() },
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::AuthorizationForStatementDenied) => {
            OpenError::NoPermission { path }
        }
        Some(ErrorCode::DiskFull) => OpenError::DiskFull { path },
        _ => OpenError::Other { path, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version("3.51.3") >= SQLITE_AT_LEAST);
        assert!(version("3.100.0") >= SQLITE_AT_LEAST);
        assert!(version("3.9.9") < SQLITE_AT_LEAST);
        assert!(version("3.51") < SQLITE_AT_LEAST);
    }
}
