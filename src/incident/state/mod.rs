//! The state of an incident: the fold of its events.

mod moves;
mod stage;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::IncidentId;
use super::alerts::AlertState;
use super::event::{Event, Leg, Opened, Recorded};
use super::evidence::Evidence;
use super::outcome::StepResult;
use super::plan::Target;
use super::refusal::Refusal;
use crate::alert::Fingerprint;
use crate::runbook::Hash;

pub use moves::IllegalMove;
use stage::effect_of;
pub use stage::{Closed, Effect, Stage, Then};

/// The fold of an incident's events.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// The number of the last event.
    pub seq: u64,
    /// How it began.
    pub opened: Opened,
    /// When.
    pub opened_at: Timestamp,
    /// When the last event was recorded.
    pub touched_at: Timestamp,
    /// Its alerts as they stand.
    pub alerts: BTreeMap<Fingerprint, AlertState>,
    /// How many alerts it does not keep, and how many of those have resolved.
    pub more: (u64, u64),
    /// The latest answers of `confirm`.
    pub evidence: Vec<Evidence>,
    /// What the lines that were found say of the labels that other questions name.
    pub clues: BTreeMap<String, String>,
    /// When `confirm` held the last time.
    pub held_at: Option<Timestamp>,
    /// Its targets, in order.
    pub legs: Vec<LegState>,
    /// Which target it works on.
    pub leg: usize,
    /// Which step it is at.
    pub step: usize,
    /// What it is about.
    pub stage: Stage,
    /// How many effects it intended.
    pub attempts: u32,
    /// How many of them may have happened.
    pub effects: u32,
    /// What a person approved and was not used yet.
    pub approved: Option<(Hash, String)>,
    /// The latest refusals.
    pub refusals: Vec<Refusal>,
    /// Whether another incident's work on this target was what kept it away, now or before.
    pub kept_away: bool,
    /// Alerts joined after the targets were chosen: nobody has looked for theirs yet.
    pub unseen: bool,
    /// The targets that recovered, which are not chosen again.
    pub cured: Vec<Target>,
    /// What it was to put back and left alone, since somebody else had changed it, and why.
    pub left_alone: Vec<String>,
}

/// A target of an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct LegState {
    /// Which.
    pub leg: Leg,
    /// How its last step ended.
    pub result: Option<StepResult>,
    /// Its last step did not help, and nothing that was done since did.
    pub in_vain: bool,
    /// Something may have been done to it.
    pub acted: bool,
    /// Why nothing was needed.
    pub skipped: Option<String>,
}

impl Incident {
    /// The incident that these events make.
    ///
    /// # Errors
    /// [`IllegalMove`] for the first event that can not follow on those before it.
    pub fn replay<'a>(
        id: &IncidentId,
        events: impl IntoIterator<Item = &'a Recorded>,
    ) -> Result<Self, IllegalMove> {
        let mut events = events.into_iter();
        let begin = |recorded: Option<&Recorded>| match recorded {
            Some(Recorded { seq: 1, at, event: Event::Opened(opened) }) => {
                Ok(Self::open(id.clone(), *at, opened.clone()))
            }
            other => Err(IllegalMove {
                seq: other.map_or(0, |recorded| recorded.seq),
                event: other.map_or("nothing", |recorded| recorded.event.name()).to_owned(),
                stage: "not begun".to_owned(),
            }),
        };
        let first = begin(events.next())?;
        events.try_fold(first, |incident, recorded| incident.after(recorded))
    }

    fn open(id: IncidentId, at: Timestamp, opened: Opened) -> Self {
        let mut incident = Self {
            id,
            seq: 1,
            opened_at: at,
            touched_at: at,
            alerts: BTreeMap::new(),
            more: (opened.more, 0),
            evidence: Vec::new(),
            clues: BTreeMap::new(),
            held_at: None,
            legs: Vec::new(),
            leg: 0,
            step: 0,
            stage: Stage::Confirm { tries: 0, since: at, last: None, then: Then::ChooseLegs },
            attempts: 0,
            effects: 0,
            approved: None,
            refusals: Vec::new(),
            kept_away: false,
            unseen: false,
            cured: Vec::new(),
            left_alone: Vec::new(),
            opened,
        };
        for alert in incident.opened.alerts.clone() {
            incident.join(alert);
        }
        incident
    }

    /// Whether it is at its end.
    #[must_use]
    pub const fn closed(&self) -> Option<&Closed> {
        match &self.stage {
            Stage::Closed(closed) => Some(closed),
            _ => None,
        }
    }

    /// The target that it works on.
    #[must_use]
    pub fn current_leg(&self) -> Option<&Leg> {
        self.legs.get(self.leg).map(|state| &state.leg)
    }

    /// The effect that is on its way, from the intent to the end of its step.
    #[must_use]
    pub const fn effect(&self) -> Option<&Effect> {
        effect_of(&self.stage)
    }
}
