//! What of a deployment was seen around a target: hooks of Helm and Argo CD that run or have failed, and rollouts of its release. Read into the plan's
//! circumstances, so that the guard asks nobody. That nobody looked is a value of its own, and no leave to act.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::text::count;

/// What of a deployment was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deploying {
    /// Nobody has looked, as in the plan of an older release.
    #[default]
    NotLooked,
    /// Nothing is deployed there: a node, a certificate.
    Nowhere,
    /// It could not be read.
    Unread {
        /// Why, and which right is missing.
        why: String,
    },
    /// This was seen; nothing of both: nothing is being deployed.
    Seen {
        /// The hooks of the namespace that run, and those that have failed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hooks: Vec<Hook>,
        /// The rollouts that are under way of the target's release, its own left out: `deployment/auth: 1 of 2 new pods are available`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rollouts: Vec<String>,
    },
}

impl Deploying {
    /// Somebody looked, and nothing is being deployed.
    pub const NOTHING: Self = Self::Seen { hooks: Vec::new(), rollouts: Vec::new() };

    /// Whether nobody has looked.
    #[must_use]
    pub fn is_not_looked(&self) -> bool {
        *self == Self::NotLooked
    }
}

/// A Job that a deployment waits for, such as a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The Job's name.
    pub job: String,
    /// When it runs, in its deployer's words: `pre-upgrade hook of the Helm release shop`.
    pub what: String,
    /// How it is.
    pub state: HookState,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job/{} ({})", self.job, self.what)
    }
}

/// How a hook is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// It is not over.
    Runs {
        /// Since when.
        since: Option<Timestamp>,
        /// How many of its pods have failed so far.
        failed: u32,
    },
    /// It has failed, and none of its kind has succeeded since.
    Failed {
        /// When; none: it is not known, and so it never grows old.
        at: Option<Timestamp>,
        /// What Kubernetes says.
        why: String,
    },
}

impl HookState {
    /// `, and 2 of its pods have failed so far`.
    #[must_use]
    pub fn tried(&self) -> String {
        match self {
            Self::Runs { failed, .. } if *failed > 0 => {
                format!(
                    ", and {} failed so far",
                    count(u64::from(*failed), "pod of it has", "pods of it have")
                )
            }
            Self::Runs { .. } | Self::Failed { .. } => String::new(),
        }
    }
}
