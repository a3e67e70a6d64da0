//! What runbookd reads of a workload (Deployment, `StatefulSet`, `DaemonSet`), and how far its rollout is: the same tests in the same order as
//! `kubectl rollout status`.
//!
//! Pure: nothing is asked here. Available=True and ready pods say nothing about a rollout (a failed one shows both), so neither is used.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// The annotation of the pod template that `kubectl rollout restart` writes.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

const ON_DELETE: &str = "is OnDelete";
const PER_POD: Duration = Duration::from_mins(5);
const NOT_OBSERVED: &str = "the change of the spec has not been observed yet";
/// The API server fills these in; its own defaults stand here for answers that lack them.
/// Source: <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/>.
const DEFAULT_REPLICAS: i32 = 1;
const DEFAULT_PROGRESS_DEADLINE: i32 = 600;

/// A workload as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// The namespace it lives in.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Tells it from a later Deployment of the same name.
    pub uid: String,
    /// Counts the changes of its spec.
    pub generation: i64,
    /// How many pods are wanted.
    pub replicas: i32,
    /// A paused Deployment accepts a restart and rolls nothing out.
    pub paused: bool,
    /// Why a new template does not replace every pod: its `updateStrategy`.
    pub held_back: Option<String>,
    /// When it was last restarted as `kubectl rollout restart` does: the template's annotation, as it stands there.
    pub restarted_at: Option<String>,
    /// How far its rollout is, as `kubectl rollout status` would say it.
    pub rollout: Rollout,
    /// What a rollout that is under way waits for. None once the newest template was rolled out, also when pods have crashed since: kubectl then waits for
    /// them again, and no rollout goes on.
    pub rolling_out: Option<String>,
    /// After this time without progress Kubernetes calls the rollout failed.
    pub progress_deadline: Duration,
    /// The images of its containers, in the template's order.
    pub images: Vec<String>,
    /// `Kind/name` of the object that controls it (an operator's, say), which may put back what we change.
    pub controller: Option<String>,
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Rollout {
    /// All pods are of the newest template, old ones are gone, and the new ones are available.
    Complete {
        /// How many pods are ready now.
        ready: i32,
    },
    /// It goes on.
    InProgress {
        /// Pods of the newest template.
        updated: i32,
        /// Pods that are available, old ones included.
        available: i32,
        /// Pods that are wanted.
        desired: i32,
        /// What it waits for, in a sentence.
        what: String,
    },
    /// It made no progress within the progress deadline.
    Failed {
        /// What Kubernetes says about it.
        what: String,
        /// When it said so.
        since: Option<Timestamp>,
    },
}

/// What all three have.
fn common(
    meta: &ObjectMeta,
    template: Option<&PodTemplateSpec>,
    replicas: i32,
    rollout: Rollout,
) -> Workload {
    let annotations = template.and_then(|template| template.metadata.as_ref()?.annotations.as_ref());
    let containers =
        template.and_then(|template| template.spec.as_ref()).map(|pod| pod.containers.as_slice());
    let mut owners = meta.owner_references.iter().flatten();
    Workload {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        replicas,
        paused: false,
        held_back: None,
        restarted_at: annotations.and_then(|all| all.get(RESTARTED_AT)).cloned(),
        rolling_out: match &rollout {
            Rollout::InProgress { what, .. } => Some(what.clone()),
            Rollout::Complete { .. } | Rollout::Failed { .. } => None,
        },
        rollout,
        progress_deadline: seconds(DEFAULT_PROGRESS_DEADLINE),
        images: containers
            .unwrap_or_default()
            .iter()
            .filter_map(|container| container.image.clone())
            .collect(),
        controller: owners
            .find(|owner| owner.controller == Some(true))
            .map(|owner| format!("{}/{}", owner.kind, owner.name)),
    }
}

fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or_default())
}

impl From<&apps::Deployment> for Workload {
    fn from(object: &apps::Deployment) -> Self {
        let spec = object.spec.as_ref();
        let deadline =
            spec.and_then(|spec| spec.progress_deadline_seconds).unwrap_or(DEFAULT_PROGRESS_DEADLINE);
        let rollout = rollout_of(object);
        Self {
            paused: spec.and_then(|spec| spec.paused).unwrap_or_default(),
            rolling_out: rolling_out(object, &rollout),
            progress_deadline: seconds(deadline),
            ..common(&object.metadata, spec.map(|spec| &spec.template), desired(object), rollout)
        }
    }
}

impl From<&apps::StatefulSet> for Workload {
    /// Source: `StatefulSetStatusViewer.Status` in kubectl's `pkg/polymorphichelpers/rollout_status.go`.
    fn from(object: &apps::StatefulSet) -> Self {
        let spec = object.spec.as_ref();
        let status = object.status.clone().unwrap_or_default();
        let strategy = spec.and_then(|spec| spec.update_strategy.as_ref());
        let desired = spec.and_then(|spec| spec.replicas).unwrap_or(DEFAULT_REPLICAS);
        let ready = status.ready_replicas.unwrap_or_default();
        let updated = status.updated_replicas.unwrap_or_default();
        let partition = strategy
            .and_then(|strategy| strategy.rolling_update.as_ref()?.partition)
            .filter(|partition| *partition > 0);
        let observed =
            status.observed_generation.unwrap_or_default() >= object.metadata.generation.unwrap_or_default();
        let what = if !observed {
            Some(NOT_OBSERVED.to_owned())
        } else if ready < desired {
            Some(format!("{ready} of {desired} pods are ready"))
        } else if let Some(partition) = partition {
            let wanted = desired - partition;
            (updated < wanted).then(|| format!("{updated} of {wanted} new pods have been created"))
        } else {
            let differs = status.update_revision != status.current_revision;
            differs.then(|| format!("{updated} of {desired} pods are of the newest revision"))
        };
        let rollout = progress(what, updated, ready, desired);
        // Pods that crash after a rollout are no rollout.
        let rolls = !observed
            || partition.map_or(status.update_revision != status.current_revision, |partition| {
                updated < desired - partition
            });
        let held_back = match (strategy.and_then(|strategy| strategy.type_.as_deref()), partition) {
            (Some("OnDelete"), _) => Some(ON_DELETE.to_owned()),
            (_, Some(partition)) => Some(format!("has a partition of {partition}")),
            _ => None,
        };
        let common = common(&object.metadata, spec.map(|spec| &spec.template), desired, rollout);
        Self {
            held_back,
            rolling_out: common.rolling_out.clone().filter(|_| rolls),
            progress_deadline: one_after_the_other(desired),
            ..common
        }
    }
}

/// Neither kind has a deadline of its own: five minutes for each pod.
fn one_after_the_other(pods: i32) -> Duration {
    seconds(DEFAULT_PROGRESS_DEADLINE).max(PER_POD * u32::try_from(pods).unwrap_or_default())
}

impl From<&apps::DaemonSet> for Workload {
    /// Source: `DaemonSetStatusViewer.Status` in kubectl's `pkg/polymorphichelpers/rollout_status.go`.
    fn from(object: &apps::DaemonSet) -> Self {
        let spec = object.spec.as_ref();
        let status = object.status.clone().unwrap_or_default();
        let strategy = spec.and_then(|spec| spec.update_strategy.as_ref());
        let desired = status.desired_number_scheduled;
        let updated = status.updated_number_scheduled.unwrap_or_default();
        let available = status.number_available.unwrap_or_default();
        let observed =
            status.observed_generation.unwrap_or_default() >= object.metadata.generation.unwrap_or_default();
        let what = if !observed {
            Some(NOT_OBSERVED.to_owned())
        } else if updated < desired {
            Some(format!("{updated} of {desired} new pods have been created"))
        } else {
            (available < desired).then(|| format!("{available} of {desired} new pods are available"))
        };
        let rollout = progress(what, updated, available, desired);
        let rolls = !observed || updated < desired;
        let on_delete = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
        let common = common(&object.metadata, spec.map(|spec| &spec.template), desired, rollout);
        Self {
            held_back: on_delete.then(|| ON_DELETE.to_owned()),
            rolling_out: common.rolling_out.clone().filter(|_| rolls),
            progress_deadline: one_after_the_other(desired),
            ..common
        }
    }
}

fn progress(what: Option<String>, updated: i32, available: i32, desired: i32) -> Rollout {
    match what {
        Some(what) => Rollout::InProgress { updated, available, desired, what },
        None => Rollout::Complete { ready: available },
    }
}

/// How far the rollout of `object` is.
/// Source: `DeploymentStatusViewer.Status` in kubectl's `pkg/polymorphichelpers/rollout_status.go`.
#[must_use]
pub fn rollout_of(object: &apps::Deployment) -> Rollout {
    let desired = desired(object);
    let status = object.status.clone().unwrap_or_default();
    let updated = status.updated_replicas.unwrap_or_default();
    let available = status.available_replicas.unwrap_or_default();
    let all = status.replicas.unwrap_or_default();
    let in_progress = |what| Rollout::InProgress { updated, available, desired, what };

    if status.observed_generation.unwrap_or_default() < object.metadata.generation.unwrap_or_default() {
        return in_progress(NOT_OBSERVED.to_owned());
    }
    let timed_out = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "Progressing" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    if let Some(condition) = timed_out {
        let said = condition.message.clone().unwrap_or_default();
        let since = condition.last_update_time.as_ref().map(|time| time.0);
        return Rollout::Failed {
            what: format!("the rollout exceeded its progress deadline: {said}"),
            since,
        };
    }
    if updated < desired {
        return in_progress(format!("{updated} of {desired} new pods have been created"));
    }
    if all > updated {
        return in_progress(format!("{} old pods are still to be stopped", all - updated));
    }
    if available < updated {
        return in_progress(format!("{available} of {updated} new pods are available"));
    }
    Rollout::Complete { ready: status.ready_replicas.unwrap_or_default() }
}

/// Source: `syncRolloutStatus` in Kubernetes' `pkg/controller/deployment/progress.go`: the reason `NewReplicaSetAvailable` stays until the template changes.
fn rolling_out(object: &apps::Deployment, rollout: &Rollout) -> Option<String> {
    let Rollout::InProgress { what, .. } = rollout else { return None };
    let status = object.status.clone().unwrap_or_default();
    let observed =
        status.observed_generation.unwrap_or_default() >= object.metadata.generation.unwrap_or_default();
    let was_complete = status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "Progressing" && condition.reason.as_deref() == Some("NewReplicaSetAvailable")
    });
    let only_new = status.replicas.unwrap_or_default() == status.updated_replicas.unwrap_or_default();
    if observed && was_complete && only_new { None } else { Some(what.clone()) }
}

fn desired(object: &apps::Deployment) -> i32 {
    object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(DEFAULT_REPLICAS)
}
