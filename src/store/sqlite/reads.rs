//! What people and the pipeline read; no read waits for the writer.

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{FromRow as _, Row as _};

use super::super::{Behind, StoreError, Summary, Unanswered, chain};
use super::append::outcome;
use super::{id, time, unavailable};
use crate::incident::event::VERSION;
use crate::incident::{IncidentId, Recorded};

/// With the event before the first wanted one, whose hash the chain begins with.
const EVENTS: &str = "SELECT i.seq, e.seq, e.at, e.version, e.body, e.hash
     FROM incidents i LEFT JOIN events e ON e.incident = i.id AND e.seq >= $2
     WHERE i.id = $1 ORDER BY e.seq";

/// A row of the table `events`.
struct Stored {
    seq: i64,
    at: i64,
    version: i64,
    body: String,
    hash: String,
}

/// The events after `after`, checked: version, chain, and that none is missing at the end.
pub(super) async fn events(
    pool: &SqlitePool,
    incident: &IncidentId,
    after: u64,
) -> Result<Vec<Recorded>, StoreError> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows =
        sqlx::query(EVENTS).bind(incident.as_str()).bind(after).fetch_all(pool).await.map_err(unavailable)?;
    let first = rows.first().ok_or_else(|| StoreError::NoSuchIncident(incident.clone()))?;
    let last: i64 = first.try_get(0).map_err(unavailable)?;
    let unreadable = |seq: i64, why: String| StoreError::Unreadable {
        incident: incident.clone(),
        seq: u64::try_from(seq).unwrap_or_default(),
        why,
    };
    let mut expected = after.max(1);
    let mut previous = String::new();
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<i64>, _>(1).map_err(unavailable)?.is_none() {
            break;
        }
        let stored = stored(row).map_err(unavailable)?;
        if stored.seq != expected {
            return Err(unreadable(expected, "it is missing".to_owned()));
        }
        expected += 1;
        if stored.seq > after {
            if stored.version > i64::from(VERSION) {
                let why = format!("it has version {}, this release reads up to {VERSION}", stored.version);
                return Err(unreadable(stored.seq, why));
            }
            let Stored { seq, at, version, body, hash } = &stored;
            if chain::link(&previous, incident.as_str(), *seq, *at, *version, body) != *hash {
                return Err(unreadable(
                    *seq,
                    "its hash does not fit; somebody changed the journal".to_owned(),
                ));
            }
            events.push(Recorded {
                seq: u64::try_from(stored.seq).unwrap_or_default(),
                at: time(stored.at)?,
                event: serde_json::from_str(&stored.body)
                    .map_err(|error| unreadable(stored.seq, error.to_string()))?,
            });
        }
        previous = stored.hash;
    }
    if expected <= last && after < last {
        return Err(unreadable(expected, "it is missing".to_owned()));
    }
    Ok(events)
}

fn stored(row: &SqliteRow) -> Result<Stored, sqlx::Error> {
    Ok(Stored {
        seq: row.try_get(1)?,
        at: row.try_get(2)?,
        version: row.try_get(3)?,
        body: row.try_get(4)?,
        hash: row.try_get(5)?,
    })
}

/// Incidents, newest first.
pub(super) async fn incidents(
    pool: &SqlitePool,
    only_open: bool,
    most: u32,
) -> Result<Vec<Summary>, StoreError> {
    let text = if only_open {
        "SELECT id, runbook, scope, opened_at, closed_at, outcome, seq FROM incidents
         WHERE closed_at IS NULL ORDER BY id DESC LIMIT $1"
    } else {
        "SELECT id, runbook, scope, opened_at, closed_at, outcome, seq FROM incidents
         ORDER BY id DESC LIMIT $1"
    };
    let rows = sqlx::query(text).bind(i64::from(most)).fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(summary).collect()
}

/// One incident.
pub(super) async fn incident(pool: &SqlitePool, incident: &IncidentId) -> Result<Summary, StoreError> {
    let row = sqlx::query(
        "SELECT id, runbook, scope, opened_at, closed_at, outcome, seq FROM incidents WHERE id = $1",
    )
    .bind(incident.as_str())
    .fetch_optional(pool)
    .await
    .map_err(unavailable)?;
    row.as_ref().map_or_else(|| Err(StoreError::NoSuchIncident(incident.clone())), summary)
}

fn summary(row: &SqliteRow) -> Result<Summary, StoreError> {
    type Columns = (String, String, String, i64, Option<i64>, Option<String>, i64);
    let (incident, runbook, scope, opened_at, closed_at, ended, seq) =
        Columns::from_row(row).map_err(unavailable)?;
    Ok(Summary {
        id: id(&incident)?,
        runbook,
        scope: serde_json::from_str(&scope).map_err(|error| StoreError::Unavailable(error.to_string()))?,
        opened_at: time(opened_at)?,
        closed_at: closed_at.map(time).transpose()?,
        outcome: ended.as_deref().and_then(outcome),
        seq: u64::try_from(seq).unwrap_or_default(),
    })
}

/// The alerts that no runbook answered, newest first.
pub(super) async fn unanswered(pool: &SqlitePool, most: u32) -> Result<Vec<Unanswered>, StoreError> {
    let rows: Vec<(i64, String, i64, String)> = sqlx::query_as(
        "SELECT at, alert, refused, reason FROM unanswered ORDER BY at DESC, alert_key DESC LIMIT $1",
    )
    .bind(i64::from(most))
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    rows.into_iter()
        .map(|(at, alert, refused, reason)| {
            Ok(Unanswered { at: time(at)?, alert, refused: refused != 0, reason })
        })
        .collect()
}

/// The incidents of which a sink has not delivered every event, longest waiting first.
pub(super) async fn behind(pool: &SqlitePool, sink: &str, most: u32) -> Result<Vec<Behind>, StoreError> {
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT d.incident, COALESCE(r.delivered, 0), COALESCE(r.note, '')
         FROM dirty d LEFT JOIN readers r ON r.sink = d.sink AND r.incident = d.incident
         WHERE d.sink = $1 ORDER BY d.since, d.incident LIMIT $2",
    )
    .bind(sink)
    .bind(i64::from(most))
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    rows.into_iter()
        .map(|(incident, delivered, note)| {
            let delivered = u64::try_from(delivered).unwrap_or_default();
            Ok(Behind { incident: id(&incident)?, delivered, note })
        })
        .collect()
}
