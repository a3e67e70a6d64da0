//! LogQL: what a runbook author's *log query* is to runbookd, and the queries that are made from it.
//!
//! An alert's labels are hostile input. A value comes into a query only through [`LogQuery::with`], which escapes it for the string that it
//! stands in, so that it can never end the string, add a matcher, or widen a regular expression; an empty value is a refusal, because
//! empty must never mean all. Pure: asks no Loki. Templates of LogQL's own (`{{.service}}`) pass untouched.

pub(crate) mod cursor;
mod lex;
mod parse;
pub(crate) mod pattern;
mod render;
mod stages;
#[cfg(test)]
mod tests;

pub(crate) use lex::{decoded, escape_length};
pub use render::Rendered;

/// A log query with placeholders, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    text: String,
    selector: Vec<Matcher>,
    stages: Vec<Stage>,
    /// Whether runbookd looks after `__error__`; not where the author does something else with it.
    guarded: bool,
    numeric: bool,
}

/// What is wrong with a query, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The byte offset in the query.
    pub at: usize,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Matcher {
    label: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stage {
    pieces: Vec<Piece>,
    /// Whether it makes labels from the line, and so `__error__` from a line that it cannot read.
    parses: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Source(String),
    Hole { path: String, at: usize, pattern: bool },
}

impl LogQuery {
    /// Reads a log query: one stream selector that selects something, and its stages. `${path}` may stand in strings in double quotes of
    /// matchers, label filters and line filters.
    ///
    /// # Errors
    /// Everything that is wrong with it, at least one fault.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        parse::query(text, &lex::tokens(text)?)
    }

    /// The query as its author wrote it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The placeholders' paths and byte offsets, in the order of the query; one that is used twice comes twice.
    pub fn placeholders(&self) -> impl Iterator<Item = (&str, usize)> {
        let pieces = self
            .selector
            .iter()
            .map(|matcher| &matcher.pieces)
            .chain(self.stages.iter().map(|stage| &stage.pieces));
        pieces.flatten().filter_map(|piece| match piece {
            Piece::Hole { path, at, .. } => Some((path.as_str(), *at)),
            Piece::Source(_) => None,
        })
    }

    /// The names of the labels that the stream selector matches on, in its order.
    pub fn selector_labels(&self) -> impl Iterator<Item = &str> {
        self.selector.iter().map(|matcher| matcher.label.as_str())
    }

    /// The query with every placeholder filled in by `value`.
    ///
    /// # Errors
    /// The first path that has no value, or an empty one.
    pub fn with(&self, mut value: impl FnMut(&str) -> Option<String>) -> Result<Rendered, String> {
        let mut fill = |pieces: &[Piece]| render::filled(pieces, &mut value);
        let matchers = self.selector.iter().map(|matcher| fill(&matcher.pieces)).collect::<Result<_, _>>()?;
        let mut stages = Vec::new();
        for stage in &self.stages {
            stages.push(fill(&stage.pieces)?);
            if stage.parses && self.guarded {
                stages.push(render::NO_ERROR.to_owned());
            }
        }
        if self.numeric && self.guarded && stages.last().is_none_or(|last| last != render::NO_ERROR) {
            stages.push(render::NO_ERROR.to_owned());
        }
        Ok(Rendered::new(matchers, stages))
    }
}
