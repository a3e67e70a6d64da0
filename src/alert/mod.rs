//! Alerts in Alertmanager's own words: labels, status, startsAt, endsAt, fingerprint.
//!
//! Plain data. Label values are hostile input: nothing here interprets them.

pub mod matcher;
pub mod payload;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use matcher::Matcher;
pub use payload::{Notification, PayloadError, Refused};

/// The label of an alert, and of a line in Loki, that names a drill of `runbookd inject`. A label alone means nothing: only an id that was registered with
/// the daemon does.
pub const RUN_LABEL: &str = "runbookd_run";

/// Label names and values; a label that is missing is the empty string, as everywhere in Prometheus.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl Labels {
    /// The value of `name`, empty when the label is missing.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Alertmanager's fingerprint of these labels: FNV-1a (64 bit) over the names in order, each name and
    /// each value followed by the byte 0xff (`prometheus/common`, `model.LabelSet.Fingerprint`).
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        let hash = self
            .0
            .iter()
            .flat_map(|(name, value)| name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]))
            .fold(OFFSET, step);
        Fingerprint(format!("{hash:016x}"))
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (position, (name, value)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Labels {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// The hash of an alert's labels: the same for every firing of the same alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether an alert fires or has stopped. Resolved is not healthy: a scrape target that is gone resolves, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The alert's condition holds.
    Firing,
    /// Alertmanager no longer hears of it.
    Resolved,
}

/// One alert of a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Firing or resolved; of this alert, not of its group.
    pub status: Status,
    /// What identifies it.
    pub labels: Labels,
    /// What people wrote about it.
    #[serde(default)]
    pub annotations: Labels,
    /// When it began to fire. Not stable between Alertmanager's peers: it can move earlier.
    pub starts_at: Timestamp,
    /// When it resolved; none while it fires.
    pub ends_at: Option<Timestamp>,
    /// The expression's page in Prometheus, for people.
    #[serde(default)]
    pub generator_url: String,
    /// The key of its episode.
    pub fingerprint: Fingerprint,
}

impl Alert {
    /// The `alertname` label.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get("alertname")
    }
}
