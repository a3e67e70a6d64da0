//! One event onto an incident: the sequence number and the epoch decide who may, in the statement that writes.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::super::{Claim, StoreError};
use super::events::{self, Numbered};
use super::unavailable;
use crate::incident::{Event, IncidentId, Outcome, Recorded};

/// Who appends, and after which event.
pub(super) struct Place {
    pub(super) incident: IncidentId,
    /// None: a person, who needs no claim.
    pub(super) epoch: Option<i64>,
    pub(super) expected: u64,
}

impl Place {
    pub(super) fn of(claim: &Claim, expected: u64) -> Self {
        Self { incident: claim.incident.clone(), epoch: Some(claim.epoch), expected }
    }

    fn seq(&self) -> i64 {
        i64::try_from(self.expected).unwrap_or(i64::MAX)
    }
}

/// When the incident is looked at again.
pub(super) enum Wake {
    At(Option<Timestamp>),
    AsBefore,
}

/// What was written, and whose it is.
pub(super) struct Appended {
    pub(super) recorded: Recorded,
    pub(super) runbook: String,
    pub(super) at: i64,
}

const APPEND: &str = "UPDATE incidents SET
        seq = seq + 1,
        touched_at = CASE WHEN touched_at > $4 THEN touched_at ELSE $4 END,
        wake_at = CASE WHEN $5 = 0 THEN wake_at ELSE $6 END,
        outcome = $7,
        closed_at = CASE WHEN $7 IS NULL THEN NULL WHEN touched_at > $4 THEN touched_at ELSE $4 END
     WHERE id = $1 AND seq = $2 AND epoch = COALESCE($3, epoch) AND closed_at IS NULL
     RETURNING touched_at, runbook,
        (SELECT e.hash FROM events e WHERE e.incident = incidents.id AND e.seq = incidents.seq - 1)";

/// Appends `event`, whose JSON is `body`.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    now: Timestamp,
    place: &Place,
    event: Event,
    body: String,
    wake: Wake,
) -> Result<Appended, StoreError> {
    let outcome = match &event {
        Event::Closed { outcome, .. } => Some(outcome.as_str()),
        _ => None,
    };
    let (sets, wake_at) = match wake {
        Wake::At(at) => (1_i64, at.map(Timestamp::as_microsecond)),
        Wake::AsBefore => (0, None),
    };
    let rows = sqlx::query(APPEND)
        .bind(place.incident.as_str())
        .bind(place.seq())
        .bind(place.epoch)
        .bind(now.as_microsecond())
        .bind(sets)
        .bind(wake_at)
        .bind(outcome)
        .fetch_all(&mut *connection)
        .await
        .map_err(unavailable)?;
    let Some(row) = rows.first() else {
        check(connection, place).await?;
        return Err(StoreError::Moved(place.incident.clone()));
    };
    let at: i64 = row.try_get(0).map_err(unavailable)?;
    let runbook = row.try_get(1).map_err(unavailable)?;
    let previous: Option<String> = row.try_get(2).map_err(unavailable)?;
    let new = Numbered::written(place.incident.to_string(), place.seq() + 1, at, body, previous);
    events::insert(connection, &[new]).await.map_err(unavailable)?;
    end_effects(connection, &place.incident, &event, at).await.map_err(unavailable)?;
    if outcome.is_some() {
        crate::crash::here("closed-in-transaction");
    }
    let recorded = Recorded { seq: place.expected + 1, at: super::time(at)?, event };
    Ok(Appended { recorded, runbook, at })
}

/// Frees the target: at the end of the effect's step, and whatever is left at the incident's end.
async fn end_effects(
    connection: &mut SqliteConnection,
    incident: &IncidentId,
    event: &Event,
    at: i64,
) -> Result<(), sqlx::Error> {
    let query = match event {
        Event::StepEnded { op: Some(op), .. } => {
            const END: &str =
                "UPDATE effects SET ended_at = $1 WHERE incident = $2 AND ended_at IS NULL AND op = $3";
            sqlx::query(END).bind(at).bind(incident.as_str()).bind(op.as_str())
        }
        Event::Closed { .. } => {
            const END: &str = "UPDATE effects SET ended_at = $1 WHERE incident = $2 AND ended_at IS NULL";
            sqlx::query(END).bind(at).bind(incident.as_str())
        }
        _ => return Ok(()),
    };
    query.execute(connection).await.map(|_| ())
}

/// Whether the place is still free, and if not, why.
pub(super) async fn check(connection: &mut SqliteConnection, place: &Place) -> Result<(), StoreError> {
    let row: Option<(i64, i64, Option<i64>)> =
        sqlx::query_as("SELECT epoch, seq, closed_at FROM incidents WHERE id = $1")
            .bind(place.incident.as_str())
            .fetch_optional(connection)
            .await
            .map_err(unavailable)?;
    match row {
        None => Err(StoreError::NoSuchIncident(place.incident.clone())),
        Some((epoch, ..)) if place.epoch.is_some_and(|mine| mine != epoch) => {
            Err(StoreError::NotMine(place.incident.clone()))
        }
        Some((_, seq, None)) if seq == place.seq() => Ok(()),
        Some(_) => Err(StoreError::Moved(place.incident.clone())),
    }
}

/// The outcome of this name.
pub(super) fn outcome(word: &str) -> Option<Outcome> {
    Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == word)
}
