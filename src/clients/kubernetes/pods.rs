//! What runbookd reads of pods: whether they are ready, what their containers wait for, how they ended last, and whose they are.
//!
//! The phase says little: a pod on a dead node is `Running`, and so is one whose container crashes again and again.
//! The Ready condition and the containers' states tell.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::Resource as _;
use kube::core::subresource::LogParams;

use http::{Request, header};
use serde_json::{Value, json};

use super::{CallError, Kubernetes, Reason, checked_namespace, valid_name};

/// The owners that make another pod in the place of one that failed.
const MAKE_ANEW: [&str; 4] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"];
/// What the API server fills in, in seconds.
const DEFAULT_GRACE: u64 = 30;
/// How much of a container's logs one answer holds.
const LOG_BYTES: i64 = 64 << 10;
/// What the API server says (400) of a container that was not started again, or whose node has removed the logs.
/// It hands on what the kubelet says: `validateContainerLogStatus` in Kubernetes' `pkg/kubelet/kubelet_pods.go`.
const NO_PREVIOUS: &str = "previous terminated container";

/// A pod as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Tells it from a later pod of the same name.
    pub uid: String,
    /// Its labels, which disruption budgets select by.
    pub labels: BTreeMap<String, String>,
    /// The node that it was put on; none while no node would take it.
    pub node: Option<String>,
    /// The object that made it; for a pod of a Deployment that is the Deployment.
    pub owner: Option<Owner>,
    /// `True` in its Ready condition.
    pub ready: bool,
    /// All its containers ended well and none will start again; or it failed for good, and another one was made in its place.
    pub succeeded: bool,
    /// It was asked to stop.
    pub stopping: bool,
    /// When the kubelet should have ended it by force, once it was asked to stop.
    pub ends_by: Option<Timestamp>,
    /// How long its processes get to end when it is asked to stop.
    pub grace: Duration,
    /// The first of the containers that run all the time, in the order of its spec.
    pub first_container: Option<String>,
    /// Its own address; none while it has none, and for one that has its node's.
    pub address: Option<IpAddr>,
    /// Its containers, those that run before the others first.
    pub containers: Vec<Container>,
}

impl Pod {
    /// Whether it is one of those that a workload has now: not one that has ended, or is asked to. `kind`: as kubectl names it.
    #[must_use]
    pub fn is_one_of(&self, kind: &str, name: &str) -> bool {
        let is_of = |owner: &Owner| owner.kind.eq_ignore_ascii_case(kind) && owner.name == name;
        self.owner.as_ref().is_some_and(is_of) && !self.stopping && !self.succeeded
    }
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
    // Others have kinds of the same name, with controllers of their own.
    let is_ours = owner.api_version.starts_with("apps/") || owner.api_version == "v1";
    let group = owner.api_version.split('/').next().unwrap_or_default();
    let kind = if is_ours || !MAKE_ANEW.contains(&owner.kind.as_str()) {
        owner.kind.clone()
    } else {
        format!("{}.{group}", owner.kind)
    };
    Some(Owner { kind, name: owner.name.clone() })
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
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|node| !node.is_empty()),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        succeeded: match status.and_then(|status| status.phase.as_deref()) {
            Some("Succeeded") => true,
            // What was evicted or shut down with its node stays in the list, and its owner has made another one.
            Some("Failed") => owner.as_ref().is_some_and(|owner| MAKE_ANEW.contains(&owner.kind.as_str())),
            _ => false,
        },
        owner,
        stopping: pod.metadata.deletion_timestamp.is_some(),
        grace: Duration::from_secs(
            pod.spec
                .as_ref()
                .and_then(|spec| spec.termination_grace_period_seconds)
                .and_then(|seconds| u64::try_from(seconds).ok())
                .unwrap_or(DEFAULT_GRACE),
        ),
        ends_by: pod.metadata.deletion_timestamp.as_ref().map(|time| time.0),
        first_container: pod
            .spec
            .as_ref()
            .and_then(|spec| spec.containers.first())
            .map(|container| container.name.clone()),
        address: pod
            .spec
            .as_ref()
            .filter(|spec| spec.host_network != Some(true))
            .and_then(|_| status?.pod_ip.as_ref()?.parse().ok()),
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

impl Kubernetes {
    /// All pods of a namespace, with the Deployments that they belong to.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering, also when a list is longer than 10,000. A namespace that does not exist has no pods.
    pub async fn pods(&self, namespace: &str) -> Result<Arc<[Pod]>, CallError> {
        let call = format!("list the pods of {namespace}");
        checked_namespace(&call, namespace)?;
        let question = format!("{} {namespace}", self.inner.writes.load(Ordering::SeqCst));
        self.inner.pods.ask(question, || self.list_pods(&call, namespace)).await
    }

    async fn list_pods(&self, call: &str, namespace: &str) -> Result<Arc<[Pod]>, CallError> {
        let pods: Vec<core::Pod> = self.list(call, &core::Pod::url_path(&(), Some(namespace))).await?;
        let sets = if pods.iter().any(is_of_a_set) {
            let call = format!("list the replicasets of {namespace}");
            owners(&self.list(&call, &ReplicaSet::url_path(&(), Some(namespace))).await?)
        } else {
            Sets::new()
        };
        Ok(pods.iter().map(|pod| read(pod, &sets)).collect())
    }

    /// The last lines that a container wrote before it was started again, the oldest first; `None` when Kubernetes has kept none.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering. It asks the node's kubelet, so this can fail while everything else is well.
    pub async fn previous_logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        lines: u32,
    ) -> Result<Option<String>, CallError> {
        let call = format!("read the previous logs of pod/{pod} in {namespace}");
        checked_namespace(&call, namespace)?;
        if !valid_name(pod) || !valid_name(container) {
            return Err(CallError::unsent(&call, "a pod and a container have names of another form"));
        }
        let how = LogParams {
            container: Some(container.to_owned()),
            previous: true,
            tail_lines: Some(i64::from(lines)),
            limit_bytes: Some(LOG_BYTES),
            ..LogParams::default()
        };
        let pods = core::Pod::url_path(&(), Some(namespace));
        match self.read(&call, || kube::core::Request::new(&pods).logs(pod, &how)).await {
            Ok(body) => Ok(Some(String::from_utf8_lossy(&body).into_owned())),
            Err(error) if error.to_string().contains(NO_PREVIOUS) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The pod of this name; none when there is no such pod (any more). Its owner is the one that it names itself: a `ReplicaSet`, say.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, CallError> {
        let call = format!("read pod/{name} in {namespace}");
        checked_pod(&call, namespace, name)?;
        let path = core::Pod::url_path(&(), Some(namespace));
        let pod: Option<core::Pod> = self.get_or_none(&call, &path, name).await?;
        Ok(pod.map(|pod| read(&pod, &Sets::new())).filter(|pod| pod.name == name))
    }

    /// Asks for the eviction of the pod with this `uid`; one that is gone is evicted. Disruption budgets can refuse it, and nothing is deleted then.
    ///
    /// # Errors
    /// `RateLimited` when a budget refuses; `Conflict` when the pod of that name is another one by now.
    pub async fn evict_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
        let call = format!("evict pod/{name} in {namespace}");
        checked_pod(&call, namespace, name)?;
        let path = format!("{}/{name}/eviction", core::Pod::url_path(&(), Some(namespace)));
        // kube's own writes `delete_options`, which the server does not know: the precondition would be lost.
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        self.end(&call, Request::post(path), &body).await
    }

    /// Deletes the pod with this `uid`; one that is gone is deleted. `by_force` removes the object at once, whether or not its process has ended:
    /// only for a pod of which nothing runs any more.
    ///
    /// # Errors
    /// `Conflict` when the pod of that name is another one by now.
    pub async fn delete_pod(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        by_force: bool,
    ) -> Result<(), CallError> {
        let call = format!("delete pod/{name} in {namespace}");
        checked_pod(&call, namespace, name)?;
        let path = format!("{}/{name}", core::Pod::url_path(&(), Some(namespace)));
        let how = if by_force { json!({"gracePeriodSeconds": 0}) } else { json!({}) };
        self.delete(&call, &path, uid, &how).await
    }

    /// Deletes the object of this `uid` that lies there, once; `how` is what else is to be said.
    pub(super) async fn delete(
        &self,
        call: &str,
        path: &str,
        uid: &str,
        how: &Value,
    ) -> Result<(), CallError> {
        let mut body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
        });
        for (key, value) in how.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.end(call, Request::delete(path), &body).await
    }

    async fn end(&self, call: &str, request: http::request::Builder, body: &Value) -> Result<(), CallError> {
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.body(body.to_string().into_bytes());
        let request = request.map_err(|error| CallError::unsent(call, &error.to_string()))?;
        match self.change(call, request).await {
            // Its end is what was wanted.
            Err(error) if error.reason == Reason::NotFound => Ok(()),
            done => done,
        }
    }
}

pub(super) fn checked_pod(call: &str, namespace: &str, name: &str) -> Result<(), CallError> {
    checked_namespace(call, namespace)?;
    if valid_name(name) {
        return Ok(());
    }
    Err(CallError::unsent(call, &format!("{name:?} is not the name of a pod")))
}
