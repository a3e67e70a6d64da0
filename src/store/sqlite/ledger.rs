//! The ledger: what the limits are counted from, read at one moment.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::super::StoreError;
use super::{id, time, unavailable};
use crate::clock::before;
use crate::incident::OperationId;
use crate::incident::ledger::{Attempt, InFlight, KEPT_HOURS, Ledger, Pause};

/// The whole of it; the caller holds a transaction.
pub(super) async fn read(connection: &mut SqliteConnection, now: Timestamp) -> Result<Ledger, StoreError> {
    let pause = pause(connection).await?;
    let since = before(now, Duration::from_secs(KEPT_HOURS * 3600)).as_microsecond();
    let rows: Vec<(String, String, String, String, i64, Option<i64>)> = sqlx::query_as(
        "SELECT op, incident, runbook, target, at, ended_at FROM effects
         WHERE at > $1 OR ended_at IS NULL ORDER BY at, op",
    )
    .bind(since)
    .fetch_all(connection)
    .await
    .map_err(unavailable)?;
    let mut ledger = Ledger { now, pause, in_flight: Vec::new(), attempts: Vec::new() };
    for (op, incident, runbook, target, at, ended_at) in rows {
        let op: OperationId =
            serde_json::from_value(op.into()).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        if ended_at.is_none() {
            let in_flight = InFlight { op: op.clone(), incident: id(&incident)?, target: target.clone() };
            ledger.in_flight.push(in_flight);
        }
        if at > since {
            ledger.attempts.push(Attempt { op, runbook, target, at: time(at)? });
        }
    }
    Ok(ledger)
}

/// The pause that counts: the last word.
pub(super) async fn pause(connection: &mut SqliteConnection) -> Result<Option<Pause>, StoreError> {
    let last: Option<(i64, String, String, i64)> =
        sqlx::query_as("SELECT paused, by, reason, at FROM pauses ORDER BY number DESC LIMIT 1")
            .fetch_optional(connection)
            .await
            .map_err(unavailable)?;
    match last {
        Some((1, by, reason, at)) => Ok(Some(Pause { reason, by, at: time(at)? })),
        _ => Ok(None),
    }
}

/// Appends a word about the pause.
pub(super) async fn say(
    connection: &mut SqliteConnection,
    paused: bool,
    by: &str,
    reason: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SAY: &str = "INSERT INTO pauses (number, paused, by, reason, at)
         VALUES ((SELECT COALESCE(MAX(number), 0) + 1 FROM pauses), $1, $2, $3, $4)";
    sqlx::query(SAY)
        .bind(i64::from(paused))
        .bind(by)
        .bind(reason)
        .bind(at.as_microsecond())
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(unavailable)
}
