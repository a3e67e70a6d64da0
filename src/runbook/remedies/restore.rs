//! Reads `restore:`, which says when what was changed is put back.

use crate::runbook::RestoreWhen;
use crate::yaml::{Faults, Field, Fields, Value, parse_duration};

/// The ways to write it.
pub(super) const FORMS: &str = "`never`, `{after: 2h}` or `{when: recovered}`";

/// Reads it; `scale` divides its time.
pub(super) fn restore(field: Field<'_>, scale: u32, faults: &mut Faults) -> Option<RestoreWhen> {
    match &field.node.value {
        Value::Scalar(scalar) if scalar.text == "never" => Some(RestoreWhen::Never),
        Value::Map(entries) if !entries.is_empty() => at(field, scale, faults),
        Value::Scalar(scalar) => {
            let hint = match scalar.text.as_str() {
                "recovered" => Some("write `restore: {when: recovered}`".to_owned()),
                text => parse_duration(text).ok().map(|_| format!("write `restore: {{after: {text}}}`")),
            };
            field.wrong(&format!("expected {FORMS}"), hint, faults);
            None
        }
        Value::Map(_) | Value::List(_) => {
            field.wrong(&format!("expected one of {FORMS}"), None, faults);
            None
        }
    }
}

fn at(field: Field<'_>, scale: u32, faults: &mut Faults) -> Option<RestoreWhen> {
    let mut fields = Fields::of(field.node, "`restore`", faults)?;
    let (after, when) = (fields.get("after"), fields.get("when"));
    let before = faults.count();
    let hint = "write `restore: never` for what is to stay, and the other form alone for what is not";
    fields.refuse("never", "`never` as a field of `restore`; expected it alone", hint, faults);
    let found = match (after, when) {
        (Some(after), None) => time(after, faults).map(|time| RestoreWhen::After(time / scale)),
        (None, Some(when)) => recovered(when, faults),
        (Some(_), Some(second)) => {
            let hint = "`when: recovered` alone puts it back 2h after an incident that ended otherwise";
            let message = "`after` and `when` in one `restore`; expected one of them";
            faults.add(second.key, message, Some(hint.to_owned()));
            None
        }
        (None, None) => {
            if faults.count() == before && !fields.has_almost(&["after", "when"]) {
                let message = format!("`restore` does not say when; expected {FORMS}");
                faults.add(fields.place, message, None);
            }
            None
        }
    };
    fields.end(faults);
    found.filter(|_| faults.count() == before)
}

fn time(field: Field<'_>, faults: &mut Faults) -> Option<std::time::Duration> {
    let time = field.duration_or_zero(faults)?;
    if time.is_zero() {
        let hint = "`restore: {when: recovered}` puts it back as soon as all is well";
        field.wrong(
            "expected a time longer than nothing, in which it can help",
            Some(hint.to_owned()),
            faults,
        );
        return None;
    }
    Some(time)
}

fn recovered(field: Field<'_>, faults: &mut Faults) -> Option<RestoreWhen> {
    let Value::Scalar(scalar) = &field.node.value else {
        field.wrong("expected recovered", None, faults);
        return None;
    };
    match scalar.text.as_str() {
        "recovered" => Some(RestoreWhen::Recovered),
        "never" => {
            field.wrong("expected recovered", Some("write `restore: never`".to_owned()), faults);
            None
        }
        text => {
            let hint = parse_duration(text).ok().map(|_| format!("write `restore: {{after: {text}}}`"));
            field.wrong("expected recovered", hint, faults);
            None
        }
    }
}
