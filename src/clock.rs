//! The one place that reads the clock. Everything else gets `now` as a parameter, so that a test can choose it.

use std::time::Duration;

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

/// The time from `from` to `to`, zero when it would be negative.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// `at` plus `duration`; the end of time when that is out of range.
#[must_use]
pub fn after(at: Timestamp, duration: Duration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// `at` minus `duration`; the beginning of time when that is out of range.
#[must_use]
pub fn before(at: Timestamp, duration: Duration) -> Timestamp {
    at.checked_sub(duration).unwrap_or(Timestamp::MIN)
}
