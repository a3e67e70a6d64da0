//! Takes out of an answer what was shown to whoever gave it: the whole value, or one of its words, as `invalid token: sk-...` repeats no `Bearer`;
//! as it is, or as JSON writes it.

/// Shorter words stand in ordinary texts, too.
const SHORTEST_WORD: usize = 8;
const INSTEAD: &[u8] = b"[hidden]";

/// A text without a secret that somebody repeats.
pub(in crate::clients) fn without(text: &[u8], secret: &str) -> Vec<u8> {
    let words = secret.split_whitespace().filter(|word| word.len() >= SHORTEST_WORD);
    let mut secrets: Vec<&[u8]> = std::iter::once(secret).chain(words).map(str::as_bytes).collect();
    secrets.retain(|secret| !secret.is_empty());
    // Of two that begin alike the whole one is taken out.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let mut left = text;
    let mut all = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = left {
        let found =
            secrets.iter().find_map(|secret| after(left, secret).or_else(|| after_json(left, secret)));
        if let Some(rest) = found {
            all.extend_from_slice(INSTEAD);
            left = rest;
        } else {
            all.push(*first);
            left = rest;
        }
    }
    all
}

/// What stands after the secret.
fn after<'t>(text: &'t [u8], secret: &[u8]) -> Option<&'t [u8]> {
    text.strip_prefix(secret)
}

/// The same, of one that is written in JSON, where each character may be escaped or not (RFC 8259).
fn after_json<'t>(mut text: &'t [u8], secret: &[u8]) -> Option<&'t [u8]> {
    for wanted in secret {
        let (found, rest) = character(text)?;
        if found != *wanted {
            return None;
        }
        text = rest;
    }
    Some(text)
}

/// The next character of a text in JSON, and the rest.
fn character(text: &[u8]) -> Option<(u8, &[u8])> {
    Some(match text {
        [b'\\', b'u', rest @ ..] => {
            let (digits, rest) = rest.split_at_checked(4)?;
            let digits = std::str::from_utf8(digits).ok()?;
            (u8::try_from(u16::from_str_radix(digits, 16).ok()?).ok()?, rest)
        }
        [b'\\', b't', rest @ ..] => (b'\t', rest),
        [b'\\', other, rest @ ..] => (*other, rest),
        [other, rest @ ..] => (*other, rest),
        [] => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str, secret: &str) -> String {
        String::from_utf8(without(text.as_bytes(), secret)).unwrap()
    }

    #[test]
    fn a_secret_does_not_come_back_in_part_or_escaped() {
        let secret = r#"Bearer sk-12"3/4\56+7=="#;
        for (text, left) in [
            (format!("no: {secret}!"), "no: [hidden]!"),
            // Without its scheme.
            (format!("invalid token: {}", &secret[7..]), "invalid token: [hidden]"),
            (serde_json::json!({"got": secret}).to_string(), r#"{"got":"[hidden]"}"#),
            (serde_json::json!({"got": &secret[7..]}).to_string(), r#"{"got":"[hidden]"}"#),
            // As PHP and Gson write it.
            (r#"<sk-12\u00223\/4\\56\u002b7\u003D\u003d>"#.to_owned(), "<[hidden]>"),
            ("Bearer of news, sk-12".to_owned(), "Bearer of news, sk-12"),
            (r"\u00".to_owned(), r"\u00"),
        ] {
            assert_eq!(hidden(&text, secret), left, "{text}");
        }
        assert_eq!(hidden("a text", ""), "a text");
    }
}
