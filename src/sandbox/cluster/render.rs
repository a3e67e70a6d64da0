//! Replica sets and pods as the API serves them.

use serde_json::{Value, json};

use super::{Pod, ReplicaSet, seconds};

impl ReplicaSet {
    pub(in crate::sandbox) fn render(&self) -> Value {
        let mut labels = self.template["metadata"]["labels"].clone();
        let selector = labels.clone();
        labels["pod-template-hash"] = json!(self.hash);
        let mut status = json!({
            "replicas": self.counts.replicas,
            "terminatingReplicas": self.counts.terminating,
            "observedGeneration": self.observed,
        });
        if self.counts.replicas > 0 {
            status["fullyLabeledReplicas"] = json!(self.counts.replicas);
        }
        if self.counts.ready > 0 {
            status["readyReplicas"] = json!(self.counts.ready);
            status["availableReplicas"] = json!(self.counts.ready);
        }
        if let Some((message, at)) = &self.failure {
            status["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                                           "message": message, "lastTransitionTime": seconds(*at)}]);
        }
        json!({
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "uid": self.uid,
                "resourceVersion": self.version.to_string(),
                "generation": self.generation,
                "creationTimestamp": seconds(self.created),
                "labels": labels,
                "annotations": {
                    "deployment.kubernetes.io/desired-replicas": self.desired.to_string(),
                    "deployment.kubernetes.io/max-replicas": self.max.to_string(),
                    "deployment.kubernetes.io/revision": self.revision.to_string(),
                },
                "ownerReferences": [owner(self.owner_kind, &self.deployment, &self.owner_uid)],
                "managedFields": managed(),
            },
            "spec": {"replicas": self.replicas, "selector": {"matchLabels": selector}, "template": self.template},
            "status": status,
        })
    }
}

impl Pod {
    pub(in crate::sandbox) fn render(&self) -> Value {
        let mut metadata = json!({
            "name": self.name,
            "generateName": format!("{}-", self.owner),
            "namespace": self.namespace,
            "uid": self.uid,
            "resourceVersion": self.version.to_string(),
            "generation": 1,
            "creationTimestamp": seconds(self.created),
            "labels": self.template["metadata"]["labels"],
            "ownerReferences": [owner(self.owner_kind, &self.owner, &self.owner_uid)],
            "managedFields": managed(),
        });
        if let Some(annotations) = self.template["metadata"].get("annotations") {
            metadata["annotations"] = annotations.clone();
        }
        if let Some(gone) = self.gone_at {
            metadata["deletionTimestamp"] = json!(seconds(gone));
            metadata["deletionGracePeriodSeconds"] = json!(30);
            metadata["generation"] = json!(2);
        }
        let mut spec = self.template["spec"].clone();
        let volume = format!("kube-api-access-{}", &self.name[self.name.len().saturating_sub(5)..]);
        spec["volumes"] = json!([{"name": volume, "projected": {"sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ], "defaultMode": 420}}]);
        spec["containers"][0]["volumeMounts"] = json!([
            {"name": volume, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
        ]);
        let extra = json!({
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ],
            "priority": 0,
            "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority",
        });
        for (key, value) in extra.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        if let Some(node) = &self.node {
            spec["nodeName"] = json!(node);
        }
        json!({"metadata": metadata, "spec": spec, "status": self.status()})
    }

    /// A pod that no node has room for.
    fn unscheduled(&self) -> Value {
        json!({
            "phase": "Pending",
            "conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastProbeTime": null,
                "lastTransitionTime": seconds(self.created), "message": "0 nodes are available: no node has room for it.",
            }],
            "qosClass": "Burstable",
        })
    }

    fn status(&self) -> Value {
        if self.node.is_none() {
            return self.unscheduled();
        }
        let ready = self.ready_since.is_some() && self.stopping_since.is_none();
        let created = seconds(self.created);
        let changed = self.stopping_since.or(self.ready_since).map_or_else(|| created.clone(), seconds);
        let condition = |kind: &str, ready: bool, since: &str| {
            if ready {
                json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": since})
            } else {
                let message = format!("containers with unready status: [{}]", self.service);
                json!({"type": kind, "status": "False", "lastProbeTime": null, "lastTransitionTime": since,
                       "reason": "ContainersNotReady", "message": message})
            }
        };
        // A process that runs and does not answer its probe is running, started and not ready. Of a lost one nobody has corrected it.
        let runs = self.ready_since.is_some() || self.broken || self.lost;
        let state = if runs {
            json!({"running": {"startedAt": self.ready_since.map_or_else(|| created.clone(), seconds)}})
        } else {
            json!({"waiting": {"reason": "ContainerCreating"}})
        };
        // What a real one says between two crashes.
        let crashed = self.crashing.as_ref().and_then(|crashing| Some((crashing, crashing.ended?)));
        let (runs, state) = if crashed.is_some() && self.ready_since.is_none() {
            let message = format!("back-off restarting failed container={} pod={}", self.service, self.name);
            (true, json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}}))
        } else {
            (runs, state)
        };
        let container = &self.template["spec"]["containers"][0];
        let mut container_status = json!({
            "name": container["name"],
            "state": state,
            "lastState": {},
            "ready": ready || self.lost,
            "restartCount": 0,
            "image": container["image"],
            "imageID": if runs { "example@sha256:0d14404a" } else { "" },
            "started": runs,
        });
        let mut status = json!({
            "phase": if runs { "Running" } else { "Pending" },
            "conditions": [
                condition("Initialized", true, &created),
                condition("Ready", ready, &changed),
                condition("ContainersReady", ready || self.lost, &changed),
                condition("PodScheduled", true, &created),
            ],
            "hostIP": "10.0.1.5",
            "hostIPs": [{"ip": "10.0.1.5"}],
            "startTime": created,
            "qosClass": "Burstable",
        });
        if let Some((crashing, ended)) = crashed {
            container_status["restartCount"] = json!(crashing.restarts);
            container_status["started"] = json!(self.ready_since.is_some());
            container_status["lastState"] = json!({"terminated": {
                "exitCode": crashing.fault.exit_code, "reason": crashing.fault.reason,
                "startedAt": seconds(ended), "finishedAt": seconds(ended),
                "containerID": format!("containerd://{}", self.uid.replace('-', "")),
            }});
        }
        if runs {
            container_status["containerID"] = json!(format!("containerd://{}", self.uid.replace('-', "")));
            let ip = self.address.map_or_else(|| self.ip.clone(), |address| address.to_string());
            status["podIP"] = json!(ip);
            status["podIPs"] = json!([{"ip": ip}]);
        }
        status["containerStatuses"] = json!([container_status]);
        status
    }
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    let version = "apps/v1";
    json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true})
}

/// Who owns what in objects that only controllers write; nothing reads more than the manager's name.
fn managed() -> Value {
    json!([{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {}, "f:spec": {}}}])
}
