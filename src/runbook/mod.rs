//! Runbooks: which alerts they answer, what confirms them, the targets, the steps, the limits.
//!
//! Plain data. `load` reads them from YAML and knows where everything stood; nothing here does I/O but that.

mod alerts;
pub mod exec;
mod field;
mod links;
pub mod load;
mod names;
mod probe;
mod probes;
mod quantity;
mod read;
mod remedies;
mod remedy;
pub mod secrecy;
mod steps;
mod template;
#[cfg(test)]
mod tests;
mod tls;
mod url;
mod verification;
pub mod within;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::{Labels, Matcher};

pub use alerts::{AlertState, AlertsProbe, MatcherTemplate};
pub use exec::ExecProbe;
pub use field::Field;
pub use links::{LinkTemplate, LinkTo};
pub use probe::{
    AutoscalerState, AutoscalersProbe, BY_DEPLOYMENT, BudgetState, BudgetsProbe, EachPod, EventsProbe,
    Figures, HttpProbe, LogsProbe, LokiProbe, NodeState, NodesProbe, PodState, PodsProbe, Probe,
    PrometheusProbe, RolloutState, RolloutsProbe, Threshold, VerificationProbe, Wanted,
};
pub use quantity::{BadQuantity, Quantity};
pub use remedy::{
    Amount, By, CallTo, HttpCall, Observe, Remedy, ResourcePart, Resources, RestoreWhen, Scale, Variable,
    Variables,
};
pub use template::{Part, Template, TemplateFault, no_value};
pub use tls::{DAY, TlsProbe};
pub use url::{Unfilled, UrlTemplate};

/// How far automation may go. The lowest of the daemon's ceiling, the namespace's, the runbook's and the step's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Answers no alert.
    Off,
    /// Decides and reports, and does nothing.
    Shadow,
    /// A person approves the exact plan.
    Ask,
    /// Acts on its own, under the guards.
    Act,
}

impl Mode {
    /// All modes, lowest first.
    pub const ALL: [Self; 4] = [Self::Off, Self::Shadow, Self::Ask, Self::Act];

    /// The word in YAML, messages and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Ask => "ask",
            Self::Act => "act",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// SHA-256 of a runbook's [`source`](Runbook::source), in hexadecimal: open incidents keep the version they began with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(pub String);

/// One YAML document of `rules/`.
#[derive(Debug, Clone)]
pub struct Runbook {
    /// Its name, unique among the runbooks.
    pub name: String,
    /// Of `source`.
    pub hash: Hash,
    /// The document's text with the variables that it names and the time scale: all that [`load::read_one`] needs to read this version
    /// again, whatever became of the file and the configuration.
    pub source: String,
    /// One sentence for people.
    pub summary: String,
    /// The most that this runbook may do.
    pub mode: Mode,
    /// Which alerts it answers: all must hold.
    pub alerts: Vec<Matcher>,
    /// Whether later runbooks may answer the same alert, too.
    pub goes_on: bool,
    /// The labels that tell one incident of this runbook from another.
    pub group_by: Vec<String>,
    /// While an incident of one of these runbooks is open, this one waits: what it sees may come from there.
    pub defer_to: Vec<String>,
    /// What must hold before anything is done.
    pub confirm: Vec<Named>,
    /// Further probes, which are asked only where a `verify` names them.
    pub probes: Vec<Named>,
    /// For how long a `confirm` that fails is asked again: log lines can come later than the alert.
    pub confirm_within: Duration,
    /// After this time without a decision the incident is closed and a person is told.
    pub deadline: Duration,
    /// What is acted on.
    pub targets: Targets,
    /// In order; the next begins when the one before it did not help.
    pub steps: Vec<Step>,
    /// How often it may act.
    pub limits: Limits,
    /// Who is told.
    pub escalate: Escalate,
    /// Where people find more.
    pub links: Vec<LinkTemplate>,
    /// The `vars:` of the configuration that its placeholders name.
    pub vars: BTreeMap<String, String>,
    /// Every duration is divided by it; 1 but for the demonstration and the tests.
    pub time_scale: u32,
}

impl Runbook {
    /// A duration of runbookd's own, at the pace of this runbook.
    #[must_use]
    pub fn paced(&self, duration: Duration) -> Duration {
        duration / self.time_scale.max(1)
    }

    /// Whether the alert with these labels is answered by this runbook.
    #[must_use]
    pub fn answers(&self, labels: &Labels) -> bool {
        self.alerts.iter().all(|matcher| matcher.holds(labels))
    }

    /// The values of `group_by`. A label that is missing is empty, as in Alertmanager's own grouping.
    #[must_use]
    pub fn scope(&self, labels: &Labels) -> Labels {
        Labels(self.group_by.iter().map(|name| (name.clone(), labels.get(name).to_owned())).collect())
    }
}

/// Probes that say together whether all is well: what a person asks with `runbookd verify`, and a runbook with a probe.
#[derive(Debug, Clone)]
pub struct Verification {
    /// Its name, unique among the verifications.
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// All must hold.
    pub checks: Vec<Named>,
    /// The `vars:` of the configuration that its placeholders name.
    pub vars: BTreeMap<String, String>,
    /// The document's text: a runbook that asks it keeps it with its own.
    pub text: String,
}

/// A probe with the name under which others refer to it.
#[derive(Debug, Clone)]
pub struct Named {
    /// The key in `confirm:` or `diagnose:`.
    pub name: String,
    /// The question.
    pub probe: Probe,
}

/// Which objects are acted on.
#[derive(Debug, Clone)]
pub struct Targets {
    /// One leg for each value that a probe of `confirm` counted; none: exactly one leg.
    pub each: Option<Each>,
    /// The namespace of the objects; for a node, of the pods on it that are meant.
    pub namespace: Template,
    /// What they are.
    pub object: Object,
}

/// How an object is named.
#[derive(Debug, Clone)]
pub enum Object {
    /// By its own name.
    Named(Kind, Template),
    /// By a pod, perhaps one that is gone: what its owner references lead to in the end.
    OwnerOfPod(Template),
}

impl Object {
    /// The kinds that it can be of.
    #[must_use]
    pub const fn kinds(&self) -> &'static [Kind] {
        match self {
            Self::Named(kind, _) => kind.alone(),
            Self::OwnerOfPod(_) => &Kind::WORKLOADS,
        }
    }
}

/// The kinds of object that can be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` `StatefulSet`.
    StatefulSet,
    /// `apps/v1` `DaemonSet`.
    DaemonSet,
    /// A pod.
    Pod,
    /// A node; what is done there is done to its pods of one namespace, or to the node itself.
    Node,
    /// `autoscaling/v2` `HorizontalPodAutoscaler`: changed for its target, never a target itself.
    HorizontalPodAutoscaler,
}

impl Kind {
    /// The kinds that can be a target.
    pub const ALL: [Self; 5] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::Pod, Self::Node];
    /// The kinds that keep pods, and roll a new template out.
    pub const WORKLOADS: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// The word in YAML, messages and keys: the kind in small letters, as kubectl prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::Pod => "pod",
            Self::Node => "node",
            Self::HorizontalPodAutoscaler => "horizontalpodautoscaler",
        }
    }

    /// Whether it rolls a pod template out.
    #[must_use]
    pub fn is_workload(self) -> bool {
        Self::WORKLOADS.contains(&self)
    }

    const fn alone(self) -> &'static [Self] {
        match self {
            Self::Deployment => &[Self::Deployment],
            Self::StatefulSet => &[Self::StatefulSet],
            Self::DaemonSet => &[Self::DaemonSet],
            Self::Pod => &[Self::Pod],
            Self::Node => &[Self::Node],
            Self::HorizontalPodAutoscaler => &[Self::HorizontalPodAutoscaler],
        }
    }
}

/// `each: pool_errors.app`: the values of a label that a probe counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Each {
    /// A probe of `confirm`.
    pub probe: String,
    /// Its `count_by` label.
    pub label: String,
}

/// One step of a runbook.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it is, in the author's words.
    pub title: String,
    /// A lower mode than the runbook's, for this step alone.
    pub mode: Option<Mode>,
    /// Without all of these it is left out.
    pub when: Vec<Named>,
    /// What it does.
    pub kind: StepKind,
}

/// A diagnosis reads and adds evidence; an expectation waits; a remediation acts and is verified.
#[derive(Debug, Clone)]
pub enum StepKind {
    /// Probes whose answers are kept for people; no answer stops anything.
    Diagnose(Vec<Named>),
    /// Nothing is done: what should come by itself is waited for.
    Expect(Verify),
    /// One action, and how to see whether it helped.
    Remediate {
        /// What is done.
        remedy: Remedy,
        /// When what it changes is put back.
        restore: RestoreWhen,
        /// What a person would change so that it lasts, in the author's words: a chart's value, a file.
        make_it_last: Option<String>,
        /// What must hold afterwards.
        verify: Verify,
    },
}

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
    /// Puts back what runbookd changed for a while. No runbook says so: it comes due.
    PutBack,
    /// Changes once more what was put back, because the trouble came with it.
    ChangeAgain,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 12] = [
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
        Self::PutBack,
        Self::ChangeAgain,
    ];

    /// Those that a runbook can ask for. The others come due.
    pub const OF_RUNBOOKS: [Self; 10] = [
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
            Self::Resources | Self::Env | Self::Http | Self::PutBack | Self::ChangeAgain => &Kind::WORKLOADS,
        }
    }

    /// Whether it changes the node itself, which pods of every namespace run on.
    #[must_use]
    pub const fn changes_a_node(self) -> bool {
        matches!(self, Self::Cordon | Self::Uncordon)
    }
}

/// How to see whether a remediation helped.
#[derive(Debug, Clone)]
pub struct Verify {
    /// Asked again until this long after the effect was complete.
    pub within: Duration,
    /// How long what is looked at must be good: no answer counts before this much time lies behind the effect.
    pub hold: Duration,
    /// All must hold.
    pub all: Vec<Check>,
}

/// One condition of a [`Verify`].
#[derive(Debug, Clone)]
pub enum Check {
    /// A probe of `confirm` again, with another threshold, on the target's own streams.
    Again {
        /// The probe's name.
        probe: String,
        /// The threshold that means healthy.
        threshold: Threshold,
        /// Another window than the probe's own.
        window: Option<Duration>,
    },
    /// The target's rollout is complete.
    RolloutComplete,
}

/// How often a runbook may act. Counted in the journal, so that a restart of runbookd resets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After an attempt on a target, no other for this long.
    pub cooldown: Duration,
    /// At most this many attempts of the runbook.
    pub rate: Rate,
}

/// `3/1h`: so many attempts in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how much time, the present moment included.
    pub per: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.count, crate::text::span(self.per))
    }
}

/// Who hears of an incident.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Escalate {
    /// The Slack channel; none: the configuration's own.
    pub slack: Option<String>,
}
