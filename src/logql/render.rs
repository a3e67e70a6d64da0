//! A query with its values in it: how a value is escaped, and the forms in which runbookd asks the query.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Piece, pattern};

/// Leaves out the lines that a stage before could not work on. Without it one malformed line makes the metric form fail with 400, and
/// a field that is no number counts as a match of a comparison with one.
pub(super) const NO_ERROR: &str = "| __error__=\"\"";

/// A query with all its placeholders filled in, on one line, without comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    matchers: Vec<String>,
    stages: Vec<String>,
}

impl Rendered {
    pub(super) const fn new(matchers: Vec<String>, stages: Vec<String>) -> Self {
        Self { matchers, stages }
    }

    /// The log query, for its lines.
    #[must_use]
    pub fn log(&self) -> String {
        let mut query = self.selector();
        for stage in &self.stages {
            query.push(' ');
            query.push_str(stage);
        }
        query
    }

    /// The same query on only those of its streams whose `label` is `value`: one target's own. What cannot be a label's name is made one
    /// as Loki itself does, with underscores; at worst the query then finds nothing.
    #[must_use]
    pub fn only(&self, label: &str, value: &str) -> Self {
        let mut narrowed = self.clone();
        narrowed.matchers.push(format!("{}=\"{}\"", name(label), escaped(value)));
        narrowed
    }

    /// The same query without those of its streams whose `label` is `value`.
    #[must_use]
    pub fn without(&self, label: &str, value: &str) -> Self {
        let mut narrowed = self.clone();
        narrowed.matchers.push(format!("{}!=\"{}\"", name(label), escaped(value)));
        narrowed
    }

    /// How many lines the query finds in `range`: one number for each value of the label `by`, or one in all. No lines give no number.
    #[must_use]
    pub fn count(&self, by: Option<&str>, range: Duration) -> String {
        let by = by.map(|label| format!(" by ({}) ", name(label))).unwrap_or_default();
        format!("sum{by}(count_over_time({} {}))", self.log(), milliseconds(range))
    }

    /// How many lines of any kind the selected streams wrote in `range`: tells "nothing matches" from "nothing was written".
    #[must_use]
    pub fn all_lines(&self, range: Duration) -> String {
        format!("sum(count_over_time({} {}))", self.selector(), milliseconds(range))
    }

    fn selector(&self) -> String {
        format!("{{{}}}", self.matchers.join(", "))
    }
}

/// The text of `pieces` with their placeholders filled in; the first path without a value, or with an empty one, is the error.
pub(super) fn filled(
    pieces: &[Piece],
    value: &mut impl FnMut(&str) -> Option<String>,
) -> Result<String, String> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Source(source) => text.push_str(source),
            Piece::Hole { path, pattern, .. } => {
                let value = value(path).filter(|value| !value.is_empty()).ok_or_else(|| path.clone())?;
                text.push_str(&escaped(&if *pattern { pattern::quoted(&value) } else { value }));
            }
        }
    }
    Ok(text)
}

/// `value` inside a string in double quotes, in escapes that Go and JSON share. What a terminal, a log or a person could mistake for
/// something else is escaped, too: control characters, line separators, marks of direction.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
            {
                // Writing to a String cannot fail; all of these are below U+10000 and need no pair.
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text
}

fn name(label: &str) -> String {
    let mut name: String = label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    name
}

/// A range in whole milliseconds, at least one.
fn milliseconds(range: Duration) -> String {
    format!("[{}ms]", range.as_millis().max(1))
}
