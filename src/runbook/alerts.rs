//! The question which alerts Alertmanager has, and the matchers in it: read and checked when the runbook is loaded, filled in when an alert
//! is answered.
//!
//! A value can only stand for itself: it is escaped for the quotes that it stands in, and for the regular expression in them. It can not be the name of
//! a label, and one without a value is a refusal.

use regex::escape;

use super::Threshold;
use super::template::{Part, Template};
use crate::alert::Matcher;
use crate::alert::matcher::MatcherError;

/// Counts the alerts in Alertmanager that are in a state.
#[derive(Debug, Clone)]
pub struct AlertsProbe {
    /// What is counted.
    pub state: AlertState,
    /// Which alerts: all must hold.
    pub matching: Vec<MatcherTemplate>,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// How an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertState {
    /// It fires, whether or not anybody is told.
    Firing,
    /// It fires, and its receivers are told.
    Active,
    /// It fires, and a silence or another alert keeps it quiet.
    Suppressed,
}

impl AlertState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Firing, Self::Active, Self::Suppressed];

    /// The word in YAML and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Active => "active",
            Self::Suppressed => "suppressed",
        }
    }
}

/// A matcher in Alertmanager's syntax, in whose value placeholders may stand.
#[derive(Debug, Clone)]
pub struct MatcherTemplate {
    text: Template,
    is_regex: bool,
    holds_for_nothing: bool,
}

const PLACE: &str =
    "a placeholder can only stand in the value, between double quotes: `app=\"${labels.app}\"`";

impl MatcherTemplate {
    /// Reads a matcher, such as `app="${labels.app}"`.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, MatcherError> {
        let template = Template::parse(text).map_err(|faults| {
            let first = faults.into_iter().next();
            let (at, message) = first.map_or((0, ""), |fault| (fault.at, fault.message));
            MatcherError { at, message: message.to_owned() }
        })?;
        // With other words in the places of the values, as many bytes long, so that a fault keeps its place.
        let with = |inner: &str| {
            let mut filled = text.to_owned();
            for (path, at) in template.placeholders() {
                let inside = path.len() + "${}".len() - 2;
                filled.replace_range(at..at + inside + 2, &format!("x{}x", inner.repeat(inside)));
            }
            filled
        };
        let one = Matcher::parse(&with("x"))?;
        if let Some((_, at)) = template.placeholders().next() {
            // A value may hold spaces between quotes only, and a label is the same whatever the values are.
            let other = Matcher::parse(&with(" "));
            if !other.is_ok_and(|other| other.label() == one.label()) {
                return Err(MatcherError { at, message: PLACE.to_owned() });
            }
        }
        Ok(Self { text: template, is_regex: one.is_regex(), holds_for_nothing: one.holds_for_nothing() })
    }

    /// The paths of the placeholders, and the byte of the text at which each begins.
    pub fn placeholders(&self) -> impl Iterator<Item = (&str, usize)> {
        self.text.placeholders()
    }

    /// Whether it also holds for an alert without that label, whatever the values are.
    #[must_use]
    pub const fn holds_for_nothing(&self) -> bool {
        self.holds_for_nothing
    }

    /// The matcher with every placeholder filled in.
    ///
    /// # Errors
    /// The path of the first placeholder without a value, or with an empty one.
    pub fn with(&self, value_of: impl Fn(&str) -> Option<String>) -> Result<Matcher, String> {
        let mut text = String::new();
        for part in &self.text.parts {
            match part {
                Part::Text(written) => text.push_str(written),
                Part::Placeholder(path) => {
                    let value = value_of(path).filter(|value| !value.is_empty());
                    let value = value.ok_or_else(|| path.clone())?;
                    let value = if self.is_regex { escape(&value) } else { value };
                    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                    text.push_str(&quoted);
                }
            }
        }
        // An escaped value changes nothing about the matcher that was read before.
        Matcher::parse(&text).map_err(|error| error.message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alert::Labels;

    #[test]
    fn a_placeholder_stands_in_a_quoted_value_and_nowhere_else() {
        for (text, at) in [
            ("app=${labels.app}", 4),
            (r#"${labels.name}="x""#, 0),
            (r#"a${labels.name}="x""#, 1),
            (r#""${labels.name}"="x""#, 1),
            (r#"app${labels.sign}"x""#, 17),
            (r#"app="x"${labels.more}"#, 7),
        ] {
            assert_eq!(MatcherTemplate::parse(text).unwrap_err().at, at, "{text}");
        }
        assert_eq!(MatcherTemplate::parse(r#"app="${labels.app"#).unwrap_err().at, 5);
        assert_eq!(MatcherTemplate::parse(r#"app=~"${labels.app}(""#).unwrap_err().at, 5);
        for (text, holds_for_nothing) in [
            (r#"app="${labels.app}""#, false),
            (r#"app=~"${labels.app}.*|b""#, false),
            (r#"app=~"${labels.app}|""#, true),
            (r#"app!="${labels.app}""#, true),
        ] {
            assert_eq!(
                MatcherTemplate::parse(text).unwrap().holds_for_nothing(),
                holds_for_nothing,
                "{text}"
            );
        }
    }

    #[test]
    fn what_has_no_value_is_a_refusal() {
        let template = MatcherTemplate::parse(r#"app="${labels.app}""#).unwrap();
        assert_eq!(template.with(|_| None).unwrap_err(), "labels.app");
        assert_eq!(template.with(|_| Some(String::new())).unwrap_err(), "labels.app");
    }

    proptest! {
        #[test]
        fn a_value_stands_for_itself_whatever_it_holds(value in "(?s).{1,12}", other in "(?s).{1,12}") {
            for text in [r#"app="${labels.app}""#, r#"app=~"${labels.app}""#, r#" app =~ "(${labels.app})|no""#] {
                let matcher = MatcherTemplate::parse(text).unwrap().with(|_| Some(value.clone())).unwrap();
                prop_assert!(matcher.holds(&Labels::from([("app", value.as_str())])), "{matcher}");
                prop_assert!(value == other || other == "no" || !matcher.holds(&Labels::from([("app", other.as_str())])));
                prop_assert!(!matcher.holds(&Labels::default()));
                prop_assert_eq!(matcher.label(), "app");
            }
        }
    }
}
