//! What the readers of the journal write: how far they have come, and at which pace they send.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::super::StoreError;
use super::{micros, unavailable};
use crate::incident::IncidentId;

const READ: &str = "INSERT INTO readers (sink, incident, delivered, note) VALUES ($1, $2, $3, $4)
     ON CONFLICT (sink, incident) DO UPDATE SET note = excluded.note, delivered =
        CASE WHEN excluded.delivered > readers.delivered THEN excluded.delivered ELSE readers.delivered END";

const CLEAN: &str = "DELETE FROM dirty WHERE sink = $1 AND incident = $2 AND seq <= $3";

/// What is left waits since its own first event, so that a busy incident does not hold up the others.
const STILL_DIRTY: &str = "UPDATE dirty SET since =
        COALESCE((SELECT e.at FROM events e WHERE e.incident = $2 AND e.seq = $3 + 1), since)
     WHERE sink = $1 AND incident = $2";

const SLOT: &str = "INSERT INTO slots (sink, next_at) VALUES ($1, $2)
     ON CONFLICT (sink) DO UPDATE SET next_at =
        CASE WHEN slots.next_at + $3 > excluded.next_at THEN slots.next_at + $3 ELSE excluded.next_at END
     RETURNING next_at";

/// Everything up to `seq` is delivered.
pub(super) async fn delivered(
    connection: &mut SqliteConnection,
    sink: &str,
    incident: &IncidentId,
    seq: u64,
    note: &str,
) -> Result<(), StoreError> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let unknown = |error: sqlx::Error| match error.as_database_error() {
        Some(database) if database.is_foreign_key_violation() => StoreError::NoSuchIncident(incident.clone()),
        _ => unavailable(error),
    };
    sqlx::query(READ)
        .bind(sink)
        .bind(incident.as_str())
        .bind(seq)
        .bind(note)
        .execute(&mut *connection)
        .await
        .map_err(unknown)?;
    for statement in [CLEAN, STILL_DIRTY] {
        sqlx::query(statement)
            .bind(sink)
            .bind(incident.as_str())
            .bind(seq)
            .execute(&mut *connection)
            .await
            .map_err(unavailable)?;
    }
    Ok(())
}

/// The next moment at which the sink may send.
pub(super) async fn slot(
    connection: &mut SqliteConnection,
    now: Timestamp,
    sink: &str,
    every: Duration,
) -> Result<Timestamp, StoreError> {
    let next: Vec<i64> = sqlx::query_scalar(SLOT)
        .bind(sink)
        .bind(now.as_microsecond())
        .bind(micros(every))
        .fetch_all(connection)
        .await
        .map_err(unavailable)?;
    next.first().map_or(Ok(now), |next| super::time(*next))
}
