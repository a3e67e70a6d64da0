//! New ids for incidents: the time and a counter that begins at random, so that no two of one process are equal.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;

use crate::incident::IncidentId;

/// An id that is most probably new; the primary key decides.
pub(super) fn fresh_id(now: Timestamp) -> IncidentId {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| {
        let chance = RandomState::new().hash_one(std::process::id());
        AtomicU32::new(u32::try_from(chance >> 32).unwrap_or_default())
    });
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or_default();
    IncidentId::new(milliseconds, NEXT.fetch_add(1, Ordering::Relaxed))
}
