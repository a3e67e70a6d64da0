//! One event onto an incident: the sequence number and the epoch decide who may, in the statement that writes.

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::{Claim, StoreError};
use super::{changes, events, sql};
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
        touched_at = CASE WHEN touched_at > $1 THEN touched_at ELSE $1 END,
        wake_at = CASE WHEN $2 = 0 THEN wake_at ELSE $3 END,
        outcome = $4,
        closed_at = CASE WHEN $4 IS NULL THEN NULL WHEN touched_at > $1 THEN touched_at ELSE $1 END
     WHERE id = $5 AND seq = $6 AND epoch = COALESCE($7, epoch) AND closed_at IS NULL
     RETURNING touched_at, runbook,
        (SELECT e.hash FROM events e WHERE e.incident = incidents.id AND e.seq = incidents.seq - 1)";

/// Appends `event`, whose JSON is `body`.
pub(super) fn append(
    connection: &Connection,
    now: Timestamp,
    place: &Place,
    event: Event,
    body: &str,
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
    let now = now.as_microsecond();
    let id = place.incident.as_str();
    let row: Option<(i64, String, Option<String>)> =
        sql::first(connection, APPEND, &[&now, &sets, &wake_at, &outcome, &id, &place.seq(), &place.epoch])?;
    let Some((at, runbook, previous)) = row else {
        check(connection, place)?;
        return Err(StoreError::Moved(place.incident.clone()));
    };
    events::insert(connection, id, place.seq() + 1, at, body, previous.as_deref())?;
    end_effects(connection, &place.incident, &event, at)?;
    if outcome.is_some() {
        crate::crash::here("closed-in-transaction");
    }
    let recorded = Recorded { seq: place.expected + 1, at: super::time(at)?, event };
    changes::keep(connection, &place.incident, &recorded)?;
    Ok(Appended { recorded, runbook, at })
}

/// Frees the target: at the end of the effect's step, and whatever is left at the incident's end.
fn end_effects(
    connection: &Connection,
    incident: &IncidentId,
    event: &Event,
    at: i64,
) -> Result<(), rusqlite::Error> {
    const END: &str = "UPDATE effects SET ended_at = $1 WHERE incident = $2 AND ended_at IS NULL AND op = $3";
    const END_ALL: &str = "UPDATE effects SET ended_at = $1 WHERE incident = $2 AND ended_at IS NULL";
    let incident = incident.as_str();
    match event {
        Event::StepEnded { op: Some(op), .. } => {
            sql::execute(connection, END, &[&at, &incident, &op.as_str()])
        }
        Event::Closed { .. } => sql::execute(connection, END_ALL, &[&at, &incident]),
        _ => Ok(0),
    }?;
    Ok(())
}

/// Whether the place is still free, and if not, why.
pub(super) fn check(connection: &Connection, place: &Place) -> Result<(), StoreError> {
    const PLACE: &str = "SELECT epoch, seq, closed_at FROM incidents WHERE id = $1";
    let row: Option<(i64, i64, Option<i64>)> = sql::first(connection, PLACE, &[&place.incident.as_str()])?;
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
