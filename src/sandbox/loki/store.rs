//! The lines, by the labels of their streams, in the order of their times. Memory is bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::parse::Matcher;

/// The labels of a stream.
pub(in crate::sandbox) type Labels = BTreeMap<String, String>;

const LINES_KEPT: usize = 50_000;
const STREAMS_KEPT: usize = 500;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its time, in nanoseconds since the epoch.
    pub at: i64,
    /// Its text.
    pub text: String,
}

/// The lines of a stream with a time from `first` to `last`, both included.
pub(super) fn between(lines: &VecDeque<LogLine>, first: i64, last: i64) -> impl Iterator<Item = &LogLine> {
    let begin = lines.partition_point(|line| line.at < first);
    let end = lines.partition_point(|line| line.at <= last).max(begin);
    lines.range(begin..end)
}

/// All logs.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Logs {
    /// Lines of any time are taken.
    any_time: bool,
    streams: BTreeMap<Labels, VecDeque<LogLine>>,
}

impl Logs {
    /// With `any_time`, lines of any time are taken.
    pub(in crate::sandbox) fn new(any_time: bool) -> Self {
        Self { any_time, ..Self::default() }
    }

    /// Whether lines of any time are taken.
    pub(super) const fn takes_any_time(&self) -> bool {
        self.any_time
    }

    /// The newest line of a stream, in nanoseconds.
    pub(super) fn newest(&self, labels: &Labels) -> Option<i64> {
        self.streams.get(labels)?.back().map(|line| line.at)
    }

    pub(in crate::sandbox) fn push(&mut self, labels: &Labels, at: i64, text: &str) {
        if !self.streams.contains_key(labels) && self.streams.len() == STREAMS_KEPT {
            let oldest = self.streams.iter().min_by_key(|(_, lines)| lines.back().map(|line| line.at));
            if let Some(oldest) = oldest.map(|(labels, _)| labels.clone()) {
                self.streams.remove(&oldest);
            }
        }
        let lines = self.streams.entry(labels.clone()).or_default();
        let place = lines.partition_point(|line| line.at <= at);
        // The same line at the same time is the same entry, however often it is sent.
        let same =
            lines.iter().take(place).rev().take_while(|line| line.at == at).any(|line| line.text == text);
        if same {
            return;
        }
        lines.insert(place, LogLine { at, text: text.to_owned() });
        if lines.len() > LINES_KEPT {
            lines.pop_front();
        }
    }

    /// The streams that a selector selects.
    pub(super) fn select<'a>(
        &'a self,
        selector: &'a [Matcher],
    ) -> impl Iterator<Item = (&'a Labels, &'a VecDeque<LogLine>)> {
        self.streams.iter().filter(|(labels, _)| {
            selector
                .iter()
                .all(|matcher| matcher.holds(labels.get(&matcher.label).map_or("", String::as_str)))
        })
    }

    pub(super) fn label_names(&self) -> BTreeSet<&str> {
        self.streams.keys().flat_map(|labels| labels.keys().map(String::as_str)).collect()
    }

    /// The lines of an app, oldest first.
    pub(in crate::sandbox) fn of_app(&self, app: &str) -> Vec<LogLine> {
        let streams =
            self.streams.iter().filter(|(labels, _)| labels.get("app").is_some_and(|label| label == app));
        let mut lines: Vec<LogLine> = streams.flat_map(|(_, lines)| lines.iter().cloned()).collect();
        lines.sort_by_key(|line| line.at);
        lines
    }
}
