//! The rows of events: what every way into the journal has in common.

use rusqlite::{Connection, Error};

use super::super::{SINKS, chain};
use super::sql;
use crate::incident::event::VERSION;

const EVENT: &str =
    "INSERT INTO events (incident, seq, at, version, body, hash) VALUES ($1, $2, $3, $4, $5, $6)";

/// `since` stays: it says how long the sink has been behind.
const DIRTY: &str = "INSERT INTO dirty (sink, incident, seq, since) VALUES ($1, $2, $3, $4)
     ON CONFLICT (sink, incident) DO UPDATE SET seq = excluded.seq";

/// Stores event `seq`, whose JSON is `body`, and tells the sinks. `previous`: the hash of the event before.
pub(super) fn insert(
    connection: &Connection,
    incident: &str,
    seq: i64,
    at: i64,
    body: &str,
    previous: Option<&str>,
) -> Result<(), Error> {
    let version = i64::from(VERSION);
    let hash = chain::link(previous.unwrap_or_default(), incident, seq, at, version, body);
    sql::execute(connection, EVENT, &[&incident, &seq, &at, &version, &body, &hash])?;
    for sink in SINKS {
        sql::execute(connection, DIRTY, &[&sink, &incident, &seq, &at])?;
    }
    Ok(())
}
