//! The rows of events: what every way into the journal has in common.

use sqlx::sqlite::SqliteConnection;

use super::super::{SINKS, chain};
use super::rows::Rows;
use crate::incident::Event;
use crate::incident::event::VERSION;

static EVENTS: Rows =
    Rows::insert("INSERT INTO events (incident, seq, at, version, body, hash) VALUES", 6, "");

/// `since` stays: it says how long the sink has been behind.
static DIRTY: Rows = Rows::insert(
    "INSERT INTO dirty (sink, incident, seq, since) VALUES",
    4,
    "ON CONFLICT (sink, incident) DO UPDATE SET seq = excluded.seq",
);

/// An event with its number, ready to be stored.
#[derive(Debug)]
pub(super) struct Numbered {
    incident: String,
    seq: i64,
    at: i64,
    body: String,
    hash: String,
}

impl Numbered {
    /// The hash of this event, which the next one builds on.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// `previous`: the hash of the event before.
    pub(super) fn new(
        incident: String,
        seq: i64,
        at: i64,
        event: &Event,
        previous: Option<String>,
    ) -> Result<Self, sqlx::Error> {
        let body = serde_json::to_string(event).map_err(|error| sqlx::Error::Encode(error.into()))?;
        Ok(Self::written(incident, seq, at, body, previous))
    }

    /// The same with the event's JSON.
    pub(super) fn written(
        incident: String,
        seq: i64,
        at: i64,
        body: String,
        previous: Option<String>,
    ) -> Self {
        let previous = previous.unwrap_or_default();
        let hash = chain::link(&previous, &incident, seq, at, i64::from(VERSION), &body);
        Self { incident, seq, at, body, hash }
    }
}

/// Stores them, and tells the sinks. Those of one incident stand together, in order.
pub(super) async fn insert(connection: &mut SqliteConnection, news: &[Numbered]) -> Result<(), sqlx::Error> {
    EVENTS
        .run(connection, news, |query, new| {
            query
                .bind(&new.incident)
                .bind(new.seq)
                .bind(new.at)
                .bind(i64::from(VERSION))
                .bind(&new.body)
                .bind(&new.hash)
        })
        .await?;
    // One statement can not touch a row twice: of each incident the last one tells how far it has come.
    let last = news
        .iter()
        .enumerate()
        .filter(|(position, new)| news.get(position + 1).is_none_or(|next| next.incident != new.incident));
    let last: Vec<&Numbered> = last.map(|(_, new)| new).collect();
    let dirty: Vec<(&str, &Numbered)> =
        SINKS.iter().flat_map(|sink| last.iter().map(move |new| (*sink, *new))).collect();
    DIRTY
        .run(connection, &dirty, |query, (sink, new)| {
            query.bind(*sink).bind(&new.incident).bind(new.seq).bind(new.at)
        })
        .await?;
    Ok(())
}
