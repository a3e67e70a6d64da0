//! The story: one loop per open incident. Decide, perform, append, apply, and again. Starting up is the same loop
//! over the incidents that are open, so a crash is nothing special.
//!
//! The pipeline never decides by itself what comes next ([`crate::incident::decide()`] does) and never acts without
//! a permit ([`crate::store::Store::commit_effect`] hands it out).

mod links;
mod past;
mod perform;
pub mod reconcile;
mod restore;
mod shelf;
mod targets;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{Instrument, debug, error, info, info_span, warn};

pub use shelf::Shelf;

use crate::act::Hands;
use crate::clients::grafana::Grafana;
use crate::clock;
use crate::guard::Policy;
use crate::incident::{Event, Incident, IncidentId, Moment, Next, decide};
use crate::metrics::Metrics;
use crate::probe::Eyes;
use crate::retry::Backoff;
use crate::runbook::Runbook;
use crate::store::{Claim, Store, StoreError, Summary};

/// For this long a claimed incident is nobody else's; prolonged all the time.
const LEASE: Duration = Duration::from_secs(60);
/// Incidents whose owner died are looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A graceful end waits this long for calls that are on their way.
const FINISH_WITHIN: Duration = Duration::from_secs(15);

/// Everything that an incident needs to be worked on.
pub struct Pipeline {
    /// The journal.
    pub store: Arc<dyn Store>,
    /// The runbooks, by hash.
    pub shelf: Shelf,
    /// What can be asked.
    pub eyes: Eyes,
    /// What can be done.
    pub hands: Hands,
    /// What the operator allows.
    pub policy: Arc<Policy>,
    /// Where people look for themselves.
    pub grafana: Option<Grafana>,
    /// For how long a person may approve a plan.
    pub approval_within: Duration,
    /// Names this process as the owner of its incidents.
    pub owner: String,
    /// What is counted.
    pub metrics: Metrics,
}

/// What a loop is told between two looks at the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Heard {
    /// The number of the incident's last event.
    seq: u64,
    /// Whether a person has stopped all effects.
    paused: bool,
}

/// Why a loop over one incident ended before the incident did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Left {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the journal of the incident can not be followed: {0}")]
    Illegal(#[from] crate::incident::IllegalMove),
    #[error("the runbook it began with can not be read: {0}")]
    NoRunbook(String),
    #[error("shutting down")]
    Shutdown,
}

impl Pipeline {
    /// Works on incidents until `shutdown` becomes true; calls that are on their way are finished first.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut changes = self.store.changes();
        let mut loops: JoinSet<IncidentId> = JoinSet::new();
        let mut mine: HashMap<IncidentId, watch::Sender<Heard>> = HashMap::new();
        let mut renew_at = clock::now();
        while !*shutdown.borrow_and_update() {
            changes.mark_unchanged();
            if clock::now() >= renew_at {
                match self.store.renew(&self.owner, LEASE).await {
                    Ok(()) => renew_at = clock::after(clock::now(), LEASE / 4),
                    Err(error) => warn!(%error, "The leases could not be prolonged"),
                }
            }
            match self.store.claim(&self.owner, LEASE).await {
                Ok(claims) => {
                    for claim in claims {
                        if mine.contains_key(&claim.incident) {
                            continue;
                        }
                        let (tell, hear) = watch::channel(Heard::default());
                        mine.insert(claim.incident.clone(), tell);
                        let (pipeline, shutdown) = (Arc::clone(&self), shutdown.clone());
                        loops.spawn(async move { pipeline.incident(claim, hear, shutdown).await });
                    }
                }
                Err(error) => warn!(%error, "New incidents could not be claimed"),
            }
            if let Err(error) = self.pass_on(&mine).await {
                warn!(%error, "What has changed could not be read");
            }
            self.metrics.incidents_open.set(i64::try_from(mine.len()).unwrap_or(i64::MAX));
            tokio::select! {
                _ = changes.changed() => {}
                _ = shutdown.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                Some(ended) = loops.join_next() => match ended {
                    Ok(id) => { mine.remove(&id); }
                    Err(panic) => {
                        self.metrics.incidents_left_alone.inc();
                        error!(%panic, "The loop of an incident died; it goes on after a restart");
                    }
                },
            }
        }
        let finished =
            tokio::time::timeout(FINISH_WITHIN, async { while loops.join_next().await.is_some() {} });
        if finished.await.is_err() {
            warn!("Calls were still on their way; they are looked at after the restart");
        }
        if let Err(error) = self.store.release(&self.owner).await {
            warn!(%error, "The leases could not be given back");
        }
    }

    /// Tells each loop what has changed for it, so that a commit wakes one loop and not all of them.
    async fn pass_on(&self, mine: &HashMap<IncidentId, watch::Sender<Heard>>) -> Result<(), StoreError> {
        if mine.is_empty() {
            return Ok(());
        }
        let paused = self.store.paused().await?.is_some();
        for summary in self.store.incidents(true, u32::MAX).await? {
            if let Some(tell) = mine.get(&summary.id) {
                let now = Heard { seq: summary.seq, paused };
                tell.send_if_modified(|heard| std::mem::replace(heard, now) != now);
            }
        }
        Ok(())
    }

    async fn incident(
        self: Arc<Self>,
        claim: Claim,
        hear: watch::Receiver<Heard>,
        shutdown: watch::Receiver<bool>,
    ) -> IncidentId {
        let id = claim.incident.clone();
        let span = info_span!("incident", incident.id = %id);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        async {
            loop {
                match self.work(&claim, hear.clone(), shutdown.clone()).await {
                    Ok(()) | Err(Left::Shutdown) => break,
                    // Somebody else appended first, such as the webhook: read again, decide again.
                    Err(Left::Store(StoreError::Moved(_))) => {}
                    Err(Left::Store(StoreError::Overloaded | StoreError::Unavailable(_))) => {
                        let delay = backoff.next_delay();
                        warn!("The journal is not available; trying again in {delay:?}");
                        if sleep_or_shutdown(delay, shutdown.clone()).await {
                            break;
                        }
                    }
                    Err(Left::Store(StoreError::NotMine(_))) => {
                        debug!("Another owner has claimed the incident");
                        break;
                    }
                    Err(left) => {
                        error!(error = %left, "The incident is left alone; a person should look");
                        self.metrics.incidents_left_alone.inc();
                        break;
                    }
                }
            }
        }
        .instrument(span)
        .await;
        id
    }

    /// The loop: decide, perform, append, apply.
    async fn work(
        &self,
        claim: &Claim,
        mut hear: watch::Receiver<Heard>,
        mut shutdown: watch::Receiver<bool>,
    ) -> Result<(), Left> {
        let events = self.store.events(&claim.incident, 0).await?;
        let mut incident = Incident::replay(&claim.incident, &events)?;
        let runbook = self.shelf.version(&self.store, &incident.opened.hash).await?;
        let runbook = restore::runbook_of(&incident, runbook)?;
        crate::crash::here("claimed");
        loop {
            // Late by a moment at the most, and only to know when to ask again: the guard `pause` reads the ledger.
            let heard = *hear.borrow_and_update();
            if heard.seq > incident.seq {
                for recorded in self.store.events(&claim.incident, incident.seq).await? {
                    incident = incident.after(&recorded)?;
                }
            }
            let paused = heard.paused;
            if *shutdown.borrow() {
                return Err(Left::Shutdown);
            }
            let behind = self.behind(&incident, &runbook).await?;
            match decide(&incident, &runbook, &Moment { now: clock::now(), paused, behind }) {
                Next::Nothing => return Ok(()),
                Next::Wait(until) => {
                    tokio::select! {
                        () = clock::sleep_until(until) => {}
                        _ = hear.changed() => {}
                        _ = shutdown.changed() => {}
                    }
                    for recorded in self.store.events(&claim.incident, incident.seq).await? {
                        incident = incident.after(&recorded)?;
                    }
                }
                next => {
                    // What only reads is broken off by a shutdown; an effect is seen through to its answer.
                    let only_reads = !matches!(next, Next::Commit(_));
                    let performed = tokio::select! {
                        performed = self.perform(claim, &incident, &runbook, next) => performed?,
                        _ = shutdown.wait_for(|down| *down), if only_reads => return Err(Left::Shutdown),
                    };
                    if let Some(event) = performed {
                        incident = self.record(claim, incident, &runbook, event).await?;
                    } else {
                        for recorded in self.store.events(&claim.incident, incident.seq).await? {
                            incident = incident.after(&recorded)?;
                        }
                    }
                }
            }
        }
    }

    /// The open incident that this one stands back behind.
    async fn behind(
        &self,
        incident: &Incident,
        runbook: &Runbook,
    ) -> Result<Option<(IncidentId, String)>, StoreError> {
        if runbook.defer_to.is_empty() || incident.closed().is_some() || incident.effects > 0 {
            return Ok(None);
        }
        let open = self.store.incidents(true, u32::MAX).await?;
        // What is made up keeps nobody from what is real.
        let counts = |other: &Summary| other.drill.is_none() || incident.opened.drill.is_some();
        let behind =
            open.into_iter().find(|other| counts(other) && runbook.defer_to.contains(&other.runbook));
        Ok(behind.map(|other| (other.id, other.runbook)))
    }

    /// Appends an event and applies it. It is tried in memory first, so that no illegal move is ever written.
    async fn record(
        &self,
        claim: &Claim,
        incident: Incident,
        runbook: &Runbook,
        event: Event,
    ) -> Result<Incident, Left> {
        let tried = crate::incident::Recorded { seq: incident.seq + 1, at: clock::now(), event };
        let after = incident.clone().after(&tried)?;
        let wake_at = wake_at(&after, runbook, tried.at);
        let recorded = self.store.append(claim, incident.seq, tried.event, wake_at).await?;
        let after = incident.after(&recorded)?;
        self.tell(&after, &recorded.event);
        crash_after(&recorded.event);
        Ok(after)
    }

    fn tell(&self, incident: &Incident, event: &Event) {
        let runbook = incident.opened.runbook.as_str();
        match event {
            Event::Closed { outcome, why } => {
                // What is made up is counted nowhere.
                if incident.opened.drill.is_none() {
                    self.metrics.closed(runbook, *outcome);
                }
                info!(runbook, outcome = outcome.as_str(), "Closed as {outcome}: {why}");
            }
            Event::Refused { refusals, .. } => {
                for refusal in refusals {
                    self.metrics.refused(refusal.guard);
                    let guard = refusal.guard.as_str();
                    info!(runbook, guard, "Refused by {guard}: {} ({})", refusal.saw, refusal.limit);
                }
            }
            Event::EffectCompleted { saw, .. } => info!(runbook, "The effect is complete: {saw}"),
            Event::StepEnded { result, why, .. } => info!(runbook, ?result, "The step has ended: {why}"),
            Event::Confirmed { found, answers, .. } => {
                let saw: Vec<&str> = answers.iter().map(|answer| answer.saw.as_str()).collect();
                info!(runbook, ?found, "Confirm: {}", saw.join("; "));
            }
            other => debug!(runbook, "{}", other.name()),
        }
    }
}

/// When the incident wants to be looked at after this event, for whoever owns it then.
fn wake_at(incident: &Incident, runbook: &Runbook, now: Timestamp) -> Option<Timestamp> {
    match decide(incident, runbook, &Moment { now, paused: false, behind: None }) {
        Next::Wait(until) => Some(until),
        Next::Nothing => None,
        _ => Some(now),
    }
}

fn crash_after(event: &Event) {
    match event {
        Event::Confirmed { .. } => crate::crash::here("confirmed"),
        Event::LegsChosen { .. } => crate::crash::here("legs-chosen"),
        Event::Planned { .. } => crate::crash::here("planned"),
        Event::EffectAnswered { .. } => crate::crash::here("effect-answered"),
        Event::EffectCompleted { .. } => crate::crash::here("effect-completed"),
        Event::Verified { .. } => crate::crash::here("verified"),
        Event::StepEnded { .. } => crate::crash::here("step-ended"),
        Event::Closed { .. } => crate::crash::here("closed"),
        _ => {}
    }
}

/// Sleeps; true when it is time to shut down.
async fn sleep_or_shutdown(delay: Duration, mut shutdown: watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(delay) => *shutdown.borrow(),
        _ = shutdown.changed() => true,
    }
}
