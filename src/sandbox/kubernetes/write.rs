//! Writes: patches of deployments, their scale, autoscalers, nodes and namespaces, the deletion and eviction of pods, and the deletion of nodes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::resource::{self, Target};
use super::status::{Cause, Failure};
use super::{json_answer, patch, validate};
use crate::sandbox::cluster::{Writer, canonical, record_change};
use crate::sandbox::go;
use crate::sandbox::server::{Answer, Received};
use crate::sandbox::state::State;

const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

/// Applies a patch to an object or to its scale.
pub(super) fn patch(
    state: &mut State,
    received: &Received,
    target: &Target,
    name: &str,
    scale: bool,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let kind = received.content_type().to_owned();
    if !matches!(kind.as_str(), STRATEGIC | MERGE | JSON_PATCH) {
        return Err(Failure::unsupported_media_type());
    }
    let dry_run = match received.param("dryRun") {
        None | Some("") => false,
        Some("All") => true,
        Some(other) => {
            let message = format!("Unsupported value: {}: supported values: \"All\"", go::quoted(other));
            let cause = Cause { reason: "FieldValueNotSupported", message, field: "dryRun".to_owned() };
            return Err(Failure::invalid("PatchOptions.meta.k8s.io", "", &[cause]));
        }
    };
    let body: Value = serde_json::from_slice(&received.body).map_err(|_| not_json(&received.body))?;
    let before = resource::find(&state.cluster, target, name)?;
    if scale {
        return patch_scale(state, received, &body, target, name, &before, dry_run, now);
    }
    let patched = applied(&kind, &before, &body)?;
    let (mut after, warnings) = checked(received, target, &kind, &before, &body, patched)?;
    let wanted = after["metadata"]["resourceVersion"].clone();
    if wanted.as_str().is_some_and(|version| !version.is_empty())
        && wanted != before["metadata"]["resourceVersion"]
    {
        return Err(Failure::modified(target.resource, name));
    }
    match target.resource.plural {
        "deployments" | "statefulsets" => {
            validate::workload(target.resource, name, &before, &after)?;
        }
        "horizontalpodautoscalers" => validate::autoscaler(target.resource, name, &before, &after)?,
        _ => validate::same_uid(target.resource, name, &before, &after)?,
    }
    if after["metadata"]["name"] != before["metadata"]["name"] {
        let given = after["metadata"]["name"].as_str().unwrap_or_default();
        let why = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(Failure::bad_request(why));
    }
    restore_own_fields(&before, &mut after);
    if canonical(&after) != canonical(&before) {
        if after["spec"] != before["spec"] && before["metadata"]["generation"].is_u64() {
            after["metadata"]["generation"] =
                json!(before["metadata"]["generation"].as_u64().unwrap_or(0) + 1);
        }
        let version = target.resource.api_version();
        let manager = manager(received);
        record_change(
            &before,
            &mut after,
            Writer { manager: &manager, version: &version, subresource: None },
            now,
        );
        if !dry_run {
            store(state, target, name, &after);
            after = resource::find(&state.cluster, target, name)?;
        }
    }
    let mut answer = json_answer(200, &after);
    for field in warnings {
        answer = answer.with(
            "Warning",
            format!("299 - {}", go::quoted(&format!("unknown field {}", go::quoted(&field)))),
        );
    }
    Ok(answer)
}

/// The object with the patch applied, unchecked.
fn applied(kind: &str, before: &Value, body: &Value) -> Result<Value, Failure> {
    let mut after = before.clone();
    match (kind, body) {
        (JSON_PATCH, Value::Array(operations)) => {
            patch::json_patch(&mut after, operations).ok_or_else(Failure::unprocessable)?;
        }
        (STRATEGIC, Value::Object(fields)) => {
            if let Some(after) = after.as_object_mut() {
                patch::strategic(after, fields);
            }
        }
        (MERGE, Value::Object(_)) => patch::merge(&mut after, body),
        _ => {
            let into = if kind == JSON_PATCH { "jsonpatch.Patch" } else { "map[string]interface {}" };
            let found = if body.is_array() { "array" } else { "object" };
            return Err(Failure::bad_request(format!(
                "json: cannot unmarshal {found} into Go value of type {into}"
            )));
        }
    }
    Ok(after)
}

/// The patched object without unknown fields, and these fields for the warnings; or what the schema has against it.
fn checked(
    received: &Received,
    target: &Target,
    kind: &str,
    before: &Value,
    body: &Value,
    patched: Value,
) -> Result<(Value, Vec<String>), Failure> {
    // A strategic patch is printed itself; of the others, the server prints the object that came of them.
    let printed = |patched: &Value| if kind == STRATEGIC { go::printed(body) } else { patched.to_string() };
    let decoded = validate::decode(target.resource, &patched)
        .map_err(|why| Failure::bad_patch(&printed(&patched), &why))?;
    if decoded.unknown.is_empty() {
        return Ok((decoded.object, Vec::new()));
    }
    match received.param("fieldValidation") {
        Some("Strict") => {
            let fields: Vec<_> =
                decoded.unknown.iter().map(|field| format!("unknown field {}", go::quoted(field))).collect();
            let why = format!("strict decoding error: {}", fields.join(", "));
            // The real server prints the object as it was, for a JSON patch and a merge patch.
            Err(Failure::bad_patch(&printed(before), &why))
        }
        Some("Ignore") => Ok((decoded.object, Vec::new())),
        _ => Ok((decoded.object, decoded.unknown)),
    }
}

/// Puts back what only the server writes.
fn restore_own_fields(before: &Value, after: &mut Value) {
    for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "namespace", "managedFields"] {
        if let Some(value) = before["metadata"].get(field) {
            after["metadata"][field] = value.clone();
        }
    }
    for field in ["status", "kind", "apiVersion"] {
        if let Some(value) = before.get(field) {
            after[field] = value.clone();
        }
    }
}

fn store(state: &mut State, target: &Target, name: &str, object: &Value) {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    if target.resource.plural == "deployments" {
        state.cluster.store_deployment(&target.key(name), object);
    } else {
        state.cluster.store_other(target.resource.plural, object);
    }
}

/// Who a change is ascribed to: `fieldManager`, or else the beginning of the user agent.
fn manager(received: &Received) -> String {
    let agent = received.header("user-agent").and_then(|agent| agent.split('/').next()).unwrap_or("unknown");
    received.param("fieldManager").unwrap_or(agent).to_owned()
}

fn not_json(body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    let trimmed = text.trim_start();
    let why = match trimmed.strip_prefix('{').and_then(|rest| rest.trim_start().chars().next()) {
        _ if trimmed.is_empty() => "unexpected end of JSON input".to_owned(),
        Some(first) if first != '"' => {
            format!("invalid character '{first}' looking for beginning of object key string")
        }
        _ => format!(
            "invalid character '{}' looking for beginning of value",
            trimmed.chars().next().unwrap_or(' ')
        ),
    };
    Failure::bad_request(format!("error decoding patch: {why}"))
}

/// `autoscaling/v1` Scale of a deployment.
pub(super) fn scale_of(deployment: &Value) -> Value {
    let metadata = &deployment["metadata"];
    let labels = deployment["spec"]["selector"]["matchLabels"].as_object();
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": deployment["spec"]["replicas"]},
        "status": {"replicas": deployment["status"]["replicas"].as_u64().unwrap_or(0), "selector": selector.join(",")},
    })
}

#[expect(clippy::too_many_arguments, reason = "it is the second half of patch")]
fn patch_scale(
    state: &mut State,
    received: &Received,
    body: &Value,
    target: &Target,
    name: &str,
    before: &Value,
    dry_run: bool,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let scale = scale_of(before);
    let after = applied(received.content_type(), &scale, body)?;
    let version = &after["metadata"]["resourceVersion"];
    if version != &scale["metadata"]["resourceVersion"] {
        return Err(Failure::modified(target.resource, name));
    }
    let Some(replicas) = after["spec"]["replicas"].as_i64() else {
        return Err(Failure::bad_patch(&go::printed(body), "cannot convert string to int32"));
    };
    if replicas < 0 {
        let cause =
            Cause::invalid("spec.replicas", &replicas.to_string(), "must be greater than or equal to 0");
        return Err(Failure::invalid("Scale.autoscaling", name, &[cause]));
    }
    if !dry_run {
        let key = target.key(name);
        let manager = manager(received);
        let writer = Writer { manager: &manager, version: "apps/v1", subresource: Some("scale") };
        state.cluster.write_deployment(&key, writer, now, |deployment| {
            deployment["spec"]["replicas"] = json!(replicas)
        });
        return Ok(json_answer(200, &scale_of(&resource::find(&state.cluster, target, name)?)));
    }
    let mut would = before.clone();
    would["spec"]["replicas"] = json!(replicas);
    Ok(json_answer(200, &scale_of(&would)))
}

/// Deletes a pod gracefully: it is answered with its deletion time set.
pub(super) fn delete_pod(
    state: &mut State,
    received: &Received,
    target: &Target,
    name: &str,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let pod = resource::find(&state.cluster, target, name)?;
    let options = delete_options(received, &pod, "Pod", name)?;
    if is_dry(received, &options) {
        return Ok(json_answer(200, &pod));
    }
    let key = target.key(name);
    if options["gracePeriodSeconds"] == 0 {
        state.cluster.remove_pod(&key);
        return Ok(json_answer(200, &pod));
    }
    state.cluster.stop_pod(&key, now, state.pace);
    Ok(json_answer(200, &resource::find(&state.cluster, target, name)?))
}

/// Deletes the object of a node; its machine goes on, and its kubelet does not register again by itself.
pub(super) fn delete_node(
    state: &mut State,
    received: &Received,
    target: &Target,
    name: &str,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let node = resource::find(&state.cluster, target, name)?;
    let options = delete_options(received, &node, "Node", name)?;
    if !is_dry(received, &options) {
        state.cluster.forget_node(name, now);
    }
    Ok(json_answer(200, &deleted(target, &node)))
}

/// The options of a deletion, whose precondition the object meets.
pub(super) fn delete_options(
    received: &Received,
    object: &Value,
    kind: &str,
    name: &str,
) -> Result<Value, Failure> {
    let options: Value = serde_json::from_slice(&received.body).unwrap_or(Value::Null);
    precondition(object, kind, name, &options)?;
    Ok(options)
}

/// Whether a deletion is only asked about. Options in the body count alone: those of the address are then not read.
pub(super) fn is_dry(received: &Received, options: &Value) -> bool {
    match options.as_object() {
        Some(options) => options.get("dryRun").is_some_and(|all| *all == json!(["All"])),
        None => received.param("dryRun") == Some("All"),
    }
}

/// What the server answers when an object is gone at once.
pub(super) fn deleted(target: &Target, object: &Value) -> Value {
    let mut details = json!({"name": object["metadata"]["name"], "kind": target.resource.plural,
                             "uid": object["metadata"]["uid"]});
    if !target.resource.group.is_empty() {
        details["group"] = json!(target.resource.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// An object of another uid than the caller means is not touched.
pub(super) fn precondition(object: &Value, kind: &str, name: &str, options: &Value) -> Result<(), Failure> {
    match options["preconditions"]["uid"].as_str() {
        Some(wanted) if object["metadata"]["uid"] != wanted => {
            let present = object["metadata"]["uid"].as_str().unwrap_or_default();
            Err(Failure::wrong_uid(kind, name, wanted, present))
        }
        _ => Ok(()),
    }
}

/// Evicts a pod, unless a disruption budget is against it. Fields that the kind does not have are ignored, as the real server does.
pub(super) fn evict(
    state: &mut State,
    received: &Received,
    target: &Target,
    name: &str,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let pod = resource::find(&state.cluster, target, name)?;
    let body: Value = serde_json::from_slice(&received.body)
        .map_err(|_| Failure::unrecognized("Eviction", &received.body))?;
    // Budgets come before the uid, and are not asked of what runs no more, or not yet.
    let counts = pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running";
    match state.cluster.budgets_of(&pod).as_slice() {
        [budget] if counts => {
            let spare = !is_ready(&pod) && budget.healthy >= budget.desired && budget.desired > 0;
            if budget.allowed() == 0 && !spare {
                return Err(Failure::budget(&budget.name, budget.desired, budget.healthy));
            }
        }
        [_, _, ..] if counts => return Err(Failure::several_budgets()),
        _ => {}
    }
    precondition(&pod, "Pod", name, &body["deleteOptions"])?;
    if received.param("dryRun") != Some("All") {
        state.cluster.stop_pod(&target.key(name), now, state.pace);
    }
    let done =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(json_answer(201, &done))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
