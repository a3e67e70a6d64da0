//! Others who change deployments: an autoscaler that keeps replicas within its bounds, and an Argo CD that
//! puts back what differs from its repository.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Cluster, Name};
use crate::sandbox::state::Pace;

/// How long an autoscaler takes to look; the real one looks every 15 s.
const AUTOSCALER: Duration = Duration::from_secs(15);
/// How long Argo CD takes to heal.
const SELF_HEAL: Duration = Duration::from_secs(5);

/// What meddlers remember.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Meddlers {
    /// The specs that the repository holds.
    repository: BTreeMap<Name, Value>,
    /// Since when a deployment is not as its autoscaler wants it.
    out_of_bounds: BTreeMap<Name, Timestamp>,
    /// Since when a deployment is not as the repository says.
    drifted: BTreeMap<Name, Timestamp>,
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

    pub(super) fn advance_meddlers(&mut self, now: Timestamp, pace: Pace) {
        self.advance_autoscalers(now, pace);
        self.advance_repository(now, pace);
    }

    fn advance_autoscalers(&mut self, now: Timestamp, pace: Pace) {
        let autoscalers = self.others.get("horizontalpodautoscalers").cloned().unwrap_or_default();
        for ((namespace, _), autoscaler) in autoscalers {
            let spec = &autoscaler["spec"];
            let name = (namespace, spec["scaleTargetRef"]["name"].as_str().unwrap_or_default().to_owned());
            let replicas =
                self.deployments.get(&name).and_then(|deployment| deployment["spec"]["replicas"].as_u64());
            // Zero replicas switch an autoscaler off.
            let Some(replicas) = replicas.filter(|replicas| *replicas > 0) else { continue };
            let (min, max) =
                (spec["minReplicas"].as_u64().unwrap_or(1), spec["maxReplicas"].as_u64().unwrap_or(1));
            let wanted = replicas.clamp(min.min(max), max);
            if wanted == replicas {
                self.meddlers.out_of_bounds.remove(&name);
                continue;
            }
            let since = *self.meddlers.out_of_bounds.entry(name.clone()).or_insert(now);
            if pace.after(since, AUTOSCALER) <= now {
                self.edit_deployment(&name, "kube-controller-manager", now, |deployment| {
                    deployment["spec"]["replicas"] = json!(wanted);
                });
            }
        }
    }

    fn advance_repository(&mut self, now: Timestamp, pace: Pace) {
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
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            live.iter_mut().zip(wanted).for_each(|(live, wanted)| heal(live, wanted));
        }
        (live, wanted) => live.clone_from(wanted),
    }
}
