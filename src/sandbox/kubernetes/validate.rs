//! Whether a patched object is one that the API server takes: its schema, and the few rules that patches break.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Node};
use serde_json::Value;

use super::resource::Resource;
use super::status::{Cause, Failure};
use crate::sandbox::go;
use crate::sandbox::quantity::amount;

/// What the schema makes of an object.
pub(super) struct Decoded {
    /// The object without the fields that the schema does not know.
    pub(super) object: Value,
    /// The paths of those fields.
    pub(super) unknown: Vec<String>,
}

/// Reads an object by its schema.
///
/// # Errors
/// What Go's decoder says of a value that has the wrong type.
pub(super) fn decode(resource: &Resource, object: &Value) -> Result<Decoded, String> {
    let spec_only = serde_json::json!({"metadata": object["metadata"], "spec": object["spec"]});
    let known = match resource.plural {
        "deployments" => serde_json::from_value::<Deployment>(spec_only).and_then(serde_json::to_value),
        "statefulsets" => serde_json::from_value::<StatefulSet>(spec_only).and_then(serde_json::to_value),
        "daemonsets" => serde_json::from_value::<DaemonSet>(spec_only).and_then(serde_json::to_value),
        "jobs" => serde_json::from_value::<Job>(spec_only).and_then(serde_json::to_value),
        "nodes" => serde_json::from_value::<Node>(spec_only).and_then(serde_json::to_value),
        "namespaces" => serde_json::from_value::<Namespace>(spec_only).and_then(serde_json::to_value),
        "horizontalpodautoscalers" => {
            serde_json::from_value::<HorizontalPodAutoscaler>(spec_only).and_then(serde_json::to_value)
        }
        _ => Ok(object.clone()),
    };
    let known = known.map_err(|error| type_error(&error.to_string()))?;
    if let Some(quantity) = bad_quantity(&object["spec"]["template"]["spec"]) {
        return Err(quantity);
    }
    let mut unknown = Vec::new();
    let mut decoded = object.clone();
    for part in ["metadata", "spec"] {
        strip(&mut decoded[part], &known[part], part, &mut unknown);
    }
    // What the patch put beside them at the top.
    if let Some(fields) = decoded.as_object_mut() {
        let top = ["kind", "apiVersion", "metadata", "spec", "status"];
        let strange: Vec<String> =
            fields.keys().filter(|key| !top.contains(&key.as_str())).cloned().collect();
        for key in strange {
            fields.remove(&key);
            unknown.push(key);
        }
    }
    if let Some(spec) = decoded["spec"].as_object_mut() {
        // Go's omitempty.
        for field in ["paused", "unschedulable"] {
            if spec.get(field).is_some_and(|value| value == false) {
                spec.remove(field);
            }
        }
    }
    Ok(Decoded { object: decoded, unknown })
}

/// Removes from `value` what is not in `known`, and notes its path.
fn strip(value: &mut Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (value, known) {
        (Value::Object(fields), Value::Object(known)) => {
            let strange: Vec<String> = fields
                .iter()
                .filter(|(key, value)| !value.is_null() && !known.contains_key(*key))
                .map(|(key, _)| key.clone())
                .collect();
            for key in strange {
                fields.remove(&key);
                unknown.push(format!("{path}.{key}"));
            }
            fields.retain(|_, value| !value.is_null());
            for (key, value) in fields {
                strip(value, &known[key], &format!("{path}.{key}"), unknown);
            }
        }
        (Value::Array(items), Value::Array(known)) => {
            for (number, (item, known)) in items.iter_mut().zip(known).enumerate() {
                strip(item, known, &format!("{path}[{number}]"), unknown);
            }
        }
        _ => {}
    }
}

/// `invalid type: integer `1`, expected a string` in Go's words: `cannot convert int64 to string`.
fn type_error(error: &str) -> String {
    let found = [
        ("integer", "int64"),
        ("floating point", "float64"),
        ("boolean", "bool"),
        ("string", "string"),
        ("map", "map[string]interface {}"),
        ("sequence", "[]interface {}"),
    ];
    let found = found.iter().find(|(word, _)| error.starts_with(&format!("invalid type: {word}")));
    let expected =
        [("a string", "string"), ("i32", "int32"), ("i64", "int64"), ("a boolean", "bool"), ("a map", "map")];
    let expected = expected.iter().find(|(word, _)| error.contains(&format!("expected {word}")));
    match (found, expected) {
        (Some((_, found)), Some((_, expected))) => format!("cannot convert {found} to {expected}"),
        _ => error.to_owned(),
    }
}

fn bad_quantity(pod: &Value) -> Option<String> {
    for container in pod["containers"].as_array().into_iter().flatten() {
        for part in ["limits", "requests"] {
            for (_, quantity) in container["resources"][part].as_object().into_iter().flatten() {
                if quantity.as_str().is_some_and(|quantity| amount(quantity).is_none()) {
                    return Some(
                        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                            .to_owned(),
                    );
                }
            }
        }
    }
    None
}

/// The faults of an object that would get another uid: the server names it twice.
fn other_uid(before: &Value, after: &Value) -> Vec<Cause> {
    let (old_uid, uid) = (&before["metadata"]["uid"], &after["metadata"]["uid"]);
    let given = go::quoted(uid.as_str().unwrap_or_default());
    let fault = || Cause::invalid("metadata.uid", &given, "field is immutable");
    if old_uid == uid { Vec::new() } else { vec![fault(), fault()] }
}

/// An object keeps its uid.
pub(super) fn same_uid(
    resource: &Resource,
    name: &str,
    before: &Value,
    after: &Value,
) -> Result<(), Failure> {
    let causes = other_uid(before, after);
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(&resource.qualified_kind(), name, &causes)) }
}

/// Validation of an autoscaler, as far as patches can break it.
///
/// # Errors
/// The server's 422, with a cause for every fault.
pub(super) fn autoscaler(
    resource: &Resource,
    name: &str,
    before: &Value,
    after: &Value,
) -> Result<(), Failure> {
    let mut causes = other_uid(before, after);
    let (min, max) = (after["spec"]["minReplicas"].as_i64(), after["spec"]["maxReplicas"].as_i64());
    let max = max.unwrap_or(0);
    if let Some(min) = min.filter(|min| *min < 1) {
        let why = "must be greater than or equal to 1";
        causes.push(Cause::invalid("spec.minReplicas", &min.to_string(), why));
    }
    if max < 1 {
        causes.push(Cause::invalid("spec.maxReplicas", &max.to_string(), "must be greater than 0"));
    }
    if min.is_some_and(|min| max < min) {
        let why = "must be greater than or equal to `minReplicas`";
        causes.push(Cause::invalid("spec.maxReplicas", &max.to_string(), why));
    }
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(&resource.qualified_kind(), name, &causes)) }
}

/// Validation of a deployment or a stateful set, as far as patches can break it.
///
/// # Errors
/// The server's 422, with a cause for every fault.
pub(super) fn workload(
    resource: &Resource,
    name: &str,
    before: &Value,
    after: &Value,
) -> Result<(), Failure> {
    let mut causes = other_uid(before, after);
    if before["spec"]["selector"] != after["spec"]["selector"] {
        let given = after["spec"]["selector"].to_string();
        causes.push(Cause::invalid("spec.selector", &given, "field is immutable"));
    }
    if let Some(replicas) = after["spec"]["replicas"].as_i64().filter(|replicas| *replicas < 0) {
        causes.push(Cause::invalid(
            "spec.replicas",
            &replicas.to_string(),
            "must be greater than or equal to 0",
        ));
    }
    let containers =
        after["spec"]["template"]["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
    if containers.is_empty() {
        causes.push(Cause::required("spec.template.spec.containers".to_owned()));
    }
    for (number, container) in containers.iter().enumerate() {
        let path = format!("spec.template.spec.containers[{number}]");
        for field in ["name", "image"] {
            if container[field].as_str().is_none_or(str::is_empty) {
                causes.push(Cause::required(format!("{path}.{field}")));
            }
        }
        for (number, env) in container["env"].as_array().into_iter().flatten().enumerate() {
            if env["name"].as_str().is_none_or(str::is_empty) {
                causes.push(Cause::required(format!("{path}.env[{number}].name")));
            }
        }
        let resources = &container["resources"];
        for (what, request) in resources["requests"].as_object().into_iter().flatten() {
            let (Some(request), Some(limit)) = (request.as_str(), resources["limits"][what].as_str()) else {
                continue;
            };
            if amount(request) > amount(limit) {
                let why = format!("must be less than or equal to {what} limit of {limit}");
                causes.push(Cause::invalid(
                    &format!("{path}.resources.requests"),
                    &go::quoted(request),
                    &why,
                ));
            }
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(&resource.qualified_kind(), name, &causes)) }
}
