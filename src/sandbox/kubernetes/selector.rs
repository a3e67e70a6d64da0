//! Label and field selectors.

use serde_json::Value;

use super::status::Failure;

/// One requirement of a label selector.
#[derive(Debug)]
pub(super) struct Requirement {
    key: String,
    /// Whether the label must be there; when it must not, an absent label holds.
    wanted: bool,
    /// The values that count; none means any.
    values: Option<Vec<String>>,
}

impl Requirement {
    pub(super) fn holds(&self, labels: &Value) -> bool {
        let value = labels[&self.key].as_str();
        let matches = value.is_some_and(|value| {
            self.values.as_ref().is_none_or(|values| values.iter().any(|wanted| wanted == value))
        });
        matches == self.wanted
    }
}

/// Parses a label selector.
pub(super) fn labels(text: &str) -> Result<Vec<Requirement>, Failure> {
    let mut rest = text.trim();
    let mut requirements = Vec::new();
    while !rest.is_empty() {
        let (requirement, after) = requirement(rest)?;
        requirements.push(requirement);
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return Err(unexpected(after, "',' or 'end of string'")),
        };
    }
    Ok(requirements)
}

fn requirement(text: &str) -> Result<(Requirement, &str), Failure> {
    let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest.trim_start()));
    let (key, rest) = word(text);
    if key.is_empty() {
        return Err(unexpected(rest, "!, identifier, or 'end of string'"));
    }
    let key = key.to_owned();
    let rest = rest.trim_start();
    if negated || rest.is_empty() || rest.starts_with(',') {
        return Ok((Requirement { key, wanted: !negated, values: None }, rest));
    }
    for (operator, wanted) in [("==", true), ("!=", false), ("=", true)] {
        if let Some(rest) = rest.strip_prefix(operator) {
            let (value, rest) = word(rest.trim_start());
            let values = Some(vec![value.to_owned()]);
            return Ok((Requirement { key, wanted, values }, rest.trim_start()));
        }
    }
    let (operator, rest) = word(rest);
    let wanted = match operator {
        "in" => true,
        "notin" => false,
        _ => return Err(unexpected(operator, "in, notin, =, ==, !=, gt, lt")),
    };
    let Some(mut rest) = rest.trim_start().strip_prefix('(') else { return Err(unexpected(rest, "'('")) };
    let mut values = Vec::new();
    loop {
        let (value, after) = word(rest.trim_start());
        values.push(value.to_owned());
        let after = after.trim_start();
        if let Some(after) = after.strip_prefix(',') {
            rest = after;
        } else if let Some(after) = after.strip_prefix(')') {
            return Ok((Requirement { key, wanted, values: Some(values) }, after.trim_start()));
        } else {
            return Err(unexpected(after, "',', ')' or identifier"));
        }
    }
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !(character.is_ascii_alphanumeric() || "-_./".contains(character)));
    text.split_at(end.unwrap_or(text.len()))
}

fn unexpected(found: &str, expected: &str) -> Failure {
    let found = found.split_whitespace().next().unwrap_or_default();
    Failure::bad_request(format!("unable to parse requirement: found '{found}', expected: {expected}"))
}

/// One requirement of a field selector.
#[derive(Debug)]
pub(super) struct Field {
    pointer: String,
    wanted: bool,
    value: String,
}

impl Field {
    pub(super) fn holds(&self, object: &Value) -> bool {
        let value = object.pointer(&self.pointer).and_then(Value::as_str).unwrap_or_default();
        (value == self.value) == self.wanted
    }
}

/// Parses a field selector, of the few fields that the API server has an index of.
pub(super) fn fields(text: &str) -> Result<Vec<Field>, Failure> {
    let mut fields = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (field, wanted, value) = if let Some((field, value)) = part.split_once("!=") {
            (field, false, value)
        } else if let Some((field, value)) = part.split_once('=') {
            (field, true, value.trim_start_matches('='))
        } else {
            let why = format!("invalid field selector {part}: can't understand '{part}'");
            return Err(Failure::bad_request(why));
        };
        let known = ["metadata.name", "metadata.namespace", "status.phase", "spec.nodeName"];
        if !known.contains(&field) {
            return Err(Failure::bad_request(format!("field label not supported: {field}")));
        }
        fields.push(Field {
            pointer: format!("/{}", field.replace('.', "/")),
            wanted,
            value: value.to_owned(),
        });
    }
    Ok(fields)
}
