//! Others who change deployments: an Argo CD that puts back what differs from its repository, and a person with a chart.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Cluster, Name, Writer, record_change};
use crate::sandbox::state::Pace;

/// How long Argo CD takes to heal.
const SELF_HEAL: Duration = Duration::from_secs(5);

/// What meddlers remember.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Meddlers {
    /// The specs that the repository holds.
    repository: BTreeMap<Name, Value>,
    /// The specs of the chart's deployments.
    pub(in crate::sandbox) declared: BTreeMap<Name, Value>,
    /// The specs of the chart's autoscalers.
    pub(in crate::sandbox) autoscalers: BTreeMap<Name, Value>,
    /// Since when a deployment is not as the repository says.
    drifted: BTreeMap<Name, Timestamp>,
}

impl Meddlers {
    pub(super) fn declared_replicas(&self, name: &Name) -> Option<u64> {
        self.declared.get(name)?["replicas"].as_u64()
    }
}

impl Cluster {
    /// From now on the present spec of the deployment is what the repository holds, and Argo CD heals to it.
    pub(in crate::sandbox) fn heal_to_present(&mut self, name: &Name, now: Timestamp) -> bool {
        let tracking = format!("samosachaat:apps/Deployment:{}/{}", name.0, name.1);
        let known = self.edit_deployment(name, "argocd-controller", now, |deployment| {
            deployment["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!(tracking);
        });
        if let Some(deployment) = self.deployments.get(name) {
            self.meddlers.repository.insert(name.clone(), deployment["spec"].clone());
        }
        known
    }

    /// What `helm upgrade` does: every value that the chart declares is set again, and what it does not name is left alone.
    pub(in crate::sandbox) fn helm_upgrade(&mut self, name: &Name, now: Timestamp) -> bool {
        if let Some(declared) = self.meddlers.autoscalers.get(name).cloned()
            && let Some(before) =
                self.others.get("horizontalpodautoscalers").and_then(|all| all.get(name)).cloned()
        {
            let mut after = before.clone();
            heal(&mut after["spec"], &declared);
            if after != before {
                let writer = Writer { manager: "helm", version: "autoscaling/v2", subresource: None };
                record_change(&before, &mut after, writer, now);
                self.store_other("horizontalpodautoscalers", after);
            }
        }
        let Some(declared) = self.meddlers.declared.get(name).cloned() else { return false };
        self.edit_deployment(name, "helm", now, |deployment| heal(&mut deployment["spec"], &declared))
    }

    /// The chart declares what the deployment is now.
    pub(super) fn declare(&mut self, name: &Name) {
        if let Some(deployment) = self.deployments.get(name) {
            self.meddlers.declared.insert(name.clone(), deployment["spec"].clone());
        }
    }

    pub(super) fn advance_repository(&mut self, now: Timestamp, pace: Pace) {
        let repository = self.meddlers.repository.clone();
        for (name, wanted) in repository {
            let Some(live) = self.deployments.get(&name) else { continue };
            let mut healed = live["spec"].clone();
            heal(&mut healed, &wanted);
            if healed == live["spec"] {
                self.meddlers.drifted.remove(&name);
                continue;
            }
            let since = *self.meddlers.drifted.entry(name.clone()).or_insert(now);
            if pace.after(since, SELF_HEAL) <= now {
                self.edit_deployment(&name, "argocd-controller", now, |deployment| {
                    deployment["spec"] = healed
                });
            }
        }
    }
}

/// Sets what the repository says. Fields that it does not name, such as the annotation of a restart, are left alone.
fn heal(live: &mut Value, wanted: &Value) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            for (key, wanted) in wanted {
                heal(live.entry(key.clone()).or_insert(Value::Null), wanted);
            }
        }
        // Lists whose items have names merge by them; what only the live one has is nobody's drift.
        (Value::Array(live), Value::Array(wanted))
            if !wanted.is_empty() && wanted.iter().all(|item| item["name"].is_string()) =>
        {
            for wanted in wanted {
                match live.iter_mut().find(|live| live["name"] == wanted["name"]) {
                    Some(live) => heal(live, wanted),
                    None => live.push(wanted.clone()),
                }
            }
        }
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            live.iter_mut().zip(wanted).for_each(|(live, wanted)| heal(live, wanted));
        }
        (live, wanted) => live.clone_from(wanted),
    }
}
