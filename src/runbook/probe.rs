//! What a probe can ask. Plain data; `probes` reads it from YAML, and the module of the same name as the question asks it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    AcmProbe, AcmState, AlertsProbe, AutoscalersProbe, BudgetsProbe, EventsProbe, ExecProbe, Route53Probe,
    Template, TlsProbe, UrlTemplate, Verification,
};
use crate::logql::LogQuery;
use crate::promql::PromQuery;

/// A question that changes nothing.
#[derive(Debug, Clone)]
pub enum Probe {
    /// How many log lines match.
    Loki(LokiProbe),
    /// How many pods are in a state.
    Pods(PodsProbe),
    /// How often a Deployment was changed.
    Rollouts(RolloutsProbe),
    /// What crashed containers wrote last.
    Logs(LogsProbe),
    /// What an address answers.
    Http(HttpProbe),
    /// What a PromQL query gives.
    Prometheus(PrometheusProbe),
    /// How many nodes are in a state.
    Nodes(NodesProbe),
    /// How many checks of a verification fail.
    Verification(VerificationProbe),
    /// What Kubernetes says has happened.
    Events(EventsProbe),
    /// How many disruption budgets are in a state.
    Budgets(BudgetsProbe),
    /// How many autoscalers are in a state.
    Autoscalers(AutoscalersProbe),
    /// How many alerts are in a state.
    Alerts(AlertsProbe),
    /// For how many days a certificate is still good.
    Tls(TlsProbe),
    /// For how many days a certificate of ACM is still good, or what keeps it from being renewed.
    Acm(AcmProbe),
    /// How many records of Route 53 are not what ACM asks for.
    Route53(Route53Probe),
    /// What a program in a container prints.
    Exec(ExecProbe),
}

/// Counts the checks of a verification that fail.
#[derive(Debug, Clone)]
pub struct VerificationProbe {
    /// What is checked.
    pub verification: Arc<Verification>,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// What the figures of a probe can be, and so what a threshold may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figures {
    /// Counts.
    Whole,
    /// Any number.
    Decimal,
    /// Yes or no: 1 or 0.
    YesOrNo,
    /// Days, which are written as a time.
    Days,
}

impl Probe {
    /// What its figures can be.
    #[must_use]
    pub const fn figures(&self) -> Figures {
        match self {
            Self::Http(HttpProbe { wanted: Some(_), each: Some(_), .. }) => Figures::Whole,
            Self::Http(HttpProbe { pointer: None, .. } | HttpProbe { wanted: Some(_), .. }) => {
                Figures::YesOrNo
            }
            Self::Http(_) | Self::Prometheus(_) => Figures::Decimal,
            Self::Tls(_) | Self::Acm(AcmProbe { state: AcmState::DaysLeft, .. }) => Figures::Days,
            Self::Loki(_)
            | Self::Pods(_)
            | Self::Rollouts(_)
            | Self::Logs(_)
            | Self::Nodes(_)
            | Self::Events(_)
            | Self::Budgets(_)
            | Self::Autoscalers(_)
            | Self::Alerts(_)
            | Self::Acm(_)
            | Self::Route53(_)
            | Self::Exec(_)
            | Self::Verification(_) => Figures::Whole,
        }
    }

    /// Whether `window:` says how far back it looks.
    #[must_use]
    pub const fn has_window(&self) -> bool {
        match self {
            Self::Loki(_)
            | Self::Rollouts(RolloutsProbe { state: RolloutState::Changed, .. })
            | Self::Events(_)
            | Self::Pods(PodsProbe { window: Some(_), .. }) => true,
            Self::Pods(_)
            | Self::Rollouts(_)
            | Self::Verification(_)
            | Self::Logs(_)
            | Self::Nodes(_)
            | Self::Budgets(_)
            | Self::Autoscalers(_)
            | Self::Alerts(_)
            | Self::Tls(_)
            | Self::Acm(_)
            | Self::Route53(_)
            | Self::Exec(_)
            | Self::Http(_)
            | Self::Prometheus(_) => false,
        }
    }

    /// How far back the question itself looks, whatever is asked of it.
    #[must_use]
    pub fn reach(&self) -> Duration {
        match self {
            Self::Verification(probe) => {
                let checks = probe.verification.checks.iter();
                checks.map(|named| named.probe.reach()).max().unwrap_or_default()
            }
            Self::Prometheus(probe) => probe.query.reach(),
            Self::Loki(_)
            | Self::Pods(_)
            | Self::Rollouts(_)
            | Self::Logs(_)
            | Self::Nodes(_)
            | Self::Events(_)
            | Self::Budgets(_)
            | Self::Autoscalers(_)
            | Self::Alerts(_)
            | Self::Tls(_)
            | Self::Acm(_)
            | Self::Route53(_)
            | Self::Exec(_)
            | Self::Http(_) => Duration::ZERO,
        }
    }

    /// Whether its answer is about the thing itself. An alert that is gone is not: it also goes when nobody measures any more.
    #[must_use]
    pub const fn tells_of_health(&self) -> bool {
        !matches!(self, Self::Alerts(_))
    }
}

/// Asks an address for its status, or for a figure in the JSON that it answers.
#[derive(Debug, Clone)]
pub struct HttpProbe {
    /// The address; always asked with GET.
    pub url: UrlTemplate,
    /// The status that is expected.
    pub status: u16,
    /// Where the figure stands in the answer (RFC 6901); without it the figure is whether the status is the expected one.
    pub pointer: Option<String>,
    /// What the value there is compared with; the figure is then whether, or of how many pods, that is so.
    pub wanted: Option<Wanted>,
    /// Every pod is asked at its own address; the host in `url` is nobody's.
    pub each: Option<EachPod>,
    /// The value is looked at twice, so far apart, and the figure is by how much it has grown; only with `each`, else two pods could be compared.
    pub growing: Option<Duration>,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// What a value in an answer is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// It is this.
    Equals(serde_json::Value),
    /// It is there, and something else.
    Differs(serde_json::Value),
}

/// The pods that are asked.
#[derive(Debug, Clone)]
pub struct EachPod {
    /// On this port.
    pub port: u16,
    /// Their namespace.
    pub namespace: Template,
    /// Only those of this Deployment; without it those of the target.
    pub deployment: Option<Template>,
}

/// Asks what a PromQL query gives at the moment.
#[derive(Debug, Clone)]
pub struct PrometheusProbe {
    /// The query.
    pub query: PromQuery,
    /// Hold the threshold against the series of each value of this label.
    pub count_by: Option<String>,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// Counts the nodes that are in a state. When no node at all is ready it is unknown: that is the monitoring's fault, or the control plane's.
#[derive(Debug, Clone)]
pub struct NodesProbe {
    /// Only this node; one that is not there (any more) is [`NodeState::NotReady`].
    pub node: Option<Template>,
    /// What is counted.
    pub state: NodeState,
    /// For [`NodeState::Unreplaced`]: how long before the alert another node may have joined.
    pub window: Option<Duration>,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Its Ready condition is `True`.
    Ready,
    /// Its Ready condition is not `True`, or it is gone.
    NotReady,
    /// It is not ready, and no node that joined since is in its place.
    Unreplaced,
    /// It has too little memory, disk or process ids, in its own words.
    UnderPressure,
    /// `kubectl cordon`.
    Cordoned,
}

impl NodeState {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::Ready, Self::NotReady, Self::Unreplaced, Self::UnderPressure, Self::Cordoned];

    /// The word in YAML and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not_ready",
            Self::Unreplaced => "unreplaced",
            Self::UnderPressure => "under_pressure",
            Self::Cordoned => "cordoned",
        }
    }
}

/// Counts the last lines of the containers that were started again, as `kubectl logs --previous` shows them.
#[derive(Debug, Clone)]
pub struct LogsProbe {
    /// The namespace.
    pub namespace: Template,
    /// The Deployment; without it the target.
    pub deployment: Option<Template>,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// Counts rollouts that are in a state.
#[derive(Debug, Clone)]
pub struct RolloutsProbe {
    /// What is counted.
    pub state: RolloutState,
    /// The namespace.
    pub namespace: Template,
    /// The Deployment; without it the target, and where there is none, all for [`RolloutState::Incomplete`].
    pub deployment: Option<Template>,
    /// How far back it looks, for [`RolloutState::Changed`].
    pub window: Duration,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// How a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RolloutState {
    /// It changed the pod template of one Deployment within a window; a restart does not count.
    Changed,
    /// It is under way, or has failed, now.
    Incomplete,
}

impl RolloutState {
    /// All states.
    pub const ALL: [Self; 2] = [Self::Changed, Self::Incomplete];

    /// The word in YAML and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Incomplete => "incomplete",
        }
    }
}

/// Counts the pods of a namespace that are in a state.
#[derive(Debug, Clone)]
pub struct PodsProbe {
    /// The namespace.
    pub namespace: Template,
    /// Only the pods of this Deployment. Without it those of the target, once there is one, and before that all.
    pub deployment: Option<Template>,
    /// Only the pods on this node.
    pub node: Option<Template>,
    /// What is counted.
    pub state: PodState,
    /// How far back it looks, for a state that is an event: [`PodState::is_past`].
    pub window: Option<Duration>,
    /// Count by Deployment, and hold the threshold against each apart. Other pods then count nowhere.
    pub by_deployment: bool,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// What can be wrong with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PodState {
    /// Its Ready condition is not `True`. A pod that ended well, or is asked to stop, is not counted.
    NotReady,
    /// A container waits because it crashed again and again.
    CrashLooping,
    /// Not ready or crash-looping: between two crashes a container without a readiness probe counts as ready.
    Unhealthy,
    /// No node takes it.
    Unscheduled,
    /// It was to stop, and did not: nothing on its node ends it.
    Stuck,
    /// A container waits for an image that can not be had.
    ImageNotPulled,
    /// A container ended within the window and was started again.
    Restarted,
    /// A container was killed within the window because it reached its memory limit.
    OomKilled,
}

impl PodState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::NotReady,
        Self::CrashLooping,
        Self::Unhealthy,
        Self::Unscheduled,
        Self::Stuck,
        Self::ImageNotPulled,
        Self::Restarted,
        Self::OomKilled,
    ];

    /// The word in YAML and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => "not_ready",
            Self::CrashLooping => "crash_looping",
            Self::Unhealthy => "unhealthy",
            Self::Unscheduled => "unscheduled",
            Self::Stuck => "stuck",
            Self::ImageNotPulled => "image_not_pulled",
            Self::Restarted => "restarted",
            Self::OomKilled => "oom_killed",
        }
    }

    /// Whether it is something that happened, and not something that is so now.
    #[must_use]
    pub const fn is_past(self) -> bool {
        matches!(self, Self::Restarted | Self::OomKilled)
    }
}

/// The word by which a [`PodsProbe`] can count.
pub const BY_DEPLOYMENT: &str = "deployment";

/// Counts the lines that a LogQL log query finds.
#[derive(Debug, Clone)]
pub struct LokiProbe {
    /// The log query; runbookd makes the metric form itself.
    pub query: LogQuery,
    /// How far back it looks.
    pub window: Duration,
    /// Count by this label, and hold the threshold against each value apart.
    pub count_by: Option<String>,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// Holds from this number on.
    AtLeast(f64),
    /// Holds up to this number.
    AtMost(f64),
}

impl Threshold {
    /// Whether the number is on the right side.
    #[must_use]
    pub fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}
