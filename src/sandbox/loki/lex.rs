//! LogQL's tokens, with the line and column that its parse errors name.

use crate::sandbox::go;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Brackets, operators and commas.
    Sign(&'static str),
    Word(String),
    Text(String),
    Number(f64),
    Duration(i64),
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Token {
    /// The token as the real parser's errors name it.
    pub(super) fn name(&self) -> &str {
        match &self.kind {
            Kind::Sign(sign) => sign,
            Kind::Word(word) => match word.as_str() {
                "json" | "line_format" | "count_over_time" | "sum" | "by" | "and" | "or" => word,
                _ => "IDENTIFIER",
            },
            Kind::Text(_) => "STRING",
            Kind::Number(_) => "NUMBER",
            Kind::Duration(_) => "DURATION",
            Kind::End => "$end",
        }
    }
}

/// Longer signs first, so that `|=` is not read as `|` and `=`.
const SIGNS: [&str; 20] = [
    "|=", "|~", "!=", "!~", "=~", "==", ">=", "<=", "=", ">", "<", "|", "{", "}", "(", ")", "[", "]", ",",
    "+",
];

/// Cuts a query into tokens; the last one is `End`.
///
/// # Errors
/// The real server's text, for a string that does not end and a character that begins nothing.
pub(super) fn tokens(query: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = query;
    let (mut line, mut column) = (1, 1);
    loop {
        let (kind, length) =
            next(rest).map_err(|why| format!("parse error at line {line}, col {column}: {why}"))?;
        if let Some(kind) = kind {
            let end = kind == Kind::End;
            tokens.push(Token { kind, line, column });
            if end {
                return Ok(tokens);
            }
        }
        for character in rest[..length].chars() {
            if character == '\n' {
                (line, column) = (line + 1, 1);
            } else {
                column += 1;
            }
        }
        rest = &rest[length..];
    }
}

/// The next token and its length in bytes; blanks and comments are no token.
fn next(text: &str) -> Result<(Option<Kind>, usize), String> {
    let Some(first) = text.chars().next() else { return Ok((Some(Kind::End), 0)) };
    if first.is_whitespace() {
        return Ok((None, first.len_utf8()));
    }
    if first == '#' {
        return Ok((None, text.find('\n').unwrap_or(text.len())));
    }
    if first == '`' {
        let end = text[1..].find('`').ok_or("literal not terminated")?;
        return Ok((Some(Kind::Text(text[1..=end].to_owned())), end + 2));
    }
    if first == '"' {
        let (value, length) = unquoted(text)?;
        return Ok((Some(Kind::Text(value)), length));
    }
    if let Some(sign) = SIGNS.iter().find(|sign| text.starts_with(**sign)) {
        return Ok((Some(Kind::Sign(sign)), sign.len()));
    }
    if first.is_ascii_digit() || first == '-' {
        let end = text[1..].find(|character: char| !(character.is_ascii_alphanumeric() || character == '.'));
        let word = &text[..end.map_or(text.len(), |end| end + 1)];
        let kind = match (word.parse::<f64>(), super::times::duration(word)) {
            (Ok(number), _) => Kind::Number(number),
            (_, Some(duration)) => Kind::Duration(duration),
            _ => return Err(format!("syntax error: unexpected {word}")),
        };
        return Ok((Some(kind), word.len()));
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let end = text.find(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
        let word = &text[..end.unwrap_or(text.len())];
        return Ok((Some(Kind::Word(word.to_owned())), word.len()));
    }
    Err(format!("syntax error: unexpected character {}", go::quoted(&first.to_string())))
}

/// A string in double quotes with Go's escapes, and its length with the quotes.
fn unquoted(text: &str) -> Result<(String, usize), String> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, at + 1)),
            '\n' => break,
            '\\' => {
                let (_, escape) = characters.next().ok_or("literal not terminated")?;
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                if digits > 0 {
                    let hex: String = characters.by_ref().take(digits).map(|(_, digit)| digit).collect();
                    let code = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                    value.push(code.ok_or("invalid char escape")?);
                    continue;
                }
                value.push(match escape {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'v' => '\u{b}',
                    '\\' | '"' => escape,
                    _ => return Err("invalid char escape".to_owned()),
                });
            }
            other => value.push(other),
        }
    }
    Err("literal not terminated".to_owned())
}
