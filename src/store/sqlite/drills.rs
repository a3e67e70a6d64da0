//! Drills: which runs of scenarios at the real systems there are, and the faults that they announce. What decides whether one may begin is asked under the
//! one lock of the limits, in the transaction that writes it.

use rusqlite::{Connection, Error, ToSql};

use super::super::prepared::{scope_of, written};
use super::super::{Announcement, Hindrance, Registered, StoreError, chance, rules};
use super::append::{Place, Wake, append};
use super::writer::Turn;
use super::{changes, events, id, ledger, sql, time};
use crate::incident::drill::{Announced, Drill, INJECT};
use crate::incident::event::Opened;
use crate::incident::proof::Level;
use crate::incident::restore::RESTORE;
use crate::incident::{Event, IncidentId, OperationId};

const KEEP: &str = "INSERT INTO drills (run, scenario, level, by, began_at, until, ended_at)
     VALUES ($1, $2, $3, $4, $5, $6, NULL) ON CONFLICT (run) DO NOTHING";

const OPEN: &str = "SELECT id, runbook FROM incidents
     WHERE closed_at IS NULL AND drill IS NULL AND runbook <> $1 ORDER BY id LIMIT 1";

const ON: &str = "SELECT run, scenario, level, by, began_at, until, ended_at FROM drills
     WHERE ended_at IS NULL AND until > $1 AND run <> $2 ORDER BY began_at LIMIT 1";

const ONE: &str = "SELECT run, scenario, level, by, began_at, until, ended_at FROM drills WHERE run = $1";

const NEWEST: &str = "SELECT run, scenario, level, by, began_at, until, ended_at FROM drills
     ORDER BY began_at DESC, run LIMIT $1";

const END: &str = "UPDATE drills SET ended_at = $1 WHERE run = $2 AND ended_at IS NULL";

const ANY: &str = "SELECT id FROM incidents WHERE drill = $1 LIMIT 1";

const ANNOUNCED: &str = "SELECT id FROM incidents WHERE drill = $1 AND runbook = $2";

const ANNOUNCE: &str = "INSERT INTO incidents
        (id, runbook, hash, scope_key, scope, opened_at, touched_at, wake_at, seq, epoch, begun_by, drill)
     VALUES ($1, $2, $3, $4, $5, $6, $6, NULL, 1, 0, $7, $8)";

/// Registers it, unless something stands against a drill now.
pub(super) fn register(turn: &mut Turn<'_>, drill: &Drill) -> Result<Registered, StoreError> {
    if let Some(there) = one(turn.connection, &drill.run)? {
        return Ok(if there.is_on(turn.now) { Registered::Known(there) } else { not_now(Hindrance::Over) });
    }
    if let Some(pause) = ledger::pause(turn.connection)? {
        return Ok(not_now(Hindrance::Paused(pause)));
    }
    let now = turn.now.as_microsecond();
    if let Some(other) = sql::first::<Columns>(turn.connection, ON, &[&now, &drill.run])? {
        return Ok(not_now(Hindrance::Drill(Box::new(read(other)?))));
    }
    if let Some((id, runbook)) = open(turn.connection)? {
        return Ok(not_now(Hindrance::Incident { id, runbook }));
    }
    let until = drill.until.as_microsecond();
    let level = drill.at.as_str();
    let values: [&dyn ToSql; 6] = [&drill.run, &drill.scenario, &level, &drill.by, &now, &until];
    sql::execute(turn.connection, KEEP, &values)?;
    let drill = one(turn.connection, &drill.run)?.ok_or(Error::QueryReturnedNoRows)?;
    Ok(Registered::New(drill))
}

const fn not_now(hindrance: Hindrance) -> Registered {
    Registered::NotNow(hindrance)
}

/// A real incident that is open. One that puts something back is nobody's trouble.
fn open(connection: &Connection) -> Result<Option<(IncidentId, String)>, StoreError> {
    let open = sql::first::<(String, String)>(connection, OPEN, &[&RESTORE])?;
    open.map(|(incident, runbook)| Ok((id(&incident)?, runbook))).transpose()
}

/// The incidents in which a drill has announced its faults.
fn own(connection: &Connection, run: &str) -> Result<Vec<IncidentId>, StoreError> {
    let all = sql::all::<(String,)>(connection, ANNOUNCED, &[&run, &INJECT])?;
    all.iter().map(|(incident,)| id(incident)).collect()
}

/// It is over. The drill, when there is one.
pub(super) fn end(turn: &mut Turn<'_>, run: &str) -> Result<Option<Drill>, StoreError> {
    if sql::execute(turn.connection, END, &[&turn.now.as_microsecond(), &run])? > 0 {
        let own = own(turn.connection, run)?;
        changes::due(turn.connection, turn.now, |entry| own.contains(&entry.now.op.incident()))?;
    }
    one(turn.connection, run)
}

/// Opens the incident that tells of a fault, and closes it: what it sets is in the ledger from this commit on.
pub(super) fn announce(
    turn: &mut Turn<'_>,
    opened: Opened,
    announced: Announced,
) -> Result<Announcement, StoreError> {
    let (run, by) = rules::announced_by(&opened)?;
    let (run, by) = (run.to_owned(), by.to_owned());
    let drill = one(turn.connection, &run)?;
    let is_first = sql::first::<(String,)>(turn.connection, ANY, &[&run])?.is_none();
    let open = if is_first { open(turn.connection)? } else { None };
    let pause = ledger::pause(turn.connection)?;
    if let Some(hindrance) = rules::may_announce(drill.as_ref(), pause, open, turn.now) {
        return Ok(Announcement::NotNow(hindrance));
    }
    let own = own(turn.connection, &run)?;
    match rules::over(&changes::all(turn.connection)?, &announced, |id| own.contains(id)) {
        Err(hindrance) => return Ok(Announcement::NotNow(hindrance)),
        Ok(Some(known)) => return Ok(Announcement::Made(known)),
        Ok(None) => {}
    }
    let incident = chance::fresh_id(turn.now);
    let (scope, _) = scope_of(&opened.scope);
    let now = turn.now.as_microsecond();
    // Nobody joins it, and no two are in each other's way.
    let key = incident.as_str();
    let values: [&dyn ToSql; 8] = [&key, &opened.runbook, &opened.hash.0, &key, &scope, &now, &by, &run];
    sql::execute(turn.connection, ANNOUNCE, &values)?;
    let (body, _) = written(&Event::Opened(opened))?;
    events::insert(turn.connection, key, 1, now, &body, None)?;
    let op = OperationId::new(&incident, 1);
    let told = [Event::FaultAnnounced { op, announced }, rules::announced()];
    for (expected, event) in (1..).zip(told) {
        let (body, event) = written(&event)?;
        let place = Place { incident: incident.clone(), epoch: None, expected };
        append(turn.connection, turn.now, &place, event, &body, Wake::At(None))?;
    }
    crate::crash::here("fault-in-transaction");
    Ok(Announcement::Made(incident))
}

/// The drill of this id.
pub(super) fn one(connection: &Connection, run: &str) -> Result<Option<Drill>, StoreError> {
    sql::first::<Columns>(connection, ONE, &[&run])?.map(read).transpose()
}

/// The newest drills, the newest first.
pub(super) fn newest(connection: &Connection, most: u32) -> Result<Vec<Drill>, StoreError> {
    sql::all::<Columns>(connection, NEWEST, &[&most])?.into_iter().map(read).collect()
}

type Columns = (String, String, String, String, i64, i64, Option<i64>);

fn read(columns: Columns) -> Result<Drill, StoreError> {
    let (run, scenario, level, by, began_at, until, ended_at) = columns;
    let at = Level::ALL.into_iter().find(|known| known.as_str() == level);
    let at = at.ok_or_else(|| StoreError::Unavailable(format!("the level of drill {run} is {level:?}")))?;
    let ended_at = ended_at.map(time).transpose()?;
    Ok(Drill { run, scenario, at, by, began_at: time(began_at)?, until: time(until)?, ended_at })
}
