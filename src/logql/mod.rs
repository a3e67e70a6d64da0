//! What a runbook author's LogQL log query is to runbookd. The signatures only, for now: nothing is checked and nothing escaped yet.

use std::time::Duration;

/// A log query with placeholders, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    text: String,
}

/// What is wrong with a query, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The byte offset in the query.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// A query with all its placeholders filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    text: String,
}

impl LogQuery {
    /// Reads a query.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        Ok(Self { text: text.to_owned() })
    }

    /// The placeholders: path and byte offset.
    pub fn placeholders(&self) -> impl Iterator<Item = (&str, usize)> {
        std::iter::empty()
    }

    /// The names of the labels that the stream selector matches on.
    pub fn selector_labels(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Fills the placeholders in.
    ///
    /// # Errors
    /// The first path that has no value, or an empty one.
    pub fn with(&self, _value: impl FnMut(&str) -> Option<String>) -> Result<Rendered, String> {
        Ok(Rendered { text: self.text.clone() })
    }
}

impl Rendered {
    /// The log query.
    #[must_use]
    pub fn log(&self) -> String {
        self.text.clone()
    }

    /// The same query on the streams alone whose `label` is `value`.
    #[must_use]
    pub fn only(&self, _label: &str, _value: &str) -> Self {
        self.clone()
    }

    /// How many lines there were in `range`, by a label or in all.
    #[must_use]
    pub fn count(&self, by: Option<&str>, range: Duration) -> String {
        format!(
            "sum by ({}) (count_over_time({} [{}ms]))",
            by.unwrap_or_default(),
            self.text,
            range.as_millis()
        )
    }

    /// How many lines of any kind the selected streams wrote in `range`.
    #[must_use]
    pub fn all_lines(&self, range: Duration) -> String {
        format!("sum(count_over_time({} [{}ms]))", self.text, range.as_millis())
    }
}
