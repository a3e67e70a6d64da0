//! The cluster of samosaChaat as it stands when the world begins: four deployments that have run for an hour.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::managed::all_fields;
use super::{Cluster, Happening, NAMESPACE, Name, seconds};
use crate::sandbox::chance::Chance;
use crate::sandbox::state::Pace;

/// What differs between the deployments.
struct Service {
    name: &'static str,
    replicas: u32,
    port: u16,
    pool: Option<&'static str>,
    memory: (&'static str, &'static str),
}

const SERVICES: [Service; 4] = [
    Service { name: "frontend", replicas: 2, port: 3000, pool: None, memory: ("256Mi", "128Mi") },
    Service { name: "auth", replicas: 2, port: 8001, pool: None, memory: ("512Mi", "128Mi") },
    Service { name: "chat-api", replicas: 2, port: 8002, pool: Some("5"), memory: ("512Mi", "128Mi") },
    Service { name: "inference", replicas: 1, port: 8003, pool: None, memory: ("8Gi", "256Mi") },
];

/// The port at which the processes of this name answer, if they do.
pub(super) fn port_of(name: &str) -> Option<u16> {
    SERVICES.iter().find(|service| service.name == name).map(|service| service.port)
}

impl Cluster {
    /// The cluster after an hour of calm, and what happened when its pods started.
    pub(in crate::sandbox) fn samosachaat(
        now: Timestamp,
        pace: Pace,
        chance: &mut Chance,
    ) -> (Self, Vec<Happening>) {
        let mut cluster = Self::empty();
        let hour_ago = now.saturating_sub(SignedDuration::from_hours(1)).unwrap_or(now);
        for namespace in ["default", "kube-system", NAMESPACE] {
            cluster.store_other("namespaces", named_namespace(namespace, hour_ago, chance));
        }
        for number in 1..=3 {
            cluster.store_other("nodes", node(number, hour_ago, chance));
        }
        for service in &SERVICES {
            let name: Name = (NAMESPACE.to_owned(), service.name.to_owned());
            cluster.store_deployment(&name, deployment(service, hour_ago, chance));
            cluster.declare(&name);
        }
        let mut happenings = Vec::new();
        let mut at = hour_ago;
        for _ in 0..12 {
            let (_, happened) = cluster.advance(at, pace, chance);
            happenings.extend(happened);
            at = at.saturating_add(SignedDuration::from_secs(12)).unwrap_or(at);
        }
        (cluster, happenings)
    }
}

fn deployment(service: &Service, at: Timestamp, chance: &mut Chance) -> Value {
    let Service { name, replicas, port, pool, memory } = service;
    let labels = json!({"app.kubernetes.io/name": name});
    let env = pool.map(|size| json!([{"name": "SQLALCHEMY_POOL_SIZE", "value": size}]));
    let resources = json!({"limits": {"memory": memory.0}, "requests": {"cpu": "100m", "memory": memory.1}});
    let image = format!("example/{name}:1");
    let mut applied = json!({
        "name": name, "image": image, "ports": [{"containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/api/health", "port": port}}, "resources": resources,
    });
    let mut container = json!({
        "name": name,
        "image": image,
        "ports": [{"containerPort": port, "protocol": "TCP"}],
        "resources": resources,
        "readinessProbe": {
            "httpGet": {"path": "/api/health", "port": port, "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    });
    if let Some(env) = env {
        applied["env"] = env.clone();
        container["env"] = env;
    }
    let applied = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"annotations": {}, "name": name, "namespace": NAMESPACE},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": {"containers": [applied]}}},
    });
    let spec = json!({
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "containers": [container],
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 30,
                "dnsPolicy": "ClusterFirst",
                "securityContext": {},
                "schedulerName": "default-scheduler",
            },
        },
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    });
    let managed = json!([
        {"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "apps/v1", "time": seconds(at),
         "fieldsType": "FieldsV1", "fieldsV1": {
            "f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/last-applied-configuration": {}}},
            "f:spec": all_fields(&spec)}},
        {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "apps/v1", "time": seconds(at),
         "fieldsType": "FieldsV1", "fieldsV1": {
            "f:metadata": {"f:annotations": {"f:deployment.kubernetes.io/revision": {}}},
            "f:status": {"f:availableReplicas": {}, "f:conditions": {}, "f:observedGeneration": {}, "f:readyReplicas": {},
                         "f:replicas": {}, "f:updatedReplicas": {}}},
         "subresource": "status"},
    ]);
    json!({
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": chance.uid(),
            "generation": 1,
            "creationTimestamp": seconds(at),
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": format!("{applied}\n")},
            "managedFields": managed,
        },
        "spec": spec,
        "status": {},
    })
}

fn named_namespace(name: &str, at: Timestamp, chance: &mut Chance) -> Value {
    json!({
        "metadata": {"name": name, "uid": chance.uid(), "creationTimestamp": seconds(at),
                     "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    })
}

pub(super) fn node(number: u32, at: Timestamp, chance: &mut Chance) -> Value {
    let name = format!("node-{number}");
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "lastHeartbeatTime": seconds(at), "lastTransitionTime": seconds(at),
               "reason": reason, "message": message})
    };
    let capacity = json!({"cpu": "16", "memory": "64Gi", "pods": "110"});
    json!({
        "metadata": {
            "name": name, "uid": chance.uid(), "creationTimestamp": seconds(at),
            "labels": {"beta.kubernetes.io/os": "linux", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
            "annotations": {"node.alpha.kubernetes.io/ttl": "0"},
        },
        "spec": {"providerID": format!("aws:///eu-central-1a/i-{number:017x}")},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [
                condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": "m", "systemUUID": "u", "bootID": "b", "kernelVersion": "6.12", "osImage": "Linux",
                "containerRuntimeVersion": "containerd://2.1", "kubeletVersion": "v1.36.2", "kubeProxyVersion": "v1.36.2",
                "operatingSystem": "linux", "architecture": "amd64",
            },
        },
    })
}
