//! The ledger: what the limits are counted from, read at one moment.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::StoreError;
use super::{id, proofs, sql, time};
use crate::clock::before;
use crate::incident::OperationId;
use crate::incident::ledger::{Attempt, InFlight, KEPT_HOURS, Ledger, Pause};

const EFFECTS: &str = "SELECT op, incident, runbook, target, at, ended_at FROM effects
     WHERE at > $1 OR ended_at IS NULL ORDER BY at, op";

/// The whole of it; the caller holds a transaction.
pub(super) fn read(connection: &Connection, now: Timestamp) -> Result<Ledger, StoreError> {
    let pause = pause(connection)?;
    let since = before(now, Duration::from_secs(KEPT_HOURS * 3600)).as_microsecond();
    let rows: Vec<(String, String, String, String, i64, Option<i64>)> =
        sql::all(connection, EFFECTS, &[&since])?;
    let proofs = proofs::newest(connection)?;
    let mut ledger = Ledger { now, pause, in_flight: Vec::new(), attempts: Vec::new(), proofs };
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
pub(super) fn pause(connection: &Connection) -> Result<Option<Pause>, StoreError> {
    const LAST: &str = "SELECT paused, by, reason, at FROM pauses ORDER BY number DESC LIMIT 1";
    let last: Option<(i64, String, String, i64)> = sql::first(connection, LAST, &[])?;
    match last {
        Some((1, by, reason, at)) => Ok(Some(Pause { reason, by, at: time(at)? })),
        _ => Ok(None),
    }
}

/// Appends a word about the pause.
pub(super) fn say(
    connection: &Connection,
    paused: bool,
    by: &str,
    reason: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SAY: &str = "INSERT INTO pauses (number, paused, by, reason, at)
         VALUES ((SELECT COALESCE(MAX(number), 0) + 1 FROM pauses), $1, $2, $3, $4)";
    sql::execute(connection, SAY, &[&i64::from(paused), &by, &reason, &at.as_microsecond()])?;
    Ok(())
}
