//! Text with `${...}` placeholders: read and checked when the runbook is loaded, filled in when an alert is answered.

/// Text with `${...}` placeholders, read and checked when the runbook is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The pieces in order.
    pub parts: Vec<Part>,
}

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// The path of a `${...}`.
    Placeholder(String),
}

/// A placeholder that can not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault {
    /// The byte at which it begins.
    pub at: usize,
    /// What is wrong; what was expected.
    pub message: &'static str,
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// Every placeholder that can not be read.
    pub fn parse(text: &str) -> Result<Self, Vec<TemplateFault>> {
        let mut parts = Vec::new();
        let mut faults = Vec::new();
        let mut from = 0;
        while let Some(next) = text[from..].find("${") {
            let at = from + next;
            if next > 0 {
                parts.push(Part::Text(text[from..at].to_owned()));
            }
            let inside = &text[at + 2..];
            let Some(length) = inside.find('}') else {
                faults.push(TemplateFault { at, message: "the placeholder has no end; expected `}`" });
                return Err(faults);
            };
            let path = &inside[..length];
            let is_word = |word: &str| {
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            };
            if path.is_empty() {
                faults.push(TemplateFault { at, message: "the placeholder is empty; expected a name in it" });
            } else if path.split('.').all(is_word) {
                parts.push(Part::Placeholder(path.to_owned()));
            } else {
                let message = "the placeholder holds something else than names and dots; expected one such as `${labels.namespace}`";
                faults.push(TemplateFault { at, message });
            }
            from = at + 2 + length + 1;
        }
        if from < text.len() {
            parts.push(Part::Text(text[from..].to_owned()));
        }
        if faults.is_empty() { Ok(Self { parts }) } else { Err(faults) }
    }

    /// The paths of the placeholders, and the byte of the text at which each begins.
    pub fn placeholders(&self) -> impl Iterator<Item = (&str, usize)> {
        let mut at = 0;
        self.parts.iter().filter_map(move |part| {
            let begins = at;
            match part {
                Part::Text(text) => {
                    at += text.len();
                    None
                }
                Part::Placeholder(path) => {
                    at += path.len() + "${}".len();
                    Some((path.as_str(), begins))
                }
            }
        })
    }

    /// The text with every placeholder replaced.
    ///
    /// # Errors
    /// The first path that has no value, or an empty one: empty never means all.
    pub fn with(&self, value_of: impl Fn(&str) -> Option<String>) -> Result<String, String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => Ok(text.clone()),
                Part::Placeholder(path) => {
                    value_of(path).filter(|value| !value.is_empty()).ok_or_else(|| path.clone())
                }
            })
            .collect()
    }
}

/// What is said of a placeholder without a value.
#[must_use]
pub fn no_value(path: &str) -> String {
    format!("${{{path}}} has no value, and empty never means all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_read_with_their_places_and_filled_in() {
        let template = Template::parse("a-${each.app}-${vars.x}$").unwrap();
        assert_eq!(template.placeholders().collect::<Vec<_>>(), [("each.app", 2), ("vars.x", 14)]);
        assert_eq!(template.with(|path| Some(path.to_uppercase())), Ok("a-EACH.APP-VARS.X$".to_owned()));
        assert_eq!(template.with(|_| Some(String::new())), Err("each.app".to_owned()));
    }

    #[test]
    fn bad_placeholders_are_all_reported() {
        let faults = Template::parse("${} ${a b} ${labels..x} ${end").unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.at).collect::<Vec<_>>(), [0, 4, 11, 24]);
    }
}
