//! Values inside regular expressions: which places let a value stand for itself, and how it is quoted there. Loki and Prometheus share the
//! syntax (Go's, which is RE2's), and so do the queries to both.

use regex::Regex;

pub(crate) const WOULD_CHANGE: &str = "a placeholder may not stand right after \\ { (? or \\Q in a regular expression: its value would not stand for itself";
pub(crate) const REPEATS: &str = "this would repeat only the last character of the placeholder's value";
pub(crate) const REPEATS_HINT: &str = "put the placeholder into a group: (${...})+";

/// Whether a value right after `before` would mean something else than itself, however it is quoted.
pub(crate) fn would_change(before: &str) -> bool {
    let unescaped = |suffix: &str| {
        let head = before.strip_suffix(suffix)?;
        Some((head.len() - head.trim_end_matches('\\').len()) % 2 == 0)
    };
    let risky = ["\\", "{", "(?", "(?P<", "(?<"].into_iter().any(|suffix| unescaped(suffix) == Some(true));
    risky || before.contains("\\Q")
}

/// Whether `after`, which follows a value, would repeat a part of it.
pub(crate) fn repeats(after: &str) -> bool {
    after.starts_with(['*', '+', '?', '{'])
}

/// What is wrong with a regular expression, as far as ours and Go's agree on what is one: they read `{`, `[` and `\Q` differently.
pub(crate) fn wrong(pattern: &str) -> Option<String> {
    if pattern.contains(['{', '[']) || pattern.contains("\\Q") {
        return None;
    }
    let said = Regex::new(pattern).err()?.to_string();
    let said = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
    Some(format!("this is no regular expression: {said}"))
}

/// `value` as a regular expression that matches just itself: the characters of Go's `regexp.QuoteMeta`, and those that mean something in
/// a character class, in Go's or Rust's. Both take an escaped ASCII character that is neither letter nor digit for itself.
pub(crate) fn quoted(value: &str) -> String {
    let mut pattern = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if "\\.+*?()|[]{}^$-&~".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
