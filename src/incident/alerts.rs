//! The alerts of an incident: which still fire, which have resolved, and which somebody has suppressed in Alertmanager.

use super::state::Incident;
use crate::alert::{Alert, Fingerprint};

/// How many alerts an incident keeps whole; of more it keeps the number.
const ALERTS_KEPT: usize = 500;

/// An alert of an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertState {
    /// As it came last.
    pub alert: Alert,
    /// Whether Alertmanager no longer hears of it.
    pub resolved: bool,
    /// Why Alertmanager sends it to nobody, such as "silenced in Alertmanager by ana". It may well still fire.
    pub suppressed: Option<String>,
}

impl AlertState {
    /// Whether nothing is to be begun for it any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.resolved || self.suppressed.is_some()
    }
}

impl Incident {
    /// Whether nothing is to be begun for any of its alerts: Alertmanager no longer hears of it, or it is suppressed there. What a person
    /// began is not for an alert, and whatever is said of alerts does not end it.
    #[must_use]
    pub fn resolved(&self) -> bool {
        self.opened.run.is_none()
            && self.alerts.values().all(AlertState::is_over)
            && self.more.1 >= self.more.0
    }

    /// Why nothing more is to be begun, when that is not only because its alerts resolved: a person, or a rule that a person
    /// wrote, has told Alertmanager to keep quiet about at least one of them.
    #[must_use]
    pub fn suppressed(&self) -> Option<&str> {
        let why = || self.alerts.values().find_map(|state| state.suppressed.as_deref());
        self.resolved().then(why).flatten()
    }

    pub(super) fn join(&mut self, alert: Alert) {
        let known = self.alerts.contains_key(&alert.fingerprint);
        if known || self.alerts.len() < ALERTS_KEPT {
            let state = AlertState { alert, resolved: false, suppressed: None };
            self.alerts.insert(state.alert.fingerprint.clone(), state);
        } else {
            self.more.0 += 1;
        }
    }

    pub(super) fn resolve(&mut self, fingerprint: &Fingerprint) {
        match self.alerts.get_mut(fingerprint) {
            // What has resolved while it was suppressed is simply over.
            Some(state) => (state.resolved, state.suppressed) = (true, None),
            None => self.more.1 += 1,
        }
    }

    /// One that is not kept counts as over, as one that resolved does.
    pub(super) fn suppress(&mut self, fingerprint: &Fingerprint, why: &str) {
        match self.alerts.get_mut(fingerprint) {
            Some(state) if state.resolved => {}
            Some(state) => state.suppressed = Some(why.to_owned()),
            None => self.more.1 += 1,
        }
    }
}
