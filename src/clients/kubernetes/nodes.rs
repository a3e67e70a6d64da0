//! What runbookd reads of nodes, and how new pods are kept away from one.
//!
//! That a pod lists as `Running` says nothing of its node: the kubelet of a dead one does not correct it. The Ready condition tells, and it is
//! `Unknown`, and not `False`, when nothing was heard of the kubelet.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use kube::core::Resource as _;
use serde_json::{Value, json};

use super::notes::{of_note, with_note, without_note};
use super::{CallError, JSON_PATCH, Kubernetes, STRATEGIC_MERGE, valid_name};

/// The annotation that says that runbookd cordoned a node, and when.
pub const CORDONED_AT: &str = "runbookd.dev/cordoned-at";
/// Whoever knows that a machine is off says so with this taint; Kubernetes itself then removes the node's pods.
/// Source: <https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown>.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// The second is its name before Kubernetes 1.25.
const CONTROL_PLANE: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// A node as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Tells it from a later node of the same name.
    pub uid: String,
    /// When it joined the cluster.
    pub created: Option<Timestamp>,
    /// Its Ready condition.
    pub ready: Ready,
    /// What it is short of: the conditions `MemoryPressure`, `DiskPressure`, `PIDPressure` that are true.
    pub pressures: Vec<String>,
    /// Whether its kubelet says what it is short of; a dead one does not.
    pub tells_pressures: bool,
    /// Not every pod is put on it: it has a taint of its own, as a control plane has.
    pub tainted: bool,
    /// No new pods: `kubectl cordon`.
    pub unschedulable: bool,
    /// It bears the taint of a control plane, whatever that keeps away.
    pub control_plane: bool,
    /// When runbookd cordoned it, in its own words.
    pub cordoned_at: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What its cloud calls its machine, such as `aws:///us-east-1a/i-0123456789abcdef0`.
    pub provider_id: Option<String>,
    /// Somebody has declared that its machine is off.
    pub out_of_service: bool,
    /// What its pods can have of it together, by resource, as texts.
    pub allocatable: BTreeMap<String, String>,
}

/// The Ready condition of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Whether it is `True`.
    pub is_true: bool,
    /// `True`, `False`, or `Unknown` when nothing was heard of the kubelet.
    pub status: String,
    /// In Kubernetes' words.
    pub message: String,
    /// Since when.
    pub since: Option<Timestamp>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ready { status, message, since, .. } = &self.ready;
        write!(f, "Ready={status}")?;
        if let Some(since) = since {
            write!(f, " since {since}")?;
        }
        if !self.ready.is_true && !message.is_empty() {
            write!(f, ": {message}")?;
        }
        for pressure in &self.pressures {
            write!(f, ", {pressure}")?;
        }
        if self.unschedulable {
            f.write_str(", cordoned")?;
        }
        Ok(())
    }
}

/// The node. What the API server leaves out is read as not ready.
pub(super) fn read(node: &core::Node) -> Node {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    let spec = node.spec.as_ref();
    let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let annotations = node.metadata.annotations.as_ref();
    Node {
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        created: node.metadata.creation_timestamp.as_ref().map(|time| time.0),
        ready: Ready {
            is_true: ready.is_some_and(|condition| condition.status == "True"),
            status: ready.map_or_else(|| "Unknown".to_owned(), |condition| condition.status.clone()),
            message: ready.and_then(|condition| condition.message.clone()).unwrap_or_default(),
            since: ready.and_then(|condition| condition.last_transition_time.as_ref()).map(|time| time.0),
        },
        pressures: conditions
            .iter()
            .filter(|condition| condition.type_.ends_with("Pressure") && condition.status == "True")
            .map(|condition| condition.type_.clone())
            .collect(),
        tells_pressures: {
            let mut pressures =
                conditions.iter().filter(|condition| condition.type_.ends_with("Pressure")).peekable();
            pressures.peek().is_some() && pressures.all(|condition| condition.status != "Unknown")
        },
        tainted: taints.iter().any(|taint| taint.effect != "PreferNoSchedule"),
        unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or_default(),
        control_plane: taints.iter().any(|taint| CONTROL_PLANE.contains(&taint.key.as_str())),
        cordoned_at: annotations.and_then(|all| all.get(CORDONED_AT)).cloned(),
        annotations: annotations.cloned().unwrap_or_default(),
        provider_id: spec.and_then(|spec| spec.provider_id.clone()),
        out_of_service: taints.iter().any(|taint| taint.key == OUT_OF_SERVICE),
        allocatable: {
            let all = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
            all.into_iter().flatten().map(|(resource, amount)| (resource.clone(), amount.0.clone())).collect()
        },
    }
}

impl Kubernetes {
    /// All nodes of the cluster.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering, also when there are more than 10,000.
    pub async fn nodes(&self) -> Result<Arc<[Node]>, CallError> {
        let question = format!("{} nodes", self.inner.writes.load(Ordering::SeqCst));
        let list = || async {
            let nodes: Vec<core::Node> =
                self.list("list the nodes", &core::Node::url_path(&(), None)).await?;
            Ok(nodes.iter().map(read).collect())
        };
        self.inner.nodes.ask(question, list).await
    }

    /// The node of this name; none when there is no such node (any more).
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn node(&self, name: &str) -> Result<Option<Node>, CallError> {
        let call = format!("read node/{name}");
        checked(&call, name)?;
        let node: Option<core::Node> =
            self.get_or_none(&call, &core::Node::url_path(&(), None), name).await?;
        Ok(node.as_ref().map(read).filter(|node| node.name == name))
    }

    /// Keeps new pods away from the node with this `uid`, and notes that runbookd did. The same note again changes nothing.
    ///
    /// # Errors
    /// `Conflict` when the node of that name is another one by now.
    pub async fn cordon_node(&self, name: &str, uid: &str, cordoned_at: &str) -> Result<(), CallError> {
        let call = format!("cordon node/{name}");
        checked(&call, name)?;
        let change = json!({
            "metadata": {"uid": uid, "annotations": {CORDONED_AT: cordoned_at}},
            "spec": {"unschedulable": true},
        });
        self.write(&call, &core::Node::url_path(&(), None), name, STRATEGIC_MERGE, change).await
    }

    /// Lets new pods onto the node again that was cordoned with this note, and with no other.
    ///
    /// # Errors
    /// `Conflict` when the node is another one, or was cordoned by somebody else since.
    pub async fn uncordon_node(&self, name: &str, uid: &str, cordoned_at: &str) -> Result<(), CallError> {
        self.uncordon_with_note(name, uid, (CORDONED_AT, cordoned_at)).await
    }

    /// Keeps new pods away from a node that was read as one that takes them, and puts a note onto it: both or neither.
    ///
    /// # Errors
    /// `Conflict` when the node is another one by now, is cordoned, or has such a note.
    pub async fn cordon_with_note(&self, node: &Node, note: (&str, &str)) -> Result<(), CallError> {
        let call = format!("cordon node/{}", node.name);
        checked(&call, &node.name)?;
        let mut change = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": node.uid}),
            json!({"op": "test", "path": "/spec/unschedulable", "value": null}),
        ];
        change.extend(with_note(!node.annotations.is_empty(), note));
        change.push(json!({"op": "add", "path": "/spec/unschedulable", "value": true}));
        let path = core::Node::url_path(&(), None);
        self.write(&call, &path, &node.name, JSON_PATCH, Value::Array(change)).await
    }

    /// Puts a note onto a node that was read without one, and changes nothing else of it.
    ///
    /// # Errors
    /// `Conflict` when the node is another one by now, or has such a note.
    pub async fn note_node(&self, node: &Node, note: (&str, &str)) -> Result<(), CallError> {
        let call = format!("put a note onto node/{}", node.name);
        checked(&call, &node.name)?;
        let mut change = vec![json!({"op": "test", "path": "/metadata/uid", "value": node.uid})];
        change.extend(with_note(!node.annotations.is_empty(), note));
        let path = core::Node::url_path(&(), None);
        self.write(&call, &path, &node.name, JSON_PATCH, Value::Array(change)).await
    }

    /// Lets new pods onto the node again that bears this note, and takes the note off it: both or neither.
    ///
    /// # Errors
    /// `Conflict` when the node is another one, has another note, or is not cordoned.
    pub async fn uncordon_with_note(
        &self,
        name: &str,
        uid: &str,
        (key, note): (&str, &str),
    ) -> Result<(), CallError> {
        let call = format!("uncordon node/{name}");
        checked(&call, name)?;
        let change: Value = json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "test", "path": of_note(key), "value": note},
            {"op": "test", "path": "/spec/unschedulable", "value": true},
            {"op": "remove", "path": of_note(key)},
            {"op": "remove", "path": "/spec/unschedulable"},
        ]);
        self.write(&call, &core::Node::url_path(&(), None), name, JSON_PATCH, change).await
    }

    /// Takes this note off a node, and changes nothing else of it.
    ///
    /// # Errors
    /// `Conflict` when the node is another one, or has another note.
    pub async fn remove_note_of_node(
        &self,
        name: &str,
        uid: &str,
        note: (&str, &str),
    ) -> Result<(), CallError> {
        let call = format!("take the note off node/{name}");
        checked(&call, name)?;
        self.write(&call, &core::Node::url_path(&(), None), name, JSON_PATCH, without_note(uid, note)).await
    }

    /// Deletes the object of the node with this `uid`; its machine goes on. One that is gone is deleted.
    ///
    /// # Errors
    /// `Conflict` when the node of that name is another one by now.
    pub async fn delete_node(&self, name: &str, uid: &str) -> Result<(), CallError> {
        let call = format!("delete node/{name}");
        checked(&call, name)?;
        self.delete(&call, &format!("{}/{name}", core::Node::url_path(&(), None)), uid, &json!({})).await
    }
}

fn checked(call: &str, name: &str) -> Result<(), CallError> {
    if valid_name(name) {
        return Ok(());
    }
    Err(CallError::unsent(call, &format!("{name:?} is not the name of a node")))
}
