//! The ledger: what the limits are counted from, and what is changed for a while, as the journal has it. The
//! store reads it under a lock and shows it to the guards; nobody counts in memory.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::proof::Proof;
use super::{IncidentId, OperationId};

/// What the guards are shown, all read at one moment under the lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// The store's time.
    pub now: Timestamp,
    /// Set when a person stopped all effects.
    pub pause: Option<Pause>,
    /// Effects whose step has not come to its end: their targets belong to one incident.
    pub in_flight: Vec<InFlight>,
    /// All attempts of the last [`KEPT_HOURS`] hours, failed ones included: an attempt is a risk.
    pub attempts: Vec<Attempt>,
    /// The newest proof of each runbook at each level by each scenario of each text, failed ones included: a failure takes an older success back.
    pub proofs: Vec<Proof>,
}

/// How far back attempts are read: no limit may look further back than this.
pub const KEPT_HOURS: u64 = 7 * 24;

/// A person stopped all effects. Durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
}

/// An effect that was begun and whose step is not at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// Its name.
    pub op: OperationId,
    /// Whose it is.
    pub incident: IncidentId,
    /// The key of its target.
    pub target: String,
}

/// An effect that was begun at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its name.
    pub op: OperationId,
    /// The runbook that made it.
    pub runbook: String,
    /// The key of its target.
    pub target: String,
    /// When its intent was committed.
    pub at: Timestamp,
}
