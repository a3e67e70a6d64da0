//! The one place that reads the clock. Everything else gets `now` as a parameter, so that a test can choose it.

use jiff::{SignedDuration, Timestamp};

/// The present time in UTC, cut to whole microseconds, which is what the journal keeps.
#[must_use]
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let now = Timestamp::now();
    cut(now)
}

/// `at`, cut to whole microseconds.
#[must_use]
pub fn cut(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// Sleeps until `at` has come; returns at once when it has passed.
pub async fn sleep_until(at: Timestamp) {
    let left = at.duration_since(now());
    if left > SignedDuration::ZERO {
        tokio::time::sleep(left.unsigned_abs()).await;
    }
}
