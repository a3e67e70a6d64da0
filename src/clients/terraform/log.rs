//! The file that terraform writes into, which is read while it grows. What was read of a long one is given back to the disk, but for the end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;
use tokio::time::{error::Elapsed, timeout};

use super::sink::Sink;

/// Between two looks at what has come.
const LOOK: Duration = Duration::from_millis(50);
/// So much of the end stays: what became of an apply stands there.
const STAYS: u64 = 1 << 20;

/// The file.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) file: File,
    reader: File,
}

impl Log {
    /// Makes it, readable for nobody else; one of an earlier try is emptied.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        drop(std::fs::remove_file(path));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { file, reader: File::open(path)? })
    }

    /// Reads it to the end that it has when `over` comes.
    pub(super) async fn follow(self, mut sink: Sink, mut over: oneshot::Receiver<()>) -> Sink {
        let mut reader = tokio::fs::File::from_std(self.reader);
        let mut chunk = vec![0; 64 << 10];
        let (mut position, mut given) = (0_u64, 0_u64);
        loop {
            // Looked at first: what came before it is then there to be read.
            let is_over = !matches!(timeout(LOOK, &mut over).await, Err(Elapsed { .. }));
            while let Ok(count @ 1..) = reader.read(&mut chunk).await {
                sink.take(&chunk[..count]);
                position += u64::try_from(count).unwrap_or_default();
                if position > given + 2 * STAYS {
                    let holes = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                    // Where the file system knows no holes, it stays as long as it is.
                    let _ = fallocate(&self.file, holes, given, position - STAYS - given);
                    given = position - STAYS;
                }
            }
            if is_over {
                sink.end();
                return sink;
            }
        }
    }
}
