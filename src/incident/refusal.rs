//! Guards, and what they answer. A refusal is a value, not an error: a word from a closed list, the value
//! seen, the limit, and until when.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The guards, in the order in which they are shown. Each has one file in `guard/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The lowest of the ceiling, the namespace's, the runbook's and the step's mode.
    Mode,
    /// The allow-list of namespaces.
    Namespace,
    /// A person stopped all effects.
    Pause,
    /// The plan is young enough.
    Freshness,
    /// The target can be changed at all: not paused, not empty, not another controller's.
    Circumstances,
    /// No migration and no rollout of its release is under way around the target, and no hook has just failed.
    Deploying,
    /// Another incident works on the target.
    Busy,
    /// The target was acted on a short time ago.
    Cooldown,
    /// The runbook has acted often enough.
    RunbookRate,
    /// The daemon has acted often enough.
    GlobalRate,
}

impl Guard {
    /// All guards.
    pub const ALL: [Self; 10] = [
        Self::Mode,
        Self::Namespace,
        Self::Pause,
        Self::Freshness,
        Self::Circumstances,
        Self::Deploying,
        Self::Busy,
        Self::Cooldown,
        Self::RunbookRate,
        Self::GlobalRate,
    ];

    /// The word in messages, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Namespace => "namespace",
            Self::Pause => "pause",
            Self::Freshness => "freshness",
            Self::Circumstances => "circumstances",
            Self::Deploying => "deploying",
            Self::Busy => "busy",
            Self::Cooldown => "cooldown",
            Self::RunbookRate => "runbook_rate",
            Self::GlobalRate => "global_rate",
        }
    }

    /// Whether it is asked again when the permit of the same operation is granted a second time. Counts are
    /// not: the operation is in them already, and its own cooldown would block it.
    #[must_use]
    pub const fn asked_again(self) -> bool {
        match self {
            Self::Mode
            | Self::Namespace
            | Self::Pause
            | Self::Freshness
            | Self::Circumstances
            | Self::Deploying => true,
            Self::Busy | Self::Cooldown | Self::RunbookRate | Self::GlobalRate => false,
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a guard said, kept whether it allowed or not: "why" as well as "why not".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which guard.
    pub guard: Guard,
    /// The value that it saw.
    pub saw: String,
    /// What it holds the value against.
    pub limit: String,
    /// Whether it allows the effect.
    pub allows: bool,
}

/// A guard's no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which guard.
    pub guard: Guard,
    /// The value that it saw.
    pub saw: String,
    /// What it holds the value against.
    pub limit: String,
    /// When it is worth asking again; none: only when a person has changed something.
    pub until: Option<Timestamp>,
}
