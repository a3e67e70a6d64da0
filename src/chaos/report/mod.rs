//! What playing a scenario has shown: plain data, the same for every form in which it is told. A report is all that is left of a run, so it says
//! everything that a person needs to believe it.
//!
//! The forms for files are below: `json`, `markdown` and `html`, pure functions from reports to text. The one for a terminal is `cli/report.rs`.
//! No form ends with a line break; whoever writes it adds one.

mod escape;
pub mod html;
pub mod json;
mod layout;
pub mod markdown;
#[cfg(test)]
mod samples;
mod svg;
pub mod words;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::incident::proof::{Level, Times};
use crate::incident::{IncidentId, Outcome};

/// The version of this form; a reader refuses a later one.
pub const FORMAT: u32 = 1;

/// What one run of one scenario has shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The id of the run.
    pub run: String,
    /// The scenario's name.
    pub scenario: String,
    /// What it is, in one sentence.
    pub summary: String,
    /// How near to the real failure it was.
    pub at: Level,
    /// Where: a sandbox on this machine, or a cluster and its namespace.
    pub place: String,
    /// The version of runbookd that was put to the proof.
    pub version: String,
    /// Every duration was divided by this; 1: reality's own pace.
    pub time_scale: u32,
    /// When the run began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What was broken, in words; empty when nothing was.
    pub broke: String,
    /// How long everything took.
    pub times: Times,
    /// What happened, in its order.
    pub moments: Vec<Moment>,
    /// The incidents that answered.
    pub incidents: Vec<Answered>,
    /// What was expected, and what was found.
    pub checks: Vec<Checked>,
    /// Why it was not played to its end, if it was not.
    pub aborted: Option<String>,
    /// What could not be undone, in words that say what a person has to do.
    pub left_behind: Vec<String>,
}

impl Report {
    /// Whether everything came true, and nothing is left behind. What was not asked did not pass.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.aborted.is_none()
            && self.left_behind.is_empty()
            && !self.checks.is_empty()
            && self.checks.iter().all(|checked| checked.holds)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// Whose doing it was.
    pub by: Doer,
    /// Whether it is good news.
    pub tone: News,
    /// A word for it, such as `broken`, `fired`, `confirmed`.
    pub word: String,
    /// What happened, in one line.
    pub text: String,
}

/// Who does things in a run: the lanes of its timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doer {
    /// The one who breaks things, and mends what it broke.
    Inject,
    /// What is broken, and what tells of it: the services and Alertmanager.
    System,
    /// The daemon.
    Runbookd,
}

/// Whether it is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// It is.
    Good,
    /// It is not.
    Bad,
    /// Neither, or not yet.
    Plain,
}

/// An incident that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Its id.
    pub id: IncidentId,
    /// The runbook's name.
    pub runbook: String,
    /// How it ended; none: not yet.
    pub outcome: Option<Outcome>,
    /// How long everything took.
    #[serde(flatten)]
    pub times: Times,
}

/// One expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Whether it came true.
    pub holds: bool,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}
