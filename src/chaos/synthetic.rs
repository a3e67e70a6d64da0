//! A synthetic alert: fired at the daemon's own webhook or at an Alertmanager, with the lines in Loki that make it look true. Nothing is broken by it, and nobody
//! is fooled: everything of it has the label of its run.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::scenario::{Lines, Synthetic};
use crate::alert::{Labels, RUN_LABEL};
use crate::clients::CallError;
use crate::clients::alertmanager::{Alertmanager, Posted};
use crate::clients::loki::{Loki, Stream};
use crate::clients::webhook::{Told, Webhook};
use crate::clock;

/// Where the alert goes.
#[derive(Debug, Clone)]
pub enum Way {
    /// To the daemon itself, as Alertmanager would send it. One that asks an Alertmanager what fires does not find it there, and takes it for ended in time.
    Webhook(Webhook),
    /// Into an Alertmanager, whose routes decide who hears of it.
    Alertmanager(Alertmanager),
}

/// A synthetic alert of one run, from its beginning on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    /// The alert, which ends by itself when nobody ends it: in time for what is expected, and not much later.
    pub alert: Posted,
    /// The lines; empty: there are none.
    pub streams: Vec<Stream>,
}

impl Shot {
    /// The alert and the lines of the run `run`, which was registered with the daemon under this id. The lines lie before `now`.
    #[must_use]
    pub fn new(synthetic: &Synthetic, run: &str, now: Timestamp) -> Self {
        let of_run = |labels: &BTreeMap<String, String>| {
            let mut labels = labels.clone();
            labels.insert(RUN_LABEL.to_owned(), run.to_owned());
            labels
        };
        let mut streams: BTreeMap<BTreeMap<String, String>, Vec<(Timestamp, String)>> = BTreeMap::new();
        for lines in &synthetic.lines {
            let of_stream = streams.entry(of_run(&lines.stream)).or_default();
            of_stream.extend(spread(lines, now).map(|at| (at, lines.line.clone())));
        }
        let streams =
            streams.into_iter().map(|(labels, lines)| Stream { labels, lines: ordered(lines, now) });
        let alert = Posted {
            labels: of_run(&synthetic.labels),
            annotations: synthetic.annotations.clone(),
            starts_at: now,
            // Twice as long: what is seen late must not look as if it had healed by itself.
            ends_at: Some(clock::after(now, synthetic.expect.within.saturating_mul(2))),
            generator_url: String::new(),
        };
        Self { alert, streams: streams.collect() }
    }

    /// Pushes the lines, if there are any. Before the alert: who hears of it looks for them at once.
    ///
    /// # Errors
    /// Whatever keeps Loki from taking them.
    pub async fn push(&self, loki: &Loki) -> Result<(), CallError> {
        if self.streams.is_empty() {
            return Ok(());
        }
        loki.push(&self.streams).await
    }

    /// Fires the alert, once.
    ///
    /// # Errors
    /// Whatever keeps the other side from taking it.
    pub async fn fire(&self, way: &Way) -> Result<(), CallError> {
        match way {
            Way::Webhook(webhook) => webhook.notify(&[self.told(None)]).await,
            Way::Alertmanager(alertmanager) => alertmanager.post(std::slice::from_ref(&self.alert)).await,
        }
    }

    /// Ends it. An Alertmanager whose clock is behind ours believes that this end is still to come, and lets it fire until the end that it was fired with.
    ///
    /// # Errors
    /// Whatever keeps the other side from hearing of it; then it ends by itself in an Alertmanager, and not at all at the webhook.
    pub async fn end(&self, way: &Way, now: Timestamp) -> Result<(), CallError> {
        let now = now.max(self.alert.starts_at);
        match way {
            Way::Webhook(webhook) => webhook.notify(&[self.told(Some(now))]).await,
            Way::Alertmanager(alertmanager) => {
                alertmanager.post(&[Posted { ends_at: Some(now), ..self.alert.clone() }]).await
            }
        }
    }

    fn told(&self, ended_at: Option<Timestamp>) -> Told {
        let Posted { labels, annotations, starts_at, ends_at: _, generator_url } = self.alert.clone();
        let fingerprint = Labels(labels.clone()).fingerprint().0;
        Told { labels, annotations, starts_at, ended_at, generator_url, fingerprint }
    }
}

/// The moments of so many lines: each in the middle of its share of the time before `now`, the oldest first.
fn spread(lines: &Lines, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    let (count, over) = (i128::from(lines.count), SignedDuration::try_from(lines.over).unwrap_or_default());
    let over = over.as_nanos();
    (0..count).map(move |at| {
        let before = over * (2 * (count - at) - 1) / (2 * count);
        Timestamp::from_nanosecond(now.as_nanosecond() - before).unwrap_or(now)
    })
}

/// In the order of their times, which are all different: the same line at the same time would be one.
fn ordered(mut lines: Vec<(Timestamp, String)>, now: Timestamp) -> Vec<(Timestamp, String)> {
    lines.sort();
    let mut next = now;
    for (at, _) in lines.iter_mut().rev() {
        *at = (*at).min(next.saturating_sub(SignedDuration::from_nanos(1)).unwrap_or(*at));
        next = *at;
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::chaos::scenario::ExpectedAnswer;
    use crate::incident::Outcome;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        Labels::from(pairs).0
    }

    fn lines(app: &str, line: &str, count: u32, over: Duration) -> Lines {
        Lines { stream: labels([("app", app)]), line: line.to_owned(), count, over }
    }

    fn synthetic(lines: Vec<Lines>) -> Synthetic {
        Synthetic {
            labels: labels([("alertname", "High5xxRate"), ("app", "auth")]),
            annotations: labels([("summary", "s")]),
            lines,
            expect: ExpectedAnswer {
                runbook: "database-pool-exhaustion".to_owned(),
                outcomes: vec![Outcome::WouldAct],
                actions: Vec::new(),
                within: Duration::from_mins(10),
            },
        }
    }

    #[test]
    fn everything_of_a_run_says_so_and_the_alert_ends_by_itself() {
        let now = at("2026-11-24T12:00:00Z");
        let made = synthetic(vec![lines("auth", "a", 4, Duration::from_mins(2))]);
        let shot = Shot::new(&made, "run-1", now);
        let whole = labels([("alertname", "High5xxRate"), ("app", "auth"), ("runbookd_run", "run-1")]);
        assert_eq!(shot.alert.labels, whole);
        assert_eq!((shot.alert.starts_at, shot.alert.ends_at), (now, Some(at("2026-11-24T12:20:00Z"))));
        let [stream] = shot.streams.as_slice() else { panic!("{shot:#?}") };
        assert_eq!(stream.labels, labels([("app", "auth"), ("runbookd_run", "run-1")]));
        let times: Vec<String> = stream.lines.iter().map(|(at, _)| at.to_string()).collect();
        assert_eq!(
            times,
            ["2026-11-24T11:58:15Z", "2026-11-24T11:58:45Z", "2026-11-24T11:59:15Z", "2026-11-24T11:59:45Z"]
        );
        assert!(Shot::new(&synthetic(Vec::new()), "run-1", now).streams.is_empty());
    }

    #[test]
    fn what_is_told_has_the_fingerprint_of_all_its_labels() {
        let now = at("2026-11-24T12:00:00Z");
        let shot = Shot::new(&synthetic(Vec::new()), "run-1", now);
        let told = shot.told(None);
        assert_eq!(told.fingerprint, Labels(shot.alert.labels.clone()).fingerprint().0);
        let other = Shot::new(&synthetic(Vec::new()), "run-2", now).told(None);
        assert_ne!(told.fingerprint, other.fingerprint, "two runs are two alerts");
    }

    proptest! {
        #[test]
        fn lines_of_a_stream_follow_each_other_and_none_is_of_the_future(
            first in 1..1_000_u32, second in 1..1_000_u32, over in 1..3_600_000_u64, other in 1..3_600_000_u64,
        ) {
            let now = at("2026-11-24T12:00:00.123456Z");
            let (over, other) = (Duration::from_millis(over), Duration::from_millis(other));
            // The same stream twice, with the same line at what may be the same times.
            let made = synthetic(vec![lines("auth", "a", first, over), lines("auth", "a", second, other)]);
            let shot = Shot::new(&made, "run-1", now);
            let of_stream = &shot.streams[0].lines;
            prop_assert_eq!(of_stream.len(), (first + second) as usize);
            prop_assert!(of_stream.is_sorted_by(|one, next| one.0 < next.0));
            prop_assert!(of_stream.last().unwrap().0 < now);
            // Moved apart by nanoseconds at most.
            let oldest = now - SignedDuration::try_from(over.max(other)).unwrap() - SignedDuration::from_micros(2);
            prop_assert!(of_stream[0].0 >= oldest);
        }
    }
}
