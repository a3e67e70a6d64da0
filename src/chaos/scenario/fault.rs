//! What can be broken: a closed set, each with its words.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::text::{count, span};

/// Something that is broken.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Pods of a Deployment are deleted.
    DeletePods {
        /// Whose.
        deployment: String,
        /// How many; none: all of them.
        count: Option<u32>,
    },
    /// The process of every pod ends, again and again.
    Crash {
        /// Whose.
        deployment: String,
        /// With this code.
        exit_code: i32,
        /// After so long.
        after: Duration,
    },
    /// The machine of a node ends, and another joins.
    EndNode {
        /// One with a pod of this Deployment.
        with_pod_of: String,
        /// So many pods have a place on a node.
        room: u32,
    },
    /// The database pool is used up.
    ExhaustPool {
        /// Whose.
        deployment: String,
        /// Why.
        need: Need,
    },
    /// Clients ask the inference service at the same time, again and again.
    Flood {
        /// How many.
        clients: u32,
    },
    /// The memory limit is set.
    MemoryLimit {
        /// Whose.
        deployment: String,
        /// To this.
        limit: String,
    },
    /// Another model is loaded.
    LoadModel {
        /// Which.
        model: String,
    },
    /// The record by which ACM validates the public certificate is broken, and the certificate is about to end.
    ValidationRecord {
        /// How.
        record: Record,
        /// So long before its end.
        left: Duration,
    },
    /// Alerts fire that nobody's rules made.
    Alerts {
        /// Their labels.
        labels: BTreeMap<String, String>,
        /// So many, each with another `pod`.
        copies: u32,
        /// Each ends and fires again so often.
        times: u32,
        /// After so long each.
        every: Duration,
    },
    /// From now on Argo CD puts back whatever is changed in a Deployment.
    SelfHeal {
        /// In which.
        deployment: String,
    },
    /// A system that runbookd needs does not answer.
    Away {
        /// Which.
        system: Away,
    },
    /// The memory of a node is used up.
    PressNode {
        /// One with a pod of this Deployment.
        with_pod_of: String,
        /// The share of its memory that is used, in percent.
        percent: u32,
    },
}

/// Why a pool is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The processes that run now have leaked their connections.
    Leaked,
    /// The requests need so many at the same time.
    Connections {
        /// How many, in all pods together.
        number: u32,
        /// A new pod is dry again after so long.
        after: Duration,
    },
}

/// A system that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// The Kubernetes API server.
    Kubernetes,
    /// Loki.
    Loki,
    /// Prometheus.
    Prometheus,
    /// Alertmanager's API; what it sends still comes.
    Alertmanager,
    /// Slack.
    Slack,
}

impl Away {
    pub(super) const ALL: [Self; 5] =
        [Self::Kubernetes, Self::Loki, Self::Prometheus, Self::Alertmanager, Self::Slack];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Loki => "loki",
            Self::Prometheus => "prometheus",
            Self::Alertmanager => "alertmanager",
            Self::Slack => "slack",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "the Kubernetes API",
            Self::Loki => "Loki",
            Self::Prometheus => "Prometheus",
            Self::Alertmanager => "Alertmanager's API",
            Self::Slack => "Slack",
        }
    }
}

/// How a validation record is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// It is gone.
    Missing,
    /// It has another value.
    Wrong,
}

impl Record {
    pub(super) const ALL: [Self; 2] = [Self::Missing, Self::Wrong];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        }
    }
}

impl Fault {
    /// Whether whoever made it can end it: anything else stays until it is mended.
    #[must_use]
    pub const fn can_end(&self) -> bool {
        matches!(self, Self::Flood { .. } | Self::Alerts { .. } | Self::Away { .. })
    }
}

// The same words for what is broken in the sandbox and in the cluster itself.

pub(super) fn of_pods(
    formatter: &mut fmt::Formatter<'_>,
    deployment: &str,
    number: Option<u32>,
) -> fmt::Result {
    let Some(number) = number else { return write!(formatter, "every pod of {deployment} is deleted") };
    let (pods, are) = (count(u64::from(number), "pod", "pods"), if number == 1 { "is" } else { "are" });
    write!(formatter, "{pods} of {deployment} {are} deleted")
}

pub(super) fn of_node(formatter: &mut fmt::Formatter<'_>, with_pod_of: &str) -> fmt::Result {
    write!(formatter, "the machine of a node with a pod of {with_pod_of} is terminated")
}

pub(super) fn of_memory_limit(
    formatter: &mut fmt::Formatter<'_>,
    deployment: &str,
    limit: &str,
) -> fmt::Result {
    write!(formatter, "the memory limit of {deployment} is set to {limit}")
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeletePods { deployment, count } => of_pods(formatter, deployment, *count),
            Self::Crash { deployment, exit_code, after } => write!(
                formatter,
                "the process of every {deployment} pod ends with exit code {exit_code} after {}, again and again",
                span(*after)
            ),
            Self::EndNode { with_pod_of, .. } => of_node(formatter, with_pod_of),
            Self::ExhaustPool { deployment, need: Need::Leaked } => {
                write!(formatter, "the connections of every {deployment} pod to the database are leaked")
            }
            Self::ExhaustPool { deployment, need: Need::Connections { number, .. } } => {
                write!(
                    formatter,
                    "the requests of {deployment} need {number} connections to the database at a time"
                )
            }
            Self::Flood { clients } => {
                write!(formatter, "{clients} clients ask inference at the same time, again and again")
            }
            Self::MemoryLimit { deployment, limit } => of_memory_limit(formatter, deployment, limit),
            Self::LoadModel { model } => write!(formatter, "inference loads {model}"),
            Self::ValidationRecord { record, left } => {
                let record = match record {
                    Record::Missing => "removed",
                    Record::Wrong => "changed",
                };
                let left = span(*left);
                write!(
                    formatter,
                    "the validation record is {record}, and the host presents a certificate that ends in {left}"
                )
            }
            Self::Alerts { labels, copies, times, every } => {
                let name = labels.get("alertname").map_or("an alert", String::as_str);
                match copies {
                    1 => write!(formatter, "{name} fires")?,
                    copies => write!(formatter, "{name} fires {copies} times at once, each for another pod")?,
                }
                match times {
                    1 => Ok(()),
                    times => {
                        write!(formatter, ", ends and fires again, {times} times, {} apart", span(*every))
                    }
                }
            }
            Self::SelfHeal { deployment } => {
                write!(formatter, "Argo CD puts back whatever is changed in {deployment}")
            }
            Self::Away { system } => write!(formatter, "{} does not answer", system.name()),
            Self::PressNode { with_pod_of, percent } => {
                write!(formatter, "{percent} % of the memory of a node with a pod of {with_pod_of} is used")
            }
        }
    }
}
