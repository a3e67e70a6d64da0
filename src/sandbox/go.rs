//! Texts as Go prints them: the real servers are written in Go, and their errors quote values its way.

use std::fmt::Write as _;

use serde_json::Value;

/// `%q`: a string in double quotes with Go's escapes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(other));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// `%v` of a decoded JSON value: `map[key:value]`, keys sorted.
pub(super) fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_str());
            let fields: Vec<_> =
                fields.iter().map(|(key, value)| format!("{key}:{}", printed(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

/// `time.Duration`'s text, cut to whole seconds: `960h0m0s`.
pub(super) fn duration(seconds: i64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// What Go's `regexp` says of a pattern that does not compile. Only the commonest fault has its own words.
pub(super) fn regexp_error(pattern: &str) -> String {
    let opened = pattern.matches('(').count();
    let closed = pattern.matches(')').count();
    let fault = match opened.cmp(&closed) {
        std::cmp::Ordering::Greater => "missing closing )",
        std::cmp::Ordering::Less => "unexpected )",
        std::cmp::Ordering::Equal => "invalid or unsupported Perl syntax",
    };
    format!("error parsing regexp: {fault}: `{pattern}`")
}

/// `strconv.ParseInt`'s and `ParseFloat`'s error.
pub(super) fn syntax_error(function: &str, text: &str) -> String {
    format!("strconv.{function}: parsing {}: invalid syntax", quoted(text))
}
