//! Nodes: pods are put on them, and they fail as machines do. The kubelet stops; the node controller notices, marks the node and its pods, and taints
//! it; the cloud's controller removes a node whose machine is gone, and the garbage collector its pods; an auto-scaling group sends another machine.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Cluster, Name, Pod, START, seconds};
use crate::sandbox::chance::Chance;
use crate::sandbox::state::Pace;

/// After this long without word from a kubelet its node is `Unknown`: `--node-monitor-grace-period`.
/// Source: <https://kubernetes.io/docs/reference/node/node-status/>.
const NOTICED: Duration = Duration::from_secs(50);
/// The cloud's node controller looks every five seconds whether the machine of a node that is not ready still exists.
const REMOVED: Duration = Duration::from_secs(55);
/// Pods of a node that does not exist are removed: looked for every 20 s, and once more after 40 s.
const COLLECTED: Duration = Duration::from_mins(1);
/// `tolerationSeconds` that every pod gets: after this long on an unreachable node it is deleted.
const EVICTED: Duration = Duration::from_mins(5);
/// An auto-scaling group has another machine ready after two to five minutes.
const REPLACED: Duration = Duration::from_mins(3);

/// How the machine of a node ends, and what comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeFault {
    /// The cloud says that the machine is gone, and the node is removed; or else it stays, and nothing is heard of it.
    pub removed: bool,
    /// The pods of a node that was removed are removed, too, as kube-controller-manager does; it can be late.
    pub collected: bool,
    /// Another node joins.
    pub replaced: bool,
}

/// What became of a machine that is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Ended {
    /// It ends now.
    Now,
    /// It had ended before.
    Before,
}

/// A machine that has ended.
#[derive(Debug, Clone)]
struct Dead {
    fault: NodeFault,
    at: Timestamp,
    noticed: bool,
    removed: Option<Timestamp>,
    replaced: bool,
}

/// What nodes need besides their objects.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Nodes {
    dead: BTreeMap<String, Dead>,
    /// How many pods a node has room for; none: any number.
    pub(in crate::sandbox) room: Option<usize>,
    /// When each node that is gone was removed, and whether it was cordoned before.
    pub(in crate::sandbox) gone: BTreeMap<String, (Timestamp, bool)>,
    /// Whether somebody reads the kernels' logs.
    pub(in crate::sandbox) watched: bool,
    /// What something outside of the pods uses of a node's memory.
    pub(in crate::sandbox) pressed: BTreeMap<String, f64>,
    /// The nodes of the machines that EC2 was told to end, by their ids.
    terminated: BTreeMap<String, String>,
    next: u32,
}

fn node_name(name: &str) -> Name {
    (String::new(), name.to_owned())
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

impl Cluster {
    /// The nodes with whether each is ready.
    pub(in crate::sandbox) fn nodes(&self) -> Vec<(String, bool)> {
        let nodes = self.others.get("nodes").into_iter().flatten();
        nodes.map(|((_, name), node)| (name.clone(), is_ready(node))).collect()
    }

    /// The machine of a node ends. False when there is no such node.
    pub(in crate::sandbox) fn end_machine(&mut self, node: &str, fault: NodeFault, now: Timestamp) -> bool {
        if !self.others.get("nodes").is_some_and(|nodes| nodes.contains_key(&node_name(node))) {
            return false;
        }
        for pod in self.pods.values_mut().filter(|pod| pod.node.as_deref() == Some(node)) {
            pod.lost = true;
        }
        let dead = Dead { fault, at: now, noticed: false, removed: None, replaced: false };
        self.nodes.dead.insert(node.to_owned(), dead);
        true
    }

    /// The node of the machine with this id, also of one that EC2 was told to end.
    pub(in crate::sandbox) fn machine(&self, id: &str) -> Option<String> {
        let is_its = |node: &Value| {
            let provider = node["spec"]["providerID"].as_str().unwrap_or_default();
            provider.starts_with("aws:///") && provider.rsplit('/').next() == Some(id)
        };
        let mut nodes = self.others.get("nodes").into_iter().flatten();
        let found = nodes.find(|(_, node)| is_its(node)).map(|((_, name), _)| name.clone());
        found.or_else(|| self.nodes.terminated.get(id).cloned())
    }

    /// EC2 ends the machine with this id. The cloud knows that it is gone, and an auto-scaling group sends another one.
    pub(in crate::sandbox) fn terminate(&mut self, id: &str, now: Timestamp) -> Ended {
        let Some(node) = self.machine(id).filter(|_| !self.nodes.terminated.contains_key(id)) else {
            return Ended::Before;
        };
        self.end_machine(&node, NodeFault { removed: true, collected: true, replaced: true }, now);
        self.nodes.terminated.insert(id.to_owned(), node);
        Ended::Now
    }

    /// A machine that did not answer is back: its pods go on, but for those that were to stop.
    pub(in crate::sandbox) fn bring_back(&mut self, node: &str, now: Timestamp) -> bool {
        if self.nodes.dead.remove(node).is_none() {
            return false;
        }
        self.edit_node(node, |object| {
            set_ready(object, "True", "KubeletReady", "kubelet is posting ready status", now);
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.remove("taints");
            }
        });
        for pod in self.pods.values_mut().filter(|pod| pod.node.as_deref() == Some(node)) {
            pod.lost = false;
            if pod.stopping_since.is_some() {
                pod.gone_at = Some(now);
            } else {
                pod.ready_at = now;
            }
        }
        self.next_version();
        true
    }

    /// Whether there is such a node.
    pub(in crate::sandbox) fn edit_node(&mut self, node: &str, edit: impl FnOnce(&mut Value)) -> bool {
        let found = self.others.get("nodes").and_then(|nodes| nodes.get(&node_name(node))).cloned();
        let Some(mut object) = found else { return false };
        edit(&mut object);
        self.store_other("nodes", object);
        true
    }

    pub(super) fn advance_nodes(&mut self, now: Timestamp, pace: Pace, chance: &mut Chance) {
        let names: Vec<String> = self.nodes.dead.keys().cloned().collect();
        for name in names {
            let Some(mut dead) = self.nodes.dead.get(&name).cloned() else { continue };
            let since = |duration| pace.after(dead.at, duration) <= now;
            if !dead.noticed && since(NOTICED) {
                self.notice(&name, now);
                dead.noticed = true;
            }
            if dead.fault.removed && dead.removed.is_none() && since(REMOVED) {
                self.remove_node(&name, now);
                dead.removed = Some(now);
            }
            let collected = dead.removed.is_some_and(|removed| pace.after(removed, COLLECTED) <= now);
            if dead.fault.collected && collected {
                self.pods.retain(|_, pod| pod.node.as_deref() != Some(&name));
                self.next_version();
            }
            if since(NOTICED + EVICTED) && dead.removed.is_none_or(|_| !dead.fault.collected) {
                self.evict_from(&name, now, pace);
            }
            if dead.fault.replaced && !dead.replaced && since(REPLACED) {
                self.join(now, chance);
                dead.replaced = true;
            }
            self.nodes.dead.insert(name, dead);
        }
        self.put_on_nodes(now, pace);
    }

    /// What the node controller does when it has heard nothing for too long.
    fn notice(&mut self, name: &str, now: Timestamp) {
        self.edit_node(name, |node| {
            set_ready(node, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.", now);
            let taint = |effect: &str| json!({"key": "node.kubernetes.io/unreachable", "effect": effect, "timeAdded": seconds(now)});
            node["spec"]["taints"] = json!([taint("NoSchedule"), taint("NoExecute")]);
        });
        let version = self.next_version();
        for pod in self.pods.values_mut().filter(|pod| pod.node.as_deref() == Some(name)) {
            pod.ready_since = None;
            pod.version = version;
        }
    }

    /// Removes the object of a node.
    pub(in crate::sandbox) fn remove_node(&mut self, name: &str, now: Timestamp) {
        let removed = self.others.get_mut("nodes").and_then(|nodes| nodes.remove(&node_name(name)));
        if let Some(node) = removed {
            let was_cordoned = node["spec"]["unschedulable"] == true;
            self.nodes.gone.insert(name.to_owned(), (now, was_cordoned));
            self.next_version();
        }
    }

    /// Somebody deletes the object of a node. Its machine goes on, and so do its pods until the garbage collector finds that their node is not there; no
    /// auto-scaling group misses anything, so nothing joins.
    pub(in crate::sandbox) fn forget_node(&mut self, name: &str, now: Timestamp) {
        self.remove_node(name, now);
        let fault = NodeFault { removed: true, collected: true, replaced: false };
        let dead = Dead { fault, at: now, noticed: true, removed: Some(now), replaced: false };
        // The machine may have ended before: then everything goes its way.
        self.nodes.dead.entry(name.to_owned()).or_insert(dead).removed = Some(now);
    }

    /// The taint manager deletes what has tolerated an unreachable node for long enough; nobody there ends it.
    fn evict_from(&mut self, node: &str, now: Timestamp, pace: Pace) {
        let stays = |pod: &&Pod| pod.node.as_deref() == Some(node) && pod.stopping_since.is_none();
        let names: Vec<Name> = self.pods.values().filter(stays).map(Pod::key).collect();
        for name in names {
            self.stop_pod(&name, now, pace);
        }
    }

    fn join(&mut self, now: Timestamp, chance: &mut Chance) {
        self.nodes.next = self.nodes.next.max(3) + 1;
        let node = super::samosachaat::node(self.nodes.next, now, chance);
        self.store_other("nodes", node);
    }

    /// The scheduler: each pod without a node goes to the one with the fewest that takes it.
    fn put_on_nodes(&mut self, now: Timestamp, pace: Pace) {
        let waiting: Vec<Name> = self
            .pods
            .values()
            .filter(|pod| pod.node.is_none() && pod.stopping_since.is_none())
            .map(Pod::key)
            .collect();
        for name in waiting {
            let Some(node) = self.place() else { return };
            let version = self.next_version();
            if let Some(pod) = self.pods.get_mut(&name) {
                pod.node = Some(node);
                pod.ready_at = pace.after(now, START);
                pod.version = version;
            }
        }
    }

    /// The node that the next pod is put on.
    pub(super) fn place(&self) -> Option<String> {
        let nodes = self.others.get("nodes").into_iter().flatten();
        nodes
            .filter(|(_, node)| node["spec"]["unschedulable"] != true && !node["spec"]["taints"].is_array())
            .map(|((_, name), _)| {
                // A pod that is to stop holds its place until it is gone.
                (self.pods.values().filter(|pod| pod.node.as_ref() == Some(name)).count(), name)
            })
            .filter(|(pods, _)| self.nodes.room.is_none_or(|room| *pods < room))
            .min()
            .map(|(_, name)| name.clone())
    }
}

fn set_ready(node: &mut Value, status: &str, reason: &str, message: &str, now: Timestamp) {
    for condition in node["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if condition["type"] == "Ready" {
            condition["status"] = json!(status);
            condition["reason"] = json!(reason);
            condition["message"] = json!(message);
            condition["lastTransitionTime"] = json!(seconds(now));
        }
    }
}
