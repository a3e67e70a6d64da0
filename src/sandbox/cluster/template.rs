//! Pod templates: what makes two of them the same, and the hash that tells their replica sets apart.

use serde_json::{Value, json};

/// The text of a value with its keys sorted, so that equal values have equal texts.
pub(in crate::sandbox) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_str());
            let fields: Vec<_> =
                fields.iter().map(|(key, value)| format!("{}:{}", json!(key), canonical(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// The template with its hash among its labels.
pub(super) fn with_hash(template: &Value, hash: &str) -> Value {
    let mut template = template.clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    template
}
