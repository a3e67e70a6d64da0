//! Text from outside, made harmless for a page and for Markdown: log lines and labels are written by whoever writes to the service.

use crate::text::harmless;

/// `text` as text of an HTML element or of an attribute in double quotes.
pub(super) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in harmless(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

/// Shows nothing and joins nothing: it keeps apart what a renderer would make a link or a mention of even behind a backslash.
const APART: char = '\u{2060}';

/// `text` as text in one line of Markdown, in a cell of a table, too: no markup, no HTML, no link, no mention, no emoji.
///
/// A backslash is not enough for `https://`, `www.`, `@name`, `#12` and `:name:`: GitHub and others look for those after Markdown was read.
pub(super) fn markdown(text: &str) -> String {
    let text: Vec<char> = harmless(text).trim().chars().collect();
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for (at, &character) in text.iter().enumerate() {
        let (before, after) = text.split_at(at);
        let after = &after[1..];
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '!' | '{' | '}' | '^' => {
                escaped.extend(['\\', character]);
            }
            '#' => escaped.extend(['\\', character, APART]),
            '@' => escaped.extend([character, APART]),
            ':' if after.starts_with(&['/', '/']) || is_emoji(after) => escaped.extend([character, APART]),
            '.' if is_www(before) => escaped.extend([APART, character]),
            // At the beginning of a line they would make a list or a heading.
            '-' | '+' | '=' if before.is_empty() => escaped.extend(['\\', character]),
            '.' | ')'
                if !before.is_empty()
                    && before.iter().all(char::is_ascii_digit)
                    && after.first().is_none_or(|next| next.is_whitespace()) =>
            {
                escaped.extend(['\\', character]);
            }
            character => escaped.push(character),
        }
    }
    escaped
}

/// Whether what follows a colon would make a picture of it: `white_check_mark:` in a line of a log would look like a verdict. The time of day does not.
fn is_emoji(after: &[char]) -> bool {
    let name = after.iter().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-'));
    let length = name.clone().count();
    after.get(length) == Some(&':') && name.clone().any(|c| !c.is_ascii_digit())
}

fn is_www(before: &[char]) -> bool {
    let tail: String = before[before.len().saturating_sub(3)..].iter().collect();
    tail.eq_ignore_ascii_case("www")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_shows_hostile_text_as_text() {
        assert_eq!(
            html("</script><img src=x onerror='a()'> \"b\" & \u{202e}c\n"),
            "&lt;/script&gt;&lt;img src=x onerror=&#39;a()&#39;&gt; &quot;b&quot; &amp; ·c"
        );
    }

    #[test]
    fn markdown_shows_hostile_text_as_text() {
        for (text, expected) in [
            ("a | b\nc", "a \\| b c"),
            ("<img src=x>", "&lt;img src=x&gt;"),
            ("[click](javascript:x)", "\\[click\\](javascript:x)"),
            ("see https://evil.example", "see https:\u{2060}//evil.example"),
            ("www.evil.example", "www\u{2060}.evil.example"),
            ("@oncall me@evil.example", "@\u{2060}oncall me@\u{2060}evil.example"),
            ("closes #12", "closes \\#\u{2060}12"),
            ("- a", "\\- a"),
            ("1. a", "1\\. a"),
            ("exit 1.5, a - b", "exit 1.5, a - b"),
            ("a \\| b", "a \\\\\\| b"),
            (":white_check_mark: at 12:30:45", ":\u{2060}white\\_check\\_mark: at 12:30:45"),
            ("QueuePool größe", "QueuePool größe"),
        ] {
            assert_eq!(markdown(text), expected);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_generated_leaves_its_place_on_a_page(text in hostile()) {
            let escaped = html(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'', '\n']));
            let back = escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            prop_assert_eq!(back.replace("&#39;", "'").replace("&amp;", "&"), harmless(&text));
        }

        #[test]
        fn nothing_that_is_generated_leaves_its_cell_in_markdown(text in hostile()) {
            let escaped = markdown(&text);
            prop_assert!(!escaped.contains(['<', '>', '\n']));
            prop_assert!(!escaped.contains("://") && !escaped.to_lowercase().contains("www."));
            let mut behind_a_backslash = false;
            for character in escaped.chars() {
                prop_assert!(behind_a_backslash || !"|`*_[]".contains(character), "{escaped:?}");
                behind_a_backslash = character == '\\' && !behind_a_backslash;
            }
            prop_assert!(!behind_a_backslash, "the last backslash would escape the end of the cell: {escaped:?}");
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("</script>".to_owned()),
            Just("<img src=x onerror=alert(1)>".to_owned()),
            Just("\\|".to_owned()),
            Just("|\n|---|".to_owned()),
            Just("[a](https://www.x.example)".to_owned()),
            Just("```".to_owned()),
            Just("\" onload=\"".to_owned()),
            ".{0,12}".prop_map(|text| text),
        ];
        proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }
}
