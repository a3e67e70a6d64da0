//! What the readers of the journal write: how far they have come, and at which pace they send.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, ToSql};

use super::super::StoreError;
use super::{micros, sql};
use crate::incident::IncidentId;

const READ: &str = "INSERT INTO readers (sink, incident, delivered, note) VALUES ($1, $2, $3, $4)
     ON CONFLICT (sink, incident) DO UPDATE SET note = excluded.note, delivered =
        CASE WHEN excluded.delivered > readers.delivered THEN excluded.delivered ELSE readers.delivered END";

const CLEAN: &str = "DELETE FROM dirty WHERE sink = $1 AND incident = $2 AND seq <= $3";

/// What is left waits since its own first event, so that a busy incident does not hold up the others.
const STILL_DIRTY: &str = "UPDATE dirty SET since =
        COALESCE((SELECT e.at FROM events e WHERE e.incident = $1 AND e.seq = $2 + 1), since)
     WHERE incident = $1 AND sink = $3";

const SLOT: &str = "INSERT INTO slots (sink, next_at) VALUES ($1, $2)
     ON CONFLICT (sink) DO UPDATE SET next_at =
        CASE WHEN slots.next_at + $3 > excluded.next_at THEN slots.next_at + $3 ELSE excluded.next_at END
     RETURNING next_at";

/// Everything up to `seq` is delivered.
pub(super) fn delivered(
    connection: &Connection,
    sink: &str,
    incident: &IncidentId,
    seq: u64,
    note: &str,
) -> Result<(), StoreError> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let values: [&dyn ToSql; 3] = [&sink, &incident.as_str(), &seq];
    sql::execute(connection, READ, &[values[0], values[1], values[2], &note]).map_err(|error| {
        // Its only constraint: the incident is there.
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => StoreError::NoSuchIncident(incident.clone()),
            _ => error.into(),
        }
    })?;
    sql::execute(connection, CLEAN, &values)?;
    sql::execute(connection, STILL_DIRTY, &[values[1], values[2], values[0]])?;
    Ok(())
}

/// The next moment at which the sink may send.
pub(super) fn slot(
    connection: &Connection,
    now: Timestamp,
    sink: &str,
    every: Duration,
) -> Result<Timestamp, StoreError> {
    let next: Option<(i64,)> = sql::first(connection, SLOT, &[&sink, &now.as_microsecond(), &micros(every)])?;
    next.map_or(Ok(now), |(next,)| super::time(next))
}
