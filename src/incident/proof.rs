//! That a runbook works, shown by breaking something: what `runbookd inject` has seen, and how near it came to the real failure.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How near a run comes to the real failure: each proves more than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// In a sandbox, with the real daemon in front of it.
    Sandbox,
    /// A made-up alert with made-up lines at the real systems: what is done is a plan and a dry run.
    Alert,
    /// The real fault in the real cluster.
    Fault,
}

impl Level {
    /// All levels, from the farthest to the nearest.
    pub const ALL: [Self; 3] = [Self::Sandbox, Self::Alert, Self::Fault];

    /// The word on the command line and in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Alert => "alert",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How long it took from the fault on, at the pace of reality; none: it did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Times {
    /// Until an alert of the expected ones fired.
    #[serde(rename = "detect_seconds", with = "seconds", default)]
    pub detect: Option<Duration>,
    /// Until the runbook had confirmed it.
    #[serde(rename = "confirm_seconds", with = "seconds", default)]
    pub confirm: Option<Duration>,
    /// Until the first change was asked for; of a made-up alert, until it was rehearsed.
    #[serde(rename = "act_seconds", with = "seconds", default)]
    pub act: Option<Duration>,
    /// Until the runbook's incident was closed as recovered, or as healed by itself.
    #[serde(rename = "recover_seconds", with = "seconds", default)]
    pub recover: Option<Duration>,
}

/// As machines read it: seconds, with milliseconds behind the point.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|value| (value.as_secs_f64() * 1000.0).round() / 1000.0).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let value = Option::<f64>::deserialize(deserializer)?;
        value.map(Duration::try_from_secs_f64).transpose().map_err(serde::de::Error::custom)
    }
}

/// One scenario that was played to its end, and what it says of one runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The id of the run; of one run each runbook has at most one proof.
    pub run: String,
    /// The scenario's name.
    pub scenario: String,
    /// How near it came.
    pub at: Level,
    /// The runbook's name.
    pub runbook: String,
    /// The hash of the runbook's text: a text that was changed since is not proven.
    pub text: String,
    /// Whether everything came true.
    pub passed: bool,
    /// When the run ended.
    pub proven_at: Timestamp,
    /// How long everything took.
    pub times: Times,
    /// The version of runbookd that was put to the proof.
    pub version: String,
}

impl Proof {
    /// Whether the runbook acted, and it ended well. A scenario in which nothing must be done, or nothing helps, proves that it stops. Where the alert is made
    /// up there is nothing to cure: that it would act, and what is said to that, is all that can be shown.
    #[must_use]
    pub const fn shows_a_cure(&self) -> bool {
        let cured = matches!(self.at, Level::Alert) || self.times.recover.is_some();
        self.passed && self.times.act.is_some() && cured
    }
}
