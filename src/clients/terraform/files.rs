//! Where saved plans lie: a folder of runbookd's own (0700), a file each (0600), named by its hash. They hold values in clear.
//!
//! A plan that is begun gets another name first, on disk: so it is applied once, and after a crash it is known whether it was begun.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::clock;
use crate::text::hex;

/// A plan that nobody applied within this time is not applied any more.
pub const KEPT: Duration = Duration::from_hours(24);
const WAITING: &str = "tfplan";
const BEGUN: &str = "begun";
const NEW: &str = "new";
const LOG: &str = "log";

/// The folder.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    made: AtomicU64,
}

/// A file that goes away unless it is kept.
#[derive(Debug)]
pub(super) struct Draft(PathBuf);

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, made: AtomicU64::new(0) }
    }

    /// An empty file for a plan.
    pub(super) fn draft(&self) -> io::Result<Draft> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        // It may have been there before, for everybody.
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))?;
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        // terraform runs elsewhere.
        let folder = self.folder.canonicalize()?;
        let path = folder.join(format!("{}-{number}.{NEW}", std::process::id()));
        // One of an earlier process of this number.
        drop(fs::remove_file(&path));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Draft(path))
    }

    /// Keeps it under its hash, which is given back.
    pub(super) fn keep(&self, draft: &Draft) -> io::Result<String> {
        fs::set_permissions(&draft.0, Permissions::from_mode(0o600))?;
        let hash = hash(&draft.0)?;
        fs::rename(&draft.0, self.path(&hash, WAITING))?;
        Ok(hash)
    }

    /// The saved plan of this hash, when it is there, was not begun, and still has it.
    pub(super) fn waiting(&self, hash: &str) -> io::Result<PathBuf> {
        let path = self.path(hash, WAITING).canonicalize()?;
        if self::hash(&path)? != hash {
            let message = "the saved plan is no longer the one that was made";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(path)
    }

    /// Gives it the other name, durably.
    pub(super) fn begin(&self, hash: &str) -> io::Result<PathBuf> {
        let path = self.path(hash, BEGUN);
        fs::rename(self.path(hash, WAITING), &path)?;
        File::open(&self.folder)?.sync_all()?;
        path.canonicalize()
    }

    /// What terraform writes while it applies it.
    pub(super) fn log(&self, hash: &str) -> PathBuf {
        self.path(hash, LOG)
    }

    /// It was begun, and terraform did nothing at all with it.
    pub(super) fn give_back(&self, hash: &str) {
        drop(fs::rename(self.path(hash, BEGUN), self.path(hash, WAITING)));
        drop(fs::remove_file(self.log(hash)));
    }

    /// It can not be applied any more; what terraform wrote stays for a day.
    pub(super) fn spend(&self, hash: &str) {
        for ending in [WAITING, BEGUN] {
            drop(fs::remove_file(self.path(hash, ending)));
        }
    }

    pub(super) fn remove(&self, hash: &str) {
        for ending in [WAITING, BEGUN, LOG] {
            drop(fs::remove_file(self.path(hash, ending)));
        }
    }

    /// Removes what is older than a day. A folder that is not there holds nothing.
    pub(super) fn sweep(&self) {
        let now = SystemTime::from(clock::now());
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let ending = entry.path().extension().and_then(|ending| ending.to_str()).map(str::to_owned);
            let is_ours = ending.is_some_and(|ending| [WAITING, BEGUN, NEW, LOG].contains(&ending.as_str()));
            let age = entry.metadata().and_then(|data| data.modified()).map(|at| now.duration_since(at));
            if is_ours && matches!(age, Ok(Ok(age)) if age > KEPT) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    fn path(&self, hash: &str, ending: &str) -> PathBuf {
        // It comes from the journal; as a name it must be nothing but a hash.
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.folder.join(format!("{}.{ending}", if is_hash { hash } else { "none" }))
    }
}

impl Draft {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What terraform writes while it makes it.
    pub(super) fn log(&self) -> PathBuf {
        self.0.with_extension(LOG)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
        drop(fs::remove_file(self.log()));
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_saved_plan_is_readable_for_nobody_else_and_can_be_begun_once() {
        let folder = tempfile::tempdir().unwrap();
        let plans = folder.path().join("plans");
        fs::create_dir(&plans).unwrap();
        fs::set_permissions(&plans, Permissions::from_mode(0o755)).unwrap();
        let files = Files::new(plans.clone());
        let draft = files.draft().unwrap();
        fs::write(draft.path(), "plan").unwrap();
        assert_eq!((mode(&plans), mode(draft.path())), (0o700, 0o600));
        let hash = files.keep(&draft).unwrap();
        drop(draft);
        let path = files.waiting(&hash).unwrap();
        assert_eq!(mode(&path), 0o600);
        files.begin(&hash).unwrap();
        assert!(files.waiting(&hash).is_err() && files.begin(&hash).is_err());
        files.give_back(&hash);
        fs::write(&path, "another plan").unwrap();
        assert!(files.waiting(&hash).unwrap_err().to_string().contains("no longer the one"));
        files.remove(&hash);
        assert_eq!(fs::read_dir(&plans).unwrap().count(), 0);
    }

    #[test]
    fn what_is_older_than_a_day_is_removed_and_only_that() {
        let folder = tempfile::tempdir().unwrap();
        let old = SystemTime::from(clock::now()) - KEPT - Duration::from_secs(60);
        for name in ["old.tfplan", "old.begun", "old.new", "young.tfplan", "old.db"] {
            let file = File::create(folder.path().join(name)).unwrap();
            if name.starts_with("old") {
                file.set_modified(old).unwrap();
            }
        }
        Files::new(folder.path().to_owned()).sweep();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["old.db", "young.tfplan"]);
    }

    #[test]
    fn a_hash_is_no_path() {
        let files = Files::new(PathBuf::from("/plans"));
        for hash in ["../x", "/etc/passwd", "", &"../".repeat(21)] {
            assert_eq!(files.path(hash, WAITING), Path::new("/plans/none.tfplan"), "{hash}");
        }
    }
}
