//! The questions about what Kubernetes itself says: events, disruption budgets, autoscalers.

use std::time::Duration;

use super::{Template, Threshold};

/// Counts the events of some reasons within a window.
#[derive(Debug, Clone)]
pub struct EventsProbe {
    /// Such as `FailedScheduling`.
    pub reasons: Vec<String>,
    /// Where they are; those of nodes are in `default`.
    pub namespace: Template,
    /// Only those of the object of this name.
    pub object: Option<Template>,
    /// How far back it looks. Kubernetes keeps events for an hour, unless it is told otherwise.
    pub window: Duration,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// Counts the `PodDisruptionBudgets` that are in a state.
#[derive(Debug, Clone)]
pub struct BudgetsProbe {
    /// What is counted.
    pub state: BudgetState,
    /// The namespace.
    pub namespace: Template,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// How a disruption budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BudgetState {
    /// It allows no eviction now.
    Blocking,
    /// Fewer of its pods are healthy than have to be.
    Unmet,
}

impl BudgetState {
    /// All states.
    pub const ALL: [Self; 2] = [Self::Blocking, Self::Unmet];

    /// The word in YAML and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::Unmet => "unmet",
        }
    }
}

/// Counts the `HorizontalPodAutoscalers` that are in a state.
#[derive(Debug, Clone)]
pub struct AutoscalersProbe {
    /// What is counted.
    pub state: AutoscalerState,
    /// The namespace.
    pub namespace: Template,
    /// Only the one of this Deployment.
    pub deployment: Option<Template>,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// How an autoscaler is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AutoscalerState {
    /// It may make no more pods.
    AtMaximum,
    /// It can not do its part: no metrics, say.
    Hindered,
}

impl AutoscalerState {
    /// All states.
    pub const ALL: [Self; 2] = [Self::AtMaximum, Self::Hindered];

    /// The word in YAML and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtMaximum => "at_maximum",
            Self::Hindered => "hindered",
        }
    }
}
