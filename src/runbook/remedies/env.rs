//! Reads `env:`, other environment variables of a container.

use super::{is_filled_in, whole};
use crate::runbook::Variable;
use crate::runbook::names::is_label;
use crate::text::cut;
use crate::yaml::{Faults, Field, Fields, Scalar, Value};

/// A longer one was not meant as a name.
const LONGEST_NAME: usize = 128;
/// The value is kept in the journal, and shown to people.
const LONGEST_VALUE: usize = 1024;
/// What is counted in environment variables is small: connections, threads, megabytes.
const MOST: u32 = 1_000_000_000;
const EXAMPLES: &str = "such as `POOL_SIZE: {add: 10, default: 5, at_most: 40}` or `LOG_LEVEL: debug`";

/// Reads the variables.
pub(super) fn variables(field: Field<'_>, faults: &mut Faults) -> Option<Vec<(String, Variable)>> {
    let before = faults.count();
    let entries = field.map("env: {LOG_LEVEL: debug}", faults)?;
    if entries.is_empty() {
        field.wrong("expected at least one variable", Some(EXAMPLES.to_owned()), faults);
    }
    let mut variables = Vec::new();
    for entry in entries {
        // What the shell and every language can read, and no more, although Kubernetes has become more generous.
        if !is_label(entry.name) || entry.name.len() > LONGEST_NAME {
            let message = format!(
                "{:?} can not be the name of a variable; expected letters, digits and `_`, no digit first, at most {LONGEST_NAME}",
                cut(entry.name, 60)
            );
            faults.add(entry.key, message, None);
        }
        variables.extend(variable(entry, faults).map(|variable| (entry.name.to_owned(), variable)));
    }
    (faults.count() == before).then_some(variables)
}

fn variable(field: Field<'_>, faults: &mut Faults) -> Option<Variable> {
    match &field.node.value {
        Value::Map(_) => changed(field, faults),
        Value::Scalar(_) | Value::List(_) => set(field, faults).map(Variable::Set),
    }
}

/// `{set: TEXT}` or `{add: 10, default: 5, at_most: 40}`.
fn changed(field: Field<'_>, faults: &mut Faults) -> Option<Variable> {
    let mut fields = Fields::of(field.node, "the variable", faults)?;
    let variable = match (fields.get("set"), fields.get("add")) {
        (Some(value), None) => {
            for word in ["default", "at_most"] {
                if let Some(field) = fields.get(word) {
                    let message = format!("`{word}` beside `set`, which is the value itself; expected none");
                    faults.add(field.key, message, Some("remove it".to_owned()));
                }
            }
            set(value, faults).map(Variable::Set)
        }
        (None, Some(more)) => added(more, &mut fields, faults),
        (Some(_), Some(second)) => {
            fields.get("default");
            fields.get("at_most");
            let message = "`set` and `add` in one variable; expected one of them";
            faults.add(second.key, message, Some(EXAMPLES.to_owned()));
            None
        }
        (None, None) => {
            fields.get("default");
            fields.get("at_most");
            if !fields.has_almost(&["set", "add"]) {
                let message = format!("`{}` has no value; expected `set` or `add`", cut(field.name, 60));
                faults.add(fields.place, message, Some(EXAMPLES.to_owned()));
            }
            None
        }
    };
    fields.end(faults);
    variable
}

fn added(more: Field<'_>, fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Variable> {
    let add = whole(more, 0, MOST, faults).filter(|add| {
        if *add == 0 {
            more.wrong("expected at least 1, as 0 changes nothing", None, faults);
        }
        *add > 0
    });
    let default = match fields.get("default") {
        Some(field) => whole(field, 0, MOST, faults).map(Some),
        None => Some(None),
    };
    let at_most = fields.need("at_most", "at_most: 40").and_then(|field| {
        let at_most = whole(field, 0, MOST, faults)?;
        let (add, default) = (add?, default?);
        let least = add.saturating_add(default.unwrap_or(0));
        if at_most < least {
            let of = if default.is_some() { "`default` and `add` together" } else { "`add`" };
            let hint = "it is the most that the value may be afterwards, not the most that is added";
            field.wrong(&format!("expected at least {least}, {of}"), Some(hint.to_owned()), faults);
            return None;
        }
        Some(at_most)
    });
    Some(Variable::Add { add: add?, default: default?, at_most: at_most? })
}

/// The text of a value that is set.
fn set(field: Field<'_>, faults: &mut Faults) -> Option<String> {
    let expected = "expected text, a number, `{set: TEXT}` or `{add: 10, at_most: 40}`";
    let scalar = match &field.node.value {
        Value::Scalar(scalar) if !scalar.is_null() => scalar,
        Value::Scalar(_) | Value::List(_) | Value::Map(_) => {
            field.wrong(expected, None, faults);
            return None;
        }
    };
    let text = &scalar.text;
    if scalar.boolean().is_some() || (scalar.is_number() && !is_plain_number(scalar)) {
        // `1e3` and `0x10` would not say which text was meant, and `true` is `True` to some.
        field.wrong(expected, Some(format!("write it in quotes: \"{text}\"")), faults);
    } else if text.is_empty() {
        let hint = "the API server does not tell an empty value from none, so it could not be put back";
        field.wrong("expected text that is not empty", Some(hint.to_owned()), faults);
    } else if text.len() > LONGEST_VALUE || text.chars().any(char::is_control) {
        field.wrong(&format!("expected one line of at most {LONGEST_VALUE} bytes"), None, faults);
    } else if is_filled_in(field, text, faults) {
        return Some(text.clone());
    }
    None
}

/// Whether a number is written as everybody would write it: `40`, `-1`, `0.5`.
fn is_plain_number(scalar: &Scalar) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = scalar.text.strip_prefix('-').unwrap_or(&scalar.text);
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    digits(whole) && digits(part) && (whole == "0" || !whole.starts_with('0'))
}
