//! The one dangerous moment: the guards are asked about the ledger inside the transaction that writes the
//! intent, and the permit waits for the commit.

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::super::prepared::written;
use super::super::{AskGuards, Committed, StoreError, rules};
use super::append::{Place, Wake, append, check};
use super::{ledger, unavailable};
use crate::incident::Event;

/// Asks, and writes what was granted.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    now: Timestamp,
    place: Place,
    ask: AskGuards,
) -> Result<Committed, StoreError> {
    check(connection, &place).await?;
    let ledger = ledger::read(connection, now).await?;
    let (event, permit) = match rules::ask(ask, &ledger)? {
        Ok(granted) => granted,
        Err(asked) => return Ok(Committed::Refused(asked)),
    };
    rules::fits(&place.incident, &event, &permit)?;
    let (body, event) = written(&event)?;
    match &event {
        Event::EffectIntended { op, plan, .. } => {
            let target = plan.target.key();
            let op = op.to_string();
            let done = append(connection, now, &place, event, body, Wake::AsBefore).await?;
            const INTEND: &str = "INSERT INTO effects (op, incident, runbook, target, at)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (target) WHERE ended_at IS NULL DO NOTHING";
            let inserted = sqlx::query(INTEND)
                .bind(op)
                .bind(place.incident.as_str())
                .bind(done.runbook)
                .bind(&target)
                .bind(done.at)
                .execute(connection)
                .await
                .map_err(unavailable)?;
            if inserted.rows_affected() == 0 {
                return Err(StoreError::TargetTaken(target));
            }
            crate::crash::here("intent-in-transaction");
            Ok(Committed::Granted(done.recorded, permit))
        }
        _ => {
            // Granted again only while the target is still this effect's own.
            let held: Option<i64> = sqlx::query_scalar(
                "SELECT 1 FROM effects WHERE op = $1 AND incident = $2 AND ended_at IS NULL",
            )
            .bind(permit.op().as_str())
            .bind(place.incident.as_str())
            .fetch_optional(&mut *connection)
            .await
            .map_err(unavailable)?;
            if held.is_none() {
                return Err(rules::not_in_flight(&permit));
            }
            let done = append(connection, now, &place, event, body, Wake::AsBefore).await?;
            Ok(Committed::Granted(done.recorded, permit))
        }
    }
}
