//! The stages of a log query: parsers, line filters, label filters, and what rewrites lines and labels.
//!
//! For each string it is said here whether a value may stand in it: a template, a path or a pattern of `<...>` has a syntax of its own, in
//! which a value from an alert could do more than stand for itself.

use super::lex::Kind;
use super::parse::{METRIC_HINT, Parser, Role, fault, role_of};
use super::{Fault, Piece, Stage};

/// The label that Loki sets on a line that a stage could not work on.
const ERROR: &str = "__error__";
/// Each costs a call of a function, and a query is a file's text.
const MOST_PARENTHESES: usize = 32;

impl Parser<'_, '_> {
    pub(super) fn stage(&mut self) -> Result<Stage, Fault> {
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
