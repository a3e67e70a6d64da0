//! How long to wait before a call is made again: longer each time, with jitter, up to a bound.
//!
//! The `backoff` crate is unmaintained (RUSTSEC-2025-0012), so this is the only file that names it, and it uses nothing of the crate but
//! the arithmetic. This file never sleeps and never decides *whether* to try again: a `Reason` says that.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// Waiting times that double from `first` to `most`, each drawn from 0.5 to 1.5 times its step so that many waiters spread out.
#[derive(Debug)]
pub struct Backoff {
    inner: ExponentialBackoff,
    most: Duration,
}

impl Backoff {
    /// Begins at `first`; no wait is ever longer than `most`.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        let inner = ExponentialBackoffBuilder::new()
            .with_initial_interval(first.min(most))
            .with_randomization_factor(0.5)
            .with_multiplier(2.0)
            .with_max_interval(most)
            // The crate's own limit counts from the last reset on a clock of its own; our callers have deadlines instead.
            .with_max_elapsed_time(None)
            .build();
        Self { inner, most }
    }

    /// The next wait. There is always one: the caller's deadline ends the trying.
    #[must_use]
    pub fn next_delay(&mut self) -> Duration {
        self.inner.next_backoff().unwrap_or(self.most).min(self.most)
    }

    /// Begins anew at `first`, after a success.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(60);

    #[test]
    fn waits_grow_from_first_to_most_and_stay_there() {
        let mut backoff = Backoff::new(FIRST, MOST);
        let first = backoff.next_delay();
        assert!(first >= FIRST / 2 && first <= FIRST * 3 / 2, "{first:?}");
        let rest: Vec<_> = (0..50).map(|_| backoff.next_delay()).collect();
        assert!(rest.iter().all(|delay| *delay <= MOST), "{rest:?}");
        assert!(rest[10..].iter().all(|delay| *delay >= MOST / 2), "{rest:?}");
    }

    #[test]
    fn a_reset_begins_at_first_again() {
        let mut backoff = Backoff::new(FIRST, MOST);
        for _ in 0..10 {
            let _ = backoff.next_delay();
        }
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST * 3 / 2);
    }

    #[test]
    fn two_waiters_do_not_wait_the_same_time() {
        let draws = |mut backoff: Backoff| (0..8).map(|_| backoff.next_delay()).collect::<Vec<_>>();
        assert_ne!(draws(Backoff::new(FIRST, MOST)), draws(Backoff::new(FIRST, MOST)));
    }

    #[test]
    fn a_first_above_most_is_cut_to_most() {
        assert!(Backoff::new(MOST * 2, MOST).next_delay() <= MOST);
    }
}
