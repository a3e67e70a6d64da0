//! What an action would do, in full: the change, the value before, what else is touched, the circumstances.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::deploying::Deploying;
pub use crate::runbook::Kind;
use crate::runbook::{Action, Field, Hash, HttpCall};
use crate::text::hex;

/// An object that is acted on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Its kind, such as `deployment`.
    pub kind: Kind,
    /// Its namespace; for a node, that of the pods on it that are meant.
    pub namespace: String,
    /// Its name; never guessed.
    pub name: String,
}

impl Target {
    /// `samosachaat-prod/deployment/chat-api`: the key of the limits and of the row that keeps others away.
    #[must_use]
    pub fn key(&self) -> String {
        // A node is in no namespace: whoever works on it, works on the same one.
        let namespace = if self.kind == Kind::Node { "" } else { self.namespace.as_str() };
        format!("{namespace}/{}/{}", self.kind.as_str(), self.name)
    }

    /// `deployment/chat-api`, as kubectl names it.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.name)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            // It is in no namespace; the one that is named with it says which of its pods are meant.
            Kind::Node => f.write_str(&self.short()),
            _ => write!(f, "{} in {}", self.short(), self.namespace),
        }
    }
}

/// What an action would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The action.
    pub action: Action,
    /// On what.
    pub target: Target,
    /// The very object: another one of the same name is refused at the write.
    pub uid: String,
    /// In an operator's words: "restart deployment/chat-api in samosachaat-prod".
    pub says: String,
    /// The change.
    pub change: Change,
    /// What else happens, such as "2 pods are replaced, one after the other".
    pub touches: Vec<String>,
    /// The very objects that are acted on, when they are not the target itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Object>,
    /// The fields that are set, when it is fields that are changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sets: Option<Sets>,
    /// The calls that are made, when it is calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Calls>,
    /// The records that are written, when it is records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Record>,
    /// The saved plan of terraform that is applied, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<SavedPlan>,
    /// The workflow that is started, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatch: Option<Dispatch>,
    /// What was read from the cluster; guards look at it and ask nobody.
    pub circumstances: Circumstances,
    /// After this long the effect must be complete.
    pub settles_within: Duration,
    /// When it was made. A plan grows old.
    pub made_at: Timestamp,
}

impl Plan {
    /// The key of the limits and of the row that keeps others away: what is changed. That is the target, or the directory or the workflow, for whomever
    /// it is meant.
    #[must_use]
    pub fn key(&self) -> String {
        if self.action.is_elsewhere() { self.uid.clone() } else { self.target.key() }
    }

    /// Whether there is nothing to do: the step is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.action == Action::Terraform && self.saved.is_none()
    }

    /// For so long something that was sent may be under way and not be seen: after the permit has run out, and after its answer. None: what is not
    /// seen is not there.
    #[must_use]
    pub fn under_way(&self) -> Option<(Duration, Duration)> {
        match (&self.calls, &self.dispatch) {
            (Some(calls), _) => Some((calls.under_way(), calls.call.may_take)),
            (None, Some(dispatch)) => Some((dispatch.settles, dispatch.settles)),
            (None, None) => None,
        }
    }

    /// One that does nothing yet: each action fills in what it has.
    #[must_use]
    pub fn bare(action: Action, target: Target, made_at: Timestamp) -> Self {
        Self {
            action,
            target,
            uid: String::new(),
            says: String::new(),
            change: Change::default(),
            touches: Vec::new(),
            objects: Vec::new(),
            sets: None,
            calls: None,
            records: Vec::new(),
            saved: None,
            dispatch: None,
            circumstances: Circumstances::default(),
            settles_within: Duration::ZERO,
            made_at,
        }
    }

    /// The hash of what a person judges: runbook, step, object, field, what else is touched. Not the times and
    /// not the resource version, which move while the person reads.
    #[must_use]
    pub fn judged(&self, runbook: &Hash, step: usize) -> Hash {
        let mut judged = serde_json::json!([
            runbook,
            step,
            self.action,
            self.target,
            self.uid,
            self.change.field,
            // The value before must still hold: a colleague may have been faster.
            self.change.before,
            self.change.judged,
            self.touches,
        ]);
        if let Some(judged) = judged.as_array_mut().filter(|_| !self.objects.is_empty()) {
            judged.push(serde_json::json!(self.objects));
        }
        if let (Some(judged), Some(sets)) = (judged.as_array_mut(), &self.sets) {
            judged.push(serde_json::json!(sets));
        }
        if let (Some(judged), Some(calls)) = (judged.as_array_mut(), &self.calls) {
            judged.push(serde_json::json!(calls));
        }
        if let Some(judged) = judged.as_array_mut().filter(|_| !self.records.is_empty()) {
            judged.push(serde_json::json!(self.records));
        }
        if let (Some(judged), Some(saved)) = (judged.as_array_mut(), &self.saved) {
            // Its addresses and acts are what people see; its values are only in the file, so it is this file and no other.
            judged.push(serde_json::json!([saved.directory, saved.sha256]));
        }
        if let (Some(judged), Some(dispatch)) = (judged.as_array_mut(), &self.dispatch) {
            judged.push(serde_json::json!([dispatch.workflow, dispatch.inputs]));
        }
        Hash(hex(&Sha256::digest(judged.to_string().as_bytes())))
    }
}

/// A plan of terraform that lies in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// The directory, by its name in the configuration.
    pub directory: String,
    /// The hash of the file: it is applied and no other.
    pub sha256: String,
    /// What is in it, without any value, as the client of terraform wrote it down; it alone reads it.
    pub planned: serde_json::Value,
    /// Outputs, and their values when the plan was made; none: there was none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<(String, Option<String>)>,
    /// It replaces nodes: when nothing of them has moved for so long, it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_stall_after: Option<Duration>,
}

/// A workflow that is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Such as `acme/infra/upgrade.yml@main`.
    pub workflow: String,
    /// Its inputs.
    pub inputs: BTreeMap<String, String>,
    /// By this its run is found again. Journaled before the call, so that a second permit says the same.
    pub mark: String,
    /// For so long after it was asked for, a run may be missing in the list.
    pub settles: Duration,
}

/// A CNAME that is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The id of the hosted zone.
    pub zone: String,
    /// The zone's name.
    pub zone_name: String,
    /// The record's name.
    pub name: String,
    /// What stands there; empty: nothing.
    pub before: Vec<String>,
    /// What ACM asks for.
    pub after: String,
}

/// An HTTP call, to one address or to every pod of `objects`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// What is sent, and how it can be seen to have happened.
    pub call: HttpCall,
    /// The pods' own addresses, in the order of the plan's `objects`. One that has another by now is another pod's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

impl Calls {
    /// Reading before one call takes no longer.
    pub const READS: Duration = Duration::from_secs(30);

    /// So many of them, with what is read before each, are over after this long.
    #[must_use]
    pub fn calling(&self, calls: usize) -> Duration {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        Self::READS.saturating_add(self.call.within).saturating_mul(calls)
    }

    /// For so long after the permit has run out a call that nobody answered may still be under way: the last one was sent by then, its answer
    /// was waited for, and its server worked on.
    #[must_use]
    pub fn under_way(&self) -> Duration {
        self.calling(self.addresses.len().max(1)).saturating_add(self.call.may_take)
    }
}

/// Fields of one object, set by one patch: all of them or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sets {
    /// The object: the target, or the autoscaler that owns the target's number of pods.
    pub object: Target,
    /// The very object.
    pub uid: String,
    /// What is set.
    pub fields: Vec<SetField>,
    /// How long it stays so.
    pub stays: Stays,
    /// What a person would change so that it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make_it_last: Option<String>,
}

/// One field that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetField {
    /// Which.
    pub field: Field,
    /// The value that must still be there at the write; none: there is none.
    pub before: Option<String>,
    /// The value that is written; none: it is removed.
    pub after: Option<String>,
    /// The declared value, which is put back in the end instead of `before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
}

/// How long a change stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stays {
    /// For good. What somebody else of us is to put back there is still put back in its time.
    ForGood,
    /// Until this long after the intent.
    For(Duration),
    /// Until the incident has recovered; when it ends otherwise, this long after its end.
    UntilRecovered {
        /// See above.
        or_else: Duration,
    },
    /// Until a person decides: it was put back once, and the trouble came with it.
    UntilAPersonDecides,
}

impl fmt::Display for SetField {
    /// `memory limit of inference 512Mi -> 2Gi`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.before.as_deref(), self.after.as_deref());
        let (before, after) = (self.field.or_absent(before), self.field.or_absent(after));
        write!(f, "{} {} -> {}", self.field, before.unwrap_or("nothing"), after.unwrap_or("nothing"))
    }
}

/// One of several objects that a plan is about, by the name and the uid that no other ever has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its name, in the target's namespace.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// One field and its values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its path in the object.
    pub field: String,
    /// The value before; none: the field was not there.
    pub before: Option<String>,
    /// The value that will be written: journaled, so that a second write of it changes nothing.
    pub after: String,
    /// The value after as far as a person judges it; a time stamp is "now".
    pub judged: String,
}

/// What surrounds the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// The rollout is paused: a restart would be accepted and roll nothing out.
    pub paused: bool,
    /// How many pods are wanted.
    pub replicas: u32,
    /// A rollout that is under way, in kubectl's words.
    pub rollout_in_progress: Option<String>,
    /// The object's own controller, such as `Rollout/chat-api`, which would undo the change.
    pub controller: Option<String>,
    /// What may undo the change, or keep it from lasting; for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_not_last: Vec<String>,
    /// What else stands against it, of this action alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Against>,
    /// What of a deployment was seen around it.
    #[serde(default, skip_serializing_if = "Deploying::is_not_looked")]
    pub deploying: Deploying,
}

/// What is known of an owner that runbookd leaves its objects to: whose kind it is, and what a person can do.
#[must_use]
pub fn known_owner(kind: &str) -> &'static str {
    match kind {
        "Rollout" => "Argo Rollouts; see `kubectl argo rollouts`",
        "ScaledJob" => "KEDA, which makes a Job for each piece of work",
        "Job" | "CronJob" => "a Job runs to its end, and is not restarted",
        "ReplicaSet" => "a ReplicaSet without a Deployment rolls nothing out",
        "Node" => "a static pod is the kubelet's own; see its manifest on the node",
        _ => "runbookd does not know this kind, and what its controller would put back",
    }
}

/// Something in the cluster that stands against an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Against {
    /// What was seen.
    pub saw: String,
    /// Why that is a reason, and what a person can do.
    pub why: String,
    /// Whether it may well pass by itself.
    pub passes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that a plan of terraform writes stand in its file alone.
    #[test]
    fn another_saved_plan_with_the_same_summary_is_another_judgement_and_a_later_time_is_not() {
        let plan = |sha256: &str, made_at| {
            let target =
                Target { kind: Kind::Terraform, namespace: "shop".to_owned(), name: "eks".to_owned() };
            let saved = SavedPlan {
                directory: "eks".to_owned(),
                sha256: sha256.to_owned(),
                planned: serde_json::Value::Null,
                outputs: Vec::new(),
                nodes_stall_after: None,
            };
            Plan { saved: Some(saved), ..Plan::bare(Action::Terraform, target, made_at) }
        };
        let judged = |plan: Plan| plan.judged(&Hash("r".to_owned()), 0);
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        assert_eq!(judged(plan("a", early)), judged(plan("a", late)));
        assert_ne!(judged(plan("a", early)), judged(plan("b", early)));
        assert_ne!(judged(plan("a", early)), judged(Plan { saved: None, ..plan("a", early) }));
    }
}
