//! A drill: a run of `runbookd inject` at the real systems. It is registered with the daemon before anything is made up or broken, so that the daemon
//! can tell what belongs to it, and from everything else.
//!
//! What makes an alert, or a line of a log, one of a drill's is the id that was registered: nobody can guess it. A label alone means nothing.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Opened;
use super::plan::{Sets, Target};
use super::proof::Level;
use crate::alert::{Labels, RUN_LABEL};
use crate::runbook::load::read_text;
use crate::runbook::{Kind, Mode, Runbook};
use crate::yaml::Faults;

/// The name that stands for a runbook in the incidents that announce a fault; no runbook can have it.
pub const INJECT: &str = "inject";

/// A run of a scenario at the real systems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// Its id: [`ID_LENGTH`] small hexadecimal digits of chance.
    pub run: String,
    /// Which scenario.
    pub scenario: String,
    /// How near it comes to the real failure: with alerts that are made up, or with real faults.
    pub at: Level,
    /// Who plays it.
    pub by: String,
    /// When it was registered.
    pub began_at: Timestamp,
    /// It is over by then, whoever has died.
    pub until: Timestamp,
    /// When whoever played it said that it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// How long the id of a drill is: 128 bits.
pub const ID_LENGTH: usize = 32;

/// Whether it can be the id of a drill.
#[must_use]
pub fn is_id(run: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    run.len() == ID_LENGTH && run.bytes().all(is_digit)
}

impl Drill {
    /// Whether it is still played.
    #[must_use]
    pub fn is_on(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.until
    }
}

/// A fault that is about to be made, by whoever plays a drill and not by runbookd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// What is broken, in words.
    pub says: String,
    /// What becomes of it in the end, in words.
    pub undo: String,
    /// What is broken.
    pub object: Target,
    /// What is set, and for how long; none: nothing is, such as when a pod is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sets: Option<Sets>,
}

/// What the other system said to a call that it was asked not to carry out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rehearsed {
    /// It would have taken it.
    Accepted {
        /// What was rehearsed, in words.
        what: String,
    },
    /// It would have said no.
    Refused {
        /// Its words.
        why: String,
    },
    /// It could not be asked.
    Unanswered {
        /// In an operator's words.
        why: String,
    },
    /// There is no way to rehearse it: the plan is all there is.
    OnlyPlanned {
        /// Why.
        why: String,
    },
}

impl fmt::Display for Rehearsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { what } => write!(f, "rehearsed: {what}"),
            Self::Refused { why } => write!(f, "rehearsed, and it would have failed: {why}"),
            Self::Unanswered { why } => write!(f, "it could not be rehearsed: {why}"),
            Self::OnlyPlanned { why } => write!(f, "planned only: {why}"),
        }
    }
}

impl Opened {
    /// The most that may be done for its alerts. What names a drill that is not known here may be made up for another daemon, by which nobody should be kept from
    /// an alert, and nothing should be done without a person.
    #[must_use]
    pub fn most(&self) -> Mode {
        match &self.drill {
            Some(_) => Mode::Shadow,
            None if !self.scope.get(RUN_LABEL).is_empty() => Mode::Ask,
            None => Mode::Act,
        }
    }

    /// The drill that announced a fault, when that is all that it is.
    #[must_use]
    pub fn announces(&self) -> bool {
        self.runbook == INJECT && self.restore.is_none()
    }
}

/// The runbook by which what a fault has set is put back and verified; no alert is answered by it.
///
/// # Errors
/// None: it is ours, and a test reads it.
pub fn runbook(time_scale: u32) -> Result<Runbook, Faults> {
    read_text(include_str!("../runbook/inject.yaml"), None, time_scale)
}

/// Which of its steps.
#[must_use]
pub fn step_of(announced: &Announced) -> usize {
    usize::from(announced.object.kind == Kind::Node)
}

/// The label values of the incident that announces a fault.
#[must_use]
pub fn scope_of(announced: &Announced, run: &str) -> Labels {
    Labels::from([("object", announced.object.key().as_str()), ("run", run)])
}
