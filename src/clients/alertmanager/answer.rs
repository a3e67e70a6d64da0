//! What Alertmanager's answers hold, read leniently: a newer one adds fields, and an alert that can not be read must not hide the
//! others. That one was there is told, because a list with a hole proves nothing about what it lacks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The alerts of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    /// Those that could be read.
    pub all: Vec<Listed>,
    /// How many could not.
    pub unreadable: usize,
}

/// An alert that Alertmanager hears of. Its texts are hostile input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The hash of its labels, in 16 hexadecimal digits.
    pub fingerprint: String,
    /// What identifies it.
    pub labels: BTreeMap<String, String>,
    /// What people wrote about it.
    pub annotations: BTreeMap<String, String>,
    /// When it began to fire, cut to whole milliseconds by Alertmanager.
    pub starts_at: Timestamp,
    /// The expression's page in Prometheus.
    pub generator_url: String,
    /// The receivers that its route leads to, whether they are told of it or not.
    pub receivers: Vec<String>,
    /// Whether it is sent to anybody.
    pub active: bool,
    /// The silences that keep it quiet.
    pub silenced_by: Vec<String>,
    /// The fingerprints of the alerts that inhibit it.
    pub inhibited_by: Vec<String>,
    /// The time intervals that mute it; from 0.28 on.
    pub muted_by: Vec<String>,
}

/// How Alertmanager treats an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It does not hear of it: it has resolved, or never fired, or Alertmanager has just started.
    Absent,
    /// It fires, and nobody is told.
    Suppressed,
    /// It fires.
    Active,
}

/// Who made a silence, in their own words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    /// Who.
    #[serde(default)]
    pub created_by: String,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

impl Listed {
    /// The value of a label, empty when it is missing.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// How it is treated.
    #[must_use]
    pub const fn state(&self) -> State {
        if self.active { State::Active } else { State::Suppressed }
    }
}

pub(super) type Unreadable = Box<dyn std::error::Error>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    fingerprint: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
    #[serde(default)]
    receivers: Vec<Named>,
    status: Status,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    state: String,
    #[serde(default)]
    silenced_by: Vec<String>,
    #[serde(default)]
    inhibited_by: Vec<String>,
    #[serde(default)]
    muted_by: Vec<String>,
}

impl Listed {
    fn read(value: Value) -> Option<Self> {
        let raw: Raw = serde_json::from_value(value).ok()?;
        let is_hash = raw.fingerprint.len() == 16 && raw.fingerprint.bytes().all(|b| b.is_ascii_hexdigit());
        let active = match raw.status.state.as_str() {
            "active" => true,
            "suppressed" => false,
            // "unprocessed": whether it is silenced is not known yet. The next answer knows.
            _ => return None,
        };
        (is_hash && !raw.labels.is_empty()).then_some(Self {
            fingerprint: raw.fingerprint.to_ascii_lowercase(),
            labels: raw.labels,
            annotations: raw.annotations,
            starts_at: raw.starts_at,
            generator_url: raw.generator_url,
            receivers: raw.receivers.into_iter().map(|receiver| receiver.name).collect(),
            active,
            silenced_by: raw.status.silenced_by,
            inhibited_by: raw.status.inhibited_by,
            muted_by: raw.status.muted_by,
        })
    }
}

pub(super) fn alerts(body: &[u8]) -> Result<Alerts, Unreadable> {
    let entries: Vec<Value> = serde_json::from_slice(body)?;
    let number = entries.len();
    let all: Vec<Listed> = entries.into_iter().filter_map(Listed::read).collect();
    Ok(Alerts { unreadable: number - all.len(), all })
}

/// What Alertmanager says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Since when it runs.
    pub since: Timestamp,
    /// Whether a route has time intervals. `/api/v2/alerts` lists what they mute as active, whatever its `mutedBy` promises.
    pub mutes: bool,
}

pub(super) fn running(body: &[u8]) -> Result<Running, Unreadable> {
    #[derive(Deserialize)]
    struct Answer {
        /// The field's name is wrong in Alertmanager itself: it holds a moment.
        uptime: Timestamp,
        #[serde(default)]
        config: Config,
    }
    #[derive(Default, Deserialize)]
    struct Config {
        #[serde(default)]
        original: String,
    }
    let Answer { uptime, config } = serde_json::from_slice(body)?;
    let mutes = ["mute_time_intervals", "active_time_intervals"];
    Ok(Running { since: uptime, mutes: mutes.iter().any(|field| config.original.contains(field)) })
}

pub(super) fn receivers(body: &[u8]) -> Result<Vec<String>, Unreadable> {
    let all: Vec<Named> = serde_json::from_slice(body)?;
    Ok(all.into_iter().map(|receiver| receiver.name).collect())
}

pub(super) fn silence(body: &[u8]) -> Result<Silence, Unreadable> {
    Ok(serde_json::from_slice(body)?)
}
