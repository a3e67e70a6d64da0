//! How a step and an incident can end: closed lists, the same words in messages, metrics and logs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an incident ended. Who was told stands apart from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It acted, and verify held on every target.
    Recovered,
    /// The trouble went away before anything was done.
    SelfHealed,
    /// The alert fired, and the evidence says no.
    NotConfirmed,
    /// The evidence could not be had.
    Inconclusive,
    /// In shadow: it would have acted.
    WouldAct,
    /// A guard said no, for longer than the incident's deadline.
    Blocked,
    /// A person said no: to the plan, or by keeping the alert quiet in Alertmanager.
    Declined,
    /// Nobody answered in time.
    Expired,
    /// Another incident worked on the same target, and that cured it.
    Joined,
    /// It acted, and verify says that it did not help.
    NotRecovered,
    /// An action could not be carried out.
    Failed,
    /// An effect may or may not have happened. Never retried.
    Ambiguous,
    /// It acted, verify did not hold, and the alert resolved or the evidence went away before the next step.
    Stopped,
    /// Nobody's trouble: it tells that a fault was about to be made in a drill.
    Injected,
}

impl Outcome {
    /// All outcomes, in the order of the reference.
    pub const ALL: [Self; 14] = [
        Self::Recovered,
        Self::SelfHealed,
        Self::NotConfirmed,
        Self::Inconclusive,
        Self::WouldAct,
        Self::Blocked,
        Self::Declined,
        Self::Expired,
        Self::Joined,
        Self::NotRecovered,
        Self::Failed,
        Self::Ambiguous,
        Self::Stopped,
        Self::Injected,
    ];

    /// The word in messages, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::SelfHealed => "self_healed",
            Self::NotConfirmed => "not_confirmed",
            Self::Inconclusive => "inconclusive",
            Self::WouldAct => "would_act",
            Self::Blocked => "blocked",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Joined => "joined",
            Self::NotRecovered => "not_recovered",
            Self::Failed => "failed",
            Self::Ambiguous => "ambiguous",
            Self::Stopped => "stopped",
            Self::Injected => "injected",
        }
    }

    /// Whether a person must look.
    #[must_use]
    pub const fn needs_a_person(self) -> bool {
        match self {
            Self::Recovered
            | Self::SelfHealed
            | Self::NotConfirmed
            | Self::WouldAct
            | Self::Declined
            | Self::Joined
            | Self::Injected => false,
            Self::Inconclusive
            | Self::Blocked
            | Self::Expired
            | Self::NotRecovered
            | Self::Failed
            | Self::Ambiguous
            | Self::Stopped => true,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a step on a target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// Verify held.
    Recovered,
    /// Verify failed to the end.
    NotRecovered,
    /// Verify could not be answered.
    Inconclusive,
    /// The action could not be carried out, or did not come to its end.
    Failed,
    /// It can not be told whether the action happened.
    Ambiguous,
    /// The effect was seen not to have happened, and is no longer wanted or allowed.
    Dropped,
    /// In shadow: it would have acted.
    WouldAct,
}
