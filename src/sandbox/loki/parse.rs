//! The part of LogQL that the sandbox speaks: a selector, line filters, `json`, label filters, `line_format`,
//! `count_over_time`, `sum` and `sum by`. All else is a parse error, in the real server's form.

use regex::Regex;

use super::lex::{self, Kind, Token};
use crate::sandbox::go;

/// A query.
#[derive(Debug)]
pub(super) enum Query {
    Logs(LogQuery),
    Metric(Metric),
}

/// A query for lines.
#[derive(Debug)]
pub(super) struct LogQuery {
    pub(super) selector: Vec<Matcher>,
    pub(super) stages: Vec<Stage>,
}

/// `count_over_time`, perhaps summed.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) logs: LogQuery,
    /// The range in nanoseconds.
    pub(super) range: i64,
    pub(super) sum: Sum,
}

#[derive(Debug)]
pub(super) enum Sum {
    /// A series for every set of labels.
    None,
    All,
    By(Vec<String>),
}

/// How a value is compared with a text.
#[derive(Debug)]
pub(super) enum Test {
    Equals(String),
    Differs(String),
    Matches(Regex),
    MatchesNot(Regex),
}

impl Test {
    pub(super) fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equals(text) => value == text,
            Self::Differs(text) => value != text,
            Self::Matches(regex) => regex.is_match(value),
            Self::MatchesNot(regex) => !regex.is_match(value),
        }
    }
}

/// A label and what it must be.
#[derive(Debug)]
pub(super) struct Matcher {
    pub(super) label: String,
    test: Test,
}

impl Matcher {
    pub(super) fn holds(&self, value: &str) -> bool {
        self.test.holds(value)
    }
}

#[derive(Debug)]
pub(super) enum Stage {
    /// True when the line contains any of the texts.
    Contains {
        texts: Vec<String>,
        wanted: bool,
    },
    Matches {
        regexes: Vec<Regex>,
        wanted: bool,
    },
    Json,
    Filter(Filter),
    LineFormat(Vec<Piece>),
}

#[derive(Debug)]
pub(super) enum Filter {
    Text(Matcher),
    Number { label: String, operator: &'static str, number: f64 },
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

impl Filter {
    pub(super) fn labels(&self) -> Vec<&str> {
        match self {
            Self::Text(matcher) => vec![&matcher.label],
            Self::Number { label, .. } => vec![label],
            Self::And(left, right) | Self::Or(left, right) => [left.labels(), right.labels()].concat(),
        }
    }
}

/// A piece of a `line_format` template.
#[derive(Debug)]
pub(super) enum Piece {
    Literal(String),
    Field(String),
}

/// Parses a query.
///
/// # Errors
/// The real server's text.
pub(super) fn query(text: &str) -> Result<Query, String> {
    let mut parser = Parser { tokens: lex::tokens(text)?, at: 0 };
    if parser.tokens.len() == 1 {
        return Err("parse error : syntax error: unexpected $end".to_owned());
    }
    let query = if parser.peek_sign("{") {
        Query::Logs(parser.log_query()?)
    } else {
        Query::Metric(parser.metric()?)
    };
    parser.expect_end()?;
    Ok(query)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek_sign(&self, sign: &str) -> bool {
        self.peek().kind == Kind::Sign(lookup(sign))
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.peek_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(&self.peek().kind, Kind::Word(found) if found == word);
        self.at += usize::from(found);
        found
    }

    fn unexpected<T>(&self, expecting: &str) -> Result<T, String> {
        let token = self.peek();
        let Token { line, column, .. } = token;
        let expecting = if expecting.is_empty() { String::new() } else { format!(", expecting {expecting}") };
        Err(format!(
            "parse error at line {line}, col {column}: syntax error: unexpected {}{expecting}",
            token.name()
        ))
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), String> {
        if self.take_sign(sign) { Ok(()) } else { self.unexpected("") }
    }

    fn expect_end(&self) -> Result<(), String> {
        if self.peek().kind == Kind::End { Ok(()) } else { self.unexpected("") }
    }

    fn identifier(&mut self, expecting: &str) -> Result<String, String> {
        let Kind::Word(word) = &self.peek().kind else { return self.unexpected(expecting) };
        let word = word.clone();
        self.at += 1;
        Ok(word)
    }

    fn text(&mut self, expecting: &str) -> Result<String, String> {
        let Kind::Text(text) = &self.peek().kind else { return self.unexpected(expecting) };
        let text = text.clone();
        self.at += 1;
        Ok(text)
    }

    /// One of the four operators of matchers.
    fn test_operator(&mut self) -> Option<&'static str> {
        ["=~", "!~", "!=", "="].into_iter().find(|operator| self.take_sign(operator))
    }

    fn log_query(&mut self) -> Result<LogQuery, String> {
        self.expect_sign("{")?;
        let mut selector = Vec::new();
        while !self.take_sign("}") {
            if !selector.is_empty() {
                self.expect_sign(",")?;
            }
            let label =
                self.identifier(if selector.is_empty() { "IDENTIFIER or }" } else { "IDENTIFIER" })?;
            let Some(operator) = self.test_operator() else { return self.unexpected("= or != or =~ or !~") };
            let value = self.text("STRING")?;
            selector.push(Matcher { label, test: anchored(operator, value)? });
        }
        if selector.iter().all(|matcher| matcher.holds("")) {
            let why = "parse error : queries require at least one regexp or equality matcher that does not have an \
                       empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but \
                       app=~\".+\" will";
            return Err(why.to_owned());
        }
        let mut stages = Vec::new();
        while let Some(stage) = self.stage()? {
            stages.push(stage);
        }
        Ok(LogQuery { selector, stages })
    }

    fn stage(&mut self) -> Result<Option<Stage>, String> {
        for (operator, regex, wanted) in
            [("|=", false, true), ("!=", false, false), ("|~", true, true), ("!~", true, false)]
        {
            if self.take_sign(operator) {
                let mut texts = vec![self.text("STRING or ip")?];
                while self.take_word("or") {
                    texts.push(self.text("STRING or ip")?);
                }
                if !regex {
                    return Ok(Some(Stage::Contains { texts, wanted }));
                }
                let regexes: Result<Vec<Regex>, String> = texts
                    .iter()
                    .map(|text| {
                        Regex::new(text).map_err(|_| {
                            let stage = format!("{operator} {}", go::quoted(text));
                            format!("parse error : stage '{stage}' : {}", go::regexp_error(text))
                        })
                    })
                    .collect();
                return Ok(Some(Stage::Matches { regexes: regexes?, wanted }));
            }
        }
        if !self.take_sign("|") {
            return Ok(None);
        }
        if self.take_word("json") {
            return Ok(Some(Stage::Json));
        }
        if self.take_word("line_format") {
            let template = self.text("STRING")?;
            return Ok(Some(Stage::LineFormat(pieces(&template)?)));
        }
        Ok(Some(Stage::Filter(self.filter()?)))
    }

    fn filter(&mut self) -> Result<Filter, String> {
        let mut left = self.conjunction()?;
        while self.take_word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Filter, String> {
        let mut left = self.comparison()?;
        while self.take_word("and") || self.take_sign(",") {
            left = Filter::And(Box::new(left), Box::new(self.comparison()?));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Filter, String> {
        if self.take_sign("(") {
            let inner = self.filter()?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        let label = self.identifier("")?;
        let operators = [">=", "<=", "==", ">", "<", "=~", "!~", "!=", "="];
        let Some(operator) = operators.into_iter().find(|operator| self.take_sign(operator)) else {
            return self.unexpected("");
        };
        match self.peek().kind.clone() {
            Kind::Text(text) if !matches!(operator, ">=" | "<=" | "==" | ">" | "<") => {
                self.at += 1;
                Ok(Filter::Text(Matcher { label, test: anchored(operator, text)? }))
            }
            Kind::Number(number) if !matches!(operator, "=~" | "!~") => {
                self.at += 1;
                Ok(Filter::Number { label, operator, number })
            }
            _ => self.unexpected(""),
        }
    }

    fn metric(&mut self) -> Result<Metric, String> {
        if self.take_word("sum") {
            let before = self.grouping()?;
            self.expect_sign("(")?;
            let mut metric = self.count()?;
            self.expect_sign(")")?;
            let by = match before {
                Some(by) => Some(by),
                None => self.grouping()?,
            };
            metric.sum = by.map_or(Sum::All, Sum::By);
            return Ok(metric);
        }
        self.count()
    }

    fn grouping(&mut self) -> Result<Option<Vec<String>>, String> {
        if !self.take_word("by") {
            return Ok(None);
        }
        self.expect_sign("(")?;
        let mut labels = Vec::new();
        while !self.take_sign(")") {
            if !labels.is_empty() {
                self.expect_sign(",")?;
            }
            labels.push(self.identifier("IDENTIFIER or )")?);
        }
        Ok(Some(labels))
    }

    fn count(&mut self) -> Result<Metric, String> {
        if !self.take_word("count_over_time") {
            return self.unexpected("");
        }
        self.expect_sign("(")?;
        let logs = self.log_query()?;
        self.expect_sign("[")?;
        let Kind::Duration(range) = self.peek().kind else { return self.unexpected("") };
        self.at += 1;
        self.expect_sign("]")?;
        self.expect_sign(")")?;
        Ok(Metric { logs, range, sum: Sum::None })
    }
}

/// The sign with a lifetime that tokens can hold.
fn lookup(sign: &str) -> &'static str {
    let signs = [
        "|=", "|~", "!=", "!~", "=~", "==", ">=", "<=", "=", ">", "<", "|", "{", "}", "(", ")", "[", "]", ",",
    ];
    signs.into_iter().find(|known| *known == sign).unwrap_or("")
}

/// Regular expressions of label matchers match the whole value, and `.` matches newlines.
fn anchored(operator: &str, text: String) -> Result<Test, String> {
    let regex = |text: &str| {
        Regex::new(&format!("^(?s:{text})$")).map_err(|_| format!("parse error : {}", go::regexp_error(text)))
    };
    Ok(match operator {
        "=" => Test::Equals(text),
        "!=" => Test::Differs(text),
        "=~" => Test::Matches(regex(&text)?),
        _ => Test::MatchesNot(regex(&text)?),
    })
}

/// A template of literal text and `{{.field}}`; functions and pipes lie outside of what the sandbox speaks.
fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        pieces.push(Piece::Literal(before.to_owned()));
        let Some((action, after)) = after.split_once("}}") else {
            return Err("parse error : invalid line template: template: line:1: unclosed action".to_owned());
        };
        let field = action.trim().strip_prefix('.').filter(|field| {
            !field.is_empty()
                && field.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
        });
        let Some(field) = field else {
            return Err(format!(
                "parse error : invalid line template: template: line:1: unexpected {} in operand",
                go::quoted(action)
            ));
        };
        pieces.push(Piece::Field(field.to_owned()));
        rest = after;
    }
    pieces.push(Piece::Literal(rest.to_owned()));
    Ok(pieces)
}
