//! The kinds that the API server knows, and what a path names.

use serde_json::{Value, json};

use super::status::Failure;
use crate::sandbox::cluster::{Cluster, Name};
use crate::sandbox::server::decoded;

/// A kind of the API.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) plural: &'static str,
    pub(super) kind: &'static str,
    pub(super) namespaced: bool,
    pub(super) patchable: bool,
}

const fn resource(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    patchable: bool,
) -> Resource {
    Resource { group, version, plural, kind, namespaced, patchable }
}

static RESOURCES: [Resource; 13] = [
    resource("", "v1", "namespaces", "Namespace", false, true),
    resource("", "v1", "nodes", "Node", false, true),
    resource("", "v1", "pods", "Pod", true, false),
    resource("", "v1", "resourcequotas", "ResourceQuota", true, false),
    resource("", "v1", "events", "Event", true, false),
    resource("events.k8s.io", "v1", "events", "Event", true, false),
    resource("apps", "v1", "deployments", "Deployment", true, true),
    resource("apps", "v1", "statefulsets", "StatefulSet", true, true),
    resource("apps", "v1", "daemonsets", "DaemonSet", true, true),
    resource("apps", "v1", "replicasets", "ReplicaSet", true, false),
    resource("batch", "v1", "jobs", "Job", true, false),
    resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true, true),
    resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true, false),
];

/// The kind of namespaces, for errors.
pub(super) fn namespaces() -> &'static Resource {
    &RESOURCES[0]
}

impl Resource {
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `deployments.apps`, as errors name it.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Deployment.apps`, as validation errors name it.
    pub(super) fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }
}

/// What a path names: a kind, and perhaps one object and a part of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) resource: &'static Resource,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Target {
    pub(super) fn forbidden(&self, user: &str, verb: &str) -> Failure {
        Failure::forbidden(self, user, verb)
    }

    pub(super) fn not_found(&self, name: &str) -> Failure {
        Failure::not_found(self.resource, name)
    }

    /// Where the object lies in the cluster.
    pub(super) fn key(&self, name: &str) -> Name {
        (self.namespace.clone().unwrap_or_default(), name.to_owned())
    }
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Route {
    Version,
    Health,
    AccessReview,
    Target(Target),
    UnknownResource,
    UnknownGroup,
}

impl Route {
    pub(super) fn of(path: &str) -> Self {
        let segments: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["version"] => return Self::Version,
            ["readyz" | "livez" | "healthz"] => return Self::Health,
            ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"] => return Self::AccessReview,
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Self::UnknownGroup,
        };
        if !RESOURCES.iter().any(|resource| resource.group == group && resource.version == version) {
            return Self::UnknownGroup;
        }
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some(*name), None),
            [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
            _ => return Self::UnknownResource,
        };
        let found = RESOURCES.iter().find(|resource| {
            (resource.group, resource.version, resource.plural) == (group, version, plural)
                && (resource.namespaced || namespace.is_none())
        });
        let Some(resource) = found else { return Self::UnknownResource };
        let incomplete = resource.namespaced && namespace.is_none() && name.is_some();
        if incomplete || name.is_some_and(|name| name.contains('/') || name == ".." || name == ".") {
            return Self::UnknownResource;
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self::Target(Target {
            resource,
            namespace: owned(namespace),
            name: owned(name),
            subresource: owned(subresource),
        })
    }
}

/// All objects of a kind, as lists hold them: without `kind` and `apiVersion`.
pub(super) fn all(cluster: &Cluster, resource: &Resource, namespace: Option<&str>) -> Vec<Value> {
    let here = |name: &&Name| namespace.is_none_or(|namespace| name.0 == namespace);
    let pick = |objects: &std::collections::BTreeMap<Name, Value>| -> Vec<Value> {
        objects.iter().filter(|(name, _)| here(name)).map(|(_, object)| object.clone()).collect()
    };
    match resource.plural {
        "deployments" => pick(&cluster.deployments),
        "replicasets" => {
            let sets = cluster.replica_sets.iter().filter(|(name, _)| here(name));
            sets.map(|(_, set)| set.render()).collect()
        }
        "pods" => cluster.pods.iter().filter(|(name, _)| here(name)).map(|(_, pod)| pod.render()).collect(),
        "events" => {
            let events = cluster.others.get("events").map(pick).unwrap_or_default();
            events.iter().map(|event| super::events::served(event, resource.group)).collect()
        }
        plural => cluster.others.get(plural).map(pick).unwrap_or_default(),
    }
}

/// One object, with its `kind` and `apiVersion`.
pub(super) fn find(cluster: &Cluster, target: &Target, name: &str) -> Result<Value, Failure> {
    let key = target.key(name);
    let found = match target.resource.plural {
        "deployments" => cluster.deployments.get(&key).cloned(),
        "replicasets" => cluster.replica_sets.get(&key).map(|set| set.render()),
        "pods" => cluster.pods.get(&key).map(|pod| pod.render()),
        plural => cluster.others.get(plural).and_then(|objects| objects.get(&key)).cloned(),
    };
    let mut object = found.ok_or_else(|| target.not_found(name))?;
    if target.resource.plural == "events" {
        object = super::events::served(&object, target.resource.group);
    }
    typed(&mut object, target.resource);
    Ok(object)
}

/// Adds `kind` and `apiVersion`.
pub(super) fn typed(object: &mut Value, resource: &Resource) {
    object["kind"] = json!(resource.kind);
    object["apiVersion"] = json!(resource.api_version());
}
