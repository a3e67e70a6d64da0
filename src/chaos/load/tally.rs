//! What came of the requests: counted while it goes on, and summed up at its end. It does not grow with their number.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::histogram::Histogram;
use crate::clients::load::Failure;

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sent: u64,
    late: u64,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<Failure, u64>,
    latency: Histogram,
    /// The same, since it was last told.
    lately: Histogram,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// For how long it has gone on.
    pub elapsed: Duration,
    /// Requests that were begun.
    pub sent: u64,
    /// Answers of the classes 2xx, 3xx, 4xx and 5xx.
    pub classes: [u64; 4],
    /// Requests without an answer, those that are waited for not among them.
    pub failures: u64,
    /// Requests that are waited for.
    pub in_flight: u64,
    /// Half of the answers since the moment before took no longer.
    pub p50: Option<Duration>,
    /// 99 of a hundred of them took no longer.
    pub p99: Option<Duration>,
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its duration was over.
    Duration,
    /// Every request had its answer, or none.
    Requests,
    /// Somebody stopped it.
    Interrupted,
}

/// From when on an answer's time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// From when the request was sent.
    Sent,
    /// From when it was due by the rate, sent or not.
    Due,
}

/// How long answers took. Requests without an answer are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// From when on.
    pub since: Since,
    /// The shortest.
    #[serde(rename = "min_seconds", serialize_with = "seconds")]
    pub min: Duration,
    /// Half took no longer.
    #[serde(rename = "p50_seconds", serialize_with = "seconds")]
    pub p50: Duration,
    /// Nine of ten took no longer.
    #[serde(rename = "p90_seconds", serialize_with = "seconds")]
    pub p90: Duration,
    /// 99 of a hundred took no longer.
    #[serde(rename = "p99_seconds", serialize_with = "seconds")]
    pub p99: Duration,
    /// The longest.
    #[serde(rename = "max_seconds", serialize_with = "seconds")]
    pub max: Duration,
}

/// What came of all of it: `requests` are `answers`, `errors` and `given_up` together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Why it ended.
    pub ended: Ended,
    /// After how long.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// Requests that were begun.
    pub requests: u64,
    /// Of these in a second, on the whole.
    pub requests_per_second: f64,
    /// Requests that were answered, with whatever status.
    pub answers: u64,
    /// Of these in a second, on the whole.
    pub answers_per_second: f64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer, by why.
    pub errors: BTreeMap<Failure, u64>,
    /// Requests that were still waited for when it ended.
    pub given_up: u64,
    /// Requests that were sent later than they were due, because no client was free.
    pub late: u64,
    /// How long the answers took; nothing where there was none.
    pub latency: Option<Latency>,
}

impl Tally {
    /// A request is begun.
    pub(super) fn begins(&mut self, late: bool) {
        self.sent += 1;
        self.late += u64::from(late);
    }

    /// What came of it.
    pub(super) fn ends(&mut self, answer: Result<u16, Failure>, took: Duration) {
        match answer {
            Ok(status) => {
                *self.statuses.entry(status).or_default() += 1;
                self.latency.record(took);
                self.lately.record(took);
            }
            Err(failure) => *self.failures.entry(failure).or_default() += 1,
        }
    }

    fn waiting(&self) -> u64 {
        self.sent - self.latency.number() - self.failures.values().sum::<u64>()
    }

    /// How it stands; the next moment's percentiles are of what comes from now on.
    pub(super) fn moment(&mut self, elapsed: Duration) -> Moment {
        let class = |first: u16| self.statuses.range(first..first + 100).map(|(_, number)| number).sum();
        let moment = Moment {
            elapsed,
            sent: self.sent,
            classes: [200, 300, 400, 500].map(class),
            failures: self.failures.values().sum(),
            in_flight: self.waiting(),
            p50: self.lately.percentile(50),
            p99: self.lately.percentile(99),
        };
        self.lately.clear();
        moment
    }

    /// What came of all of it.
    pub(super) fn summary(&self, ended: Ended, elapsed: Duration, since: Since) -> Summary {
        let all = &self.latency;
        let latency = || {
            let [p50, p90, p99] = [50, 90, 99].map(|percent| all.percentile(percent));
            Some(Latency { since, min: all.min()?, p50: p50?, p90: p90?, p99: p99?, max: all.max()? })
        };
        Summary {
            ended,
            elapsed,
            requests: self.sent,
            requests_per_second: per_second(self.sent, elapsed),
            answers: all.number(),
            answers_per_second: per_second(all.number(), elapsed),
            statuses: self.statuses.clone(),
            errors: self.failures.clone(),
            given_up: self.waiting(),
            late: self.late,
            latency: latency(),
        }
    }
}

/// In a second, to a hundredth.
#[expect(clippy::cast_precision_loss, reason = "it is for people, and to a hundredth")]
fn per_second(number: u64, elapsed: Duration) -> f64 {
    let per_second = number as f64 / elapsed.as_secs_f64().max(0.001);
    (per_second * 100.0).round() / 100.0
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn every_request_is_an_answer_an_error_or_waited_for() {
        let mut tally = Tally::default();
        for answer in [Ok(200), Ok(204), Ok(302), Ok(503), Err(Failure::Timeout), Err(Failure::Timeout)] {
            tally.begins(false);
            tally.ends(answer, MILLI);
        }
        tally.begins(true);
        let moment = tally.moment(Duration::from_secs(2));
        assert_eq!((moment.sent, moment.classes, moment.failures, moment.in_flight), (7, [2, 1, 0, 1], 2, 1));
        assert_eq!(moment.p99, Some(MILLI));
        assert_eq!(tally.moment(Duration::from_secs(3)).p99, None, "nothing came since");

        let summary = tally.summary(Ended::Interrupted, Duration::from_secs(2), Since::Due);
        assert_eq!((summary.requests, summary.answers, summary.given_up, summary.late), (7, 4, 1, 1));
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["statuses"], serde_json::json!({"200": 1, "204": 1, "302": 1, "503": 1}));
        assert_eq!(json["errors"], serde_json::json!({"timeout": 2}));
        assert_eq!(json["requests_per_second"], 3.5);
        assert_eq!(json["latency"]["since"], "due");
        assert_eq!(json["latency"]["max_seconds"], 0.001);
    }

    #[test]
    fn without_an_answer_there_is_no_latency() {
        let mut tally = Tally::default();
        tally.begins(false);
        tally.ends(Err(Failure::ConnectRefused), MILLI);
        assert_eq!(tally.summary(Ended::Duration, Duration::ZERO, Since::Sent).latency, None);
    }
}
