//! The questions: how the daemon stands, which incidents there are, and what happened to one of them. A question
//! can wait for the next event, so that nobody has to ask again and again.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Api;
use super::ask::{Id, Settings, wait};
use super::problem::Problem;
use super::proofs::last_line;
use super::wire::{IncidentView, Incidents, LEFT_ALONE, Listed, LoadedRunbook, Status, UnansweredAlerts};
use crate::incident::{Incident, IncidentId};
use crate::runbook::Runbook;
use crate::runbook::load::text_hash;
use crate::store::{StoreError, Summary, UNANSWERED_KEPT};

/// At most so many incidents in one answer.
pub(super) const LIST_AT_MOST: u32 = 1_000;
const LIST: u32 = 50;

pub(super) async fn status(State(api): State<Arc<Api>>) -> Result<Json<Status>, Problem> {
    let proofs = api.store.proofs().await?;
    let loaded = |runbook: &Arc<Runbook>| {
        let proven = last_line(&proofs, &runbook.name, runbook.text_hash().as_deref());
        LoadedRunbook { proven, ..LoadedRunbook::from(runbook.as_ref()) }
    };
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        paused: api.store.paused().await?,
        incidents_open: api.store.incidents(true, u32::MAX).await?.len(),
        ceiling: api.policy.ceiling,
        runbooks: api.runbooks.iter().map(loaded).collect(),
    }))
}

/// What of the list is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListSettings {
    #[serde(default)]
    open: bool,
    limit: Option<u32>,
    since: Option<u64>,
    wait: Option<String>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Settings(settings): Settings<ListSettings>,
) -> Result<Json<Incidents>, Problem> {
    let mut waiting = Waiting::new(&api, wait(settings.wait.as_deref())?);
    let limit = settings.limit.unwrap_or(LIST).clamp(1, LIST_AT_MOST);
    // The number is read before the list: what happens in between is told twice rather than never.
    let change = loop {
        let change = waiting.mark();
        if settings.since != Some(change) || !waiting.for_a_change().await {
            break change;
        }
    };
    let mut incidents = Vec::new();
    for summary in api.store.incidents(settings.open, limit).await? {
        let stage = stage(&api, &summary).await?;
        incidents.push(Listed { summary, stage });
    }
    Ok(Json(Incidents { change, incidents }))
}

async fn stage(api: &Api, summary: &Summary) -> Result<String, Problem> {
    if summary.closed_at.is_some() {
        return Ok("closed".to_owned());
    }
    let stage = match api.store.events(&summary.id, 0).await {
        Ok(events) => Incident::replay(&summary.id, &events).map(|incident| incident.stage.name()),
        // One incident that can not be read must not hide all the others.
        Err(StoreError::Unreadable { .. }) => Ok(LEFT_ALONE),
        Err(error) => return Err(error.into()),
    };
    Ok(stage.unwrap_or(LEFT_ALONE).to_owned())
}

/// What of one incident is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneSettings {
    #[serde(default)]
    after: u64,
    wait: Option<String>,
}

pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Id(id): Id,
    Settings(settings): Settings<OneSettings>,
) -> Result<Json<IncidentView>, Problem> {
    let mut waiting = Waiting::new(&api, wait(settings.wait.as_deref())?);
    loop {
        waiting.mark();
        let summary = api.store.incident(&id).await?;
        // After its end nothing can come any more.
        if summary.seq > settings.after || summary.closed_at.is_some() || !waiting.for_a_change().await {
            break;
        }
    }
    Ok(Json(view(&api, &id, settings.after).await?))
}

async fn view(api: &Api, id: &IncidentId, after: u64) -> Result<IncidentView, Problem> {
    let mut events = api.store.events(id, 0).await?;
    // Read after the events, it could say more than they do, but never less: what is closed stays closed.
    let mut summary = api.store.incident(id).await?;
    summary.seq = events.last().map_or(0, |last| last.seq);
    let replayed = Incident::replay(id, &events);
    events.retain(|recorded| recorded.seq > after);
    Ok(match replayed {
        Ok(incident) => {
            // The summary is made to fit what was replayed, so that one answer never contradicts itself.
            summary.closed_at = incident.closed().map(|closed| closed.at);
            summary.outcome = incident.closed().map(|closed| closed.outcome);
            // The version that it began with: that one is played to its end.
            let source = api.store.runbook(&incident.opened.hash).await?;
            let text = source.as_deref().and_then(text_hash);
            let proven = last_line(&api.store.proofs().await?, &incident.opened.runbook, text.as_deref());
            IncidentView { proven, ..IncidentView::of(summary, incident, events) }
        }
        Err(error) => IncidentView::left_alone(summary, error.to_string(), events),
    })
}

/// How many of the unanswered alerts are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnansweredSettings {
    limit: Option<u32>,
}

pub(super) async fn unanswered(
    State(api): State<Arc<Api>>,
    Settings(settings): Settings<UnansweredSettings>,
) -> Result<Json<UnansweredAlerts>, Problem> {
    let limit = settings.limit.unwrap_or(LIST).clamp(1, UNANSWERED_KEPT);
    Ok(Json(UnansweredAlerts { unanswered: api.store.unanswered(limit).await? }))
}

/// Waits for the journal to change, for so long and not beyond the daemon's end.
struct Waiting {
    changes: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
    until: Instant,
}

impl Waiting {
    fn new(api: &Api, wait: Duration) -> Self {
        Self { changes: api.store.changes(), shutdown: api.shutdown.clone(), until: Instant::now() + wait }
    }

    /// What is read from here on counts as seen; later changes end the wait.
    fn mark(&mut self) -> u64 {
        *self.changes.borrow_and_update()
    }

    /// Whether something has changed in time.
    async fn for_a_change(&mut self) -> bool {
        if *self.shutdown.borrow() || Instant::now() >= self.until {
            return false;
        }
        tokio::select! {
            changed = self.changes.changed() => changed.is_ok(),
            _ = self.shutdown.changed() => false,
            () = tokio::time::sleep_until(self.until) => false,
        }
    }
}
