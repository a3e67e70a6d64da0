//! What is on disk about the alerts that came last, so that a notification that changes nothing costs no
//! transaction. Filled at the start and after commits only; this process is the journal's only writer.
//! It never answers anything but "nothing changes" and "this alert is new", and nothing that limits are counted
//! from. A wrong "new" is refused by the alert's unique row.

use std::collections::HashMap;

use super::super::Receipt;
use super::super::prepared::{Entry, Prepared};

/// How many alerts are known in each of the two halves.
const HALF: usize = 50_000;

/// An alert's last episode, as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Learned {
    pub(super) alert_key: String,
    pub(super) starts_at: i64,
    /// None: it is open.
    pub(super) ends_at: Option<i64>,
    /// The runbooks that answer it.
    pub(super) answered: Vec<String>,
}

/// Two halves: when the young one is full it becomes the old one, and the old one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Known {
    young: HashMap<String, Episode>,
    old: HashMap<String, Episode>,
    /// Some alerts of the journal are not here.
    forgetful: bool,
}

#[derive(Debug)]
struct Episode {
    starts_at: i64,
    ends_at: Option<i64>,
    answered: Vec<String>,
}

impl Known {
    /// How many alerts it can know.
    pub(super) const MOST: usize = 2 * HALF;

    pub(super) fn learn(&mut self, learned: impl IntoIterator<Item = Learned>) {
        for Learned { alert_key, starts_at, ends_at, answered } in learned {
            if self.young.len() >= HALF && !self.young.contains_key(&alert_key) {
                self.forgetful |= !self.old.is_empty();
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(alert_key, Episode { starts_at, ends_at, answered });
        }
    }

    /// Not every alert of the journal was read at the start.
    pub(super) const fn is_incomplete(&mut self) {
        self.forgetful = true;
    }

    /// Whether the journal surely has no episode of this alert.
    pub(super) fn is_new(&self, alert_key: &str) -> bool {
        !self.forgetful && !self.young.contains_key(alert_key) && !self.old.contains_key(alert_key)
    }

    /// The receipt of a notification that changes nothing, whatever the order of its alerts.
    pub(super) fn nothing_changes(&self, prepared: &Prepared) -> Option<Receipt> {
        let nothing =
            prepared.unanswered.is_empty() && prepared.alerts.iter().all(|entry| self.repeats(entry));
        nothing.then(|| Receipt { repeated: prepared.alerts.len(), ..Receipt::default() })
    }

    fn repeats(&self, entry: &Entry) -> bool {
        let alert_key = entry.key();
        let Some(episode) = self.young.get(alert_key).or_else(|| self.old.get(alert_key)) else {
            return false;
        };
        match (entry.ends_at, episode.ends_at) {
            (None, None) => {
                entry.starts_at <= episode.starts_at
                    && entry.by.iter().all(|by| episode.answered.contains(&by.runbook))
            }
            (None, Some(over)) => entry.starts_at <= over,
            (Some(_), Some(over)) => entry.starts_at <= over || entry.is_nonsense(),
            (Some(ends_at), None) => ends_at < episode.starts_at || entry.is_nonsense(),
        }
    }
}
