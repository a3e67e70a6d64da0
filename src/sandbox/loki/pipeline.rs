//! What the stages of a query make of one line.

use std::collections::BTreeSet;

use super::jsonline;
use super::parse::{Filter, Piece, Stage};
use super::store::Labels;
use crate::sandbox::go;

/// Which labels the query needs. Loki extracts no others in a summed metric query, and stops once it has them: what
/// is malformed behind them goes unnoticed.
#[derive(Debug)]
pub(super) struct Hints {
    /// None means all labels.
    required: Option<BTreeSet<String>>,
}

impl Hints {
    pub(super) fn all() -> Self {
        Self { required: None }
    }

    pub(super) fn only(required: BTreeSet<String>) -> Self {
        Self { required: Some(required) }
    }

    fn wants(&self, label: &str) -> bool {
        self.required.as_ref().is_none_or(|required| required.contains(label))
    }
}

/// The labels that the stages of a query name.
pub(super) fn named(stages: &[Stage]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for stage in stages {
        match stage {
            Stage::Filter(filter) => {
                names.extend(
                    filter
                        .labels()
                        .into_iter()
                        .filter(|label| !label.starts_with("__error"))
                        .map(str::to_owned),
                );
            }
            Stage::LineFormat(pieces) => {
                names.extend(pieces.iter().filter_map(|piece| match piece {
                    Piece::Field(field) => Some(field.clone()),
                    Piece::Literal(_) => None,
                }));
            }
            Stage::Contains { .. } | Stage::Matches { .. } | Stage::Json => {}
        }
    }
    names
}

/// A line on its way through the stages.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    pub(super) line: String,
    base: &'a Labels,
    extracted: Labels,
    /// `__error__` and `__error_details__`.
    error: Option<(&'static str, String)>,
}

impl Kept<'_> {
    fn get(&self, label: &str) -> Option<&str> {
        match label {
            "__error__" => self.error.as_ref().map(|(error, _)| *error),
            "__error_details__" => self.error.as_ref().map(|(_, details)| details.as_str()),
            _ => self.extracted.get(label).or_else(|| self.base.get(label)).map(String::as_str),
        }
    }

    pub(super) fn has_error(&self) -> Option<&'static str> {
        self.error.as_ref().map(|(error, _)| *error)
    }

    /// All labels: the stream's, the extracted ones, and the error.
    pub(super) fn labels(&self) -> Labels {
        let mut labels = self.base.clone();
        labels.extend(self.extracted.clone());
        if let Some((error, details)) = &self.error {
            labels.insert("__error__".to_owned(), (*error).to_owned());
            labels.insert("__error_details__".to_owned(), details.clone());
        }
        labels
    }

    fn extract(&mut self, hints: &Hints) {
        if hints.required.as_ref().is_some_and(BTreeSet::is_empty) {
            return;
        }
        let (base, extracted) = (self.base, &mut self.extracted);
        let mut found = BTreeSet::new();
        let parsed = jsonline::fields(&self.line.clone(), |name, value| {
            let name = if base.contains_key(&name) { format!("{name}_extracted") } else { name };
            if hints.wants(&name) {
                found.insert(name.clone());
                if !value.is_empty() {
                    extracted.insert(name, value);
                }
            }
            hints.required.as_ref().is_none_or(|required| found.len() < required.len())
        });
        if let Err(details) = parsed {
            self.error = Some(("JSONParserErr", details.to_owned()));
        }
    }

    fn passes(&mut self, filter: &Filter) -> bool {
        match filter {
            Filter::Text(matcher) => matcher.holds(self.get(&matcher.label).unwrap_or_default()),
            Filter::And(left, right) => self.passes(left) && self.passes(right),
            Filter::Or(left, right) => self.passes(left) || self.passes(right),
            Filter::Number { label, operator, number } => {
                // A line without the label does not match; one whose label is no number does, with an error.
                let Some(value) = self.get(label) else { return false };
                let Ok(value) = value.parse::<f64>() else {
                    let details = go::syntax_error("ParseFloat", value);
                    self.error = self.error.take().or(Some(("LabelFilterErr", details)));
                    return true;
                };
                match *operator {
                    ">" => value > *number,
                    ">=" => value >= *number,
                    "<" => value < *number,
                    "<=" => value <= *number,
                    "!=" => (value - number).abs() > 0.0,
                    _ => (value - number).abs() <= 0.0,
                }
            }
        }
    }
}

/// Runs a line through the stages; none when one of them drops it.
pub(super) fn run<'a>(stages: &[Stage], base: &'a Labels, line: &str, hints: &Hints) -> Option<Kept<'a>> {
    let mut kept = Kept { line: line.to_owned(), base, extracted: Labels::new(), error: None };
    for stage in stages {
        let passes = match stage {
            Stage::Contains { texts, wanted } => texts.iter().any(|text| kept.line.contains(text)) == *wanted,
            Stage::Matches { regexes, wanted } => {
                regexes.iter().any(|regex| regex.is_match(&kept.line)) == *wanted
            }
            Stage::Json => {
                kept.extract(hints);
                true
            }
            Stage::Filter(filter) => kept.passes(filter),
            Stage::LineFormat(pieces) => {
                let line: String = pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Literal(text) => text.as_str(),
                        Piece::Field(label) => kept.get(label).unwrap_or_default(),
                    })
                    .collect();
                kept.line = line;
                true
            }
        };
        if !passes {
            return None;
        }
    }
    Some(kept)
}
