//! The words of LogQL.
//!
//! As strict as Loki's own lexer (`pkg/logql/syntax/lex.go`, on Go's `text/scanner`) or stricter, never laxer: what is not known is a fault.

use super::Fault;
use super::cursor::{self, Cursor, Language, Part, is_word};

/// One word of a query.
pub(super) type Token<'t> = cursor::Token<'t, Kind<'t>>;

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

/// Those of two characters first, so that the longest is found.
const OPERATORS: [&str; 21] = [
    "!=", "!~", "!>", "=~", "==", "|=", "|~", "|>", ">=", "<=", "{", "}", "(", ")", "[", "]", ",", "=", "|",
    "<", ">",
];

const LOGQL: Language = Language {
    comment_ends: &['\n'],
    escape: |text, _| escape_length(text),
    no_end: "the string in double quotes has no end on its line",
    no_escape: "this escape does not exist in a string in double quotes",
    in_backticks: "use double quotes and escape \\ and \" in it; backticks have no escapes, so a value could end the string",
    placeholder: "a placeholder is ${labels.NAME}, ${vars.NAME} or ${each.NAME}; for these two characters themselves write \\u0024{",
};

/// The words of `text`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Vec<Fault>> {
    cursor::tokens(&LOGQL, text, word)
}

/// The word that begins here; none after a fault. Always moves on.
fn word<'t>(cursor: &mut Cursor<'t>) -> Option<Kind<'t>> {
    let at = cursor.at;
    let first = cursor.rest().chars().next()?;
    match first {
        '"' => return cursor.quoted('"').map(Kind::Quoted),
        '`' => return cursor.raw().map(|()| Kind::Raw),
        'a'..='z' | 'A'..='Z' | '_' => {
            cursor.take_while(is_word);
            return Some(Kind::Word);
        }
        // A sign belongs to the number: `> -5` compares.
        '0'..='9' | '-' | '+'
            if first.is_ascii_digit() || cursor.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) =>
        {
            cursor.at += 1;
            cursor.take_while(|c| is_word(c) || c == '.' || c == 'µ');
            return Some(Kind::Number);
        }
        '-' if cursor.rest().starts_with("--") => {
            cursor.take_while(|c| c.is_ascii_alphabetic() || c == '-');
            return Some(Kind::Flag);
        }
        '$' if cursor.rest().starts_with("${") => {
            let end = cursor.rest().find('}').map_or(2, |end| end + 1);
            cursor.at += end;
            let hint = format!("write \"{}\"", &cursor.text[at..cursor.at]);
            cursor.fault(at, "a placeholder may only stand inside a string in double quotes", Some(&hint));
            return None;
        }
        _ => {}
    }
    if let Some(operator) = OPERATORS.iter().find(|operator| cursor.rest().starts_with(**operator)) {
        cursor.at += operator.len();
        return Some(Kind::Op);
    }
    cursor.at += first.len_utf8();
    let hint = (first == '\'').then_some("LogQL has strings in double quotes and in backticks");
    cursor.fault(at, format!("{first:?} has no meaning here"), hint);
    None
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
