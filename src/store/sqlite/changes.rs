//! What is changed for a while, as the events have it: kept in the transaction that appends the event.

use jiff::Timestamp;
use rusqlite::{Connection, ToSql};

use super::super::StoreError;
use super::sql;
use crate::incident::changes::{Entries, Entry};
use crate::incident::{Event, IncidentId, Recorded};

const ALL: &str = "SELECT object, field, body FROM changes ORDER BY object, field";
const PUT: &str = "INSERT INTO changes (object, field, op, incident, body) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (object, field) DO UPDATE SET
        op = excluded.op, incident = excluded.incident, body = excluded.body";
const REMOVE: &str = "DELETE FROM changes WHERE object = $1 AND field = $2";

/// All of them. They are few: what is changed for a while, over all incidents. One that can not be read is left as it stands, and keeps nothing
/// else from being put back.
pub(super) fn all(connection: &Connection) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<(String, String, String)> = sql::all(connection, ALL, &[])?;
    let read = |(object, field, body): (String, String, String)| {
        let entry = serde_json::from_str(&body);
        entry
            .inspect_err(|error| {
                tracing::error!(object, field, %error, "A change can not be read in the journal: a person must put it back");
            })
            .ok()
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Keeps what this event makes of them.
pub(super) fn keep(
    connection: &Connection,
    incident: &IncidentId,
    recorded: &Recorded,
) -> Result<(), StoreError> {
    // Only some events concern them, and mostly nothing is changed: every other append stays as cheap as it is.
    if !Entries::concerns(&recorded.event) {
        return Ok(());
    }
    let sets = match &recorded.event {
        Event::EffectIntended { plan, .. } => plan.sets.is_some(),
        Event::FaultAnnounced { announced, .. } => announced.sets.is_some(),
        _ => false,
    };
    let before = all(connection)?;
    if before.is_empty() && !sets {
        return Ok(());
    }
    let mut entries = Entries::from(before.clone());
    entries.after(incident, recorded.at, &recorded.event);
    let after = entries.into_inner();
    for gone in before.iter().filter(|old| !after.iter().any(|new| key(new) == key(old))) {
        let (object, field) = key(gone);
        sql::execute(connection, REMOVE, &[&object, &field])?;
    }
    for new in after.iter().filter(|new| !before.contains(new)) {
        put(connection, new)?;
    }
    Ok(())
}

fn key(entry: &Entry) -> (String, String) {
    (entry.object.key(), entry.field.path().join("."))
}

fn put(connection: &Connection, new: &Entry) -> Result<(), StoreError> {
    let (object, field) = key(new);
    let body = serde_json::to_string(new).map_err(|error| {
        StoreError::Unavailable(format!("an entry of the changes can not be written: {error}"))
    })?;
    let of = new.now.op.incident();
    let values: [&dyn ToSql; 5] = [&object, &field, &new.now.op.as_str(), &of.as_str(), &body];
    sql::execute(connection, PUT, &values)?;
    Ok(())
}

/// These are put back from now on.
pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    which: impl Fn(&Entry) -> bool,
) -> Result<(), StoreError> {
    for mut entry in all(connection)?.into_iter().filter(|entry| which(entry)) {
        entry.now.until = Some(now);
        put(connection, &entry)?;
    }
    Ok(())
}
