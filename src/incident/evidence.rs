//! What a probe found: verdict, figures, a few sample lines, values by label.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Found;

/// A probe's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What was asked about is so.
    Holds,
    /// It is not so.
    Fails,
    /// It can not be told.
    Unknown {
        /// Why, in an operator's words.
        why: String,
    },
    /// Nothing was found, and nothing was written at all. Unknown, unless something else in the same verify
    /// shows that the target lives: a quiet service at night is not unknown for ever.
    Quiet {
        /// What was looked at.
        why: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds"),
            Self::Fails => f.write_str("fails"),
            Self::Unknown { why } | Self::Quiet { why } => write!(f, "unknown: {why}"),
        }
    }
}

/// What one probe found, with everything a person needs to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The probe's name in the runbook.
    pub probe: String,
    /// The question as it was sent.
    pub asked: String,
    /// The answer.
    pub verdict: Verdict,
    /// The answer in a few words, such as "42 lines in 5m, at least 5".
    pub saw: String,
    /// The figures by the label that was counted by.
    pub by: BTreeMap<String, f64>,
    /// Some of the lines, newest first.
    pub samples: Vec<Sample>,
    /// The span of time that was looked at.
    pub window: Option<(Timestamp, Timestamp)>,
    /// What the lines say of the labels that other questions of the runbook name (`${evidence.NAME}`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clues: BTreeMap<String, String>,
}

impl Evidence {
    /// The answer to a question that could not be asked.
    #[must_use]
    pub fn unknown(probe: &str, asked: String, why: String) -> Self {
        let saw = why.clone();
        Self::found(probe, asked, Verdict::Unknown { why }, saw)
    }

    /// An answer in a few words, with nothing beside it.
    #[must_use]
    pub fn found(probe: &str, asked: String, verdict: Verdict, saw: String) -> Self {
        Self {
            probe: probe.to_owned(),
            asked,
            verdict,
            saw,
            by: BTreeMap::new(),
            samples: Vec::new(),
            window: None,
            clues: BTreeMap::new(),
        }
    }
}

/// A log line that was found, or what was seen of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Nobody wrote this: it is what was seen of an object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_state: bool,
    /// When it was written.
    pub at: Timestamp,
    /// Where: the stream's value of the label that was counted by, or of `pod`.
    pub from: String,
    /// The line, cut to a readable length.
    pub line: String,
}

/// What the answers of `confirm` come to: every one must hold. Nothing asked is unknown.
#[must_use]
pub fn all_of(answers: &[Evidence]) -> Found {
    let any = |wanted: fn(&Verdict) -> bool| answers.iter().any(|answer| wanted(&answer.verdict));
    if answers.is_empty() || any(|verdict| matches!(verdict, Verdict::Unknown { .. } | Verdict::Quiet { .. }))
    {
        Found::Unknown
    } else if any(|verdict| *verdict == Verdict::Fails) {
        Found::Fails
    } else {
        Found::Holds
    }
}

/// The first answer that leaves a `verify` open. Silence counts as good when another answer holds and so shows that the target lives.
#[must_use]
pub fn left_open(answers: &[Evidence]) -> Option<&Evidence> {
    let lives = answers.iter().any(|answer| answer.verdict == Verdict::Holds);
    answers.iter().find(|answer| match answer.verdict {
        Verdict::Unknown { .. } => true,
        Verdict::Quiet { .. } => !lives,
        Verdict::Holds | Verdict::Fails => false,
    })
}

/// What the answers of `verify` come to: as [`all_of`], but silence need not leave it open ([`left_open`]).
#[must_use]
pub fn all_of_verify(answers: &[Evidence]) -> Found {
    // A check that fails is a failure even beside one that is unknown only when nothing is unknown: unknown
    // never goes on to the next step.
    if answers.is_empty() || left_open(answers).is_some() {
        Found::Unknown
    } else if answers.iter().any(|answer| answer.verdict == Verdict::Fails) {
        Found::Fails
    } else {
        Found::Holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(verdicts: &[&str]) -> Vec<Evidence> {
        let verdict = |word: &str| match word {
            "holds" => Verdict::Holds,
            "fails" => Verdict::Fails,
            "quiet" => Verdict::Quiet { why: "no lines".to_owned() },
            _ => Verdict::Unknown { why: "Loki is down".to_owned() },
        };
        verdicts
            .iter()
            .map(|word| Evidence {
                verdict: verdict(word),
                ..Evidence::unknown("p", String::new(), String::new())
            })
            .collect()
    }

    #[test]
    fn unknown_is_stronger_than_every_other_answer_and_silence_is_good_only_beside_a_sign_of_life() {
        for (verdicts, confirm, verify) in [
            (&["holds"][..], Found::Holds, Found::Holds),
            (&["fails"], Found::Fails, Found::Fails),
            (&["holds", "fails"], Found::Fails, Found::Fails),
            (&["unknown"], Found::Unknown, Found::Unknown),
            (&["holds", "unknown"], Found::Unknown, Found::Unknown),
            (&["fails", "unknown"], Found::Unknown, Found::Unknown),
            (&["quiet"], Found::Unknown, Found::Unknown),
            (&["quiet", "quiet"], Found::Unknown, Found::Unknown),
            (&["quiet", "holds"], Found::Unknown, Found::Holds),
            (&["quiet", "fails"], Found::Unknown, Found::Unknown),
            (&[], Found::Unknown, Found::Unknown),
        ] {
            assert_eq!(all_of(&answers(verdicts)), confirm, "confirm {verdicts:?}");
            assert_eq!(all_of_verify(&answers(verdicts)), verify, "verify {verdicts:?}");
        }
    }
}
