//! Matchers in Alertmanager's syntax: `alertname="High5xxRate"`, `severity=~"critical|warning"`.
//! Regular expressions are anchored at both ends, and a missing label is the empty string, as Alertmanager has it.

use std::fmt;

use regex::Regex;

use super::Labels;

/// How a label's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    DoesNotMatch,
}

impl Comparison {
    const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::DoesNotMatch => "!~",
        }
    }
}

/// One condition on one label.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    comparison: Comparison,
    value: String,
    regex: Option<Regex>,
}

/// A matcher that can not be read, with the byte at which it went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MatcherError {
    /// Byte offset in the text.
    pub at: usize,
    /// What was found and what was expected.
    pub message: String,
}

impl Matcher {
    /// Reads one matcher.
    ///
    /// # Errors
    /// [`MatcherError`] with the place and what was expected there.
    pub fn parse(text: &str) -> Result<Self, MatcherError> {
        let wrong = |at: usize, message: String| MatcherError { at, message };
        let start = text.len() - text.trim_start().len();
        let rest = &text[start..];
        let (name, name_length) = if rest.starts_with('"') {
            unquote(rest).map_err(|message| wrong(start, message))?
        } else {
            let length = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(rest.len());
            (rest[..length].to_owned(), length)
        };
        if name.is_empty() {
            return Err(wrong(
                start,
                "expected a label name, such as `alertname=\"High5xxRate\"`".to_owned(),
            ));
        }
        let after_name = start + name_length;
        let spaces = text[after_name..].len() - text[after_name..].trim_start().len();
        let sign_at = after_name + spaces;
        let rest = &text[sign_at..];
        let comparison = [
            ("=~", Comparison::Matches),
            ("!~", Comparison::DoesNotMatch),
            ("!=", Comparison::NotEqual),
            ("=", Comparison::Equal),
        ]
        .into_iter()
        .find(|(sign, _)| rest.starts_with(sign))
        .map(|(_, comparison)| comparison)
        .ok_or_else(|| wrong(sign_at, "expected `=`, `!=`, `=~` or `!~` after the label name".to_owned()))?;
        let value_at = sign_at + comparison.sign().len();
        let raw = text[value_at..].trim();
        let value = if raw.starts_with('"') {
            let (value, length) = unquote(raw).map_err(|message| wrong(value_at, message))?;
            if length != raw.len() {
                let message = format!("expected the end after the value, found {:?}", &raw[length..]);
                return Err(wrong(value_at + length, message));
            }
            value
        } else if raw.contains(['"', ',', '{', '}', '=', '~', '!']) || raw.contains(char::is_whitespace) {
            return Err(wrong(value_at, format!("the value {raw:?} must stand in double quotes")));
        } else {
            raw.to_owned()
        };
        let regex = match comparison {
            Comparison::Equal | Comparison::NotEqual => None,
            Comparison::Matches | Comparison::DoesNotMatch => Some(
                Regex::new(&format!("^(?:{value})$"))
                    .map_err(|error| wrong(value_at, format!("not a regular expression: {error}")))?,
            ),
        };
        Ok(Self { name, comparison, value, regex })
    }

    /// Whether the labels meet this condition.
    #[must_use]
    pub fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.name);
        match (self.comparison, &self.regex) {
            (Comparison::Equal, _) => value == self.value,
            (Comparison::NotEqual, _) => value != self.value,
            (Comparison::Matches, Some(regex)) => regex.is_match(value),
            (Comparison::DoesNotMatch, Some(regex)) => !regex.is_match(value),
            (Comparison::Matches | Comparison::DoesNotMatch, None) => false,
        }
    }

    /// The label it looks at.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.name
    }

    /// The label and the one value that it leaves it; none when it leaves several.
    #[must_use]
    pub fn only(&self) -> Option<(&str, &str)> {
        let is_one = self.comparison == Comparison::Equal && !self.value.is_empty();
        is_one.then_some((self.name.as_str(), self.value.as_str()))
    }

    /// Whether its value is a regular expression.
    #[must_use]
    pub const fn is_regex(&self) -> bool {
        matches!(self.comparison, Comparison::Matches | Comparison::DoesNotMatch)
    }

    /// Whether it holds when the label is missing: a runbook made only of such matchers would answer everything.
    #[must_use]
    pub fn holds_for_nothing(&self) -> bool {
        self.holds(&Labels::default())
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(f, "{}{}\"{quoted}\"", self.name, self.comparison.sign())
    }
}

/// Reads a double-quoted string at the start of `text`: its value, and how many bytes it takes.
fn unquote(text: &str) -> Result<(String, usize), String> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                // Alertmanager keeps an unknown escape as it is, which is what makes `\d` work in a regex.
                Some((_, c)) => value.extend(['\\', c]),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err("the quoted string has no end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(matcher: &str, labels: &Labels) -> bool {
        Matcher::parse(matcher).unwrap().holds(labels)
    }

    #[test]
    fn the_four_comparisons_are_anchored_and_a_missing_label_is_empty() {
        let labels = Labels::from([("alertname", "High5xxRate"), ("app", "chat-api")]);
        for (matcher, expected) in [
            (r#"alertname="High5xxRate""#, true),
            ("alertname=High5xxRate", true),
            (r#" alertname = "High5xxRate" "#, true),
            (r#"alertname="High5xx""#, false),
            (r#"alertname!="Other""#, true),
            (r#"app=~"chat""#, false),
            (r#"app=~"chat.*|auth""#, true),
            (r#"app=~"x|chat-api""#, true),
            (r#"app!~"auth|chat-api""#, false),
            (r#"missing="""#, true),
            (r#"missing!="""#, false),
            (r#"missing=~".*""#, true),
            (r#"app=~"\w+-api""#, true),
            (r#""app"="chat-api""#, true),
        ] {
            assert_eq!(holds(matcher, &labels), expected, "{matcher}");
        }
    }

    #[test]
    fn a_bad_matcher_names_the_place_and_what_was_expected() {
        for (text, at, part) in [
            ("", 0, "expected a label name"),
            ("alertname", 9, "expected `=`"),
            ("a==b", 2, "double quotes"),
            (r#"a="b"#, 2, "has no end"),
            (r#"a="b" x"#, 5, "expected the end"),
            (r#"a=~"(""#, 3, "not a regular expression"),
            ("a=b c", 2, "double quotes"),
        ] {
            let error = Matcher::parse(text).unwrap_err();
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_matcher_is_printed_as_it_can_be_read_again() {
        for text in [r#"a="b\"c""#, r#"app=~"x|y""#, "a!=b"] {
            let matcher = Matcher::parse(text).unwrap();
            let again = Matcher::parse(&matcher.to_string()).unwrap();
            assert_eq!(matcher.to_string(), again.to_string());
        }
    }
}
