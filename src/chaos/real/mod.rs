//! Faults in a real cluster, made by the person who runs `inject`, with their own rights. The daemon has no part in it.
//!
//! - Only in a namespace that says by a label that it may be broken, and as much as the bounds allow: looked at when it is planned, and again right before
//!   the first write. What was planned and what is there then must be the same, to the uid.
//! - A note goes onto the object before the fault or with it, in the same write, so that whatever a run leaves behind can be found and undone without it. Of what is outside of
//!   the cluster it goes onto the namespace.
//! - Every write is sent once. What nobody answered is not sent again: [`cleanup`] looks at what there is.
//! - What is undone is compared first: what somebody else has written since is left alone, and only the note goes.

mod cleanup;
mod load;
mod make;
mod node;
mod note;
mod plan;
mod record;
mod undo;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::clients::CallError;
use crate::clients::acm::Acm;
use crate::clients::kubernetes::{Kubernetes, valid_namespace};
use crate::clients::route53::{Route53, Upsert};
use crate::incident::plan::{SetField, Target};

pub use cleanup::{Cleaned, cleanup};
pub use make::NotMade;
pub use note::{INJECTED, Note, Undo, Unreadable};
pub use undo::Undone;

/// The label by which a namespace says that it may be broken.
pub const CHAOS: &str = "runbookd.dev/chaos";
/// What that label must say.
pub const ALLOWED: &str = "allowed";
/// Namespaces of the cluster itself; whatever their labels say. What begins with `kube-` is Kubernetes' own, too.
const PROTECTED: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// What can be broken: a closed set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Pods of a Deployment are deleted.
    DeletePods {
        /// Whose.
        deployment: String,
        /// How many; none: all of them.
        count: Option<u32>,
    },
    /// A node is cordoned, and then deleted or its machine terminated.
    EndNode {
        /// One with a pod of this Deployment.
        with_pod_of: String,
    },
    /// The memory limit is lowered.
    MemoryLimit {
        /// Whose.
        deployment: String,
        /// To this.
        limit: String,
    },
    /// A Job in the cluster makes load.
    Load(Load),
    /// The CNAME by which ACM validates the certificate gets another value.
    ValidationRecord {
        /// One that the certificate is for.
        host: String,
    },
}

/// Load that is made from inside the cluster, in the words of `runbookd inject load`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Where to.
    pub url: String,
    /// How it is asked; none: GET, or POST with a body.
    pub method: Option<String>,
    /// As `Name: value`. They stand in the Job, for all who may read Jobs: a secret is refused.
    pub headers: Vec<String>,
    /// The body.
    pub body: Option<String>,
    /// So many clients at a time.
    pub concurrency: u32,
    /// It ends after so many requests.
    pub requests: Option<u64>,
    /// It ends after so long.
    pub duration: Duration,
}

/// How much may be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// All pods of a Deployment at once.
    pub all: bool,
    /// The most pods that are deleted without `all`.
    pub pods: u32,
    /// Load on what is not in the namespace.
    pub anywhere: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { all: false, pods: 1, anywhere: false }
    }
}

/// Ends the machine of a node.
#[async_trait]
pub trait EndsInstance: Send + Sync {
    /// Whether it may; nothing is done.
    ///
    /// # Errors
    /// When it may not, or that can not be told.
    async fn may_terminate(&self, instance_id: &str) -> Result<(), CallError>;

    /// Terminates the instance of this id, once.
    ///
    /// # Errors
    /// Whatever keeps it from being terminated.
    async fn terminate(&self, instance_id: &str) -> Result<(), CallError>;
}

/// Where: one namespace of the cluster of a person's own kubeconfig.
#[derive(Clone)]
pub struct Ground {
    /// The cluster.
    pub kubernetes: Kubernetes,
    /// The namespace.
    pub namespace: String,
    /// The image of runbookd, for Jobs that make load.
    pub image: Option<String>,
    /// What terminates EC2 instances; without it the object of a node is deleted.
    pub ends_instances: Option<Arc<dyn EndsInstance>>,
    /// Where certificates and their records are; without it no record is changed.
    pub certificates: Option<(Acm, Route53)>,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Why nothing is broken. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A rule is against it.
    #[error("{saw}; expected {expected}{}", help.as_ref().map(|help| format!(": {help}")).unwrap_or_default())]
    Rule {
        /// What was seen.
        saw: String,
        /// What was expected instead.
        expected: String,
        /// What to do.
        help: Option<String>,
    },
    /// The load can not be made as it is wanted.
    #[error("the load can not be made: {0}")]
    BadLoad(String),
    /// It could not be looked whether it may be.
    #[error("it can not be seen whether this may be broken: {0}")]
    Unseen(#[from] CallError),
}

impl Refused {
    fn rule(saw: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Rule { saw: saw.into(), expected: expected.into(), help: None }
    }

    fn with(saw: impl Into<String>, expected: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Rule { saw: saw.into(), expected: expected.into(), help: Some(help.into()) }
    }
}

/// What would be broken: read and bounded, and not made yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What is done, for the person who says yes to it.
    pub says: String,
    /// What else it touches.
    pub touches: Vec<String>,
    /// The object that is broken; none for load, of which the Job is made only then.
    pub object: Option<Target>,
    /// The very object, of a certificate its ARN; empty for load.
    pub uid: String,
    /// The fields that are set, for the ledger of what is changed for a while; empty when none is.
    pub fields: Vec<SetField>,
    /// How it is undone. What a record gets says the run: it is empty here, and stands in the note.
    pub undo: Undo,
    /// The same for people.
    pub undo_says: String,
    /// Where.
    namespace: String,
    wanted: Wanted,
    bounds: Bounds,
    /// The pods that are deleted, by name and uid.
    pods: Vec<(String, String)>,
    /// The instance that is terminated.
    instance: Option<String>,
    /// The record that is changed, as ACM asks for it.
    record: Option<Upsert>,
}

impl Planned {
    /// What was wanted.
    #[must_use]
    pub const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The note of this fault.
    #[must_use]
    pub fn note(
        &self,
        run: &str,
        scenario: &str,
        by: &str,
        (made_at, until): (Timestamp, Timestamp),
    ) -> Note {
        Note {
            run: run.to_owned(),
            scenario: scenario.to_owned(),
            by: by.to_owned(),
            namespace: self.namespace.clone(),
            made_at,
            until,
            undo: self.undo_of(run),
        }
    }

    /// How it is undone when this run has made it.
    fn undo_of(&self, run: &str) -> Undo {
        self.record.as_ref().map_or_else(|| self.undo.clone(), |right| record::undo_of(right, run))
    }
}

impl Ground {
    /// A namespace of a cluster; without an image there is no load, nodes are deleted and not terminated, and no record is changed.
    #[must_use]
    pub fn new(kubernetes: Kubernetes, namespace: &str) -> Self {
        Self {
            kubernetes,
            namespace: namespace.to_owned(),
            image: None,
            ends_instances: None,
            certificates: None,
        }
    }

    /// Whether this namespace may be broken at all.
    ///
    /// # Errors
    /// When it is not there, is the cluster's own, or does not say that it may; or when that can not be seen.
    pub async fn opted_in(&self) -> Result<(), Refused> {
        let name = &self.namespace;
        if !valid_namespace(name) {
            return Err(Refused::rule(
                format!("{name:?} is not the name of a namespace"),
                "one such as shop",
            ));
        }
        if PROTECTED.contains(&name.as_str()) || name.starts_with("kube-") {
            return Err(Refused::with(
                format!("the namespace {name} is the cluster's own, and is never broken"),
                "a namespace that holds one application",
                "name another one",
            ));
        }
        let Some(labels) = self.kubernetes.namespace_labels(name).await? else {
            return Err(Refused::with(
                format!("there is no namespace {name}"),
                "one that is there",
                "see `kubectl get namespaces`, and whether the kubeconfig's context is the right cluster",
            ));
        };
        let saw = match labels.get(CHAOS).map(String::as_str) {
            Some(ALLOWED) => return Ok(()),
            Some(other) => format!("the label {CHAOS} of the namespace {name} is {other:?}"),
            None => format!("the namespace {name} has no label {CHAOS}"),
        };
        let label = format!("kubectl label namespace {name} {CHAOS}={ALLOWED}");
        let again = if labels.contains_key(CHAOS) { " --overwrite" } else { "" };
        let help = format!("whoever may decide that it can be broken says so with `{label}{again}`");
        Err(Refused::with(saw, format!("{CHAOS}={ALLOWED}"), help))
    }
}
