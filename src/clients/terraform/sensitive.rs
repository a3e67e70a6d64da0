//! The values that a plan marks as sensitive, so that they can be taken out of what terraform and its providers say while it is applied. They live as long as the call.
//! Source: `before_sensitive`, `after_sensitive` and `sensitive_values` of <https://developer.hashicorp.com/terraform/internals/json-format>.

use serde_json::Value;

use crate::clients::Secret;

/// A shorter one stands in ordinary words, too.
const SHORTEST: usize = 4;
/// Of more than that, only the first are looked for.
const MOST: usize = 2000;

/// All of them, each once.
pub(super) fn values(text: &[u8]) -> Vec<Secret> {
    let Ok(plan) = serde_json::from_slice::<Value>(text) else { return Vec::new() };
    let mut found = Vec::new();
    for list in ["resource_changes", "resource_drift"] {
        for resource in plan[list].as_array().into_iter().flatten() {
            of_change(&resource["change"], &mut found);
        }
    }
    for change in plan["output_changes"].as_object().into_iter().flat_map(|outputs| outputs.values()) {
        of_change(change, &mut found);
    }
    let declared = &plan["configuration"]["root_module"]["variables"];
    for (name, variable) in plan["variables"].as_object().into_iter().flatten() {
        if declared[name]["sensitive"] == true {
            leaves(&variable["value"], &mut found);
        }
    }
    let outputs = plan["prior_state"]["values"]["outputs"].as_object();
    for output in outputs.into_iter().flat_map(|outputs| outputs.values()) {
        if output["sensitive"] == true {
            leaves(&output["value"], &mut found);
        }
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(MOST);
    found.into_iter().map(Secret::new).collect()
}

fn of_change(change: &Value, found: &mut Vec<String>) {
    marked(&change["before"], &change["before_sensitive"], found);
    marked(&change["after"], &change["after_sensitive"], found);
}

/// The marks have the value's shape: `true` stands for everything from there on.
fn marked(value: &Value, marks: &Value, found: &mut Vec<String>) {
    match marks {
        Value::Bool(true) => leaves(value, found),
        Value::Object(marks) => marks.iter().for_each(|(name, marks)| marked(&value[name], marks, found)),
        Value::Array(marks) => {
            marks.iter().enumerate().for_each(|(at, marks)| marked(&value[at], marks, found));
        }
        Value::Bool(false) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= SHORTEST => found.push(text.clone()),
        Value::Number(number) if number.to_string().len() >= SHORTEST => found.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(items) => items.values().for_each(|item| leaves(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_that_is_marked_is_found_and_nothing_else() {
        let change = json!({
            "before": {"a": {"b": ["plain", "secret-1"]}, "c": "secret-2"},
            "before_sensitive": {"a": {"b": [false, true]}, "c": true},
            "after": {"a": {"b": ["plain", 12345], "x": "ok"}, "c": {"deep": ["secret-3"]}, "short": "abc"},
            "after_sensitive": {"a": {"b": [false, true]}, "c": true, "short": true},
        });
        let plan = json!({
            "resource_changes": [{"change": change}],
            "output_changes": {"o": {"before": null, "after": "secret-4", "before_sensitive": false, "after_sensitive": true}},
            "variables": {"v": {"value": "secret-5"}, "w": {"value": "plain-1"}},
            "configuration": {"root_module": {"variables": {"v": {"sensitive": true}, "w": {}}}},
            "prior_state": {"values": {"outputs": {"p": {"sensitive": true, "value": "secret-6"}, "q": {"sensitive": false, "value": "plain-2"}}}},
        });
        let found: Vec<_> =
            values(plan.to_string().as_bytes()).iter().map(|secret| secret.reveal().to_owned()).collect();
        assert_eq!(found, ["12345", "secret-1", "secret-2", "secret-3", "secret-4", "secret-5", "secret-6"]);
    }
}
