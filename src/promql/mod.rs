//! PromQL: what a runbook author's query is to runbookd: where values may be put, how far back it looks, and which samples it takes as
//! they are.
//!
//! An alert's labels are hostile input. A value comes into a query only through [`PromQuery::with`], and only into the string of a label
//! matcher, escaped for it, so that it can never end the string, add a matcher, or widen a regular expression; an empty value is a
//! refusal, because empty must never mean all. Pure: asks no Prometheus. This is no parser of PromQL: what is well bracketed here the
//! real server may still refuse, and its words are then what people read.

mod lex;
mod read;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::Duration;

pub use crate::logql::Fault;
use crate::logql::pattern;

/// A server takes a sample for the present one for so long, unless it was started otherwise.
/// Source: <https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness>.
pub const LOOKBACK: Duration = Duration::from_mins(5);

/// A query with placeholders, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromQuery {
    text: String,
    words: Vec<Word>,
    /// The selectors that take the newest sample as it is, outside of every range; each a range of `words`.
    bare: Vec<Range<usize>>,
    reach: Duration,
    filters: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    spaced: bool,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Source(String),
    /// A span of time, and how it was written.
    Span(Duration, String),
    Quoted {
        quote: char,
        pieces: Vec<Piece>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Source(String),
    Hole { path: String, at: usize, pattern: bool },
}

/// A query with all its placeholders filled in, on one line, without comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The query.
    pub query: String,
    /// The selectors in it that take the newest sample as it is, which may be older than [`Self::reach`] tells.
    pub bare: Vec<String>,
    /// How far back its ranges look.
    pub reach: Duration,
}

impl PromQuery {
    /// Reads a query. `${path}` may stand in the strings of label matchers, in single or double quotes.
    ///
    /// # Errors
    /// Everything that is wrong with it, at least one fault.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        read::query(text, &lex::tokens(text)?)
    }

    /// The query as its author wrote it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How far back its ranges look: the longest way through ranges, subqueries and offsets. A selector inside of a subquery may take a
    /// sample that is older by [`LOOKBACK`], which is in it; one outside of every range is not.
    #[must_use]
    pub const fn reach(&self) -> Duration {
        self.reach
    }

    /// Where a comparison leaves out the series that do not meet it, so that nothing is left of them: the byte of its operator.
    #[must_use]
    pub const fn filters_at(&self) -> Option<usize> {
        self.filters
    }

    /// The placeholders' paths and byte offsets, in the order of the query; one that is used twice comes twice.
    pub fn placeholders(&self) -> impl Iterator<Item = (&str, usize)> {
        let pieces = self.words.iter().filter_map(|word| match &word.kind {
            Kind::Quoted { pieces, .. } => Some(pieces),
            Kind::Source(_) | Kind::Span(..) => None,
        });
        pieces.flatten().filter_map(|piece| match piece {
            Piece::Hole { path, at, .. } => Some((path.as_str(), *at)),
            Piece::Source(_) => None,
        })
    }

    /// The query with every placeholder filled in by `value`, and its spans of time divided by `scale`.
    ///
    /// # Errors
    /// The first path that has no value, or an empty one.
    pub fn with(
        &self,
        mut value: impl FnMut(&str) -> Option<String>,
        scale: u32,
    ) -> Result<Rendered, String> {
        let scale = scale.max(1);
        let words =
            self.words.iter().map(|word| filled(word, &mut value, scale)).collect::<Result<Vec<_>, _>>()?;
        let text = |range: Range<usize>| {
            let from = range.start;
            range.fold(String::new(), |mut text, at| {
                if at > from && self.words[at].spaced {
                    text.push(' ');
                }
                text.push_str(&words[at]);
                text
            })
        };
        let mut bare: Vec<String> = Vec::new();
        for range in &self.bare {
            let selector = text(range.clone());
            if !bare.contains(&selector) {
                bare.push(selector);
            }
        }
        Ok(Rendered { query: text(0..self.words.len()), bare, reach: self.reach / scale })
    }
}

fn filled(word: &Word, value: &mut impl FnMut(&str) -> Option<String>, scale: u32) -> Result<String, String> {
    let (quote, pieces) = match &word.kind {
        Kind::Source(source) => return Ok(source.clone()),
        Kind::Span(_, written) if scale == 1 => return Ok(written.clone()),
        Kind::Span(span, _) => return Ok(format!("{}ms", (*span / scale).as_millis().max(1))),
        Kind::Quoted { quote, pieces } => (*quote, pieces),
    };
    let mut text = String::from(quote);
    for piece in pieces {
        match piece {
            Piece::Source(source) => text.push_str(source),
            Piece::Hole { path, pattern, .. } => {
                let value = value(path).filter(|value| !value.is_empty()).ok_or_else(|| path.clone())?;
                text.push_str(&escaped(&if *pattern { pattern::quoted(&value) } else { value }, quote));
            }
        }
    }
    text.push(quote);
    Ok(text)
}

/// `value` inside a string in these quotes. What a terminal, a log or a person could mistake for something else is escaped, too.
fn escaped(value: &str, quote: char) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            c if c == quote => {
                text.push('\\');
                text.push(c);
            }
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
            {
                // Writing to a String can not fail; all of these are below U+10000.
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text
}
