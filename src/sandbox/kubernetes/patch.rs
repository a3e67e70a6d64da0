//! The three patches: strategic merge, JSON merge (RFC 7386) and JSON patch (RFC 6902).

use serde_json::{Map, Value, json};

/// RFC 7386.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(object) = target.as_object_mut() else { return };
    for (key, value) in fields {
        if value.is_null() {
            object.remove(key);
        } else {
            merge(object.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Lists that merge by a key of their items, by the name of the field. All others are replaced.
fn merge_key(field: &str) -> Option<&'static str> {
    match field {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => {
            Some("name")
        }
        "volumeMounts" => Some("mountPath"),
        "ports" => Some("containerPort"),
        "conditions" => Some("type"),
        "ownerReferences" => Some("uid"),
        "hostAliases" => Some("ip"),
        "topologySpreadConstraints" => Some("topologyKey"),
        _ => None,
    }
}

/// Kubernetes' strategic merge: objects merge, some lists merge by key, null deletes.
pub(super) fn strategic(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if patch.get("$patch").is_some_and(|how| how == "replace") {
        target.clear();
    }
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        match (value, merge_key(key)) {
            (Value::Null, _) => {
                target.remove(key);
            }
            (Value::Object(fields), _) => {
                let inner = target.entry(key.clone()).or_insert_with(|| json!({}));
                if !inner.is_object() {
                    *inner = json!({});
                }
                if let Some(inner) = inner.as_object_mut() {
                    strategic(inner, fields);
                }
            }
            (Value::Array(items), Some(by)) => {
                let list = target.entry(key.clone()).or_insert_with(|| json!([]));
                strategic_list(list, items, by);
            }
            (other, _) => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
}

fn strategic_list(list: &mut Value, items: &[Value], by: &str) {
    let mut present = list.as_array().cloned().unwrap_or_default();
    if items.iter().any(|item| item["$patch"] == "replace") {
        present.clear();
    }
    let mut new = Vec::new();
    for item in items.iter().filter_map(Value::as_object) {
        let same = present.iter().position(|old| old.get(by) == item.get(by));
        match (same, item.get("$patch").and_then(Value::as_str)) {
            (Some(at), Some("delete")) => {
                present.remove(at);
            }
            (None, Some("delete")) | (_, Some("replace")) => {}
            (Some(at), _) => {
                if let Some(old) = present[at].as_object_mut() {
                    strategic(old, item);
                }
            }
            (None, _) => {
                let mut fresh = Map::new();
                strategic(&mut fresh, item);
                new.push(Value::Object(fresh));
            }
        }
    }
    // The real server puts new items first.
    new.extend(present);
    *list = Value::Array(new);
}

/// RFC 6902. None when an operation cannot be applied or a test fails; the target may then be half changed.
pub(super) fn json_patch(target: &mut Value, operations: &[Value]) -> Option<()> {
    for operation in operations {
        let path = operation["path"].as_str()?;
        match operation["op"].as_str()? {
            "test" => {
                let same = same_text(target.pointer(path).unwrap_or(&Value::Null), operation.get("value")?);
                same.then_some(())?;
            }
            "replace" => *target.pointer_mut(path)? = operation.get("value")?.clone(),
            "add" => add(target, path, operation.get("value")?.clone())?,
            "remove" => {
                remove(target, path)?;
            }
            "move" => {
                let moved = remove(target, operation["from"].as_str()?)?;
                add(target, path, moved)?;
            }
            "copy" => {
                let copied = target.pointer(operation["from"].as_str()?)?.clone();
                add(target, path, copied)?;
            }
            _ => return None,
        }
    }
    Some(())
}

/// The server compares scalars as texts, and its own side is written by Go, which escapes these three in strings.
/// Source: <https://github.com/kubernetes/apiserver/issues/100>.
fn same_text(live: &Value, given: &Value) -> bool {
    match (live, given) {
        (Value::Object(live), Value::Object(given)) => {
            live.len() == given.len()
                && live.iter().all(|(key, value)| given.get(key).is_some_and(|given| same_text(value, given)))
        }
        (Value::Array(live), Value::Array(given)) => {
            live.len() == given.len() && live.iter().zip(given).all(|(live, given)| same_text(live, given))
        }
        (Value::String(live), Value::String(given)) => live == given && !live.contains(['&', '<', '>']),
        _ => live == given,
    }
}

/// What holds the value at a path, and the value's key or index there.
fn parent<'a>(target: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (above, last) = path.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    Some((target.pointer_mut(above)?, last))
}

fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    let (parent, last) = parent(target, path)?;
    match parent {
        Value::Object(fields) => {
            fields.insert(last, value);
        }
        Value::Array(items) => {
            let at =
                if last == "-" { items.len() } else { last.parse().ok().filter(|at| *at <= items.len())? };
            items.insert(at, value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(())
}

fn remove(target: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = parent(target, path)?;
    match parent {
        Value::Object(fields) => fields.remove(&last),
        Value::Array(items) => {
            last.parse().ok().filter(|at| *at < items.len()).map(|at: usize| items.remove(at))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
