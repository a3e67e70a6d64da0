//! The words of PromQL.
//!
//! As strict as Prometheus' own lexer (`promql/parser/lex.go`) or stricter, never laxer: what is not known is a fault.

use std::time::Duration;

use super::Fault;
use crate::logql::cursor::{self, Cursor, Language, Part, is_word};
use crate::logql::escape_length;

/// One word of a query.
pub(super) type Token<'t> = cursor::Token<'t, Kind<'t>>;

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

/// Ten years: no range is longer, and the sums of many do not overflow.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// Those of two characters first, so that the longest is found.
const OPERATORS: [&str; 23] = [
    "=~", "!~", "==", "!=", "<=", ">=", "{", "}", "(", ")", "[", "]", ",", "+", "-", "*", "/", "%", "^", "=",
    "<", ">", ":",
];

const PROMQL: Language = Language {
    comment_ends: &['\n', '\r'],
    escape,
    no_end: "the string has no end on its line",
    no_escape: "this escape does not exist in this string",
    in_backticks: "use double quotes; backticks have no escapes, so a value could end the string",
    placeholder: "a placeholder is ${labels.NAME}, ${vars.NAME} or ${each.NAME}",
};

/// The words of `text`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Vec<Fault>> {
    cursor::tokens(&PROMQL, text, word)
}

/// The word that begins here; none after a fault. Always moves on.
fn word<'t>(cursor: &mut Cursor<'t>) -> Option<Kind<'t>> {
    let at = cursor.at;
    let rest = cursor.rest();
    let first = rest.chars().next()?;
    let next = rest[first.len_utf8()..].chars().next();
    match first {
        '"' | '\'' => return Some(Kind::Quoted(first, cursor.quoted(first)?)),
        '`' => return cursor.raw().map(|()| Kind::Raw),
        'a'..='z' | 'A'..='Z' | '_' => {
            cursor.take_while(|c| is_word(c) || c == ':');
            return Some(Kind::Word);
        }
        // The name of a recording rule; else it is the colon of a subquery.
        ':' if next.is_some_and(|next| next.is_ascii_alphabetic() || next == '_') => {
            cursor.take_while(|c| is_word(c) || c == ':');
            return Some(Kind::Word);
        }
        '0'..='9' | '.' if first != '.' || next.is_some_and(|next| next.is_ascii_digit()) => {
            let begun = cursor.take_while(|c| is_word(c) || c == '.');
            // `1e-3`, and not `0xe-3`.
            let is_power = begun.ends_with(['e', 'E']) && !begun.starts_with("0x");
            if is_power && cursor.rest().starts_with(['+', '-']) {
                cursor.at += 1;
                cursor.take_while(|c| c.is_ascii_digit());
            }
            return Some(Kind::Number);
        }
        '@' => {
            cursor.at += 1;
            let hint = "the query is asked about the moment at hand; use `offset` to look further back";
            cursor.fault(at, "a fixed moment (`@`) can not be asked about again", Some(hint));
            return None;
        }
        '$' if rest.starts_with("${") => {
            cursor.at += rest.find('}').map_or(2, |end| end + 1);
            let hint = format!("such as {{namespace=\"{}\"}}", &cursor.text[at..cursor.at]);
            cursor.fault(at, "a placeholder may only stand in the string of a label matcher", Some(&hint));
            return None;
        }
        _ => {}
    }
    if let Some(operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
        cursor.at += operator.len();
        return Some(Kind::Op);
    }
    cursor.at += first.len_utf8();
    cursor.fault(at, format!("{first:?} has no meaning here"), None);
    None
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
