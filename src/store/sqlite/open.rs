//! Opens the journal: lock, file, version of SQLite, schema. Every failure says what a person can do about it.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, SqlSafeStr as _};

use super::lock::{self, LockError};

/// Before this release a WAL file that several connections share could be reset wrongly and lose data.
const SQLITE_AT_LEAST: [u32; 3] = [3, 51, 3];
/// Statements with many rows exist in several lengths; see `rows`.
const STATEMENTS_KEPT: usize = 256;
const READERS: u32 = 4;

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
        source: sqlx::Error,
    },
}

/// What an open journal consists of.
pub(super) struct Opened {
    pub(super) lock: std::fs::File,
    pub(super) writer: SqliteConnection,
    pub(super) readers: SqlitePool,
}

pub(super) async fn open(path: &Path) -> Result<Opened, OpenError> {
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

    let from_sql = |error: sqlx::Error| sql_error(path, error);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(STATEMENTS_KEPT)
        // SQLite has a thread of its own; it need not wait for us between rows.
        .row_buffer_size(1024)
        // What a savepoint would put back is kept in memory, and not in a file that is written for each page.
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging();
    let writing = options
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Fewer, longer checkpoints: each one waits for the disk twice.
        .pragma("wal_autocheckpoint", "4000")
        // In KiB: the fingerprints of a storm fall anywhere in the index.
        .pragma("cache_size", "-32000");
    let mut writer = writing.connect().await.map_err(from_sql)?;
    let found: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut writer).await.map_err(from_sql)?;
    if version(&found) < SQLITE_AT_LEAST {
        return Err(OpenError::OldSqlite { found });
    }
    migrate(path, &mut writer).await?;
    // The lock proves that every earlier owner is dead; its leases need not run out first.
    sqlx::query("UPDATE incidents SET owner = NULL, lease_until = NULL WHERE owner IS NOT NULL")
        .execute(&mut writer)
        .await
        .map_err(from_sql)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options.read_only(true))
        .await
        .map_err(from_sql)?;
    Ok(Opened { lock, writer, readers })
}

async fn migrate(path: &Path, writer: &mut SqliteConnection) -> Result<(), OpenError> {
    let migrations = vec![Migration::new(
        1,
        "journal".into(),
        MigrationType::Simple,
        include_str!("../migrations/1_journal.sql").into_sql_str(),
        false,
    )];
    Migrator::with_migrations(migrations).run(writer).await.map_err(|error| match error {
        MigrateError::VersionMissing(schema) => OpenError::Newer { path: path.to_owned(), schema },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => sql_error(path, error),
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

/// By SQLite's primary result code, <https://www.sqlite.org/rescode.html>.
fn sql_error(path: &Path, error: sqlx::Error) -> OpenError {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .and_then(|code| code.parse::<u32>().ok())
        .map(|extended| extended & 0xff);
    let at = path.to_owned();
    match code {
        Some(26) => OpenError::NotADatabase { path: at },
        Some(11) => OpenError::Damaged { path: at, why: error.to_string() },
        Some(8 | 14 | 23) => OpenError::NoPermission { path: at },
        Some(13) => OpenError::DiskFull { path: at },
        _ => OpenError::Other { path: at, source: error },
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
