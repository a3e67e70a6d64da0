//! Everything that can be done, by name: what each acts on, and what it leaves behind.

use serde::{Deserialize, Serialize};

use super::Kind;

/// Everything that runbookd can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Replaces all pods of a workload, as `kubectl rollout restart` does.
    Restart,
    /// Goes back to the revision of a Deployment before this one, as `kubectl rollout undo` does.
    Rollback,
    /// Asks the API server to evict a pod, which its disruption budgets can refuse.
    Evict,
    /// Deletes a pod; on a node, the pods that are stuck there after the node is gone.
    DeletePod,
    /// Keeps new pods away from a node, as `kubectl cordon` does.
    Cordon,
    /// Ends a [`Self::Cordon`] of runbookd's own.
    Uncordon,
    /// Makes more pods, by the number of replicas or by the autoscaler's `minReplicas`.
    Scale,
    /// Changes requests and limits of a container.
    Resources,
    /// Changes environment variables of a container.
    Env,
    /// Makes an HTTP call, to one address or to every pod of a workload.
    Http,
    /// Writes the records by which ACM validates a certificate.
    Route53,
    /// Applies a plan of terraform that was saved and judged, and no other.
    Terraform,
    /// Starts a workflow of GitHub Actions, and follows it to its conclusion.
    Workflow,
    /// Puts back what runbookd changed for a while. No runbook says so: it comes due.
    PutBack,
    /// Changes once more what was put back, because the trouble came with it.
    ChangeAgain,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 15] = [
        Self::Restart,
        Self::Rollback,
        Self::Evict,
        Self::DeletePod,
        Self::Cordon,
        Self::Uncordon,
        Self::Scale,
        Self::Resources,
        Self::Env,
        Self::Http,
        Self::Route53,
        Self::Terraform,
        Self::Workflow,
        Self::PutBack,
        Self::ChangeAgain,
    ];

    /// Those that a runbook can ask for. The others come due.
    pub const OF_RUNBOOKS: [Self; 13] = [
        Self::Restart,
        Self::Rollback,
        Self::Evict,
        Self::DeletePod,
        Self::Cordon,
        Self::Uncordon,
        Self::Scale,
        Self::Resources,
        Self::Env,
        Self::Http,
        Self::Route53,
        Self::Terraform,
        Self::Workflow,
    ];

    /// The word in YAML, messages and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Rollback => "rollback",
            Self::Evict => "evict",
            Self::DeletePod => "delete_pod",
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
            Self::Scale => "scale",
            Self::Resources => "resources",
            Self::Env => "env",
            Self::Http => "http",
            Self::Route53 => "route53",
            Self::Terraform => "terraform",
            Self::Workflow => "workflow",
            Self::PutBack => "put_back",
            Self::ChangeAgain => "change_again",
        }
    }

    /// Whether it ends a change of runbookd's own: it is not held up by what limits the changes, else what is meant for a while would stay.
    #[must_use]
    pub const fn restores(self) -> bool {
        matches!(self, Self::PutBack | Self::ChangeAgain)
    }

    /// Whether it sets fields that can be put back.
    #[must_use]
    pub const fn sets_fields(self) -> bool {
        matches!(self, Self::Scale | Self::Resources | Self::Env) || self.restores()
    }

    /// What it can be done to.
    #[must_use]
    pub const fn acts_on(self) -> &'static [Kind] {
        match self {
            Self::Restart => &Kind::WORKLOADS,
            Self::Rollback => &[Kind::Deployment],
            Self::Evict => &[Kind::Pod],
            Self::DeletePod => &[Kind::Pod, Kind::Node],
            Self::Cordon | Self::Uncordon => &[Kind::Node],
            // A DaemonSet has as many pods as there are nodes.
            Self::Scale => &[Kind::Deployment, Kind::StatefulSet],
            Self::Route53 => &[Kind::Certificate],
            // What is described elsewhere can be about anything.
            Self::Terraform | Self::Workflow => &Kind::ALL,
            Self::Resources | Self::Env | Self::Http | Self::PutBack | Self::ChangeAgain => &Kind::WORKLOADS,
        }
    }

    /// Whether it works from a description elsewhere, which others change, too; the target is only whom it is for. A person is asked first unless the
    /// step says otherwise.
    #[must_use]
    pub const fn is_elsewhere(self) -> bool {
        matches!(self, Self::Terraform | Self::Workflow)
    }

    /// Whether it changes the node itself, which pods of every namespace run on.
    #[must_use]
    pub const fn changes_a_node(self) -> bool {
        matches!(self, Self::Cordon | Self::Uncordon)
    }
}
