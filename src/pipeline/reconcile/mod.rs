//! Reconciling: asks Alertmanager again and again what fires, and holds that against the journal. An alert whose notification was lost
//! is taken in, one that is gone has resolved, and for one that is suppressed there nothing more is begun.
//!
//! All three go into the journal by the webhook's own way, so that whoever comes first, the alert is one episode. It never decides what
//! an incident does next, and nothing waits for it: while Alertmanager can not be asked, the webhook alone tells, as ever.

mod memory;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, info, warn};

use self::memory::{Answer, Conclusions, Due, Memory, Rules};
use super::sleep_or_shutdown;
use crate::alert::{Alert, Fingerprint, Labels};
use crate::clients::CallError;
use crate::clients::alertmanager::{Alertmanager, Listed, Running};
use crate::clock;
use crate::incident::restore::RESTORE;
use crate::incident::{AlertState, Incident, IncidentId};
use crate::metrics::{Metrics, Reconciled};
use crate::receive::{self, NotTaken};
use crate::runbook::Runbook;
use crate::store::{Intake, Receipt, Store, StoreError, Suppressed};
use crate::text::cut;

/// However short an interval is written and divided, there is at least this between two rounds.
const LEAST: Duration = Duration::from_millis(20);
/// So much of what a person wrote into a silence stands in the journal.
const SHOWN: usize = 120;

/// What reconciling needs.
pub struct Reconciler {
    /// Whom it asks.
    pub alertmanager: Alertmanager,
    /// The receiver there that is runbookd. What is routed elsewhere is nobody's to take in.
    pub receiver: String,
    /// How often it asks.
    pub every: Duration,
    /// For how long an alert must have been seen firing before its notification counts as lost.
    pub grace: Duration,
    /// For how long Alertmanager must have run before what it does not list counts as gone: [`SETTLED`](crate::clients::alertmanager::SETTLED), at the pace of the runbooks.
    pub settled: Duration,
    /// The journal.
    pub store: Arc<dyn Store>,
    /// Which runbooks answer, in their order.
    pub runbooks: Vec<Arc<Runbook>>,
    /// What is counted.
    pub metrics: Metrics,
}

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Asking(#[from] CallError),
    #[error("Alertmanager has no receiver {wanted:?}; it has {there} (`alertmanager.receiver`)")]
    NoReceiver { wanted: String, there: String },
    #[error(transparent)]
    Journal(#[from] StoreError),
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

/// The alerts of an open incident, as they were at this event.
type Read = (u64, Vec<AlertState>);

impl Reconciler {
    /// Asks until `shutdown` becomes true.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut memory = Memory::default();
        let mut read = HashMap::new();
        let mut is_out = false;
        loop {
            let done = tokio::select! {
                done = self.round(&mut memory, &mut read) => done,
                _ = shutdown.wait_for(|down| *down) => return,
            };
            self.metrics.reconciliation(done.is_ok());
            match &done {
                Ok(()) if is_out => info!("Reconciling with Alertmanager works again"),
                Ok(()) => {}
                // Once: it is asked again soon, and the webhook works without it.
                Err(error) if !is_out => {
                    warn!(%error, "Reconciling with Alertmanager does not work; only the webhook tells what fires");
                }
                Err(error) => debug!(%error, "Reconciling with Alertmanager still does not work"),
            }
            is_out = done.is_err();
            if sleep_or_shutdown(self.every.max(LEAST), shutdown.clone()).await {
                return;
            }
        }
    }

    /// Asks once, and writes what follows into the journal.
    async fn round(&self, memory: &mut Memory, read: &mut HashMap<IncidentId, Read>) -> Result<(), Failed> {
        // In this order: an alert that comes in between is then none of those that were open.
        let open = self.open(read).await?;
        let answer = match self.ask().await {
            Ok(answer) => answer,
            Err(error) => {
                memory.was_not_answered();
                return Err(error);
            }
        };
        let rules = Rules { receiver: &self.receiver, grace: self.grace, settled: self.settled };
        if answer.mutes && memory.hears_of_mutes() {
            warn!(
                "Alertmanager's routes have time intervals, and its list does not tell what they mute: nothing is taken in that the webhook did not bring"
            );
        }
        let Conclusions { due, gone, suppressed } = memory.conclude(rules, &answer, &open);
        self.resolve(gone).await?;
        self.suppress(suppressed, &answer, &open).await?;
        self.take(due, memory).await
    }

    async fn ask(&self) -> Result<Answer, Failed> {
        let asked_at = clock::now();
        let Running { since: running_since, mutes } = self.alertmanager.running().await?;
        let receivers = self.alertmanager.receivers().await?;
        // Of another Alertmanager, or after a change of its routes, nothing it does not list would mean anything.
        if !receivers.contains(&self.receiver) {
            let there = if receivers.is_empty() { "none".to_owned() } else { receivers.join(", ") };
            return Err(Failed::NoReceiver { wanted: self.receiver.clone(), there: shown(&there) });
        }
        let alerts = self.alertmanager.alerts().await?;
        Ok(Answer { asked_at, running_since, mutes, alerts })
    }

    /// The alerts that count in an open incident.
    async fn open(
        &self,
        read: &mut HashMap<IncidentId, Read>,
    ) -> Result<BTreeMap<Fingerprint, Alert>, Failed> {
        let mut before = std::mem::take(read);
        let mut open = BTreeMap::new();
        for summary in self.store.incidents(true, u32::MAX).await? {
            // A restore carries the alerts of the incident that made the change; it is not about them.
            // What a drill made up the webhook may have brought alone.
            if summary.runbook == RESTORE || summary.drill.is_some() {
                continue;
            }
            let known = before.remove(&summary.id).filter(|(seq, _)| *seq == summary.seq);
            let (seq, alerts) = match known {
                Some(known) => known,
                None => match self.alerts_of(&summary.id).await? {
                    Some(alerts) => alerts,
                    // It is left alone, and reported by whoever works on it.
                    None => continue,
                },
            };
            let count = alerts.iter().filter(|state| !state.is_over());
            open.extend(count.map(|state| (state.alert.fingerprint.clone(), state.alert.clone())));
            read.insert(summary.id, (seq, alerts));
        }
        Ok(open)
    }

    async fn alerts_of(&self, id: &IncidentId) -> Result<Option<Read>, Failed> {
        let events = match self.store.events(id, 0).await {
            Err(StoreError::Unreadable { .. }) => return Ok(None),
            events => events?,
        };
        let incident = Incident::replay(id, &events).ok();
        Ok(incident.map(|incident| (incident.seq, incident.alerts.into_values().collect())))
    }

    /// What is gone has resolved, and nobody said so. No end is noted: when Prometheus only lost its Alertmanager, it says the same beginning again.
    async fn resolve(&self, gone: Vec<Alert>) -> Result<(), Failed> {
        if gone.is_empty() {
            return Ok(());
        }
        for alert in &gone {
            info!(alert = %alert.labels, "Alertmanager no longer hears of an alert: it has resolved");
        }
        let lost =
            |alert: Alert| Suppressed { fingerprint: alert.fingerprint, labels: alert.labels, why: None };
        let suppressed = gone.into_iter().map(lost).collect();
        let receipt = self.enter(Intake { suppressed, ..Intake::default() }).await?;
        self.metrics.reconciled(Reconciled::Gone, receipt.resolved);
        Ok(())
    }

    /// Nothing more is begun for what somebody keeps quiet in Alertmanager.
    async fn suppress(
        &self,
        quiet: Vec<Listed>,
        answer: &Answer,
        open: &BTreeMap<Fingerprint, Alert>,
    ) -> Result<(), Failed> {
        let mut silences = HashMap::new();
        let mut suppressed = Vec::new();
        for listed in quiet {
            let why = self.why(&listed, answer, &mut silences).await;
            let fingerprint = Fingerprint(listed.fingerprint);
            // As the journal has them: its rows are named after them.
            let Some(labels) = open.get(&fingerprint).map(|alert| alert.labels.clone()) else { continue };
            info!(alert = %labels, "An alert was {why}: nothing more is begun for it");
            suppressed.push(Suppressed { fingerprint, labels, why: Some(why) });
        }
        if suppressed.is_empty() {
            return Ok(());
        }
        let receipt = self.enter(Intake { suppressed, ..Intake::default() }).await?;
        self.metrics.reconciled(Reconciled::Suppressed, receipt.suppressed);
        Ok(())
    }

    /// By whom or what an alert is kept quiet.
    async fn why(&self, listed: &Listed, answer: &Answer, silences: &mut HashMap<String, String>) -> String {
        if let Some(id) = listed.silenced_by.first() {
            if let Some(known) = silences.get(id) {
                return known.clone();
            }
            let why = match self.alertmanager.silence(id).await {
                Ok(silence) if !silence.created_by.trim().is_empty() => {
                    let (by, comment) = (shown(&silence.created_by), shown(&silence.comment));
                    format!("silenced in Alertmanager by {by}: {comment}")
                }
                // That it is silenced is known, and counts whoever it was.
                _ => format!("silenced in Alertmanager (silence {})", shown(id)),
            };
            silences.insert(id.clone(), why.clone());
            return why;
        }
        if let Some(by) = listed.inhibited_by.first() {
            let source = answer.alerts.all.iter().find(|other| other.fingerprint == *by);
            let name = source.map_or("another alert", |source| source.label("alertname"));
            return format!("inhibited in Alertmanager by {}", shown(name));
        }
        match listed.muted_by.first() {
            Some(interval) => format!("muted in Alertmanager by the time interval {}", shown(interval)),
            None => "suppressed in Alertmanager".to_owned(),
        }
    }

    /// What fires and did not come by the webhook comes in this way.
    async fn take(&self, due: Vec<Due>, memory: &mut Memory) -> Result<(), Failed> {
        let returned: HashMap<Fingerprint, (Labels, bool)> = due
            .iter()
            .map(|due| (due.alert.fingerprint.clone(), (due.alert.labels.clone(), due.was_quiet)))
            .collect();
        let mut intake = receive::matched(&self.runbooks, due.into_iter().map(|due| due.alert).collect());
        // Nobody sent them, and they are here again in every round.
        intake.unanswered.clear();
        if intake.answered.is_empty() {
            return Ok(());
        }
        let receipt = self.enter(intake).await?;
        for fingerprint in &receipt.taken {
            let Some((labels, was_quiet)) = returned.get(fingerprint) else { continue };
            if *was_quiet {
                self.metrics.reconciled(Reconciled::Returned, 1);
                info!(alert = %labels, "An alert is no longer suppressed in Alertmanager, and fires: taken in");
            } else {
                self.metrics.reconciled(Reconciled::Lost, 1);
                warn!(alert = %labels, "An alert fires at Alertmanager, and its notification never came: taken in");
            }
            memory.is_taken(fingerprint);
        }
        Ok(())
    }

    async fn enter(&self, intake: Intake) -> Result<Receipt, Failed> {
        let receipt = receive::take_in_found(self.store.as_ref(), intake).await?;
        // That an alert is known already is no news of this way: it is so in every round.
        receive::count(&self.metrics, &Receipt { repeated: 0, ..receipt.clone() }, 0, 0);
        Ok(receipt)
    }
}

/// What somebody else wrote, on one line and not too long.
fn shown(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    cut(&words.collect::<Vec<_>>().join(" "), SHOWN)
}
