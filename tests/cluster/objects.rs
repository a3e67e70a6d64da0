//! The objects of the tests, as JSON: what is made, and how to see what became of it.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::stage::LABEL;

/// Pods with this label are left alone by those who play kubelet and scheduler.
pub(crate) const LEFT: &str = "runbookd.dev/test-left";
/// No registry: `invalid` is reserved for names that never resolve (RFC 2606).
pub(crate) const IMAGE: &str = "registry.invalid/none:1";
/// No scheduler of this name runs anywhere.
const NOBODY: &str = "runbookd-test-nobody";

/// A node that takes none but the test's own pods.
pub(crate) fn node(name: &str, namespace: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {LABEL: namespace, "kubernetes.io/hostname": name}},
        "spec": {"taints": [{"key": LABEL, "value": namespace, "effect": "NoSchedule"}]},
        "status": {"conditions": node_conditions(runbookd::clock::now()),
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
    })
}

/// What a kubelet says that is well.
pub(crate) fn node_conditions(now: Timestamp) -> Value {
    let one = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": reason,
            "lastHeartbeatTime": seconds(now), "lastTransitionTime": seconds(now)})
    };
    json!([
        one("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        one("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        one("PIDPressure", "False", "KubeletHasSufficientPID"),
        one("Ready", "True", "KubeletReady"),
    ])
}

/// A time as Kubernetes writes it.
pub(crate) fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap().to_string()
}

/// A pod's spec with one container, which nothing but the test puts anywhere, and which the strictest namespace takes.
pub(crate) fn pod_spec(container: &str) -> Value {
    json!({
        "schedulerName": NOBODY,
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": container,
            "image": IMAGE,
            // Go writes these otherwise than everybody else.
            "command": ["sh", "-c", "a && b < c > d"],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    })
}

/// A Deployment, `StatefulSet` or `DaemonSet` of two pods.
pub(crate) fn workload(kind: &str, name: &str, namespace: &str) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec(name)},
        },
    });
    match kind {
        "DaemonSet" => {
            object["spec"]["template"]["spec"]["nodeSelector"] = json!({LABEL: namespace});
            // One after the other takes as long as a controller's back-off.
            object["spec"]["updateStrategy"] = json!({"rollingUpdate": {"maxUnavailable": 2}});
        }
        "StatefulSet" => {
            object["spec"]["replicas"] = json!(2);
            object["spec"]["serviceName"] = json!(name);
        }
        _ => object["spec"]["replicas"] = json!(2),
    }
    object
}

/// A pod that nothing makes anew, unless `owners` says otherwise.
pub(crate) fn pod(name: &str, owners: &Value) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}, "ownerReferences": owners}, "spec": pod_spec(name)})
}

/// A budget over the pods of an app.
pub(crate) fn budget(app: &str, least: i32) -> Value {
    json!({"metadata": {"name": app}, "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": app}}}})
}

/// An autoscaler of the workload of this name; without a `least` it says none.
pub(crate) fn autoscaler(name: &str, kind: &str, least: &Value, most: u32) -> Value {
    json!({"metadata": {"name": name}, "spec": {"minReplicas": least, "maxReplicas": most,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}}})
}

/// The status that a kubelet writes when all containers run.
pub(crate) fn running(pod: &Value, now: Timestamp) -> Value {
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": seconds(now)});
    let container = |container: &Value| {
        json!({"name": container["name"], "image": container["image"], "imageID": "none", "restartCount": 0,
            "ready": true, "started": true, "state": {"running": {"startedAt": seconds(now)}}})
    };
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition);
    json!({"status": {
        "phase": "Running",
        "startTime": seconds(now),
        "conditions": conditions,
        "containerStatuses": containers.iter().map(container).collect::<Vec<_>>(),
    }})
}

/// The status of a pod whose container ended so, was started again so often, and waits for this reason.
pub(crate) fn failing(pod: &Value, waiting: &str, ended: &str, restarts: u32, now: Timestamp) -> Value {
    let mut status = running(pod, now);
    let container = &mut status["status"]["containerStatuses"][0];
    container["ready"] = json!(false);
    container["started"] = json!(false);
    container["restartCount"] = json!(restarts);
    container["state"] = json!({"waiting": {"reason": waiting, "message": "back-off"}});
    if restarts > 0 {
        container["lastState"] = json!({"terminated": {"reason": ended, "exitCode": 137,
            "startedAt": seconds(now), "finishedAt": seconds(now)}});
    }
    for condition in status["status"]["conditions"].as_array_mut().unwrap() {
        if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
            condition["status"] = json!("False");
        }
    }
    status
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

pub(crate) fn is_stopping(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

/// Whether the controller has seen the newest spec, and all pods of it are available.
pub(crate) fn is_rolled_out(object: &Value, pods: usize) -> bool {
    let status = &object["status"];
    let is = |names: [&str; 2]| names.iter().any(|name| status[*name] == pods);
    status["observedGeneration"] == object["metadata"]["generation"]
        && is(["updatedReplicas", "updatedNumberScheduled"])
        && is(["availableReplicas", "numberAvailable"])
        && is(["replicas", "currentNumberScheduled"])
        && status["updateRevision"] == status["currentRevision"]
}

/// The node that a `DaemonSet`'s pod is made for.
pub(crate) fn wanted_node(pod: &Value) -> Option<String> {
    let terms =
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    pod.pointer(&format!("{terms}/0/matchFields/0/values/0")).and_then(Value::as_str).map(str::to_owned)
}
