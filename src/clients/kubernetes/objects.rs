//! A workload, an autoscaler or a node as the API server sends it: what stands at a path of it, who wrote that last, and who else looks after it.
//!
//! A path is keys, and in `[..]` the name of an item of a list. An object is never printed as a whole: it can hold secrets.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Node;
use kube::core::Resource as _;
use kube::core::params::GetParams;
use serde_json::Value;

use super::{CallError, Kubernetes, Reason, Workload, checked_namespace, deployments, history, valid_name};

/// The one kind that is in no namespace.
const NODE: &str = "node";

/// An object as it was at one moment.
#[derive(Clone, PartialEq)]
pub struct Object {
    pub(super) call: String,
    pub(super) kind: String,
    pub(super) json: Value,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("kind", &self.kind).field("name", &self.name()).finish_non_exhaustive()
    }
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// A plain value: a text, a number, true or false.
    Text(String),
    /// Nothing, and a value could be put there.
    Absent,
    /// No plain value: where it comes from, such as `the key url of the Secret db`. What it is there is not read.
    From(String),
    /// There is no item of this name to put a value into, such as a container.
    NoItem(String),
}

/// What a container of a pod template asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asks {
    /// The container.
    pub name: String,
    /// It runs to its end before the others begin.
    pub comes_first: bool,
    /// By resource, as texts.
    pub requests: BTreeMap<String, String>,
    /// The same.
    pub limits: BTreeMap<String, String>,
}

/// How far a path leads.
pub(super) struct Walk<'v, 'p> {
    /// The JSON pointer of what is there.
    pub(super) pointer: String,
    /// The pointers of the names that were passed, and the names.
    pub(super) names: Vec<(String, String)>,
    /// What is there.
    pub(super) value: &'v Value,
    /// The part of the path that leads nowhere.
    pub(super) rest: &'p [String],
    /// A name on the way that several items have: the API server takes them, the last one counts, and a patch would write the first.
    pub(super) doubled: Option<&'p str>,
}

pub(super) fn item_name(part: &str) -> Option<&str> {
    part.strip_prefix('[')?.strip_suffix(']')
}

pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

pub(super) fn walk<'v, 'p>(json: &'v Value, path: &'p [String]) -> Walk<'v, 'p> {
    let mut so_far =
        Walk { pointer: String::new(), names: Vec::new(), value: json, rest: path, doubled: None };
    while let Some((part, rest)) = so_far.rest.split_first() {
        let next = match item_name(part) {
            None => so_far
                .value
                .get(part)
                .filter(|value| !value.is_null())
                .map(|value| (format!("{}/{}", so_far.pointer, escaped(part)), value)),
            Some(name) => {
                let items = so_far.value.as_array().into_iter().flatten().enumerate();
                let mut own = items.filter(|(_, item)| item["name"] == name);
                let first = own.next();
                if own.next().is_some() {
                    so_far.doubled = Some(name);
                    break;
                }
                first.map(|(at, item)| {
                    let pointer = format!("{}/{at}", so_far.pointer);
                    so_far.names.push((format!("{pointer}/name"), name.to_owned()));
                    (pointer, item)
                })
            }
        };
        let Some((pointer, value)) = next else { break };
        (so_far.pointer, so_far.value, so_far.rest) = (pointer, value, rest);
    }
    so_far
}

/// Whether what is missing can be made: an item of a list holds nothing but its name and the value.
pub(super) fn can_be_made(rest: &[String]) -> Result<(), &str> {
    match rest.split_first() {
        Some((first, after)) => match item_name(first) {
            Some(name) if after.len() != 1 => Err(name),
            _ => Ok(()),
        },
        None => Ok(()),
    }
}

pub(super) fn owned(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Where the value of an environment variable comes from that is not written there.
fn source(from: &Value) -> String {
    let key = |of: &Value, kind: &str| {
        format!("the key {} of the {kind} {}", owned(&of["key"]), owned(&of["name"]))
    };
    if from["secretKeyRef"].is_object() {
        key(&from["secretKeyRef"], "Secret")
    } else if from["configMapKeyRef"].is_object() {
        key(&from["configMapKeyRef"], "ConfigMap")
    } else if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
        format!("the pod's own {path}")
    } else if let Some(resource) = from["resourceFieldRef"]["resource"].as_str() {
        format!("the container's own {resource}")
    } else {
        "somewhere else".to_owned()
    }
}

impl Object {
    /// For the tests of others.
    #[cfg(test)]
    pub(crate) fn of(kind: &str, json: Value) -> Self {
        Self { call: "read".to_owned(), kind: kind.to_owned(), json }
    }

    /// Its kind in lower case, such as `deployment`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        history::text(&self.json, "/metadata/name")
    }

    /// Tells it from a later object of the same name.
    #[must_use]
    pub fn uid(&self) -> &str {
        history::text(&self.json, "/metadata/uid")
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        history::text(&self.json, "/metadata/creationTimestamp").parse().ok()
    }

    /// What stands at a path.
    #[must_use]
    pub fn at(&self, path: &[String]) -> At {
        let walk = walk(&self.json, path);
        if let Some(name) = walk.doubled {
            return At::From(format!("several entries of the name {name}"));
        }
        if let Err(name) = can_be_made(walk.rest) {
            return At::NoItem(name.to_owned());
        }
        match (walk.rest, walk.value) {
            ([], Value::String(text)) => At::Text(text.clone()),
            ([], Value::Object(_) | Value::Array(_) | Value::Null) => At::From("parts of its own".to_owned()),
            ([], plain) => At::Text(plain.to_string()),
            // An environment variable: the API server leaves an empty value out.
            ([last], item) if last == "value" && item["valueFrom"].is_object() => {
                At::From(source(&item["valueFrom"]))
            }
            ([last], item) if last == "value" && item["name"].is_string() => At::Text(String::new()),
            _ => At::Absent,
        }
    }

    fn pod(&self) -> &Value {
        &self.json["spec"]["template"]["spec"]
    }

    /// The names of its pods' containers, those that only come first left out.
    #[must_use]
    pub fn containers(&self) -> Vec<String> {
        let containers = self.pod()["containers"].as_array().into_iter().flatten();
        containers.map(|container| owned(&container["name"])).collect()
    }

    /// The words that a container is started with, as far as they stand there and not in its image.
    #[must_use]
    pub fn command_of(&self, container: &str) -> Vec<String> {
        let containers = self.pod()["containers"].as_array().into_iter().flatten();
        let own = containers.filter(|one| one["name"] == container);
        let words = own.flat_map(|one| ["command", "args"].map(|key| &one[key]));
        words.flat_map(|words| words.as_array().into_iter().flatten()).map(owned).collect()
    }

    /// Whether a container has variables whose names are not written there (`envFrom`).
    #[must_use]
    pub fn has_env_from(&self, container: &str) -> bool {
        let mut containers = self.pod()["containers"].as_array().into_iter().flatten();
        let found = containers.find(|one| one["name"] == container);
        found.is_some_and(|one| one["envFrom"].as_array().is_some_and(|from| !from.is_empty()))
    }

    /// What its containers ask for.
    #[must_use]
    pub fn asks(&self) -> Vec<Asks> {
        let amounts = |amounts: &Value| {
            let amounts = amounts.as_object().into_iter().flatten();
            amounts.map(|(resource, amount)| (resource.clone(), plain(amount))).collect()
        };
        let asks = |container: &Value, comes_first| Asks {
            name: owned(&container["name"]),
            comes_first,
            requests: amounts(&container["resources"]["requests"]),
            limits: amounts(&container["resources"]["limits"]),
        };
        let of = |list: &str| self.pod()[list].as_array().cloned().unwrap_or_default();
        let containers = of("containers").into_iter().map(|container| asks(&container, false));
        // One that is restarted for ever runs beside the others.
        let first = of("initContainers").into_iter().map(|one| asks(&one, one["restartPolicy"] != "Always"));
        containers.chain(first).collect()
    }

    /// The same object as a workload; an error for an autoscaler.
    ///
    /// # Errors
    /// When it is none. What is wrong is not said: a decoder quotes what it read.
    pub fn workload(&self) -> Result<Workload, CallError> {
        let json = self.json.clone();
        let read = match self.kind.as_str() {
            "deployment" => {
                serde_json::from_value(json).ok().as_ref().map(<Workload as From<&apps::Deployment>>::from)
            }
            "statefulset" => {
                serde_json::from_value(json).ok().as_ref().map(<Workload as From<&apps::StatefulSet>>::from)
            }
            "daemonset" => {
                serde_json::from_value(json).ok().as_ref().map(<Workload as From<&apps::DaemonSet>>::from)
            }
            _ => None,
        };
        let what = format!("the answer is no {}", self.kind);
        read.ok_or_else(|| CallError::new(&self.call, Reason::ServerError, &what))
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Where the objects of a kind lie.
pub(super) fn path_of(kind: &str, namespace: &str) -> Option<String> {
    Some(match kind {
        "deployment" => deployments(namespace),
        "statefulset" => apps::StatefulSet::url_path(&(), Some(namespace)),
        "daemonset" => apps::DaemonSet::url_path(&(), Some(namespace)),
        "horizontalpodautoscaler" => HorizontalPodAutoscaler::url_path(&(), Some(namespace)),
        NODE => Node::url_path(&(), None),
        _ => return None,
    })
}

/// An object in an operator's words. A node is in no namespace, whichever was named with it.
pub(super) fn called(kind: &str, namespace: &str, name: &str) -> String {
    if kind == NODE { format!("{kind}/{name}") } else { format!("{kind}/{name} in {namespace}") }
}

impl Kubernetes {
    /// The object as it is now; `kind` is `deployment`, `statefulset`, `daemonset`, `horizontalpodautoscaler` or `node`, whose namespace is not looked at.
    ///
    /// # Errors
    /// `NotFound` also when the *namespace* does not exist.
    pub async fn object(&self, kind: &str, namespace: &str, name: &str) -> Result<Object, CallError> {
        let call = format!("read {}", called(kind, namespace, name));
        if kind != NODE {
            checked_namespace(&call, namespace)?;
        }
        let path = path_of(kind, namespace).filter(|_| valid_name(name));
        let path =
            path.ok_or_else(|| CallError::unsent(&call, &format!("{name:?} is not the name of a {kind}")))?;
        let get = || kube::core::Request::new(path.as_str()).get(name, &GetParams::default());
        let json: Value = serde_json::from_slice(&self.read(&call, get).await?)
            .map_err(|error| CallError::unreadable(&call, &error))?;
        let object = Object { call, kind: kind.to_owned(), json };
        if object.name() != name || object.uid().is_empty() {
            return Err(CallError::new(&object.call, Reason::ServerError, "the answer is another object"));
        }
        Ok(object)
    }

    /// The autoscalers whose target is this one; `kind` as Kubernetes writes it: `Deployment`.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn autoscalers_of(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<Object>, CallError> {
        let call = format!("list the horizontalpodautoscalers of {namespace}");
        checked_namespace(&call, namespace)?;
        let all: Vec<Value> =
            self.list(&call, &HorizontalPodAutoscaler::url_path(&(), Some(namespace))).await?;
        let scales = |json: &Value| {
            let target = &json["spec"]["scaleTargetRef"];
            target["kind"] == kind && target["name"] == name
        };
        let kind = "horizontalpodautoscaler".to_owned();
        let of = all.into_iter().filter(scales);
        Ok(of.map(|json| Object { call: call.clone(), kind: kind.clone(), json }).collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::clients::kubernetes::{Plain, SetTo};

    /// As Kubernetes 1.36 serves it, without what is not looked at.
    pub(in super::super) fn object() -> Object {
        let fields = |below: Value| json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": below}}}}});
        let entry = |manager: &str, time: &str, fields: Value| {
            json!({"manager": manager, "operation": "Update", "apiVersion": "apps/v1", "time": time,
                   "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        let json = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "managedFields": [
                entry("kubectl-client-side-apply", "2026-11-23T11:48:20Z", fields(json!({
                    ".": {}, "f:image": {}, "f:env": {".": {}, "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}},
                }))),
                entry("argocd-controller", "2026-11-23T11:49:04Z", fields(json!({
                    "f:env": {"k:{\"name\":\"A\"}": {"f:value": {}}},
                }))),
                {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "apps/v1", "subresource": "scale",
                 "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ]},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "env": [
                {"name": "A", "value": "5"}, {"name": "EMPTY"},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "pool"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            ], "resources": {}}]}}},
        });
        Object::of("deployment", json)
    }

    pub(in super::super) fn path(rest: &str) -> Vec<String> {
        let whole = format!("spec template spec containers {rest}");
        whole.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn of_two_entries_of_one_name_nothing_is_read_or_written() {
        let env = json!([{"name": "POOL", "value": "5"}, {"name": "POOL", "value": "20"}]);
        let spec = json!({"template": {"spec": {"containers": [{"name": "web", "env": env}]}}});
        let object = Object::of("deployment", json!({"metadata": {"name": "web", "uid": "u"}, "spec": spec}));
        let path =
            ["spec", "template", "spec", "containers", "[web]", "env", "[POOL]", "value"].map(str::to_owned);
        assert_eq!(object.at(&path), At::From("several entries of the name POOL".to_owned()));
        let error = object.patch(&[SetTo { path: &path, to: Some("15"), plain: Plain::Text }]).unwrap_err();
        assert_eq!(error.reason, crate::clients::Reason::Conflict);
        assert!(error.to_string().contains("several entries of the name POOL"), "{error}");
    }

    #[test]
    fn what_stands_at_a_path_is_read_and_what_comes_from_elsewhere_is_named() {
        let of = |rest: &str| object().at(&path(rest));
        let text = |text: &str| At::Text(text.to_owned());
        assert_eq!(object().at(&["spec".to_owned(), "replicas".to_owned()]), text("2"));
        assert_eq!(of("[web] env [A] value"), text("5"));
        assert_eq!(of("[web] env [EMPTY] value"), text(""), "the API server leaves an empty text out");
        assert_eq!(of("[web] env [S] value"), At::From("the key url of the Secret db".to_owned()));
        assert_eq!(of("[web] env [C] value"), At::From("the key pool of the ConfigMap web".to_owned()));
        assert_eq!(of("[web] env [IP] value"), At::From("the pod's own status.podIP".to_owned()));
        for absent in ["[web] env [NEW] value", "[web] resources limits memory"] {
            assert_eq!(of(absent), At::Absent, "{absent}");
        }
        for gone in ["[side] env [A] value", "[side] resources limits memory"] {
            assert_eq!(of(gone), At::NoItem("side".to_owned()), "{gone}");
        }
    }

    #[test]
    fn an_object_is_never_printed_as_a_whole() {
        let text = format!("{:?}", object());
        assert!(text.contains("web") && !text.contains("value"), "{text}");
    }
}
