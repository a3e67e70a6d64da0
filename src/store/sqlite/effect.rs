//! The one dangerous moment: the guards are asked about the ledger inside the transaction that writes the
//! intent, and the permit waits for the commit.

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::prepared::written;
use super::super::{AskGuards, Committed, StoreError, rules};
use super::append::{Place, Wake, append, check};
use super::{ledger, sql};
use crate::incident::Event;

/// Asks, and writes what was granted.
pub(super) fn commit(
    connection: &Connection,
    now: Timestamp,
    place: &Place,
    ask: AskGuards,
) -> Result<Committed, StoreError> {
    check(connection, place)?;
    let ledger = ledger::read(connection, now)?;
    let (event, permit) = match rules::ask(ask, &ledger)? {
        Ok(granted) => granted,
        Err(asked) => return Ok(Committed::Refused(asked)),
    };
    rules::fits(&place.incident, &event, &permit)?;
    let (body, event) = written(&event)?;
    match &event {
        Event::EffectIntended { op, plan, .. } => {
            let target = plan.key();
            let op = op.to_string();
            let done = append(connection, now, place, event, &body, Wake::AsBefore)?;
            const INTEND: &str = "INSERT INTO effects (op, incident, runbook, target, at)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (target) WHERE ended_at IS NULL DO NOTHING";
            let incident = place.incident.as_str();
            if sql::execute(connection, INTEND, &[&op, &incident, &done.runbook, &target, &done.at])? == 0 {
                return Err(StoreError::TargetTaken(target));
            }
            crate::crash::here("intent-in-transaction");
            Ok(Committed::Granted(done.recorded, permit))
        }
        _ => {
            // Granted again only while the target is still this effect's own.
            const HELD: &str = "SELECT op FROM effects WHERE op = $1 AND incident = $2 AND ended_at IS NULL";
            let held: Option<(String,)> =
                sql::first(connection, HELD, &[&permit.op().as_str(), &place.incident.as_str()])?;
            if held.is_none() {
                return Err(rules::not_in_flight(&permit));
            }
            let done = append(connection, now, place, event, &body, Wake::AsBefore)?;
            Ok(Committed::Granted(done.recorded, permit))
        }
    }
}
