//! The words of LogQL: where a string begins and ends, and where a placeholder stands in it. Comments end here.
//!
//! As strict as Loki's own lexer (`pkg/logql/syntax/lex.go`, on Go's `text/scanner`) or stricter, never laxer: what is not known is a fault.

use super::Fault;

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
    /// A label, a keyword, a function.
    Word,
    /// A number, a duration or a size: `5000`, `1.5s`, `20MB`.
    Number,
    /// A parser's flag: `--strict`.
    Flag,
    /// An operator or a bracket.
    Op,
    /// A string in double quotes, quotes not included.
    Quoted(Vec<Part<'t>>),
    /// A string in backticks. It has no escapes, so nothing can be put into it.
    Raw,
}

/// A piece of a string in double quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'t> {
    /// As it was written, escapes included.
    Source(&'t str),
    /// `${path}`.
    Hole { path: &'t str, at: usize },
}

/// Those of two characters first, so that the longest is found.
const OPERATORS: [&str; 21] = [
    "!=", "!~", "!>", "=~", "==", "|=", "|~", "|>", ">=", "<=", "{", "}", "(", ")", "[", "]", ",", "=", "|",
    "<", ">",
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
            self.take_while(|c| c != '\n');
        }
    }

    /// The word that begins here; none after a fault. Always moves on.
    fn token(&mut self) -> Option<Kind<'t>> {
        let at = self.at;
        let first = self.rest().chars().next()?;
        match first {
            '"' => return self.quoted(),
            '`' => return self.raw(),
            'a'..='z' | 'A'..='Z' | '_' => {
                self.take_while(is_word);
                return Some(Kind::Word);
            }
            // A sign belongs to the number: `> -5` compares.
            '0'..='9' | '-' | '+'
                if first.is_ascii_digit() || self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) =>
            {
                self.at += 1;
                self.take_while(|c| is_word(c) || c == '.' || c == 'µ');
                return Some(Kind::Number);
            }
            '-' if self.rest().starts_with("--") => {
                self.take_while(|c| c.is_ascii_alphabetic() || c == '-');
                return Some(Kind::Flag);
            }
            '$' if self.rest().starts_with("${") => {
                let end = self.rest().find('}').map_or(2, |end| end + 1);
                self.at += end;
                let hint = format!("write \"{}\"", &self.text[at..self.at]);
                self.fault(at, "a placeholder may only stand inside a string in double quotes", Some(&hint));
                return None;
            }
            _ => {}
        }
        if let Some(operator) = OPERATORS.iter().find(|operator| self.rest().starts_with(**operator)) {
            self.at += operator.len();
            return Some(Kind::Op);
        }
        self.at += first.len_utf8();
        let hint = (first == '\'').then_some("LogQL has strings in double quotes and in backticks");
        self.fault(at, format!("{first:?} has no meaning here"), hint);
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
            let hint = "use double quotes and escape \\ and \" in it; backticks have no escapes, so a value could end the string";
            self.fault(open + 1 + hole, "a placeholder may not stand in backticks", Some(hint));
            return None;
        }
        Some(Kind::Raw)
    }

    fn quoted(&mut self) -> Option<Kind<'t>> {
        let open = self.at;
        let faults = self.faults.len();
        let mut parts = Vec::new();
        self.at += 1;
        let mut from = self.at;
        loop {
            let at = self.at;
            let rest = self.rest();
            let Some(next) = rest.chars().next().filter(|c| *c != '\n') else {
                self.fault(
                    open,
                    "the string in double quotes has no end on its line",
                    Some("write a line break as \\n"),
                );
                return None;
            };
            if next == '"' {
                parts.push(Part::Source(&self.text[from..at]));
                self.at += 1;
                break;
            }
            if next == '\\' {
                let length = escape_length(rest);
                if length.is_none() {
                    let hint = "write a backslash as \\\\; in a regular expression \\. becomes \\\\.";
                    self.fault(at, "this escape does not exist in a string in double quotes", Some(hint));
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
                let hint = "a placeholder is ${labels.NAME}, ${vars.NAME} or ${each.NAME}; for these two characters themselves write \\u0024{";
                self.fault(
                    at,
                    "this placeholder has no end, or something else than names and dots in it",
                    Some(hint),
                );
            }
            from = self.at;
        }
        (self.faults.len() == faults).then_some(Kind::Quoted(parts))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The bytes of the escape that `text` begins with. Source: <https://go.dev/ref/spec#Rune_literals>.
pub(crate) fn escape_length(text: &str) -> Option<usize> {
    let (digits, radix) = match text.as_bytes().get(1)? {
        b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\' | b'"' => return Some(2),
        b'x' => (2..4, 16),
        b'u' => (2..6, 16),
        b'U' => (2..10, 16),
        b'0'..=b'3' => (1..4, 8),
        _ => return None,
    };
    let number = u32::from_str_radix(text.get(digits.clone())?.trim_start_matches('+'), radix).ok()?;
    // Halves of surrogate pairs are no characters in Go.
    (text.as_bytes()[1] != b'u' && text.as_bytes()[1] != b'U' || char::from_u32(number).is_some())
        .then_some(digits.end)
}

/// What a part of a string in double quotes, its escapes checked, stands for. An escaped byte that is no ASCII character becomes U+FFFD,
/// since this is only looked at and never sent.
pub(crate) fn decoded(source: &str) -> String {
    let mut text = String::new();
    let mut rest = source;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = escape_length(rest).unwrap_or(rest.len());
        let escape = &rest[..length];
        text.push(match escape.as_bytes().get(1) {
            Some(b'a') => '\u{7}',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'v') => '\u{b}',
            Some(b'x' | b'u' | b'U') => number(&escape[2..], 16, escape.len() > 4),
            Some(b'0'..=b'3') => number(&escape[1..], 8, false),
            Some(other) => char::from(*other),
            None => '\\',
        });
        rest = &rest[length..];
    }
    text + rest
}

fn number(digits: &str, radix: u32, character: bool) -> char {
    let number = u32::from_str_radix(digits, radix).ok().filter(|number| character || *number < 0x80);
    number.and_then(char::from_u32).unwrap_or('\u{fffd}')
}
