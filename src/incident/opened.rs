//! How an incident begins: by alerts, by a person, by the time at which something is put back, or as the word of a fault in a drill.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::IncidentId;
use super::event::Leg;
use super::plan::Target;
use super::run::Run;
use crate::alert::{Alert, Labels};
use crate::runbook::Hash;

/// How an incident begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The runbook's name.
    pub runbook: String,
    /// Its text, by hash: the incident keeps this version.
    pub hash: Hash,
    /// The label values that make it one incident.
    pub scope: Labels,
    /// Without a decision by then it is closed.
    pub deadline: Timestamp,
    /// The alerts that opened it.
    pub alerts: Vec<Alert>,
    /// How many more came than an incident keeps.
    pub more: u64,
    /// How many alerts Alertmanager cut off its notification: targets may be missing.
    pub truncated: u64,
    /// It puts back what an earlier incident changed for a while. Its alerts are that incident's, for its probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
    /// A person began it, and no alert. It has no alerts then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// The drill that it belongs to, by its id. Of an alert that was made up nothing is done but a plan and its rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
}

/// What an incident puts back. Which fields those are says the ledger, at the moment at which it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restore {
    /// The object.
    pub object: Target,
    /// The incident that changed it.
    pub of: IncidentId,
    /// That incident's runbook.
    pub runbook: String,
    /// On which target.
    pub leg: Leg,
    /// As which step: its `verify` is asked again.
    pub step: usize,
}
