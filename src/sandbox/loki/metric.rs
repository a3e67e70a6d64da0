//! `count_over_time` and its sums.

use std::collections::BTreeMap;

use super::parse::{Metric, Sum};
use super::pipeline::{self, Hints};
use super::stats::Read;
use super::store::{Labels, Logs, between};
use crate::sandbox::go;

/// The lines that a metric query counts.
pub(super) struct Counted {
    /// Their times in ascending order, by the labels of the series.
    pub(super) series: BTreeMap<Labels, Vec<i64>>,
    pub(super) read: Read,
    pub(super) matched: usize,
}

/// How many of the times lie in the range that ends at `at`; the range's beginning is not in it.
pub(super) fn within(times: &[i64], at: i64, range: i64) -> usize {
    let after = times.partition_point(|time| *time <= at - range);
    times.partition_point(|time| *time <= at) - after
}

/// Reads what evaluations between `first` and `last` count.
///
/// # Errors
/// A pipeline error in any line that is left at the end of the pipeline fails the whole query.
pub(super) fn count(logs: &Logs, metric: &Metric, first: i64, last: i64) -> Result<Counted, String> {
    let query = &metric.logs;
    let mut required = pipeline::named(&query.stages);
    let hints = match &metric.sum {
        Sum::None => Hints::all(),
        Sum::All => Hints::only(required),
        Sum::By(labels) => {
            required.extend(labels.iter().cloned());
            Hints::only(required)
        }
    };
    let mut counted = Counted { series: BTreeMap::new(), read: Read::default(), matched: 0 };
    for (labels, lines) in logs.select(&query.selector) {
        for line in between(lines, first - metric.range + 1, last) {
            counted.read.add(&line.text);
            let Some(kept) = pipeline::run(&query.stages, labels, &line.text, &hints) else { continue };
            counted.matched += 1;
            if let Some(error) = kept.has_error() {
                return Err(pipeline_error(error, &kept.labels()));
            }
            let series = match &metric.sum {
                Sum::None => kept.labels(),
                Sum::All => Labels::new(),
                Sum::By(by) => kept.labels().into_iter().filter(|(name, _)| by.contains(name)).collect(),
            };
            counted.series.entry(series).or_default().push(line.at);
        }
    }
    for times in counted.series.values_mut() {
        times.sort_unstable();
    }
    Ok(counted)
}

fn pipeline_error(error: &str, labels: &Labels) -> String {
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", go::quoted(value))).collect();
    let labels = labels.join(", ");
    format!(
        "pipeline error: '{error}' for series: '{{{labels}}}'.\nUse a label filter to intentionally skip this error. \
         (e.g | __error__!=\"{error}\").\nTo skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n"
    )
}
