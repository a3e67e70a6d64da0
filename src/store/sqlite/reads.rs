//! What people and the pipeline read; no read waits for the writer.

use rusqlite::Connection;

use super::super::{Behind, StoreError, Summary, Unanswered, chain};
use super::append::outcome;
use super::{id, sql, time};
use crate::incident::event::VERSION;
use crate::incident::{IncidentId, Recorded};

/// With the event before the first wanted one, whose hash the chain begins with.
const EVENTS: &str = "SELECT i.seq, e.seq, e.at, e.version, e.body, e.hash
     FROM incidents i LEFT JOIN events e ON e.incident = i.id AND e.seq >= $1
     WHERE i.id = $2 ORDER BY e.seq";

/// The events after `after`, checked: version, chain, and that none is missing at the end.
pub(super) fn events(
    connection: &Connection,
    incident: &IncidentId,
    after: u64,
) -> Result<Vec<Recorded>, StoreError> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    // Of an incident without such an event one row tells that it is there.
    type Columns = (i64, Option<i64>, Option<i64>, Option<i64>, Option<String>, Option<String>);
    let rows: Vec<Columns> = sql::all(connection, EVENTS, &[&after, &incident.as_str()])?;
    let last = rows.first().ok_or_else(|| StoreError::NoSuchIncident(incident.clone()))?.0;
    let unreadable = |seq: i64, why: String| StoreError::Unreadable {
        incident: incident.clone(),
        seq: u64::try_from(seq).unwrap_or_default(),
        why,
    };
    let mut expected = after.max(1);
    let mut previous = String::new();
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let (_, Some(seq), Some(at), Some(version), Some(body), Some(hash)) = row else { break };
        if seq != expected {
            return Err(unreadable(expected, "it is missing".to_owned()));
        }
        expected += 1;
        if seq > after {
            if version > i64::from(VERSION) {
                let why = format!("it has version {version}, this release reads up to {VERSION}");
                return Err(unreadable(seq, why));
            }
            if chain::link(&previous, incident.as_str(), seq, at, version, &body) != hash {
                let why = "its hash does not fit; somebody changed the journal".to_owned();
                return Err(unreadable(seq, why));
            }
            events.push(Recorded {
                seq: u64::try_from(seq).unwrap_or_default(),
                at: time(at)?,
                event: serde_json::from_str(&body).map_err(|error| unreadable(seq, error.to_string()))?,
            });
        }
        previous = hash;
    }
    if expected <= last && after < last {
        return Err(unreadable(expected, "it is missing".to_owned()));
    }
    Ok(events)
}

type Columns =
    (String, String, String, i64, Option<i64>, Option<String>, i64, Option<String>, Option<String>);

/// Incidents, newest first.
pub(super) fn incidents(
    connection: &Connection,
    only_open: bool,
    most: u32,
) -> Result<Vec<Summary>, StoreError> {
    const OPEN: &str =
        "SELECT id, runbook, scope, opened_at, closed_at, outcome, seq, begun_by, drill FROM incidents
         WHERE closed_at IS NULL ORDER BY id DESC LIMIT $1";
    const ALL: &str =
        "SELECT id, runbook, scope, opened_at, closed_at, outcome, seq, begun_by, drill FROM incidents
         ORDER BY id DESC LIMIT $1";
    let rows: Vec<Columns> = sql::all(connection, if only_open { OPEN } else { ALL }, &[&most])?;
    rows.into_iter().map(summary).collect()
}

/// One incident.
pub(super) fn incident(connection: &Connection, incident: &IncidentId) -> Result<Summary, StoreError> {
    const ONE: &str = "SELECT id, runbook, scope, opened_at, closed_at, outcome, seq, begun_by, drill FROM incidents WHERE id = $1";
    sql::first(connection, ONE, &[&incident.as_str()])?
        .map_or_else(|| Err(StoreError::NoSuchIncident(incident.clone())), summary)
}

fn summary(columns: Columns) -> Result<Summary, StoreError> {
    let (incident, runbook, scope, opened_at, closed_at, ended, seq, begun_by, drill) = columns;
    Ok(Summary {
        id: id(&incident)?,
        runbook,
        scope: serde_json::from_str(&scope).map_err(|error| StoreError::Unavailable(error.to_string()))?,
        opened_at: time(opened_at)?,
        closed_at: closed_at.map(time).transpose()?,
        outcome: ended.as_deref().and_then(outcome),
        seq: u64::try_from(seq).unwrap_or_default(),
        begun_by,
        drill,
    })
}

/// The alerts that no runbook answered, newest first.
pub(super) fn unanswered(connection: &Connection, most: u32) -> Result<Vec<Unanswered>, StoreError> {
    const UNANSWERED: &str =
        "SELECT at, alert, refused, reason FROM unanswered ORDER BY at DESC, alert_key DESC LIMIT $1";
    let rows: Vec<(i64, String, i64, String)> = sql::all(connection, UNANSWERED, &[&most])?;
    rows.into_iter()
        .map(|(at, alert, refused, reason)| {
            Ok(Unanswered { at: time(at)?, alert, refused: refused != 0, reason })
        })
        .collect()
}

/// The incidents of which a sink has not delivered every event, longest waiting first.
pub(super) fn behind(connection: &Connection, sink: &str, most: u32) -> Result<Vec<Behind>, StoreError> {
    const BEHIND: &str = "SELECT d.incident, COALESCE(r.delivered, 0), COALESCE(r.note, '')
         FROM dirty d LEFT JOIN readers r ON r.sink = d.sink AND r.incident = d.incident
         WHERE d.sink = $1 ORDER BY d.since, d.incident LIMIT $2";
    let rows: Vec<(String, i64, String)> = sql::all(connection, BEHIND, &[&sink, &most])?;
    rows.into_iter()
        .map(|(incident, delivered, note)| {
            let delivered = u64::try_from(delivered).unwrap_or_default();
            Ok(Behind { incident: id(&incident)?, delivered, note })
        })
        .collect()
}
