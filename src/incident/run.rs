//! A run: an incident that a person began, and no alert. Their word stands for the alert and for nothing else: the evidence, the guards
//! and the limits are asked as ever. It has no alerts, so nothing that Alertmanager says or does not say ends it.

use serde::{Deserialize, Serialize};

use super::event::Opened;
use crate::alert::Labels;

/// Who began an incident by hand, and with what in the place of an alert's labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Who.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// What `${labels.NAME}` stands for.
    pub labels: Labels,
}

impl Opened {
    /// The run, when it was begun by hand. A restore has only its labels, as it has the alerts of an incident that an alert began.
    #[must_use]
    pub fn by_hand(&self) -> Option<&Run> {
        self.run.as_ref().filter(|_| self.restore.is_none())
    }
}
