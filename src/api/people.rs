//! What people say: pause, resume, approve, decline. Each is only appended to the journal. An approval counts for
//! exactly the plan that the person looked at, and only while it is asked for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use tracing::info;

use super::Api;
use super::ask::{Body, Id, words};
use super::problem::Problem;
use super::wire::{Approve, Resume, Resumed, WithReason};
use crate::clock;
use crate::incident::ledger::Pause;
use crate::incident::{Event, Incident, IncidentId, Recorded, Stage};
use crate::runbook::Hash;
use crate::store::StoreError;

pub(super) const NAME_LENGTH: usize = 200;
pub(super) const REASON_LENGTH: usize = 1_000;
/// So often is an answer tried when other events come first: alerts join an incident while a person reads.
const TRIES: u32 = 10;

pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Body(body): Body<WithReason>,
) -> Result<Json<Pause>, Problem> {
    let by = words("by", &body.by, NAME_LENGTH)?;
    let reason = words("reason", &body.reason, REASON_LENGTH)?;
    let pause = api.store.pause(&by, &reason).await?;
    info!(by, reason, "Paused by {by}: {reason}");
    Ok(Json(pause))
}

pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Body(body): Body<Resume>,
) -> Result<Json<Resumed>, Problem> {
    let by = words("by", &body.by, NAME_LENGTH)?;
    let was = api.store.resume(&by).await?;
    if was.is_some() {
        info!(by, "Resumed by {by}");
    }
    Ok(Json(Resumed { was }))
}

pub(super) async fn approve(
    State(api): State<Arc<Api>>,
    Id(id): Id,
    Body(body): Body<Approve>,
) -> Result<Json<Recorded>, Problem> {
    let by = words("by", &body.by, NAME_LENGTH)?;
    let recorded = answer(&api, &id, |asked| {
        if *asked != body.judged {
            return Err(Problem::conflict(
                "the plan has changed, look again: what is asked for now is not what was approved",
            ));
        }
        Ok(Event::Approved { by: by.clone(), judged: asked.clone() })
    })
    .await?;
    info!(incident.id = %id, by, "Approved by {by}");
    Ok(Json(recorded))
}

pub(super) async fn decline(
    State(api): State<Arc<Api>>,
    Id(id): Id,
    Body(body): Body<WithReason>,
) -> Result<Json<Recorded>, Problem> {
    let by = words("by", &body.by, NAME_LENGTH)?;
    let reason = words("reason", &body.reason, REASON_LENGTH)?;
    let recorded =
        answer(&api, &id, |_| Ok(Event::Declined { by: by.clone(), reason: reason.clone() })).await?;
    info!(incident.id = %id, by, reason, "Declined by {by}: {reason}");
    Ok(Json(recorded))
}

/// Appends an answer to what is asked right now. Another event in between is no reason to say no: everything is
/// looked at anew.
async fn answer(
    api: &Api,
    id: &IncidentId,
    event: impl Fn(&Hash) -> Result<Event, Problem>,
) -> Result<Recorded, Problem> {
    let mut tries = 0;
    loop {
        let events = api.store.events(id, 0).await?;
        if events.is_empty() {
            return Err(StoreError::NoSuchIncident(id.clone()).into());
        }
        let incident = Incident::replay(id, &events)
            .map_err(|error| Problem::conflict(format!("the incident is left alone: {error}")))?;
        let event = event(asked(&incident)?)?;
        tries += 1;
        match api.store.say(id, incident.seq, event).await {
            Err(StoreError::Moved(_)) if tries < TRIES => {}
            other => return Ok(other?),
        }
    }
}

/// What is asked right now.
fn asked(incident: &Incident) -> Result<&Hash, Problem> {
    let id = &incident.id;
    match &incident.stage {
        Stage::Asking { expires, .. } if *expires <= clock::now() => Err(Problem::conflict(format!(
            "nobody answered before {expires}, so the question has expired; the next alert or run asks again"
        ))),
        Stage::Asking { judged, .. } => Ok(judged),
        Stage::Closed(closed) => Err(Problem::conflict(format!(
            "incident {id} is closed as {} ({}), so there is nothing to approve or decline any more",
            closed.outcome, closed.why
        ))),
        stage => Err(Problem::conflict(format!(
            "incident {id} is {} and asks nobody, so there is nothing to approve or decline; see `runbookd incidents {id}`",
            stage.name()
        ))),
    }
}
