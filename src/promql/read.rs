//! From words to a query: where placeholders stand, and how far back each selector looks. Brackets and matchers are read as Prometheus
//! reads them; what stands between is passed over.

use std::ops::Range;
use std::time::Duration;

use super::lex::{self, Token};
use super::{Fault, Kind, LOOKBACK, Piece, PromQuery, Word};
use crate::logql::cursor::Part;
use crate::logql::{decoded, pattern};

const AGGREGATIONS: [&str; 14] = [
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "stddev",
    "stdvar",
    "count",
    "count_values",
    "bottomk",
    "topk",
    "quantile",
    "limitk",
    "limit_ratio",
];
/// A list of labels follows them.
const OF_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "atan2", "bool"];
const NUMBERS: [&str; 2] = ["inf", "nan"];

pub(super) fn query(text: &str, tokens: &[Token<'_>]) -> Result<PromQuery, Vec<Fault>> {
    if tokens.is_empty() {
        return Err(vec![fault(0, "the query is empty")]);
    }
    let words = tokens.iter().map(plain).collect();
    let mut reader = Reader { tokens, words, next: 0, faults: Vec::new(), filters: None, end: text.len() };
    match reader.group(None) {
        Err(found) => {
            reader.faults.push(found);
            Err(reader.faults)
        }
        Ok(_) if !reader.faults.is_empty() => Err(reader.faults),
        Ok(found) => Ok(PromQuery {
            text: text.to_owned(),
            words: reader.words,
            bare: found.bare,
            reach: found.reach,
            filters: reader.filters,
        }),
    }
}

/// What an expression looks at.
#[derive(Debug, Default)]
struct Look {
    reach: Duration,
    /// Selectors that take the newest sample as it is.
    bare: Vec<Range<usize>>,
    /// It is one selector and nothing else.
    selector: bool,
}

impl Look {
    fn selector(words: Range<usize>) -> Self {
        Self { bare: Vec::from([words]), selector: true, ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.reach = self.reach.max(other.reach);
        self.bare.extend(other.bare);
    }
}

struct Reader<'p, 't> {
    tokens: &'p [Token<'t>],
    words: Vec<Word>,
    next: usize,
    /// Faults that do not end the reading.
    faults: Vec<Fault>,
    filters: Option<usize>,
    end: usize,
}

fn fault(at: usize, message: impl Into<String>) -> Fault {
    Fault { at, message: message.into(), hint: None }
}

/// A word as it was written. The strings that may hold a placeholder are read again where their role is known.
fn plain(token: &Token<'_>) -> Word {
    Word { spaced: token.spaced, kind: Kind::Source(token.source.to_owned()) }
}

fn is(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

impl<'t> Reader<'_, 't> {
    fn peek(&self) -> Option<&Token<'t>> {
        self.tokens.get(self.next)
    }

    fn sees(&self, source: &str) -> bool {
        self.peek().is_some_and(|token| token.source == source)
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        match self.peek() {
            Some(token) => fault(token.at, format!("{} is not expected here; {wanted}", token.source)),
            None => fault(self.end, format!("the query ends too soon; {wanted}")),
        }
    }

    /// Reads up to the `)` that belongs to the `(` at `open`, or to the end.
    fn group(&mut self, open: Option<usize>) -> Result<Look, Fault> {
        let mut all = Look::default();
        let mut last: Option<Look> = None;
        loop {
            let at = self.next;
            let Some(token) = self.peek() else {
                if let Some(open) = open {
                    return Err(fault(open, "this ( is never closed"));
                }
                break;
            };
            let (source, place) = (token.source, token.at);
            match &token.kind {
                lex::Kind::Op if source == ")" => {
                    if open.is_none() {
                        return Err(fault(place, "there is no ( before this )"));
                    }
                    self.next += 1;
                    break;
                }
                lex::Kind::Op if source == "(" => {
                    self.next += 1;
                    let inner = self.group(Some(place))?;
                    all.add(last.replace(Look { selector: false, ..inner }).unwrap_or_default());
                }
                lex::Kind::Op if source == "{" => {
                    // The name before it, without anything in between, belongs to the same selector.
                    let named = last
                        .as_mut()
                        .filter(|look| look.selector && look.bare.last().is_some_and(|bare| bare.end == at));
                    let is_named = named.is_some();
                    let count = self.matchers(place, is_named)?;
                    let end = self.next;
                    match last.as_mut().filter(|_| is_named) {
                        Some(look) => look.bare = look.bare.iter().map(|bare| bare.start..end).collect(),
                        None => {
                            if count == 0 {
                                return Err(fault(place, "the selector selects everything"));
                            }
                            let look = Look::selector(at..end);
                            all.add(last.replace(look).unwrap_or_default());
                        }
                    }
                }
                lex::Kind::Op if source == "[" => {
                    let Some(look) = last.as_mut() else {
                        return Err(fault(place, "there is nothing before this range"));
                    };
                    let (reach, had_bare) = (look.reach, !std::mem::take(&mut look.bare).is_empty());
                    look.selector = false;
                    let (span, is_subquery) = self.range(place)?;
                    let older = if is_subquery && had_bare { LOOKBACK } else { Duration::ZERO };
                    if let Some(look) = last.as_mut() {
                        look.reach = reach + span + older;
                    }
                }
                lex::Kind::Op if matches!(source, "]" | "}") => {
                    return Err(fault(place, format!("there is no bracket before this {source}")));
                }
                lex::Kind::Op => {
                    self.next += 1;
                    let compares = matches!(source, ">" | "<" | ">=" | "<=" | "==" | "!=");
                    let leaves_out = compares && !self.peek().is_some_and(|next| is(&["bool"], next.source));
                    if leaves_out && open.is_none() && self.filters.is_none() {
                        self.filters = Some(place);
                    }
                    all.add(last.take().unwrap_or_default());
                }
                lex::Kind::Word => {
                    if let Some(look) = self.word(last.as_mut())? {
                        all.add(last.replace(look).unwrap_or_default());
                    }
                }
                lex::Kind::Quoted(_, parts) => {
                    self.refuse_holes(parts.clone());
                    self.next += 1;
                }
                lex::Kind::Number | lex::Kind::Raw => self.next += 1,
            }
        }
        all.add(last.unwrap_or_default());
        Ok(all)
    }

    /// A word outside of matchers: a selector's name, or one of the language's own.
    fn word(&mut self, last: Option<&mut Look>) -> Result<Option<Look>, Fault> {
        let at = self.next;
        let Some(source) = self.peek().map(|token| token.source) else { return Ok(None) };
        self.next += 1;
        if is(&["offset"], source) {
            let back = if self.sees("-") || self.sees("+") {
                self.next += 1;
                self.tokens[self.next - 1].source == "+"
            } else {
                true
            };
            let span = self.span()?;
            let end = self.next;
            if let Some(look) = last {
                if look.selector {
                    look.bare = look.bare.iter().map(|bare| bare.start..end).collect();
                }
                if back {
                    look.reach += span;
                }
            }
            return Ok(None);
        }
        if is(&OF_LABELS, source) {
            if self.sees("(") {
                self.labels()?;
            }
            return Ok(None);
        }
        if is(&OPERATORS, source) || is(&NUMBERS, source) || self.sees("(") {
            return Ok(None);
        }
        let aggregates =
            is(&AGGREGATIONS, source) && self.peek().is_some_and(|next| is(&["by", "without"], next.source));
        Ok((!aggregates).then(|| Look::selector(at..at + 1)))
    }

    fn labels(&mut self) -> Result<(), Fault> {
        self.next += 1;
        loop {
            match self.peek() {
                Some(token) if token.source == ")" => {
                    self.next += 1;
                    return Ok(());
                }
                Some(token) if token.kind == lex::Kind::Word || token.source == "," => self.next += 1,
                Some(token) if matches!(&token.kind, lex::Kind::Quoted(_, parts) if parts.len() == 1) => {
                    self.next += 1;
                }
                _ => return Err(self.unexpected("expected the names of labels")),
            }
        }
    }

    /// `{name="value", ...}`; gives how many matchers there are.
    fn matchers(&mut self, open: usize, named: bool) -> Result<usize, Fault> {
        self.next += 1;
        let mut count = 0;
        loop {
            if self.sees("}") {
                self.next += 1;
                return Ok(count);
            }
            let Some(key) = self.peek() else { return Err(fault(open, "this { is never closed")) };
            let is_text = match &key.kind {
                lex::Kind::Word => false,
                lex::Kind::Quoted(_, parts) if parts.len() == 1 => true,
                _ => return Err(self.unexpected("expected the name of a label")),
            };
            self.next += 1;
            count += 1;
            let operator = self.peek().map_or("", |token| token.source);
            match operator {
                "=" | "!=" | "=~" | "!~" => {
                    self.next += 1;
                    self.value(operator.ends_with('~'))?;
                }
                // The metric's own name, in quotes: Prometheus 3.
                "," | "}" if is_text && !named => {}
                _ => return Err(self.unexpected("expected =, !=, =~ or !~")),
            }
            if self.sees(",") {
                self.next += 1;
            } else if !self.sees("}") {
                return Err(self.unexpected("expected , or }"));
            }
        }
    }

    /// The string of a matcher, the one place for placeholders.
    fn value(&mut self, is_pattern: bool) -> Result<(), Fault> {
        let at = self.next;
        let Some(token) = self.tokens.get(at) else {
            return Err(self.unexpected("expected a string"));
        };
        match &token.kind {
            lex::Kind::Raw => {
                self.next += 1;
                self.check_pattern(token.at, is_pattern, token.source.trim_matches('`'));
                Ok(())
            }
            lex::Kind::Quoted(quote, parts) => {
                self.next += 1;
                let mut before = String::new();
                let mut after_hole = false;
                let mut pieces = Vec::new();
                for part in parts {
                    match *part {
                        Part::Source(source) => {
                            let text = meaning(source, *quote);
                            if after_hole && is_pattern && pattern::repeats(&text) {
                                let hint = Some(pattern::REPEATS_HINT.to_owned());
                                let message = pattern::REPEATS.to_owned();
                                self.faults.push(Fault { at: token.at, message, hint });
                            }
                            after_hole = false;
                            before.push_str(&text);
                            pieces.push(Piece::Source(source.to_owned()));
                        }
                        Part::Hole { path, at } => {
                            if is_pattern && pattern::would_change(&before) {
                                self.faults.push(fault(at, pattern::WOULD_CHANGE));
                            }
                            before.push('x');
                            after_hole = true;
                            pieces.push(Piece::Hole { path: path.to_owned(), at, pattern: is_pattern });
                        }
                    }
                }
                self.check_pattern(token.at, is_pattern, &before);
                self.words[at].kind = Kind::Quoted { quote: *quote, pieces };
                Ok(())
            }
            _ => Err(self.unexpected("expected a string")),
        }
    }

    fn check_pattern(&mut self, at: usize, is_pattern: bool, text: &str) {
        if is_pattern && let Some(wrong) = pattern::wrong(text) {
            self.faults.push(fault(at, wrong));
        }
    }

    fn refuse_holes(&mut self, parts: Vec<Part<'t>>) {
        for part in parts {
            if let Part::Hole { at, .. } = part {
                let message = "a placeholder may only stand in the string of a label matcher: a value from an alert could change what this one does";
                self.faults.push(fault(at, message));
            }
        }
    }

    /// `[5m]`, or `[30m:1m]`, which is a subquery.
    fn range(&mut self, open: usize) -> Result<(Duration, bool), Fault> {
        self.next += 1;
        let span = self.span()?;
        let is_subquery = self.sees(":");
        if is_subquery {
            self.next += 1;
            if !self.sees("]") {
                self.span()?;
            }
        }
        if !self.sees("]") {
            return Err(match self.peek() {
                Some(_) => self.unexpected("expected ] after a range such as 5m"),
                None => fault(open, "this [ is never closed"),
            });
        }
        self.next += 1;
        Ok((span, is_subquery))
    }

    fn span(&mut self) -> Result<Duration, Fault> {
        let at = self.next;
        let token = self.tokens.get(at).filter(|token| token.kind == lex::Kind::Number);
        let span = token.and_then(|token| Some((token.source, lex::duration(token.source)?)));
        let Some((source, span)) = span else {
            return Err(self.unexpected("expected a duration such as 5m"));
        };
        self.words[at].kind = Kind::Span(span, source.to_owned());
        self.next += 1;
        Ok(span)
    }
}

/// What a piece of a string stands for.
fn meaning(source: &str, quote: char) -> String {
    let mut text = String::new();
    let mut rest = source;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = lex::escape(rest, quote).unwrap_or(rest.len());
        match rest[1..].chars().next() {
            Some(next) if next == quote => text.push(quote),
            _ => text.push_str(&decoded(&rest[..length])),
        }
        rest = &rest[length..];
    }
    text + rest
}
