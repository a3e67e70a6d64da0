//! `metadata.managedFields`: who last changed which field. It is how an operator, and runbookd, finds out who else
//! had a hand in an object.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::seconds;

/// Who writes, and through which door.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct Writer<'a> {
    pub(in crate::sandbox) manager: &'a str,
    pub(in crate::sandbox) version: &'a str,
    /// `scale`, for what was written through it; such an entry has no time.
    pub(in crate::sandbox) subresource: Option<&'a str>,
}

/// Notes in `after` that the writer changed what differs from `before`, and takes it from whoever had it.
pub(in crate::sandbox) fn record_change(
    before: &Value,
    after: &mut Value,
    writer: Writer<'_>,
    now: Timestamp,
) {
    let Writer { manager, version, subresource } = writer;
    let mut changed = Map::new();
    for part in ["metadata", "spec"] {
        let fields = difference(&before[part], &after[part]);
        if !fields.is_empty() {
            changed.insert(format!("f:{part}"), Value::Object(fields));
        }
    }
    if let Some(Value::Object(metadata)) = changed.get_mut("f:metadata") {
        for own in ["f:generation", "f:resourceVersion", "f:managedFields", "f:uid"] {
            metadata.remove(own);
        }
        if metadata.is_empty() {
            changed.remove("f:metadata");
        }
    }
    if changed.is_empty() {
        return;
    }
    let is_own = |entry: &Value| entry["manager"] == manager && entry["subresource"].as_str() == subresource;
    let mut entries = after["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    for entry in &mut entries {
        if !is_own(entry) && entry["subresource"] != "status" {
            take(&mut entry["fieldsV1"], &changed);
        }
    }
    entries.retain(|entry| entry["fieldsV1"].as_object().is_some_and(|fields| !fields.is_empty()));
    if let Some(own) = entries.iter_mut().find(|entry| is_own(entry)) {
        if subresource.is_none() {
            own["time"] = json!(seconds(now));
        }
        give(&mut own["fieldsV1"], &changed);
    } else {
        let mut own = json!({
            "manager": manager,
            "operation": "Update",
            "apiVersion": version,
            "fieldsType": "FieldsV1",
            "fieldsV1": changed,
        });
        match subresource {
            Some(subresource) => own["subresource"] = json!(subresource),
            None => own["time"] = json!(seconds(now)),
        }
        entries.push(own);
    }
    after["metadata"]["managedFields"] = Value::Array(entries);
}

/// All fields of a value, as a manager that created it owns them.
pub(super) fn all_fields(value: &Value) -> Map<String, Value> {
    difference(&Value::Null, value)
}

/// The tree of the fields of `after` that are not the same in `before`.
fn difference(before: &Value, after: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    match after {
        Value::Object(after) => {
            for (key, value) in after {
                if before.get(key) != Some(value) {
                    let below = difference(before.get(key).unwrap_or(&Value::Null), value);
                    fields.insert(format!("f:{key}"), Value::Object(below));
                }
            }
            for (key, _) in
                before.as_object().into_iter().flatten().filter(|(key, _)| !after.contains_key(*key))
            {
                fields.insert(format!("f:{key}"), json!({}));
            }
        }
        Value::Array(after) if after.iter().all(|item| item["name"].is_string()) => {
            for item in after {
                let same = before.as_array().into_iter().flatten().find(|old| old["name"] == item["name"]);
                if same != Some(item) {
                    let below = difference(same.unwrap_or(&Value::Null), item);
                    fields.insert(format!("k:{{\"name\":{}}}", item["name"]), Value::Object(below));
                }
            }
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    fields
}

fn take(fields: &mut Value, changed: &Map<String, Value>) {
    let Some(fields) = fields.as_object_mut() else { return };
    for (key, below) in changed {
        let below = below.as_object().filter(|below| !below.is_empty());
        match (fields.get_mut(key), below) {
            (Some(inner), Some(below)) => {
                take(inner, below);
                if inner.as_object().is_some_and(Map::is_empty) {
                    fields.remove(key);
                }
            }
            (Some(_), None) => {
                fields.remove(key);
            }
            (None, _) => {}
        }
    }
}

fn give(fields: &mut Value, changed: &Map<String, Value>) {
    for (key, below) in changed {
        if fields[key].is_null() {
            fields[key] = below.clone();
        } else if let Some(below) = below.as_object() {
            give(&mut fields[key], below);
        }
    }
}
