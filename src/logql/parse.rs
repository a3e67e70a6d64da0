//! The grammar of a log query, as in Loki's `pkg/logql/syntax/syntax.y`: its selector, its strings, and what the stages are made of.
//!
//! Says for every string whether a value may be put into it, and whether it is a regular expression. Never guesses: what the grammar does
//! not know is a fault, although a newer Loki may know it.

use regex::Regex;

use super::cursor::Part;
use super::lex::{Kind, Token, decoded};
use super::pattern;
use super::{Fault, LogQuery, Matcher, Piece, Stage};

pub(super) const METRIC_HINT: &str =
    "write the log query alone, {...} | ...; runbookd counts its lines itself (window, count_by)";

/// What a string is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Compared as it is.
    Text,
    /// A regular expression.
    Pattern,
    /// Something with a syntax of its own, in which a value could do more than stand for itself.
    Program(&'static str),
}

pub(super) fn query(text: &str, tokens: &[Token<'_>]) -> Result<LogQuery, Vec<Fault>> {
    let mut parser =
        Parser { tokens, next: 0, end: text.len(), faults: Vec::new(), numeric: false, own_errors: false };
    match parser.query() {
        Ok((selector, stages)) if parser.faults.is_empty() => {
            let guarded = !parser.own_errors;
            Ok(LogQuery { text: text.to_owned(), selector, stages, guarded, numeric: parser.numeric })
        }
        Ok(_) => Err(parser.faults),
        Err(fault) => {
            parser.faults.push(fault);
            Err(parser.faults)
        }
    }
}

pub(super) struct Parser<'p, 't> {
    tokens: &'p [Token<'t>],
    next: usize,
    pub(super) end: usize,
    /// Faults that do not end the parsing.
    faults: Vec<Fault>,
    /// A stage compares with a number, so that a field which is none counts as a match unless `__error__` is looked at.
    pub(super) numeric: bool,
    /// The author does something with `__error__` that an added `__error__=""` would undo.
    pub(super) own_errors: bool,
}

pub(super) fn fault(at: usize, message: impl Into<String>, hint: Option<&str>) -> Fault {
    Fault { at, message: message.into(), hint: hint.map(str::to_owned) }
}

impl<'t> Parser<'_, 't> {
    fn query(&mut self) -> Result<(Vec<Matcher>, Vec<Stage>), Fault> {
        let Some(first) = self.tokens.first() else { return Err(fault(0, "the query is empty", None)) };
        if let Some(range) = self.tokens.iter().find(|token| token.source == "[") {
            return Err(fault(range.at, "a range makes this a metric query", Some(METRIC_HINT)));
        }
        if first.source != "{" {
            let calls =
                self.tokens.get(1).is_some_and(|token| matches!(token.source, "(" | "by" | "without"));
            let message = if calls {
                "this is a metric query"
            } else {
                "a log query begins with a stream selector, {label=\"value\"}"
            };
            return Err(fault(first.at, message, calls.then_some(METRIC_HINT)));
        }
        let selector = self.selector()?;
        let mut stages = Vec::new();
        while self.peek().is_some() {
            stages.push(self.stage()?);
        }
        Ok((selector, stages))
    }

    pub(super) fn peek(&self) -> Option<&Token<'t>> {
        self.tokens.get(self.next)
    }

    pub(super) fn sees(&self, source: &str) -> bool {
        self.peek().is_some_and(|token| token.source.eq_ignore_ascii_case(source))
    }

    pub(super) fn unexpected(&self, wanted: &str) -> Fault {
        match self.peek() {
            Some(token) => fault(token.at, format!("{} is not expected here; {wanted}", token.source), None),
            None => fault(self.end, format!("the query ends too soon; {wanted}"), None),
        }
    }

    /// Takes the next word over into `pieces` if `wanted` says so.
    pub(super) fn take(
        &mut self,
        pieces: &mut Vec<Piece>,
        wanted: impl Fn(&Token<'t>) -> bool,
    ) -> Option<&'t str> {
        let token = self.tokens.get(self.next).filter(|token| wanted(token))?;
        self.next += 1;
        let space = if token.spaced && !pieces.is_empty() { " " } else { "" };
        pieces.push(Piece::Source(format!("{space}{}", token.source)));
        Some(token.source)
    }

    pub(super) fn take_op(&mut self, pieces: &mut Vec<Piece>, operators: &[&str]) -> Option<&'t str> {
        self.take(pieces, |token| token.kind == Kind::Op && operators.contains(&token.source))
    }

    pub(super) fn need_op(&mut self, pieces: &mut Vec<Piece>, operators: &[&str]) -> Result<&'t str, Fault> {
        self.take_op(pieces, operators)
            .ok_or_else(|| self.unexpected(&format!("expected {}", operators.join(" "))))
    }

    pub(super) fn take_word(&mut self, pieces: &mut Vec<Piece>, word: &str) -> bool {
        self.take(pieces, |token| token.kind == Kind::Word && token.source.eq_ignore_ascii_case(word))
            .is_some()
    }

    pub(super) fn need_label(&mut self, pieces: &mut Vec<Piece>) -> Result<&'t str, Fault> {
        self.take(pieces, |token| token.kind == Kind::Word)
            .ok_or_else(|| self.unexpected("expected a label's name"))
    }

    pub(super) fn is_string(&self) -> bool {
        self.peek().is_some_and(|token| matches!(token.kind, Kind::Quoted(_) | Kind::Raw))
    }

    /// Takes a string over; gives what it stands for, with `x` for each placeholder.
    pub(super) fn need_string(&mut self, pieces: &mut Vec<Piece>, role: Role) -> Result<String, Fault> {
        let Some(token) = self.tokens.get(self.next).filter(|_| self.is_string()) else {
            return Err(self.unexpected("expected a string in double quotes"));
        };
        self.next += 1;
        let space = if token.spaced && !pieces.is_empty() { " " } else { "" };
        let Kind::Quoted(parts) = &token.kind else {
            pieces.push(Piece::Source(format!("{space}{}", token.source)));
            let value = token.source.trim_matches('`').replace('\r', "");
            self.check_pattern(token.at, role, &value);
            return Ok(value);
        };
        let mut value = String::new();
        pieces.push(Piece::Source(format!("{space}\"")));
        let mut filled = false;
        for part in parts {
            match *part {
                Part::Source(source) => {
                    let text = decoded(source);
                    if filled && role == Role::Pattern && pattern::repeats(&text) {
                        self.faults.push(fault(token.at, pattern::REPEATS, Some(pattern::REPEATS_HINT)));
                    }
                    filled = false;
                    value.push_str(&text);
                    pieces.push(Piece::Source(source.to_owned()));
                }
                Part::Hole { path, at } => {
                    self.check_hole(at, role, &value);
                    value.push('x');
                    filled = true;
                    pieces.push(Piece::Hole { path: path.to_owned(), at, pattern: role == Role::Pattern });
                }
            }
        }
        pieces.push(Piece::Source("\"".to_owned()));
        self.check_pattern(token.at, role, &value);
        Ok(value)
    }

    /// Whether a value can only stand for itself here; `before` is the string up to the placeholder.
    fn check_hole(&mut self, at: usize, role: Role, before: &str) {
        match role {
            Role::Text => {}
            Role::Program(what) => {
                let message = format!(
                    "a placeholder may not stand in {what}: a value from an alert could change what it does"
                );
                let hint = "placeholders belong into label matchers, label filters and line filters";
                self.faults.push(fault(at, message, Some(hint)));
            }
            Role::Pattern if pattern::would_change(before) => {
                self.faults.push(fault(at, pattern::WOULD_CHANGE, None));
            }
            Role::Pattern => {}
        }
    }

    /// Faults of a regular expression, as far as ours and Go's agree on what is one: they read `{`, `[` and `\Q` differently.
    fn check_pattern(&mut self, at: usize, role: Role, value: &str) {
        if role == Role::Pattern
            && let Some(wrong) = pattern::wrong(value)
        {
            self.faults.push(fault(at, wrong, None));
        }
    }

    fn selector(&mut self) -> Result<Vec<Matcher>, Fault> {
        let open = self.tokens[self.next].at;
        self.next += 1;
        let mut selector = Vec::new();
        let mut narrows = false;
        if !self.sees("}") {
            loop {
                let mut pieces = Vec::new();
                let label = self.need_label(&mut pieces)?.to_owned();
                let operator = self.need_op(&mut pieces, &["=", "!=", "=~", "!~"])?;
                let value = self.need_string(&mut pieces, role_of(operator))?;
                narrows |= !matches_empty(operator, &value);
                selector.push(Matcher { label, pieces });
                if !self.sees(",") {
                    break;
                }
                self.next += 1;
            }
        }
        if !self.sees("}") {
            return Err(self.unexpected("expected , or } of the stream selector"));
        }
        self.next += 1;
        if !narrows {
            // Loki's own rule (400 otherwise): an empty selector must never mean all streams.
            let hint =
                "add a matcher that a stream without the label does not pass: app=\"web\", or app=~\".+\"";
            self.faults.push(fault(open, "the stream selector selects everything", Some(hint)));
        }
        Ok(selector)
    }
}

pub(super) fn role_of(operator: &str) -> Role {
    if operator.ends_with('~') { Role::Pattern } else { Role::Text }
}

/// Whether a stream without the label passes: such matchers alone would select everything. A placeholder's value is never empty.
/// Source: `util.SplitFiltersAndMatchers` of Loki.
fn matches_empty(operator: &str, value: &str) -> bool {
    let pattern = || Regex::new(&format!("^(?:{value})$")).is_ok_and(|pattern| pattern.is_match(""));
    match operator {
        "=" => value.is_empty(),
        "!=" => !value.is_empty(),
        "=~" => pattern(),
        _ => !pattern(),
    }
}
