//! How long requests take, as `http_request_duration_seconds_bucket` counts it, and what `histogram_quantile` makes of that.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{LEAST_WINDOW, Services};

/// The upper bounds of the buckets, in seconds. A histogram that ends below what is asked about can not answer: `histogram_quantile` gives no
/// more than the last finite bound.
const BOUNDS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Requests by how long they took; the last holds those that took longer than any bound.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Buckets([u32; 10]);

impl Buckets {
    pub(super) fn add(&mut self, took: Duration) {
        let at = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound);
        self.0[at.unwrap_or(BOUNDS.len())] += 1;
    }

    fn plus(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own += other);
        self
    }

    /// `histogram_quantile`: linear within a bucket.
    fn quantile(&self, quantile: f64) -> Option<f64> {
        let all: u32 = self.0.iter().sum();
        let rank = quantile * f64::from(all);
        let mut below = 0.0;
        let mut lower = 0.0;
        for (count, bound) in self.0.iter().zip(BOUNDS) {
            let count = f64::from(*count);
            if count > 0.0 && below + count >= rank {
                return Some(lower + (bound - lower) * (rank - below) / count);
            }
            below += count;
            lower = bound;
        }
        (all > 0).then_some(lower)
    }
}

impl Services {
    /// The quantile of how long a service's requests took within this time, in seconds; none when there were none.
    pub(in crate::sandbox) fn quantile(
        &self,
        service: &str,
        quantile: f64,
        now: Timestamp,
        window: SignedDuration,
    ) -> Option<f64> {
        self.buckets(service, now, window).quantile(quantile)
    }

    fn buckets(&self, service: &str, now: Timestamp, window: SignedDuration) -> Buckets {
        let since = now.saturating_sub(window.max(LEAST_WINDOW)).unwrap_or(now);
        self.since(service, since).fold(Buckets::default(), |sum, next| sum.plus(next.took))
    }

    /// The same over several services.
    pub(in crate::sandbox) fn quantile_of_all(
        &self,
        services: &[&str],
        quantile: f64,
        now: Timestamp,
        window: SignedDuration,
    ) -> Option<f64> {
        let each = services.iter().map(|service| self.buckets(service, now, window));
        each.fold(Buckets::default(), Buckets::plus).quantile(quantile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_linear_within_its_bucket_and_never_beyond_the_last_bound() {
        let mut buckets = Buckets::default();
        assert_eq!(buckets.quantile(0.99), None);
        (0..100).for_each(|_| buckets.add(Duration::from_secs(8)));
        assert!((buckets.quantile(0.99).unwrap_or(0.0) - 9.95).abs() < 1e-9);
        (0..900).for_each(|_| buckets.add(Duration::from_secs(90)));
        assert_eq!(buckets.quantile(0.99), Some(60.0));
    }
}
