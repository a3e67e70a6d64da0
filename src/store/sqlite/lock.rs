//! One process per journal: an exclusive lock beside the database, held for life, that says who has it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why the lock was not had.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another process has it; what that process says of itself.
    Held(String),
    /// The file system says no.
    Io(io::Error),
}

/// Takes the lock; it is given back when the file is dropped, also by `kill -9`.
pub(super) fn take(journal: &Path) -> Result<File, LockError> {
    let mut path = journal.as_os_str().to_owned();
    path.push(".lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        // The words of the process that has the lock stay.
        .truncate(false)
        .mode(0o600)
        .open(PathBuf::from(path))
        .map_err(LockError::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut who = String::new();
            // A holder that has not written its words yet is still a holder.
            let _ = file.read_to_string(&mut who);
            let who = if who.trim().is_empty() { "another process" } else { who.trim() };
            return Err(LockError::Held(who.to_owned()));
        }
        Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
    }
    let since = crate::clock::now();
    let who = format!("runbookd, process {} on host {} since {since}", std::process::id(), host());
    file.set_len(0).and_then(|()| writeln!(file, "{who}")).map_err(LockError::Io)?;
    Ok(file)
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    if name.trim().is_empty() { "unknown".to_owned() } else { name.trim().to_owned() }
}
