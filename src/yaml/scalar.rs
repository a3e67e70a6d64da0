//! A scalar, and where in the file a byte of its text stood: a matcher or a query inside a string has faults of its own, and their place
//! is counted in what the author wrote, quotes and escapes included.

use super::Place;

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: `null`, `true` and numbers are what they look like.
    Plain,
    /// In single quotes: always text.
    Single,
    /// In double quotes, with escapes: always text.
    Double,
    /// A block, `|` or `>`: always text.
    Block,
}

/// A scalar of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// Its text, escapes replaced.
    pub text: String,
    /// How it was written.
    pub style: Style,
    /// What stood in the file, quotes included; for a block, its lines.
    pub(super) raw: String,
    /// Where `raw` began.
    pub(super) start: Place,
}

impl Scalar {
    /// Whether nothing was written, or `null` or `~`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.style == Style::Plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// `true` or `false` without quotes, as YAML 1.2 has it: `yes`, `on` and `off` are text.
    #[must_use]
    pub fn boolean(&self) -> Option<bool> {
        match (self.style, self.text.as_str()) {
            (Style::Plain, "true" | "True" | "TRUE") => Some(true),
            (Style::Plain, "false" | "False" | "FALSE") => Some(false),
            _ => None,
        }
    }

    /// Whether YAML takes it for a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        let digits = self.text.strip_prefix(['-', '+']).unwrap_or(&self.text);
        self.style == Style::Plain
            && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && (digits.parse::<f64>().is_ok() || digits.starts_with("0x") || digits.starts_with("0o"))
    }

    /// Where the byte at `offset` of the text stood. Whitespace is what YAML folds and strips, so only the other characters are counted;
    /// inside whitespace the answer is exact on one line and the nearest place on several.
    #[must_use]
    pub fn place_of(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let seen = before.chars().filter(|c| !c.is_whitespace()).count();
        let gap = before.chars().rev().take_while(|c| c.is_whitespace() && *c != '\n').count();
        let at_space = self.text[before.len()..].chars().next().is_none_or(char::is_whitespace);
        let units = self.units();
        if !at_space && let Some(unit) = units.get(seen) {
            return unit.0;
        }
        match seen.checked_sub(1).and_then(|last| units.get(last)) {
            Some((_, end)) => Place { column: end.column + gap, ..*end },
            None => self.start,
        }
    }

    /// Where each character of the text that is not whitespace began and ended in the file.
    fn units(&self) -> Vec<(Place, Place)> {
        let mut units = Vec::new();
        let mut raw = Walk { chars: self.raw.chars().peekable(), place: self.start };
        if matches!(self.style, Style::Single | Style::Double) {
            raw.next();
        }
        loop {
            let start = raw.place;
            let Some(c) = raw.next() else { break };
            let is_space = match (self.style, c) {
                (Style::Single, '\'') => {
                    if raw.next().is_none() {
                        break;
                    }
                    false
                }
                (Style::Double, '"') => break,
                (Style::Double, '\\') => raw.escape(),
                (_, c) => c.is_whitespace(),
            };
            if !is_space {
                units.push((start, raw.place));
            }
        }
        units
    }
}

/// Goes through the source, counting lines and columns.
struct Walk<'r> {
    chars: std::iter::Peekable<std::str::Chars<'r>>,
    place: Place,
}

impl Walk<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        match c {
            '\n' => self.place = Place { line: self.place.line + 1, column: 1 },
            _ => self.place.column += 1,
        }
        Some(c)
    }

    /// Passes what follows a backslash; whether it stands for whitespace, or for nothing, as before the end of a line.
    fn escape(&mut self) -> bool {
        let digits = match self.next() {
            Some('n' | 't' | 'r' | 'v' | 'f' | ' ' | '\t' | '\n' | '\r' | 'N' | '_' | 'L' | 'P') | None => {
                return true;
            }
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some(_) => return false,
        };
        let mut code = 0_u32;
        for _ in 0..digits {
            let digit = self.next().and_then(|c| c.to_digit(16)).unwrap_or(0);
            code = code.wrapping_mul(16).wrapping_add(digit);
        }
        char::from_u32(code).is_some_and(char::is_whitespace)
    }
}

#[cfg(test)]
mod tests {
    use crate::yaml::{Faults, Value, parse};

    #[track_caller]
    fn found_at(yaml: &str, needle: &str, expected: (usize, usize)) {
        let documents = parse(yaml, &mut Faults::new());
        let Value::Map(entries) = &documents[0].root.value else { panic!("a map") };
        let Value::Scalar(scalar) = &entries[0].value.value else { panic!("a scalar") };
        let place = scalar.place_of(scalar.text.find(needle).unwrap());
        assert_eq!((place.line, place.column), expected, "{yaml}");
    }

    #[test]
    fn a_byte_of_the_text_is_found_in_the_file() {
        found_at("a: plain text", "text", (1, 10));
        found_at("a: 'it''s é text'", "text", (1, 13));
        found_at(r#"a: "x\t\"y\" \u00e9 text""#, "text", (1, 21));
        found_at("a: |\n  one\n   two text\n", "text", (3, 8));
        found_at("a: >- # note\n  one\n\n  two text\n", "text", (4, 7));
        found_at("a: one\n  two text", "text", (2, 7));
        found_at("a: \"one\\\n  two text\"", "text", (2, 7));
        found_at("a: 'b  '", "  ", (1, 6));
    }
}
