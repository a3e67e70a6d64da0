//! The cluster's objects: deployments as the JSON that the API serves, replica sets and pods as records that are
//! rendered into it. Every change takes the next resourceVersion, as etcd's revision does.

mod autoscalers;
mod budgets;
mod conditions;
mod jobs;
mod managed;
mod meddlers;
mod memory;
mod nodes;
mod occurrences;
mod pods;
mod quotas;
mod render;
mod rollout;
mod samosachaat;
mod sets;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::chance::Chance;
use super::state::Pace;
use meddlers::Meddlers;

pub use jobs::JobEnd;
pub(super) use jobs::MadeJob;
pub(super) use managed::{Writer, record_change};
pub(super) use memory::{MODELS, Model, told};
pub(super) use nodes::Ended;
pub use nodes::NodeFault;
pub(super) use pods::Pod;
pub use pods::{CrashCause, CrashFault, PodView};
pub(super) use rollout::ReplicaSet;
pub(super) use template::canonical;

/// The namespace that the services of the world run in.
pub const NAMESPACE: &str = "samosachaat-prod";

/// The namespace and name of an object.
pub(super) type Name = (String, String);

/// How long a pod takes from its creation until it is ready.
const START: Duration = Duration::from_secs(10);
/// How long a pod takes to stop.
const STOP: Duration = Duration::from_secs(4);

/// What happens in the cluster and is worth a line in the logs.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    pub(super) pod: String,
    pub(super) namespace: String,
    pub(super) service: String,
    pub(super) at: Timestamp,
    pub(super) kind: HappeningKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HappeningKind {
    Started,
    Stopping,
}

/// All objects of the cluster.
pub(super) struct Cluster {
    version: u64,
    pub(super) deployments: BTreeMap<Name, Value>,
    pub(super) replica_sets: BTreeMap<Name, ReplicaSet>,
    pub(super) pods: BTreeMap<Name, Pod>,
    /// Kinds that nothing in the world moves on its own, by the plural of their kind.
    pub(super) others: BTreeMap<&'static str, BTreeMap<Name, Value>>,
    /// Deployments whose new pods never become ready.
    pub(super) broken: BTreeSet<Name>,
    /// Deployments whose new pods crash.
    crashing: BTreeMap<Name, CrashFault>,
    /// When a rollout last made progress, more exactly than its condition says.
    progressed: BTreeMap<Name, Timestamp>,
    /// The model of new processes of the inference service.
    default_model: &'static str,
    /// How long it takes to load another model.
    load: Duration,
    next_ip: u32,
    job_ends: jobs::JobEnds,
    job_clients: BTreeMap<Name, u32>,
    pub(super) meddlers: Meddlers,
    pub(super) autoscalers: autoscalers::Autoscalers,
    pub(super) nodes: nodes::Nodes,
}

impl Cluster {
    fn empty() -> Self {
        Self {
            version: 300,
            deployments: BTreeMap::new(),
            replica_sets: BTreeMap::new(),
            pods: BTreeMap::new(),
            others: BTreeMap::new(),
            broken: BTreeSet::new(),
            crashing: BTreeMap::new(),
            progressed: BTreeMap::new(),
            default_model: memory::DEFAULT,
            load: memory::LOAD,
            next_ip: 10,
            job_ends: jobs::JobEnds::new(),
            job_clients: BTreeMap::new(),
            meddlers: Meddlers::default(),
            autoscalers: autoscalers::Autoscalers::default(),
            nodes: nodes::Nodes::default(),
        }
    }

    /// The newest resourceVersion.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Takes the next resourceVersion.
    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Stores a deployment whose content changed, under the next resourceVersion.
    pub(super) fn store_deployment(&mut self, name: &Name, mut deployment: Value) {
        deployment["metadata"]["resourceVersion"] = json!(self.next_version().to_string());
        self.deployments.insert(name.clone(), deployment);
    }

    /// Stores an object of one of the other kinds, under the next resourceVersion.
    pub(super) fn store_other(&mut self, plural: &'static str, mut object: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        object["metadata"]["resourceVersion"] = json!(self.next_version().to_string());
        self.others.entry(plural).or_default().insert(name, object);
    }

    /// Changes a deployment as a person with kubectl would: a new spec is a new generation. False when it is not there.
    pub(super) fn edit_deployment(
        &mut self,
        name: &Name,
        manager: &str,
        now: Timestamp,
        edit: impl FnOnce(&mut Value),
    ) -> bool {
        self.write_deployment(name, Writer { manager, version: "apps/v1", subresource: None }, now, edit)
    }

    /// The same, through any door.
    pub(super) fn write_deployment(
        &mut self,
        name: &Name,
        writer: Writer<'_>,
        now: Timestamp,
        edit: impl FnOnce(&mut Value),
    ) -> bool {
        let Some(before) = self.deployments.get(name) else { return false };
        let mut after = before.clone();
        edit(&mut after);
        if after == *before {
            return true;
        }
        if after["spec"] != before["spec"] {
            let generation = before["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
            after["metadata"]["generation"] = json!(generation);
        }
        record_change(before, &mut after, writer, now);
        self.store_deployment(name, after);
        true
    }

    /// Deletes a deployment with its replica sets; its pods end as pods do.
    pub(super) fn delete_deployment(&mut self, name: &Name, now: Timestamp, pace: Pace) -> bool {
        let Some(deployment) = self.deployments.remove(name) else { return false };
        self.next_version();
        let uid = deployment["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let orphans: Vec<Name> = self
            .replica_sets
            .iter()
            .filter(|(_, set)| set.owner_uid == uid)
            .map(|(name, _)| name.clone())
            .collect();
        for orphan in orphans {
            if let Some(set) = self.replica_sets.remove(&orphan) {
                self.next_version();
                let pods: Vec<Name> = self.pods_of(&set.uid).map(|pod| pod.key()).collect();
                for pod in pods {
                    self.stop_pod(&pod, now, pace);
                }
            }
        }
        true
    }

    /// From now on the containers of a deployment crash.
    pub(super) fn crash(&mut self, name: &Name, fault: &CrashFault, now: Timestamp) {
        let these = fault.cause == CrashCause::ThesePods;
        let of = |pod: &&mut Pod| {
            pod.namespace == name.0 && pod.service == name.1 && (these || fault.hits(&pod.template))
        };
        for pod in self.pods.values_mut().filter(of) {
            pod.crashing = Some(pods::Crashing::from(fault.clone(), now));
        }
        if !these {
            self.crashing.insert(name.clone(), fault.clone());
        }
    }

    /// Asks a pod to stop. False when there is no such pod.
    pub(super) fn stop_pod(&mut self, name: &Name, now: Timestamp, pace: Pace) -> bool {
        let version = self.next_version();
        let Some(pod) = self.pods.get_mut(name) else { return false };
        if pod.stopping_since.is_none() {
            pod.stopping_since = Some(now);
            pod.gone_at = Some(pace.after(now, STOP));
            pod.version = version;
        }
        true
    }

    /// Removes a pod at once, whatever its process does: `--force --grace-period=0`.
    pub(super) fn remove_pod(&mut self, name: &Name) {
        if self.pods.remove(name).is_some() {
            self.next_version();
        }
    }

    fn pods_of<'a>(&'a self, replica_set_uid: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.pods.values().filter(move |pod| pod.owner_uid == replica_set_uid)
    }

    /// The pods of a deployment, stopping ones included.
    pub(super) fn pods_of_deployment<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Pod> {
        self.pods.values().filter(move |pod| pod.namespace == name.0 && pod.service == name.1)
    }

    /// Lets pods and controllers go on until `now`. Says whether anything moved, and what happened.
    pub(super) fn advance(
        &mut self,
        now: Timestamp,
        pace: Pace,
        chance: &mut Chance,
    ) -> (bool, Vec<Happening>) {
        let before = self.version;
        let mut happenings = Vec::new();
        self.advance_nodes(now, pace, chance);
        self.advance_pods(now, pace, &mut happenings);
        self.advance_memory(now, pace);
        self.advance_autoscalers(now, pace);
        self.advance_repository(now, pace);
        self.advance_rollouts(now, pace);
        self.advance_replica_sets(now, pace, chance, &mut happenings);
        self.advance_sets(now, pace, chance);
        self.advance_jobs(now, pace);
        self.advance_budgets();
        self.advance_quotas();
        (self.version != before, happenings)
    }

    /// How long until the next pod changes by itself, or a controller looks.
    pub(super) fn next_due(&self, now: Timestamp, pace: Pace) -> Option<Duration> {
        let pods = self.pods.values().flat_map(|pod| [pod.due(), pod.memory_due(pace)]).flatten();
        pods.chain(self.autoscalers.due()).min().map(|due| {
            let left = due.duration_since(now);
            if left.is_negative() { Duration::ZERO } else { left.unsigned_abs() }
        })
    }
}

/// A Kubernetes `Time`: whole seconds, UTC.
pub(super) fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}
