//! Runbooks: which alerts they answer, what confirms them, the targets, the steps, the limits.
//!
//! Plain data. `load` reads them from YAML and knows where everything stood; nothing here does I/O but that.

mod action;
mod alerts;
mod by_hand;
mod certificates;
pub mod exec;
mod field;
mod links;
pub mod load;
mod names;
mod objects;
pub mod others;
mod probe;
mod probes;
mod quantity;
mod read;
mod remedies;
mod remedy;
pub mod secrecy;
mod shared;
mod steps;
mod template;
#[cfg(test)]
mod tests;
mod tls;
mod url;
pub mod within;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::{Labels, Matcher};

pub use action::Action;
pub use alerts::{AlertState, AlertsProbe, MatcherTemplate};
pub use certificates::{AcmProbe, AcmState, Route53Probe, Route53State};
pub use exec::ExecProbe;
pub use field::Field;
pub use links::{LinkTemplate, LinkTo};
pub use objects::{AutoscalerState, AutoscalersProbe, BudgetState, BudgetsProbe, EventsProbe};
pub use probe::{
    BY_DEPLOYMENT, EachPod, Figures, HttpProbe, LogsProbe, LokiProbe, NodeState, NodesProbe, PodState,
    PodsProbe, Probe, PrometheusProbe, RolloutState, RolloutsProbe, Threshold, VerificationProbe, Wanted,
};
pub use quantity::{BadQuantity, Quantity};
pub use remedy::{
    Amount, By, CallTo, HttpCall, Observe, Remedy, ResourcePart, Resources, RestoreWhen, Scale, TerraformRun,
    Variable, Variables, WorkflowRun,
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
    /// Which alerts it answers: all must hold. None: only a person begins it.
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
    /// The labels that its `${labels.NAME}` name, but for those of links.
    pub labels: BTreeSet<String>,
    /// The labels of log lines that its `${evidence.NAME}` name: the values that are found are kept.
    pub clues: BTreeSet<String>,
    /// Every duration is divided by it; 1 but for the demonstration and the tests.
    pub time_scale: u32,
}

impl Runbook {
    /// A duration of runbookd's own, at the pace of this runbook.
    #[must_use]
    pub fn paced(&self, duration: Duration) -> Duration {
        duration / self.time_scale.max(1)
    }

    /// SHA-256 of what its author wrote, in hexadecimal: the text of its document in `rules/`, as it stands there, and the texts of the verifications
    /// that it asks and the diagnoses that it attaches. Unlike `hash` it does not cover the variables and the time scale: they belong to an
    /// installation, and what was proven in one is the same text in another. None: it was not read from a document.
    #[must_use]
    pub fn text_hash(&self) -> Option<String> {
        load::text_hash(&self.source)
    }

    /// Whether the alert with these labels is answered by this runbook.
    #[must_use]
    pub fn answers(&self, labels: &Labels) -> bool {
        !self.alerts.is_empty() && self.alerts.iter().all(|matcher| matcher.holds(labels))
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

/// Probes that any runbook can attach to its own by a name, for people to read: nothing is decided by them.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// Its name, unique among the diagnoses.
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// What is asked.
    pub probes: Vec<Named>,
    /// The `vars:` of the configuration that its placeholders name.
    pub vars: BTreeMap<String, String>,
    /// The labels of lines that its `${evidence.NAME}` name.
    pub clues: BTreeSet<String>,
    /// The document's text: a runbook that attaches it keeps it with its own.
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
    /// A certificate of ACM, by a domain that it is for or its ARN; in the namespace whose service it is for.
    Certificate,
    /// A directory of terraform, by its name in the configuration; with the namespace that is looked at with it.
    Terraform,
}

impl Kind {
    /// The kinds that can be a target.
    pub const ALL: [Self; 7] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Pod,
        Self::Node,
        Self::Certificate,
        Self::Terraform,
    ];
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
            Self::Certificate => "certificate",
            Self::Terraform => "terraform",
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
            Self::Certificate => &[Self::Certificate],
            Self::Terraform => &[Self::Terraform],
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
