//! The words of PromQL: where a string begins and ends, and where a placeholder stands in it. Comments end here.
//!
//! As strict as Prometheus' own lexer (`promql/parser/lex.go`) or stricter, never laxer: what is not known is a fault.

use std::time::Duration;

use super::Fault;
use crate::logql::escape_length;

/// One word of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind<'t>,
    /// The word as it was written.
    pub(super) source: &'t str,
    /// Its byte offset.
    pub(super) at: usize,
    /// Whether white space or a comment stands before it.
    pub(super) spaced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    /// A metric, a label, a keyword, a function.
    Word,
    /// A number or a span of time.
    Number,
    /// An operator or a bracket.
    Op,
    /// A string in single or double quotes, quotes not included.
    Quoted(char, Vec<Part<'t>>),
    /// A string in backticks. It has no escapes, so nothing can be put into it.
    Raw,
}

/// A piece of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'t> {
    /// As it was written, escapes included.
    Source(&'t str),
    /// `${path}`.
    Hole { path: &'t str, at: usize },
}

/// Ten years: no range is longer, and the sums of many do not overflow.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// Those of two characters first, so that the longest is found.
const OPERATORS: [&str; 23] = [
    "=~", "!~", "==", "!=", "<=", ">=", "{", "}", "(", ")", "[", "]", ",", "+", "-", "*", "/", "%", "^", "=",
    "<", ">", ":",
];

/// The words of `text`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Vec<Fault>> {
    let mut lexer = Lexer { text, at: 0, faults: Vec::new() };
    let mut tokens = Vec::new();
    loop {
        let before = lexer.at;
        lexer.skip_space();
        let at = lexer.at;
        if at == text.len() {
            break;
        }
        if let Some(kind) = lexer.token() {
            tokens.push(Token { kind, source: &text[at..lexer.at], at, spaced: at > before });
        }
    }
    if lexer.faults.is_empty() { Ok(tokens) } else { Err(lexer.faults) }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    faults: Vec<Fault>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn fault(&mut self, at: usize, message: impl Into<String>, hint: Option<&str>) {
        self.faults.push(Fault { at, message: message.into(), hint: hint.map(str::to_owned) });
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !wanted(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn skip_space(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
            if !self.rest().starts_with('#') {
                return;
            }
            self.take_while(|c| c != '\n' && c != '\r');
        }
    }

    /// The word that begins here; none after a fault. Always moves on.
    fn token(&mut self) -> Option<Kind<'t>> {
        let at = self.at;
        let rest = self.rest();
        let first = rest.chars().next()?;
        let next = rest[first.len_utf8()..].chars().next();
        match first {
            '"' | '\'' => return self.quoted(first),
            '`' => return self.raw(),
            'a'..='z' | 'A'..='Z' | '_' => {
                self.take_while(|c| is_word(c) || c == ':');
                return Some(Kind::Word);
            }
            // The name of a recording rule; else it is the colon of a subquery.
            ':' if next.is_some_and(|next| next.is_ascii_alphabetic() || next == '_') => {
                self.take_while(|c| is_word(c) || c == ':');
                return Some(Kind::Word);
            }
            '0'..='9' | '.' if first != '.' || next.is_some_and(|next| next.is_ascii_digit()) => {
                let begun = self.take_while(|c| is_word(c) || c == '.');
                // `1e-3`, and not `0xe-3`.
                let is_power = begun.ends_with(['e', 'E']) && !begun.starts_with("0x");
                if is_power && self.rest().starts_with(['+', '-']) {
                    self.at += 1;
                    self.take_while(|c| c.is_ascii_digit());
                }
                return Some(Kind::Number);
            }
            '@' => {
                self.at += 1;
                let hint = "the query is asked about the moment at hand; use `offset` to look further back";
                self.fault(at, "a fixed moment (`@`) can not be asked about again", Some(hint));
                return None;
            }
            '$' if rest.starts_with("${") => {
                self.at += rest.find('}').map_or(2, |end| end + 1);
                let hint = format!("such as {{namespace=\"{}\"}}", &self.text[at..self.at]);
                self.fault(at, "a placeholder may only stand in the string of a label matcher", Some(&hint));
                return None;
            }
            _ => {}
        }
        if let Some(operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
            self.at += operator.len();
            return Some(Kind::Op);
        }
        self.at += first.len_utf8();
        self.fault(at, format!("{first:?} has no meaning here"), None);
        None
    }

    fn raw(&mut self) -> Option<Kind<'t>> {
        let open = self.at;
        let Some(length) = self.rest()[1..].find('`') else {
            self.at = self.text.len();
            self.fault(open, "the string in backticks has no end", None);
            return None;
        };
        self.at += length + 2;
        let body = &self.text[open + 1..self.at - 1];
        if let Some(hole) = body.find("${") {
            let hint = "use double quotes; backticks have no escapes, so a value could end the string";
            self.fault(open + 1 + hole, "a placeholder may not stand in backticks", Some(hint));
            return None;
        }
        Some(Kind::Raw)
    }

    fn quoted(&mut self, quote: char) -> Option<Kind<'t>> {
        let open = self.at;
        let faults = self.faults.len();
        let mut parts = Vec::new();
        self.at += 1;
        let mut from = self.at;
        loop {
            let at = self.at;
            let rest = self.rest();
            let Some(next) = rest.chars().next().filter(|c| *c != '\n') else {
                self.fault(open, "the string has no end on its line", Some("write a line break as \\n"));
                return None;
            };
            if next == quote {
                parts.push(Part::Source(&self.text[from..at]));
                self.at += 1;
                break;
            }
            if next == '\\' {
                let length = escape(rest, quote);
                if length.is_none() {
                    let hint = "write a backslash as \\\\; in a regular expression \\. becomes \\\\.";
                    self.fault(at, "this escape does not exist in this string", Some(hint));
                }
                // After a fault the escaped character is skipped with its backslash, so that one fault does not make others.
                self.at += length.unwrap_or_else(|| 1 + rest[1..].chars().next().map_or(0, char::len_utf8));
                continue;
            }
            if !rest.starts_with("${") {
                self.at += next.len_utf8();
                continue;
            }
            parts.push(Part::Source(&self.text[from..at]));
            let body = &rest[2..];
            let path = &body[..body.find(|c| !is_word(c) && c != '.').unwrap_or(body.len())];
            self.at += 2 + path.len();
            if self.rest().starts_with('}') && path.split('.').all(|name| !name.is_empty()) {
                self.at += 1;
                parts.push(Part::Hole { path, at });
            } else {
                let hint = "a placeholder is ${labels.NAME}, ${vars.NAME} or ${each.NAME}";
                let message = "this placeholder has no end, or something else than names and dots in it";
                self.fault(at, message, Some(hint));
            }
            from = self.at;
        }
        (self.faults.len() == faults).then_some(Kind::Quoted(quote, parts))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The bytes of the escape that `text` begins with: Go's, and of the quotes only the string's own.
pub(super) fn escape(text: &str, quote: char) -> Option<usize> {
    match text[1..].chars().next()? {
        next if next == quote => Some(2),
        '"' | '\'' => None,
        _ => escape_length(text),
    }
}

/// Prometheus' durations: `1h30m`, the larger unit first, or a number of seconds.
/// Source: <https://prometheus.io/docs/prometheus/latest/querying/basics/#float-literals-and-time-durations>.
pub(super) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Duration::try_from_secs_f64(text.parse().ok()?).ok().filter(|span| *span <= LONGEST);
    }
    let mut rest = text;
    let mut total = 0_u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let (_, size) = units.find(|(name, _)| *name == unit)?;
        total = number.parse::<u64>().ok()?.checked_mul(*size)?.checked_add(total)?;
        rest = after;
    }
    Some(Duration::from_millis(total)).filter(|span| *span <= LONGEST)
}
