//! How long answers took, in a bounded histogram: buckets of 1 µs up to 128 µs, then 128 to each power of two (log-linear, as in `HdrHistogram`).
//!
//! A quantile is never less than the exact one (nearest rank), and more by at most 1/128 of it. Least and most are exact. It takes 28 KiB, however much is recorded.

use std::time::Duration;

/// The buckets of each power of two, as a power of two.
const BITS: u32 = 7;
const EACH: usize = 1 << BITS;
/// Nothing longer is told apart: 2^33 µs are more than two hours, and no load is made for so long.
const MOST: u64 = (1 << 33) - 1;
const BUCKETS: usize = EACH * (33 - BITS as usize + 1);

/// How often an answer took how long.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    number: u64,
    least: u64,
    most: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], number: 0, least: u64::MAX, most: 0 }
    }
}

impl Histogram {
    /// Takes one in, in whole microseconds.
    pub fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(MOST).min(MOST);
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
            *count += 1;
        }
        self.number += 1;
        self.least = self.least.min(micros);
        self.most = self.most.max(micros);
    }

    /// How many were taken in.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The shortest; none of nothing.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        (self.number > 0).then(|| Duration::from_micros(self.least))
    }

    /// The longest; none of nothing.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.number > 0).then(|| Duration::from_micros(self.most))
    }

    /// What so many of a hundred did not exceed; none of nothing.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let number = u128::from(self.number);
        let rank =
            u64::try_from((number * u128::from(percent.min(100))).div_ceil(100)).unwrap_or(u64::MAX).max(1);
        let mut passed = 0_u64;
        let at = self.counts.iter().position(|count| {
            passed += count;
            passed >= rank
        })?;
        Some(Duration::from_micros(end(at).clamp(self.least, self.most)))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.number, self.least, self.most) = (0, u64::MAX, 0);
    }
}

/// Where a value is counted.
fn bucket(micros: u64) -> usize {
    let shift = micros.max(1).ilog2().saturating_sub(BITS);
    // At most 2 * EACH, and at most 26 * EACH before it.
    let within = usize::try_from(micros >> shift).unwrap_or(0);
    EACH * shift as usize + within
}

/// The largest value that is counted there.
fn end(at: usize) -> u64 {
    let shift = (at / EACH).saturating_sub(1);
    let within = (at - EACH * shift) as u64;
    ((within + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_ends_at_most_a_128th_later() {
        let mut before = 0;
        for power in 0..33 {
            for near in [-1_i64, 0, 1, 77] {
                let Some(value) = (1_u64 << power).checked_add_signed(near) else { continue };
                let at = bucket(value);
                assert!(at < BUCKETS && value <= end(at), "{value}");
                assert!(end(at) - value <= value / 128, "{value} {}", end(at));
                assert!(at == 0 || end(at - 1) < value, "{value}");
            }
            assert!(bucket(1 << power) >= before);
            before = bucket(1 << power);
        }
        assert_eq!(bucket(MOST), BUCKETS - 1);
        assert_eq!(end(BUCKETS - 1), MOST);
    }

    #[test]
    fn of_nothing_there_is_no_percentile() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.min(), histogram.percentile(50), histogram.max()), (None, None, None));
        histogram.record(Duration::MAX);
        assert_eq!(histogram.max(), Some(Duration::from_micros(MOST)));
        histogram.clear();
        assert_eq!((histogram.number(), histogram.percentile(99)), (0, None));
    }

    /// Microseconds of every magnitude.
    fn latencies() -> impl Strategy<Value = Vec<u64>> {
        let one = (0..33_u32, any::<u64>()).prop_map(|(power, any)| any % (1 << power));
        prop::collection::vec(one, 1..400)
    }

    proptest! {
        #[test]
        fn a_percentile_is_the_exact_one_or_at_most_a_128th_more(mut all in latencies()) {
            let mut histogram = Histogram::default();
            for micros in &all {
                histogram.record(Duration::from_micros(*micros));
            }
            all.sort_unstable();
            prop_assert_eq!(histogram.min(), all.first().map(|least| Duration::from_micros(*least)));
            prop_assert_eq!(histogram.max(), all.last().map(|most| Duration::from_micros(*most)));
            for percent in [0, 1, 50, 90, 99, 100] {
                let rank = (all.len() * percent).div_ceil(100).max(1);
                let exact = all[rank - 1];
                let told = histogram.percentile(percent as u64).unwrap().as_micros();
                let (least, most) = (u128::from(exact), u128::from(exact + exact / 128));
                prop_assert!((least..=most).contains(&told), "p{}: {} for {}", percent, told, exact);
            }
        }
    }
}
