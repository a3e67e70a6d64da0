//! What a person begins. One statement decides whether there is room for it; the key of the request makes it one, however often it comes.

use rusqlite::{Error, ToSql};

use super::super::prepared::{run_scope_of, scope_of, written};
use super::super::{Begun, StoreError, chance, rules};
use super::writer::Turn;
use super::{events, id, sql};
use crate::incident::Event;
use crate::incident::event::Opened;

/// Not beside an open incident of the same runbook and scope, whoever began that, and not a second time for the same key.
const OPEN: &str = "INSERT INTO incidents
        (id, runbook, hash, scope_key, scope, opened_at, touched_at, wake_at, seq, epoch, begun_by)
     SELECT $1, $2, $3, $4, $5, $6, $6, $6, 1, 0, $7
     WHERE NOT EXISTS (SELECT 1 FROM incidents WHERE runbook = $2 AND scope_key = $8 AND closed_at IS NULL)
       AND NOT EXISTS (SELECT 1 FROM runs WHERE key = $9)
     ON CONFLICT (runbook, scope_key) WHERE closed_at IS NULL DO NOTHING";

const KEEP: &str = "INSERT INTO runs (key, incident) VALUES ($1, $2)";

const KNOWN: &str = "SELECT incident FROM runs WHERE key = $1";

const IN_THE_WAY: &str =
    "SELECT id FROM incidents WHERE runbook = $1 AND scope_key IN ($2, $3) AND closed_at IS NULL";

/// No alert opens it, so none has an episode in it.
pub(super) fn open(turn: &mut Turn<'_>, key: &str, opened: Opened) -> Result<Begun, StoreError> {
    let run = rules::run_of(&opened)?;
    let (by, runbook) = (run.by.clone(), opened.runbook.clone());
    let new = chance::fresh_id(turn.now);
    let (scope, alerts_key) = scope_of(&opened.scope);
    let own_key = run_scope_of(&scope);
    let now = turn.now.as_microsecond();
    let values: [&dyn ToSql; 9] =
        [&new.as_str(), &runbook, &opened.hash.0, &own_key, &scope, &now, &by, &alerts_key, &key];
    if sql::execute(turn.connection, OPEN, &values)? == 0 {
        if let Some((known,)) = sql::first::<(String,)>(turn.connection, KNOWN, &[&key])? {
            return Ok(Begun::Known(id(&known)?));
        }
        let there: Option<(String,)> =
            sql::first(turn.connection, IN_THE_WAY, &[&runbook, &own_key, &alerts_key])?;
        let (there,) = there.ok_or(Error::QueryReturnedNoRows)?;
        return Ok(Begun::Busy(id(&there)?));
    }
    sql::execute(turn.connection, KEEP, &[&key, &new.as_str()])?;
    let (body, _) = written(&Event::Opened(opened))?;
    events::insert(turn.connection, new.as_str(), 1, now, &body, None)?;
    crate::crash::here("run-in-transaction");
    Ok(Begun::New(new))
}
