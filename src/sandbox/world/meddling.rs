//! Others who have a hand in the cluster: autoscalers, Argo CD, quotas, and people with kubectl and helm.

use serde_json::{Value, json};

use super::{World, named};
use crate::clock;
use crate::sandbox::cluster::{NAMESPACE, seconds};

impl World {
    /// Puts a deployment under Argo CD's self-healing: what is changed from now on, is put back after 5 s of the world.
    pub fn self_heal(&self, deployment: &str) -> bool {
        self.shared.change(|state| state.cluster.heal_to_present(&named(deployment), clock::now()))
    }

    /// Puts a `HorizontalPodAutoscaler` of the deployment's name into the cluster. It looks every 15 s of the world, keeps replicas within its
    /// bounds, and wants its pods to use 70 % of the CPU that they request.
    pub fn put_autoscaler(&self, deployment: &str, min: u32, max: u32) {
        self.shared.change(|state| {
            let (uid, now) = (state.chance.uid(), clock::now());
            let spec = json!({
                "scaleTargetRef": {"kind": "Deployment", "name": deployment, "apiVersion": "apps/v1"},
                "minReplicas": min, "maxReplicas": max,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}],
            });
            state.cluster.meddlers.autoscalers.insert(named(deployment), spec.clone());
            state.cluster.store_other("horizontalpodautoscalers", json!({
                "metadata": {"name": deployment, "namespace": NAMESPACE, "uid": uid, "creationTimestamp": seconds(now),
                             "managedFields": [{
                                "manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "autoscaling/v2",
                                "time": seconds(now), "fieldsType": "FieldsV1",
                                "fieldsV1": {"f:spec": {"f:maxReplicas": {}, "f:metrics": {}, "f:minReplicas": {},
                                                        "f:scaleTargetRef": {"f:apiVersion": {}, "f:kind": {}, "f:name": {}}}}}]},
                "spec": spec,
                "status": {"currentReplicas": min, "desiredReplicas": min, "currentMetrics": null, "conditions": []},
            }));
        });
    }

    /// An autoscaler as the API serves it.
    #[must_use]
    pub fn autoscaler(&self, name: &str) -> Option<Value> {
        self.shared.lock().cluster.others.get("horizontalpodautoscalers")?.get(&named(name)).cloned()
    }

    /// Whether there are metrics for autoscalers; without, `ScalingActive` is `False`, and they keep the bounds and do no more.
    pub fn serve_metrics(&self, served: bool) {
        self.shared.change(|state| state.cluster.autoscalers.blind = !served);
    }

    /// What a person's `helm upgrade` with unchanged values does: the deployment, and the autoscaler of its name, are again what the chart
    /// declares, which is what they were when the world began or the autoscaler was put there.
    pub fn helm_upgrade(&self, deployment: &str) -> bool {
        self.shared.change(|state| state.cluster.helm_upgrade(&named(deployment), clock::now()))
    }

    /// What a person's `kubectl set resources --limits=memory=...` does, on the first container.
    pub fn set_memory_limit(&self, deployment: &str, limit: &str) -> bool {
        self.edit(deployment, "kubectl-set", |deployment| {
            deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] =
                json!(limit);
        })
    }

    /// What a person's `kubectl set env NAME=VALUE` does, on the first container; no value takes the variable away.
    pub fn set_env(&self, deployment: &str, name: &str, value: Option<&str>) -> bool {
        self.edit(deployment, "kubectl-set", |deployment| {
            let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
            let mut env = container["env"].as_array().cloned().unwrap_or_default();
            match (env.iter_mut().find(|entry| entry["name"] == name), value) {
                (Some(entry), Some(value)) => entry["value"] = json!(value),
                (None, Some(value)) => env.push(json!({"name": name, "value": value})),
                (_, None) => env.retain(|entry| entry["name"] != name),
            }
            if !env.is_empty() {
                container["env"] = json!(env);
            } else if let Some(container) = container.as_object_mut() {
                container.remove("env");
            }
        })
    }

    /// Puts a `ResourceQuota` into the namespace, such as `requests.memory` of `4Gi`. Pods that would exceed it are not created.
    pub fn put_quota(&self, name: &str, hard: &[(&str, &str)]) {
        self.shared.change(|state| {
            let uid = state.chance.uid();
            let hard: serde_json::Map<String, Value> =
                hard.iter().map(|(what, most)| ((*what).to_owned(), json!(most))).collect();
            state.cluster.store_other("resourcequotas", json!({
                "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "creationTimestamp": seconds(clock::now())},
                "spec": {"hard": hard}, "status": {},
            }));
            state.cluster.advance_quotas();
        });
    }

    /// Takes a quota away.
    pub fn remove_quota(&self, name: &str) {
        self.shared.change(|state| {
            if let Some(quotas) = state.cluster.others.get_mut("resourcequotas") {
                quotas.remove(&named(name));
            }
            state.cluster.next_version();
        });
    }
}
