//! The grammar of a log query: one stream selector and its stages, as in Loki's `pkg/logql/syntax/syntax.y`.
//!
//! Says for every string whether a value may be put into it, and whether it is a regular expression. Never guesses: what the grammar does
//! not know is a fault, although a newer Loki may know it.

use regex::Regex;

use super::lex::{Kind, Part, Token, decoded};
use super::{Fault, LogQuery, Matcher, Piece, Stage};

const METRIC_HINT: &str =
    "write the log query alone, {...} | ...; runbookd counts its lines itself (window, count_by)";
/// The label that Loki sets on a line that a stage could not work on.
const ERROR: &str = "__error__";
/// Each costs a call of a function, and a query is a file's text.
const MOST_PARENTHESES: usize = 32;

/// What a string is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
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

struct Parser<'p, 't> {
    tokens: &'p [Token<'t>],
    next: usize,
    end: usize,
    /// Faults that do not end the parsing.
    faults: Vec<Fault>,
    /// A stage compares with a number, so that a field which is none counts as a match unless `__error__` is looked at.
    numeric: bool,
    /// The author does something with `__error__` that an added `__error__=""` would undo.
    own_errors: bool,
}

fn fault(at: usize, message: impl Into<String>, hint: Option<&str>) -> Fault {
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

    fn peek(&self) -> Option<&Token<'t>> {
        self.tokens.get(self.next)
    }

    fn sees(&self, source: &str) -> bool {
        self.peek().is_some_and(|token| token.source.eq_ignore_ascii_case(source))
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        match self.peek() {
            Some(token) => fault(token.at, format!("{} is not expected here; {wanted}", token.source), None),
            None => fault(self.end, format!("the query ends too soon; {wanted}"), None),
        }
    }

    /// Takes the next word over into `pieces` if `wanted` says so.
    fn take(&mut self, pieces: &mut Vec<Piece>, wanted: impl Fn(&Token<'t>) -> bool) -> Option<&'t str> {
        let token = self.tokens.get(self.next).filter(|token| wanted(token))?;
        self.next += 1;
        let space = if token.spaced && !pieces.is_empty() { " " } else { "" };
        pieces.push(Piece::Source(format!("{space}{}", token.source)));
        Some(token.source)
    }

    fn take_op(&mut self, pieces: &mut Vec<Piece>, operators: &[&str]) -> Option<&'t str> {
        self.take(pieces, |token| token.kind == Kind::Op && operators.contains(&token.source))
    }

    fn need_op(&mut self, pieces: &mut Vec<Piece>, operators: &[&str]) -> Result<&'t str, Fault> {
        self.take_op(pieces, operators)
            .ok_or_else(|| self.unexpected(&format!("expected {}", operators.join(" "))))
    }

    fn take_word(&mut self, pieces: &mut Vec<Piece>, word: &str) -> bool {
        self.take(pieces, |token| token.kind == Kind::Word && token.source.eq_ignore_ascii_case(word))
            .is_some()
    }

    fn need_label(&mut self, pieces: &mut Vec<Piece>) -> Result<&'t str, Fault> {
        self.take(pieces, |token| token.kind == Kind::Word)
            .ok_or_else(|| self.unexpected("expected a label's name"))
    }

    fn is_string(&self) -> bool {
        self.peek().is_some_and(|token| matches!(token.kind, Kind::Quoted(_) | Kind::Raw))
    }

    /// Takes a string over; gives what it stands for, with `x` for each placeholder.
    fn need_string(&mut self, pieces: &mut Vec<Piece>, role: Role) -> Result<String, Fault> {
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
                    if filled && role == Role::Pattern && text.starts_with(['*', '+', '?', '{']) {
                        let hint = "put the placeholder into a group: (${...})+";
                        self.faults.push(fault(
                            token.at,
                            "this would repeat only the last character of the placeholder's value",
                            Some(hint),
                        ));
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
            Role::Pattern => {
                let unescaped = |suffix: &str| {
                    let head = before.strip_suffix(suffix)?;
                    Some((head.len() - head.trim_end_matches('\\').len()) % 2 == 0)
                };
                let risky = ["\\", "{", "(?", "(?P<", "(?<"]
                    .into_iter()
                    .any(|suffix| unescaped(suffix) == Some(true));
                if risky || before.contains("\\Q") {
                    let message = "a placeholder may not stand right after \\ { (? or \\Q in a regular expression: its value would not stand for itself";
                    self.faults.push(fault(at, message, None));
                }
            }
        }
    }

    /// Faults of a regular expression, as far as ours and Go's agree on what is one: they read `{`, `[` and `\Q` differently.
    fn check_pattern(&mut self, at: usize, role: Role, value: &str) {
        if role == Role::Pattern
            && !value.contains(['{', '['])
            && !value.contains("\\Q")
            && let Err(error) = Regex::new(value)
        {
            let said = error.to_string();
            let said = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.faults.push(fault(at, format!("this is no regular expression: {said}"), None));
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

    fn stage(&mut self) -> Result<Stage, Fault> {
        let mut pieces = Vec::new();
        if let Some(operator) = self.take_op(&mut pieces, &["|=", "|~", "!=", "!~", "|>", "!>"]) {
            self.line_filter(&mut pieces, operator)?;
            return Ok(Stage { pieces, parses: false });
        }
        if self.sees("{") {
            let at = self.peek().map_or(self.end, |token| token.at);
            return Err(fault(
                at,
                "a second query begins here",
                Some("one probe asks one query; make it two probes"),
            ));
        }
        self.need_op(&mut pieces, &["|"])?;
        let word = self
            .peek()
            .filter(|token| token.kind == Kind::Word)
            .map(|token| token.source.to_ascii_lowercase());
        let at = self.peek().map_or(self.end, |token| token.at);
        let mut parses = false;
        match word.as_deref() {
            Some("json" | "logfmt" | "xml") => {
                parses = true;
                self.next_word(&mut pieces);
                while self.take(&mut pieces, |token| token.kind == Kind::Flag).is_some() {}
                if self.peek().is_some_and(|token| token.kind == Kind::Word) {
                    self.list(&mut pieces, Self::extraction)?;
                }
            }
            Some("unpack") => {
                parses = true;
                self.next_word(&mut pieces);
            }
            Some("decolorize") => self.next_word(&mut pieces),
            Some(name @ ("regexp" | "pattern" | "line_format")) => {
                let what = match name {
                    "regexp" => "the expression of regexp",
                    "pattern" => "a pattern",
                    _ => "the template of line_format",
                };
                self.next_word(&mut pieces);
                self.need_string(&mut pieces, Role::Program(what))?;
            }
            Some("label_format") => {
                self.next_word(&mut pieces);
                self.list(&mut pieces, Self::label_format)?;
            }
            Some("drop" | "keep") => {
                self.next_word(&mut pieces);
                self.list(&mut pieces, Self::kept_label)?;
            }
            Some("unwrap") => return Err(fault(at, "unwrap makes this a metric query", Some(METRIC_HINT))),
            _ => self.label_filter(&mut pieces, 0)?,
        }
        Ok(Stage { pieces, parses })
    }

    fn next_word(&mut self, pieces: &mut Vec<Piece>) {
        self.take(pieces, |_| true);
    }

    fn list(
        &mut self,
        pieces: &mut Vec<Piece>,
        item: impl Fn(&mut Self, &mut Vec<Piece>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        item(self, pieces)?;
        while self.take_op(pieces, &[","]).is_some() {
            item(self, pieces)?;
        }
        Ok(())
    }

    fn extraction(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        self.need_label(pieces)?;
        if self.take_op(pieces, &["="]).is_some() {
            self.need_string(pieces, Role::Program("the path of a parser"))?;
        }
        Ok(())
    }

    fn label_format(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        self.need_label(pieces)?;
        self.need_op(pieces, &["="])?;
        if self.is_string() {
            self.need_string(pieces, Role::Program("the template of label_format"))?;
        } else {
            self.need_label(pieces)?;
        }
        Ok(())
    }

    fn kept_label(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        self.own_errors |= self.need_label(pieces)? == ERROR;
        if let Some(operator) = self.take_op(pieces, &["=", "!=", "=~", "!~"]) {
            self.need_string(pieces, role_of(operator))?;
        }
        Ok(())
    }

    fn line_filter(&mut self, pieces: &mut Vec<Piece>, operator: &str) -> Result<(), Fault> {
        let role = match operator {
            "|>" | "!>" => Role::Program("a pattern"),
            _ => role_of(operator),
        };
        self.line(pieces, role)?;
        while self.take_word(pieces, "or") {
            self.line(pieces, role)?;
        }
        Ok(())
    }

    fn line(&mut self, pieces: &mut Vec<Piece>, role: Role) -> Result<(), Fault> {
        if self.sees("ip") { self.address(pieces) } else { self.need_string(pieces, role).map(drop) }
    }

    fn address(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        self.next_word(pieces);
        self.need_op(pieces, &["("])?;
        self.need_string(pieces, Role::Program("ip(...)"))?;
        self.need_op(pieces, &[")"]).map(drop)
    }

    /// One or more comparisons, with `and`, `or`, a comma, or nothing between them.
    fn label_filter(&mut self, pieces: &mut Vec<Piece>, depth: usize) -> Result<(), Fault> {
        if depth > MOST_PARENTHESES {
            return Err(self.unexpected("too many parentheses are open"));
        }
        loop {
            if self.take_op(pieces, &["("]).is_some() {
                self.label_filter(pieces, depth + 1)?;
                self.need_op(pieces, &[")"])?;
            } else {
                self.comparison(pieces)?;
            }
            let joined = self.take_op(pieces, &[","]).is_some()
                || self.take_word(pieces, "and")
                || self.take_word(pieces, "or");
            if !joined && !self.peek().is_some_and(|token| token.kind == Kind::Word || token.source == "(") {
                return Ok(());
            }
        }
    }

    fn comparison(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        let at = self.peek().map_or(self.end, |token| token.at);
        let label = self.need_label(pieces)?;
        let operators = ["=", "==", "!=", "=~", "!~", ">", ">=", "<", "<="];
        let Some(operator) = self.take_op(pieces, &operators) else {
            let hint = "stages are json, logfmt, unpack, regexp, pattern, line_format, label_format, decolorize, drop, keep, and comparisons";
            return Err(fault(
                at,
                format!("{label} is neither a stage nor the beginning of a comparison"),
                Some(hint),
            ));
        };
        if self.is_string() {
            if matches!(operator, "==" | ">" | ">=" | "<" | "<=") {
                return Err(self.unexpected(&format!("{operator} compares with a number")));
            }
            let value = self.need_string(pieces, role_of(operator))?;
            self.own_errors |= label == ERROR && !(operator == "=" && value.is_empty());
            return Ok(());
        }
        self.own_errors |= label == ERROR;
        self.numeric = true;
        if self.sees("ip") && matches!(operator, "=" | "!=") {
            return self.address(pieces);
        }
        if matches!(operator, "=~" | "!~") {
            return Err(self.unexpected("expected a string in double quotes"));
        }
        let number = self.take(pieces, |token| token.kind == Kind::Number);
        number.map(drop).ok_or_else(|| self.unexpected("expected a string in double quotes or a number"))
    }
}

fn role_of(operator: &str) -> Role {
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
