//! How a scenario is played with an alert that nothing made: the alert, the lines that tell of it, and what must come of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::incident::Outcome;
use crate::runbook::Action;
use crate::text::{count, span};

/// An alert that nothing made, and the lines that make it look true. Nothing is broken by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthetic {
    /// The labels of the alert, without that of the run.
    pub labels: BTreeMap<String, String>,
    /// What it tells people.
    pub annotations: BTreeMap<String, String>,
    /// What is pushed into Loki before it.
    pub lines: Vec<Lines>,
    /// What must come of it.
    pub expect: ExpectedAnswer,
}

/// The same line, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// The labels of its stream, without that of the run.
    pub stream: BTreeMap<String, String>,
    /// What it says.
    pub line: String,
    /// How often.
    pub count: u32,
    /// Spread over so long, which ends with the alert.
    pub over: Duration,
}

/// How the incident of a synthetic alert must end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedAnswer {
    /// The runbook that must answer.
    pub runbook: String,
    /// How it must end: one of these.
    pub outcomes: Vec<Outcome>,
    /// What would be done first, in this order; empty: nothing.
    pub actions: Vec<Action>,
    /// Within this time of the alert.
    pub within: Duration,
}

impl Synthetic {
    /// The `alertname` of its labels.
    #[must_use]
    pub fn alertname(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream: Vec<String> =
            self.stream.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let (times, over) = (count(u64::from(self.count), "line", "lines"), span(self.over));
        write!(formatter, "{times} over {over} in {{{}}}: {}", stream.join(", "), self.line)
    }
}

impl fmt::Display for ExpectedAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes: Vec<&str> = self.outcomes.iter().map(|outcome| outcome.as_str()).collect();
        let actions: Vec<&str> = self.actions.iter().map(|action| action.as_str()).collect();
        let first = match actions.as_slice() {
            [] => "nothing would be done".to_owned(),
            all => format!("it would do {} first", all.join(", then ")),
        };
        let (runbook, within) = (&self.runbook, span(self.within));
        write!(formatter, "{runbook} ends as {} within {within}; {first}", outcomes.join(" or "))
    }
}
