//! The hash chain of an incident, over the bytes as they are stored: a changed, missing or inserted row shows.

use sha2::{Digest, Sha256};

use crate::text::hex;

/// The hash of an event that follows on `previous` (empty before the first).
pub(super) fn link(previous: &str, incident: &str, seq: i64, at: i64, version: i64, body: &str) -> String {
    let mut sha = Sha256::new();
    // Only the body can contain a line feed, and it comes last: no two different rows give the same text.
    sha.update(format!("{previous}\n{incident}\n{seq}\n{at}\n{version}\n"));
    sha.update(body);
    hex(&sha.finalize())
}

/// The hash of a text, to stand for it in an index.
pub(super) fn digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}
