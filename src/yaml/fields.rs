//! Reads the fields of a map, noting every fault on the way. A reader asks for each field by name; what nobody asked for is unknown.

use std::time::Duration;

use super::values::{did_you_mean, parse_duration, parse_size};
use super::{Entry, Faults, Node, Place, Scalar, Value};

/// The fields of one map.
#[derive(Debug)]
pub struct Fields<'n> {
    /// Where the map began.
    pub place: Place,
    what: &'static str,
    entries: &'n [Entry],
    asked: Vec<&'static str>,
    /// What must be there and is not, with an example. Kept until [`Fields::end`]: a field with a typing mistake is one fault, not two.
    missing: Vec<(&'static str, String)>,
}

impl<'n> Fields<'n> {
    /// The fields of `node`, which is `what` ("the runbook", "the probe"). An empty node has no fields, so that a section whose fields are
    /// all commented out can stay.
    pub fn of(node: &'n Node, what: &'static str, faults: &mut Faults) -> Option<Self> {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Scalar(scalar) if scalar.is_null() => &[],
            Value::Scalar(_) | Value::List(_) => {
                faults.add(
                    node.place,
                    format!("{what} is {}; expected fields (`name: value`)", node.found()),
                    None,
                );
                return None;
            }
        };
        Some(Self { place: node.place, what, entries, asked: Vec::new(), missing: Vec::new() })
    }

    /// The field of this name.
    pub fn get(&mut self, name: &'static str) -> Option<Field<'n>> {
        self.asked.push(name);
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        Some(Field { name, key: entry.place, node: &entry.value })
    }

    /// The field of this name, which must be there; `example` is what it could look like.
    pub fn need(&mut self, name: &'static str, example: &str) -> Option<Field<'n>> {
        let field = self.get(name);
        if field.is_none() {
            self.missing.push((name, example.to_owned()));
        }
        field
    }

    /// Whether a field that nobody asked for was probably meant to be one of these, all of which were asked for.
    #[must_use]
    pub fn has_almost(&self, names: &[&str]) -> bool {
        self.unknown().any(|entry| self.nearest(entry).is_some_and(|name| names.contains(&name)))
    }

    fn unknown(&self) -> impl Iterator<Item = &'n Entry> {
        self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str()))
    }

    fn nearest(&self, entry: &Entry) -> Option<&'static str> {
        did_you_mean(&entry.key, self.asked.iter().copied())
    }

    /// Notes a field that was not asked for, with an own hint: something that is often written and never read.
    pub fn refuse(&mut self, name: &'static str, message: &str, hint: &str, faults: &mut Faults) {
        if let Some(entry) = self.entries.iter().find(|entry| entry.key == name) {
            faults.add(entry.place, message, Some(hint.to_owned()));
            self.asked.push(name);
        }
    }

    /// Notes what is missing.
    pub fn end_without_unknown(self, faults: &mut Faults) {
        for (name, example) in &self.missing {
            let message = format!("{} has no `{name}`; expected it", self.what);
            faults.add(self.place, message, Some(format!("add `{example}`")));
        }
    }

    /// Notes what is missing, and the fields that nobody asked for.
    pub fn end(mut self, faults: &mut Faults) {
        let expected = match self.asked.as_slice() {
            [] => "none".to_owned(),
            [only] => (*only).to_owned(),
            several => format!("one of {}", several.join(", ")),
        };
        let unknown: Vec<_> = self.unknown().collect();
        for entry in unknown {
            let key = crate::text::cut(&entry.key, 60);
            let message = format!("`{key}` is not a field of {}; expected {expected}", self.what);
            let nearest = self.nearest(entry);
            self.missing.retain(|(name, _)| Some(*name) != nearest);
            faults.add(entry.place, message, nearest.map(|name| format!("did you mean `{name}`?")));
        }
        self.end_without_unknown(faults);
    }
}

/// One field: its name, and what it holds.
#[derive(Debug, Clone, Copy)]
pub struct Field<'n> {
    /// Its name; for an item of a list, the list's.
    pub name: &'n str,
    /// Where the name stood.
    pub key: Place,
    /// The value.
    pub node: &'n Node,
}

impl<'n> Field<'n> {
    /// Where the value began.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.node.place
    }

    /// Notes that the value is not what was expected.
    pub fn wrong(&self, expected: &str, hint: Option<String>, faults: &mut Faults) {
        faults.add(self.place(), format!("`{}` is {}; {expected}", self.name, self.node.found()), hint);
    }

    /// Its text, not empty. Numbers and booleans are refused: `0x10` and `true` would not say which text was meant.
    pub fn text(&self, faults: &mut Faults) -> Option<&'n Scalar> {
        let expected = "expected text";
        match &self.node.value {
            Value::Scalar(scalar) if scalar.is_null() => self.wrong(expected, None, faults),
            Value::Scalar(scalar) if scalar.boolean().is_some() || scalar.is_number() => {
                self.wrong(expected, Some(format!("write it in quotes: \"{}\"", scalar.text)), faults);
            }
            Value::Scalar(scalar) if scalar.text.trim().is_empty() => self.wrong(expected, None, faults),
            Value::Scalar(scalar) => return Some(scalar),
            // `deployment: {each.app}` for `${each.app}`, and `{namespace="x"}` without quotes.
            Value::Map(_) | Value::List(_) => {
                self.wrong(expected, Some("text that begins with { or [ needs quotes".to_owned()), faults);
            }
        }
        None
    }

    /// Its text, as a value of its own.
    pub fn string(&self, faults: &mut Faults) -> Option<String> {
        self.text(faults).map(|scalar| scalar.text.clone())
    }

    /// `true` or `false`.
    pub fn boolean(&self, faults: &mut Faults) -> Option<bool> {
        if let Value::Scalar(scalar) = &self.node.value
            && let Some(boolean) = scalar.boolean()
        {
            return Some(boolean);
        }
        self.wrong("expected true or false", None, faults);
        None
    }

    /// A whole number from `least` on.
    pub fn whole(&self, least: u64, faults: &mut Faults) -> Option<u64> {
        let number = match &self.node.value {
            Value::Scalar(scalar) if scalar.is_number() => scalar.text.parse().ok(),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => None,
        };
        let number = number.filter(|number| *number >= least);
        if number.is_none() {
            let quoted = match &self.node.value {
                Value::Scalar(scalar) => scalar.text.parse::<u64>().is_ok() && !scalar.is_number(),
                Value::List(_) | Value::Map(_) => false,
            };
            let hint = quoted.then(|| "take the quotes away".to_owned());
            self.wrong(&format!("expected a whole number from {least} on"), hint, faults);
        }
        number
    }

    /// A number, perhaps with decimals.
    pub fn decimal(&self, faults: &mut Faults) -> Option<f64> {
        let number = match &self.node.value {
            Value::Scalar(scalar) if scalar.is_number() => scalar.text.parse::<f64>().ok(),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => None,
        };
        let number = number.filter(|number| number.is_finite());
        if number.is_none() {
            self.wrong("expected a number such as 5 or 0.05", None, faults);
        }
        number
    }

    /// A duration, longer than nothing.
    pub fn duration(&self, faults: &mut Faults) -> Option<Duration> {
        let duration = self.duration_or_zero(faults)?;
        if duration.is_zero() {
            self.wrong("expected a duration longer than nothing", None, faults);
            return None;
        }
        Some(duration)
    }

    /// A duration, perhaps none at all.
    pub fn duration_or_zero(&self, faults: &mut Faults) -> Option<Duration> {
        let Value::Scalar(scalar) = &self.node.value else {
            self.wrong("expected a duration such as 30s, 5m or 1h30m", None, faults);
            return None;
        };
        match parse_duration(&scalar.text) {
            Ok(duration) => Some(duration),
            Err(expected) => {
                let hint = scalar.is_number().then(|| format!("did you mean {0}s or {0}m?", scalar.text));
                self.wrong(&expected, hint, faults);
                None
            }
        }
    }

    /// A duration of at most `most`, because of `why`.
    pub fn duration_up_to(&self, most: Duration, why: &str, faults: &mut Faults) -> Option<Duration> {
        let duration = self.duration(faults)?;
        if duration > most {
            let most = super::write_duration(most);
            self.wrong(&format!("expected at most {most}"), Some(why.to_owned()), faults);
            return None;
        }
        Some(duration)
    }

    /// `3/1h`: a count of 1 and more, and a time of at most `most`, because of `why`.
    pub fn rate(&self, most: Duration, why: &str, faults: &mut Faults) -> Option<(u32, Duration)> {
        let expected = "expected a rate such as 3/1h (three in one hour)";
        let text = match &self.node.value {
            Value::Scalar(scalar) => scalar.text.as_str(),
            Value::List(_) | Value::Map(_) => "",
        };
        let Some((count, per)) = text.split_once('/') else {
            self.wrong(expected, None, faults);
            return None;
        };
        let Ok(count) = count.parse::<u32>() else {
            self.wrong(expected, None, faults);
            return None;
        };
        if count == 0 {
            let hint = "`mode: shadow` decides and never acts, `mode: ask` asks a person";
            self.wrong("expected a count of at least 1", Some(hint.to_owned()), faults);
            return None;
        }
        match parse_duration(per) {
            Ok(per) if per.is_zero() => self.wrong("expected a time longer than nothing", None, faults),
            Ok(per) if per > most => {
                let most = super::write_duration(most);
                self.wrong(&format!("expected at most {most} after the slash"), Some(why.to_owned()), faults);
            }
            Ok(per) => return Some((count, per)),
            Err(_) => {
                let hint = (per.len() <= 2).then(|| format!("did you mean {count}/1{per}?"));
                self.wrong(expected, hint, faults);
            }
        }
        None
    }

    /// A size in bytes.
    pub fn size(&self, faults: &mut Faults) -> Option<usize> {
        let parsed = match &self.node.value {
            Value::Scalar(scalar) => parse_size(&scalar.text),
            Value::List(_) | Value::Map(_) => parse_size(""),
        };
        match parsed {
            Ok(size) if size > 0 => Some(size),
            Ok(_) => {
                self.wrong("expected a size larger than nothing", None, faults);
                None
            }
            Err(expected) => {
                self.wrong(&expected, None, faults);
                None
            }
        }
    }

    /// One of the words that `name_of` gives to `all`.
    pub fn word<T: Copy>(
        &self,
        all: &[T],
        name_of: impl Fn(T) -> &'static str,
        faults: &mut Faults,
    ) -> Option<T> {
        let text = match &self.node.value {
            Value::Scalar(scalar) => scalar.text.as_str(),
            Value::List(_) | Value::Map(_) => "",
        };
        let found = all.iter().copied().find(|value| name_of(*value) == text);
        if found.is_none() {
            let words: Vec<_> = all.iter().map(|value| name_of(*value)).collect();
            let hint =
                did_you_mean(text, words.iter().copied()).map(|word| format!("did you mean `{word}`?"));
            let several = if words.len() > 1 { "one of " } else { "" };
            self.wrong(&format!("expected {several}{}", words.join(", ")), hint, faults);
        }
        found
    }

    /// The items of a list.
    pub fn list(&self, example: &str, faults: &mut Faults) -> Option<Vec<Self>> {
        let Value::List(list) = &self.node.value else {
            self.wrong("expected a list", Some(format!("such as `{example}`")), faults);
            return None;
        };
        Some(list.iter().map(|node| Self { name: self.name, key: node.place, node }).collect())
    }

    /// The entries of a map whose keys are names that the author chose.
    pub fn map(&self, example: &str, faults: &mut Faults) -> Option<Vec<Self>> {
        match &self.node.value {
            Value::Map(entries) => Some(
                entries
                    .iter()
                    .map(|entry| Self { name: &entry.key, key: entry.place, node: &entry.value })
                    .collect(),
            ),
            Value::Scalar(scalar) if scalar.is_null() => Some(Vec::new()),
            Value::Scalar(_) | Value::List(_) => {
                self.wrong("expected a map", Some(format!("such as `{example}`")), faults);
                None
            }
        }
    }
}
