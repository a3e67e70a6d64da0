//! One runbook answering one scope. An incident is the fold of its events; what comes next is decided from it.
//!
//! ```text
//! Incident::after(event) -> Result<Incident, IllegalMove>
//! decide(&Incident, &Runbook, moment) -> Next
//! ```
//!
//! Pure: no I/O, no clock, no chance. A test can therefore drive it through any history and crash it anywhere.

mod alerts;
pub mod changes;
pub mod decide;
pub mod deploying;
pub mod drill;
pub mod event;
pub mod evidence;
pub mod ledger;
mod opened;
pub mod outcome;
pub mod permit;
pub mod plan;
pub mod proof;
pub mod proven;
pub mod refusal;
pub mod restore;
pub mod run;
mod state;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use alerts::AlertState;
pub use decide::{Moment, Next, decide};
pub use event::{Event, Recorded};
pub use outcome::Outcome;
pub use state::{Closed, Effect, IllegalMove, Incident, LegState, Stage, Then};

/// Names an incident: 13 characters of Crockford's base 32 that begin with the time, so that they sort by age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(String);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ID_LENGTH: usize = 13;

impl IncidentId {
    /// From the milliseconds since 1970 (45 bits of them) and 20 bits of chance.
    #[must_use]
    pub fn new(milliseconds: u64, chance: u32) -> Self {
        let bits = (milliseconds & ((1 << 45) - 1)) << 20 | u64::from(chance & 0xf_ffff);
        let digit = |position: usize| char::from(ALPHABET[(bits >> (5 * position) & 31) as usize]);
        Self((0..ID_LENGTH).rev().map(digit).collect())
    }

    /// As it is written everywhere.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not the name of an incident.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an incident's id; expected 13 characters such as `1kfm3x9q02vge`, see `runbookd incidents`"
)]
pub struct BadId(String);

impl FromStr for IncidentId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let lower = text.to_ascii_lowercase();
        if lower.len() == ID_LENGTH && lower.bytes().all(|byte| ALPHABET.contains(&byte)) {
            Ok(Self(lower))
        } else {
            Err(BadId(text.to_owned()))
        }
    }
}

/// Names an effect for ever: the incident and the number of the attempt in it. Made by counting, so the same
/// history always gives the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(String);

impl OperationId {
    /// The `number`th attempt of the incident, from 1.
    #[must_use]
    pub fn new(incident: &IncidentId, number: u32) -> Self {
        Self(format!("{incident}-{number}"))
    }

    /// As it is written everywhere.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The incident in its name.
    #[must_use]
    pub fn incident(&self) -> IncidentId {
        IncidentId(self.0.split('-').next().unwrap_or_default().to_owned())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_are_read_back() {
        let early = IncidentId::new(1_795_377_000_000, 0xf_ffff);
        let late = IncidentId::new(1_795_377_000_001, 0);
        assert!(early < late);
        assert_eq!(early.as_str().parse(), Ok(early.clone()));
        assert_eq!(OperationId::new(&early, 3).incident(), early);
        for bad in ["", "x", "1kfm3x9q02vg!", "../../../../a"] {
            assert!(bad.parse::<IncidentId>().is_err(), "{bad}");
        }
    }
}
