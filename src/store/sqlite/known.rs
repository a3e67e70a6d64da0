//! What is on disk about the alerts that came last, so that a notification that changes nothing costs no
//! transaction. Filled at the start and after commits only; this process is the journal's only writer.
//! It never answers anything but "nothing changes", and nothing that limits are counted from.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::Receipt;
use super::super::prepared::{Entry, Prepared};

/// How many alerts are known in each of the two halves.
const HALF: usize = 50_000;

/// An alert's last episode, as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Learned {
    pub(super) alert_key: Arc<str>,
    /// As each runbook that answers it has seen it: runbook, start, end.
    pub(super) rows: Vec<Row>,
    /// No other runbook has a row.
    pub(super) whole: bool,
}

/// Runbook, start, end.
type Row = (Arc<str>, i64, Option<i64>);
/// The rows of an alert, and whether these are all.
type Episode = (Vec<Row>, bool);

/// Two halves: when the young one is full it becomes the old one, and the old one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Known {
    young: HashMap<Arc<str>, Episode>,
    old: HashMap<Arc<str>, Episode>,
}

impl Known {
    /// How many alerts it can know.
    pub(super) const MOST: usize = 2 * HALF;

    pub(super) fn learn(&mut self, learned: impl IntoIterator<Item = Learned>) {
        for Learned { alert_key, rows, whole } in learned {
            if self.young.len() >= HALF && !self.young.contains_key(&alert_key) {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(alert_key, (rows, whole));
        }
    }

    /// The receipt of a notification that changes nothing, whatever the order of its alerts.
    pub(super) fn nothing_changes(&self, prepared: &Prepared) -> Option<Receipt> {
        let nothing = prepared.unanswered.is_empty()
            && prepared.suppressed.is_empty()
            && prepared.alerts.iter().all(|entry| self.repeats(entry));
        nothing.then(|| Receipt { repeated: prepared.alerts.len(), ..Receipt::default() })
    }

    fn repeats(&self, entry: &Entry) -> bool {
        let alert_key = entry.key();
        let Some((rows, whole)) = self.young.get(alert_key).or_else(|| self.old.get(alert_key)) else {
            return false;
        };
        let starts_at = entry.starts_at;
        let of = |runbook: &str| rows.iter().find(|(name, ..)| **name == *runbook);
        match entry.ends_at {
            None => entry.by.iter().all(|by| {
                of(&by.runbook).is_some_and(|(_, began, over)| starts_at <= over.unwrap_or(*began))
            }),
            Some(_) if entry.is_nonsense() => true,
            Some(ends_at) => {
                *whole
                    && rows.iter().all(|(_, began, over)| match over {
                        None => ends_at < *began,
                        Some(over) => starts_at <= *over,
                    })
                    && entry.by.iter().all(|by| of(&by.runbook).is_some())
            }
        }
    }
}
