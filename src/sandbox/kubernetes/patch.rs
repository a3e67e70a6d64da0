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

/// RFC 6902, as the server's library has it. None when an operation cannot be applied or a test fails; the target may then be half changed.
///
/// The library differs from the RFC where a key of an object is absent: a `test` for null, or for nothing, holds, and a `replace` puts the key
/// there. What is to hold an absent key must be there all the same. An index may be negative, and counts from the end.
/// Source: `gopkg.in/evanphx/json-patch.v4`, the version that Kubernetes vendors.
pub(super) fn json_patch(target: &mut Value, operations: &[Value]) -> Option<()> {
    for operation in operations {
        let path = operation["path"].as_str()?;
        let value = || operation.get("value").cloned().unwrap_or(Value::Null);
        match operation["op"].as_str()? {
            "test" => test(target, path, &value())?,
            "replace" => replace(target, path, value())?,
            "add" => add(target, path, value())?,
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

fn test(target: &mut Value, path: &str, given: &Value) -> Option<()> {
    if path.is_empty() {
        return same_text(target, given).then_some(());
    }
    let (parent, last) = parent(target, path)?;
    let live = match parent {
        Value::Object(fields) => fields.get(&last).unwrap_or(&Value::Null),
        Value::Array(items) => items.get(index(&last, items.len())?)?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    same_text(live, given).then_some(())
}

fn replace(target: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *target = Some(value).filter(|value| value.is_object() || value.is_array())?;
        return Some(());
    }
    let (parent, last) = parent(target, path)?;
    match parent {
        Value::Object(fields) => {
            fields.insert(last, value);
        }
        Value::Array(items) => {
            let at = index(&last, items.len())?;
            *items.get_mut(at)? = value;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(())
}

/// An index that is not beyond the end; a negative one counts from there.
fn index(text: &str, length: usize) -> Option<usize> {
    let at: i64 = text.parse().ok()?;
    let at = if at < 0 { i64::try_from(length).ok()?.checked_add(at)? } else { at };
    usize::try_from(at).ok().filter(|at| *at <= length)
}

/// The server compares scalars as texts, and its own side is written by Go, which escapes these in strings.
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
        (Value::String(live), Value::String(given)) => {
            live == given && !live.contains(['&', '<', '>', '\u{2028}', '\u{2029}'])
        }
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
    let (parent, last) = parent(target, path)?;
    match parent {
        Value::Object(fields) => {
            fields.insert(last, value);
        }
        Value::Array(items) => {
            // One more than there are: an index may be just behind the last.
            let length = items.len();
            let at =
                if last == "-" { length } else { index(&last, length + 1).filter(|at| *at <= length)? };
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
            let at = index(&last, items.len()).filter(|at| *at < items.len())?;
            Some(items.remove(at))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(operations: &Value) -> Option<Value> {
        let mut target =
            json!({"spec": {"list": [{"name": "a"}, {"name": "b"}], "text": "a<b", "number": 3}});
        json_patch(&mut target, operations.as_array()?)?;
        Some(target)
    }

    /// Each pair is from the library's source or its own tests.
    #[test]
    fn what_is_absent_is_tested_and_replaced_as_the_real_server_does() {
        let holds = |operation: Value| patched(&json!([operation])).is_some();
        assert!(holds(json!({"op": "test", "path": "/spec/absent", "value": null})));
        assert!(holds(json!({"op": "test", "path": "/spec/absent"})));
        assert!(!holds(json!({"op": "test", "path": "/spec/absent", "value": "x"})));
        assert!(!holds(json!({"op": "test", "path": "/spec/number", "value": null})));
        assert!(!holds(json!({"op": "test", "path": "/spec/absent/below", "value": null})));
        assert!(!holds(json!({"op": "test", "path": "/spec/list/2", "value": null})));
        assert!(holds(json!({"op": "remove", "path": "/spec/list/-1"})));
        assert!(holds(json!({"op": "replace", "path": "/spec/absent", "value": 1})));
        assert!(!holds(json!({"op": "replace", "path": "/spec/absent/below", "value": 1})));
        assert!(!holds(json!({"op": "replace", "path": "/spec/list/2", "value": 1})));
        assert!(!holds(json!({"op": "remove", "path": "/spec/absent"})));
        assert!(!holds(json!({"op": "add", "path": "/spec/absent/below", "value": 1})));
        assert!(holds(json!({"op": "add", "path": "/spec/list/2", "value": {}})));
        assert!(!holds(json!({"op": "add", "path": "/spec/list/3", "value": {}})));
        assert!(!holds(json!({"op": "test", "path": "/spec/text", "value": "a<b"})), "Go escapes it");
        assert!(!holds(json!({"op": "test", "path": "/spec/number", "value": 3.0})), "as texts");
        assert!(!holds(json!({"op": "test", "path": "/spec/number", "value": "3"})));
    }

    #[test]
    fn a_failed_test_keeps_all_other_operations_from_counting() {
        let operations = json!([
            {"op": "replace", "path": "/spec/number", "value": 4},
            {"op": "test", "path": "/spec/list/1/name", "value": "a"},
        ]);
        assert_eq!(patched(&operations), None);
    }
}
