//! What runbookd reads of pods: whether they are ready, what their containers wait for, how they ended last, and whose they are.
//!
//! Pure: nothing is asked here. The phase says little: a pod on a dead node is `Running`, and so is one whose container crashes again and again.
//! The Ready condition and the containers' states tell.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// A pod as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// The object that made it; for a pod of a Deployment that is the Deployment.
    pub owner: Option<Owner>,
    /// `True` in its Ready condition.
    pub ready: bool,
    /// All its containers ended well and none will start again.
    pub succeeded: bool,
    /// It was asked to stop.
    pub stopping: bool,
    /// Its containers, those that run before the others first.
    pub containers: Vec<Container>,
}

/// `Kind/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Such as `Deployment` or `StatefulSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// How often it was started again in this pod. A pod that was replaced begins at 0.
    pub restarts: u32,
    /// Why it does not run, in Kubernetes' word, such as `CrashLoopBackOff`.
    pub waiting: Option<String>,
    /// How it ended last.
    pub ended: Option<Ended>,
}

/// The end of a container's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Kubernetes' word: `OOMKilled`, `Error`, `Completed`.
    pub reason: String,
    /// The process's exit code; 137 is SIGKILL.
    pub exit_code: i32,
    /// When.
    pub at: Option<Timestamp>,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {}: ", self.name)?;
        match &self.waiting {
            Some(reason) => write!(f, "waiting ({reason})")?,
            None => f.write_str("not waiting")?,
        }
        write!(f, ", started again {} times", self.restarts)?;
        if let Some(Ended { reason, exit_code, at }) = &self.ended {
            write!(f, ", last ended: {reason}, exit code {exit_code}")?;
            if let Some(at) = at {
                write!(f, ", {at}")?;
            }
        }
        Ok(())
    }
}

/// The Deployments behind `ReplicaSets`, by the `ReplicaSet`'s name.
pub(super) type Sets = BTreeMap<String, Option<Owner>>;

/// The owner of each `ReplicaSet`.
pub(super) fn owners(sets: &[ReplicaSet]) -> Sets {
    sets.iter().filter_map(|set| Some((set.metadata.name.clone()?, controller(&set.metadata)))).collect()
}

fn controller(meta: &ObjectMeta) -> Option<Owner> {
    let owner = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    Some(Owner { kind: owner.kind.clone(), name: owner.name.clone() })
}

/// Whether this pod's owner can be named only with the list of `ReplicaSets`.
pub(super) fn is_of_a_set(pod: &core::Pod) -> bool {
    controller(&pod.metadata).is_some_and(|owner| owner.kind == "ReplicaSet")
}

/// The pod, with the owner behind its `ReplicaSet`; a `ReplicaSet` that nothing controls, or that is gone, stays the owner itself.
pub(super) fn read(pod: &core::Pod, sets: &Sets) -> Pod {
    let status = pod.status.as_ref();
    let owner = controller(&pod.metadata).map(|owner| match sets.get(&owner.name) {
        Some(Some(behind)) if owner.kind == "ReplicaSet" => behind.clone(),
        _ => owner,
    });
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let inits = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    let others = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    Pod {
        name: pod.metadata.name.clone().unwrap_or_default(),
        owner,
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        succeeded: status.and_then(|status| status.phase.as_deref()) == Some("Succeeded"),
        stopping: pod.metadata.deletion_timestamp.is_some(),
        containers: inits.iter().chain(others).map(container).collect(),
    }
}

fn container(status: &core::ContainerStatus) -> Container {
    let state = status.state.as_ref();
    let now = state.and_then(|state| state.terminated.as_ref());
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    Container {
        name: status.name.clone(),
        restarts: u32::try_from(status.restart_count).unwrap_or_default(),
        waiting: state.and_then(|state| state.waiting.as_ref()).map(|waiting| {
            waiting.reason.clone().unwrap_or_else(|| "for a reason that Kubernetes does not give".to_owned())
        }),
        ended: now.or(last).map(|ended| Ended {
            reason: ended.reason.clone().unwrap_or_default(),
            exit_code: ended.exit_code,
            at: ended.finished_at.as_ref().map(|time| time.0),
        }),
    }
}
