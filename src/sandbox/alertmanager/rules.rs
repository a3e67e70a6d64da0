//! Rules of `deploy/prometheus/alerts.yaml` that give any number of alerts: whatever holds for long enough fires, and what holds no more, or is
//! no more, resolves.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Alerts, Labels};
use crate::sandbox::state::Pace;

/// A rule, without its expression.
pub(in crate::sandbox) struct Rule {
    pub(in crate::sandbox) alert: &'static str,
    /// Tells apart rules of the same alert.
    pub(in crate::sandbox) of: &'static str,
    pub(in crate::sandbox) severity: &'static str,
    /// `for`.
    pub(in crate::sandbox) pending: Duration,
}

/// Since when each series of each rule holds.
pub(super) type Held = BTreeMap<(&'static str, &'static str), BTreeMap<Labels, Timestamp>>;

impl Alerts {
    /// Evaluates a rule, given the series that hold now with the summary of each.
    pub(in crate::sandbox) fn evaluate_rule(
        &mut self,
        rule: &Rule,
        holds: impl IntoIterator<Item = (Labels, String)>,
        now: Timestamp,
        pace: Pace,
    ) {
        let key = (rule.alert, rule.of);
        let mut before = self.held.remove(&key).unwrap_or_default();
        let mut held = BTreeMap::new();
        for (mut labels, summary) in holds {
            labels.insert("alertname".to_owned(), rule.alert.to_owned());
            labels.insert("severity".to_owned(), rule.severity.to_owned());
            let since = before.remove(&labels).unwrap_or(now);
            if pace.after(since, rule.pending) <= now {
                let pairs: Vec<(&str, &str)> =
                    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                self.fire(&pairs, &[("summary", &summary)], now, pace);
            }
            held.insert(labels, since);
        }
        for labels in before.into_keys() {
            let pairs: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            self.resolve(&pairs, now, pace);
        }
        self.held.insert(key, held);
    }
}
