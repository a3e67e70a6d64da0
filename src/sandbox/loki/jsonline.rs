//! The fields of a line of JSON, read as Loki reads them: one after the other, so that those before a fault are known
//! although the line as a whole is malformed. The errors are those of the Go library that Loki uses.

const OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
const ARRAY: &str = "Value is array, but can't find closing ']' symbol";
const STRING: &str = "Value is string, but can't find closing '\"' symbol";
const VALUE: &str = "Value looks like Number/Boolean/None, but can't find its end: ',' or '}' symbol";
const MALFORMED: &str = "Malformed JSON error";
const UNKNOWN: &str = "Unknown value type";

/// Calls `each` with the flattened name and the value of every field; arrays are left out. Stops when `each` says no.
///
/// # Errors
/// What is malformed, in the library's words.
pub(super) fn fields(line: &str, mut each: impl FnMut(String, String) -> bool) -> Result<(), &'static str> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(());
    }
    object(line, "", &mut each).map(|_| ())
}

/// Reads an object; what is left behind it, or none when `each` has said no.
fn object<'a>(
    text: &'a str,
    prefix: &str,
    each: &mut dyn FnMut(String, String) -> bool,
) -> Result<Option<&'a str>, &'static str> {
    let mut rest = text.strip_prefix('{').ok_or(OBJECT)?.trim_start();
    if let Some(rest) = rest.strip_prefix('}') {
        return Ok(Some(rest));
    }
    loop {
        if !rest.starts_with('"') {
            return Err(OBJECT);
        }
        let (key, after) = string(rest)?;
        let after = after.trim_start().strip_prefix(':').ok_or(MALFORMED)?.trim_start();
        let name = format!("{prefix}{}", sanitized(&key, prefix.is_empty()));
        let Some(after) = value(after, name, each)? else { return Ok(None) };
        let after = after.trim_start();
        if let Some(after) = after.strip_prefix(',') {
            rest = after.trim_start();
        } else if let Some(after) = after.strip_prefix('}') {
            return Ok(Some(after));
        } else {
            return Err(if after.is_empty() { ARRAY } else { OBJECT });
        }
    }
}

fn value<'a>(
    text: &'a str,
    name: String,
    each: &mut dyn FnMut(String, String) -> bool,
) -> Result<Option<&'a str>, &'static str> {
    let more = |goes_on: bool, rest: &'a str| goes_on.then_some(rest);
    match text.chars().next().ok_or(MALFORMED)? {
        '"' => {
            let (value, rest) = string(text)?;
            Ok(more(each(name, value), rest))
        }
        '{' => {
            block(text, '{', '}').ok_or(OBJECT)?;
            object(text, &format!("{name}_"), each)
        }
        '[' => Ok(Some(block(text, '[', ']').ok_or(ARRAY)?)),
        _ => {
            let ends = |character: char| character.is_whitespace() || ",}]".contains(character);
            let end = text.find(ends).ok_or(VALUE)?;
            let (word, rest) = text.split_at(end);
            match word {
                "null" => Ok(Some(rest)),
                "true" | "false" => Ok(more(each(name, word.to_owned()), rest)),
                _ if word.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
                    Ok(more(each(name, word.to_owned()), rest))
                }
                _ => Err(UNKNOWN),
            }
        }
    }
}

/// A string with its escapes undone, and what is left behind it.
fn string(text: &str) -> Result<(String, &str), &'static str> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let raw = &text[..=at];
                let value = serde_json::from_str(raw).unwrap_or_else(|_| raw.trim_matches('"').to_owned());
                return Ok((value, &text[at + 1..]));
            }
            _ => {}
        }
    }
    Err(STRING)
}

/// What is left behind a block that begins here; none when it does not end.
fn block(text: &str, open: char, close: char) -> Option<&str> {
    let mut depth = 0_u32;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if character == '"' {
            rest = string(rest).ok()?.1;
            continue;
        }
        rest = &rest[character.len_utf8()..];
        if character == open {
            depth += 1;
        } else if character == close {
            depth -= 1;
            if depth == 0 {
                return Some(rest);
            }
        }
    }
    None
}

/// A name that a label can have.
fn sanitized(key: &str, first: bool) -> String {
    let mut name: String = key
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || character == '_' { character } else { '_' })
        .collect();
    if first && name.starts_with(|character: char| character.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}
