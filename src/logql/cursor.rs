//! A cursor over a query in LogQL or PromQL: one word after the other, where a string ends, and where a placeholder stands in it.
//! Comments end here. What a word of a language is, its lexer says.

use super::Fault;

/// One word of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'t, K> {
    pub(crate) kind: K,
    /// The word as it was written.
    pub(crate) source: &'t str,
    /// Its byte offset.
    pub(crate) at: usize,
    /// Whether white space or a comment stands before it.
    pub(crate) spaced: bool,
}

/// A piece of a string in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'t> {
    /// As it was written, escapes included.
    Source(&'t str),
    /// `${path}`.
    Hole { path: &'t str, at: usize },
}

/// What is not the same in both languages, and how it is told.
#[derive(Debug)]
pub(crate) struct Language {
    /// What ends a comment.
    pub(crate) comment_ends: &'static [char],
    /// The bytes of the escape that a text begins with, in a string in these quotes.
    pub(crate) escape: fn(&str, char) -> Option<usize>,
    /// Of a string without an end.
    pub(crate) no_end: &'static str,
    /// Of an escape that is none.
    pub(crate) no_escape: &'static str,
    /// What to write instead of a placeholder in backticks.
    pub(crate) in_backticks: &'static str,
    /// What a placeholder looks like.
    pub(crate) placeholder: &'static str,
}

/// A place in a query, and what was wrong up to it.
#[derive(Debug)]
pub(crate) struct Cursor<'t> {
    language: &'static Language,
    pub(crate) text: &'t str,
    pub(crate) at: usize,
    faults: Vec<Fault>,
}

/// The words of `text`. `word` reads the one that begins at the cursor, or notes a fault; it always moves on.
pub(crate) fn tokens<'t, K>(
    language: &'static Language,
    text: &'t str,
    mut word: impl FnMut(&mut Cursor<'t>) -> Option<K>,
) -> Result<Vec<Token<'t, K>>, Vec<Fault>> {
    let mut cursor = Cursor { language, text, at: 0, faults: Vec::new() };
    let mut tokens = Vec::new();
    loop {
        let before = cursor.at;
        cursor.skip_space();
        let at = cursor.at;
        if at == text.len() {
            break;
        }
        if let Some(kind) = word(&mut cursor) {
            tokens.push(Token { kind, source: &text[at..cursor.at], at, spaced: at > before });
        }
    }
    if cursor.faults.is_empty() { Ok(tokens) } else { Err(cursor.faults) }
}

impl<'t> Cursor<'t> {
    pub(crate) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(crate) fn fault(&mut self, at: usize, message: impl Into<String>, hint: Option<&str>) {
        self.faults.push(Fault { at, message: message.into(), hint: hint.map(str::to_owned) });
    }

    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
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
            let ends = self.language.comment_ends;
            self.take_while(|c| !ends.contains(&c));
        }
    }

    /// A string in backticks. It has no escapes, so nothing can be put into it. None after a fault.
    pub(crate) fn raw(&mut self) -> Option<()> {
        let open = self.at;
        let Some(length) = self.rest()[1..].find('`') else {
            self.at = self.text.len();
            self.fault(open, "the string in backticks has no end", None);
            return None;
        };
        self.at += length + 2;
        let body = &self.text[open + 1..self.at - 1];
        if let Some(hole) = body.find("${") {
            let hint = self.language.in_backticks;
            self.fault(open + 1 + hole, "a placeholder may not stand in backticks", Some(hint));
            return None;
        }
        Some(())
    }

    /// The parts of a string in these quotes. None after a fault.
    pub(crate) fn quoted(&mut self, quote: char) -> Option<Vec<Part<'t>>> {
        let Language { escape, no_end, no_escape, placeholder, .. } = self.language;
        let open = self.at;
        let faults = self.faults.len();
        let mut parts = Vec::new();
        self.at += 1;
        let mut from = self.at;
        loop {
            let at = self.at;
            let rest = self.rest();
            let Some(next) = rest.chars().next().filter(|c| *c != '\n') else {
                self.fault(open, *no_end, Some("write a line break as \\n"));
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
                    self.fault(at, *no_escape, Some(hint));
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
                let message = "this placeholder has no end, or something else than names and dots in it";
                self.fault(at, message, Some(placeholder));
            }
            from = self.at;
        }
        (self.faults.len() == faults).then_some(parts)
    }
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
