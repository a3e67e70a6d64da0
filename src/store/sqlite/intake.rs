//! One notification, or several that have nothing in common, into the journal: few statements of many rows.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::super::prepared::{By, Entry, Prepared, kept, with_alerts};
use super::super::{Receipt, UNANSWERED_KEPT, chance};
use super::events::{self, Numbered};
use super::known::Learned;
use super::rows::Rows;
use crate::clock::after;
use crate::incident::Event;
use crate::incident::event::Opened;

/// Firing: opens an episode, or the next one when the last is over and this is later. An open episode keeps the
/// latest start, so that a late copy of an earlier end does not end it.
static FIRES: Rows = Rows::insert(
    "INSERT INTO episodes (fingerprint, number, starts_at, ends_at) VALUES",
    4,
    "ON CONFLICT (fingerprint) DO UPDATE SET
        number = CASE WHEN excluded.starts_at > episodes.ends_at THEN episodes.number + 1 ELSE episodes.number END,
        starts_at = CASE WHEN excluded.starts_at > COALESCE(episodes.ends_at, episodes.starts_at)
                         THEN excluded.starts_at ELSE episodes.starts_at END,
        ends_at = CASE WHEN excluded.starts_at > episodes.ends_at THEN NULL ELSE episodes.ends_at END
     RETURNING fingerprint, number, starts_at, ends_at",
);

/// Resolved: ends the open episode, or stands for a later one of which only the end was heard.
static ENDS: Rows = Rows::insert(
    "INSERT INTO episodes (fingerprint, number, starts_at, ends_at) VALUES",
    4,
    "ON CONFLICT (fingerprint) DO UPDATE SET
        number = CASE WHEN episodes.ends_at IS NULL THEN episodes.number ELSE episodes.number + 1 END,
        starts_at = CASE WHEN episodes.ends_at IS NULL THEN episodes.starts_at ELSE excluded.starts_at END,
        ends_at = excluded.ends_at
     WHERE (episodes.ends_at IS NULL AND excluded.ends_at >= episodes.starts_at)
        OR excluded.starts_at > episodes.ends_at
     RETURNING fingerprint, number, starts_at, ends_at",
);

/// A runbook answers an episode once: only the rows that are new come back.
static ANSWER: Rows = Rows::insert(
    "INSERT INTO answered (fingerprint, runbook, number, incident) VALUES",
    4,
    "ON CONFLICT (fingerprint, runbook) DO UPDATE SET number = excluded.number, incident = excluded.incident
     WHERE answered.number < excluded.number
     RETURNING fingerprint, runbook",
);

/// The incident that was open already takes the answers that were meant for a new one.
static ANSWER_OTHER: Rows = Rows::insert(
    "INSERT INTO answered (fingerprint, runbook, number, incident) VALUES",
    4,
    "ON CONFLICT (fingerprint, runbook) DO UPDATE SET incident = excluded.incident",
);

/// Opens an incident, or takes the next number of the one that is open.
static OPEN: Rows = Rows::insert(
    "INSERT INTO incidents
        (id, runbook, hash, scope_key, scope, opened_at, touched_at, wake_at, seq, epoch) VALUES",
    10,
    "ON CONFLICT (runbook, scope_key) WHERE closed_at IS NULL DO UPDATE SET
        seq = incidents.seq + 1,
        touched_at = CASE WHEN incidents.touched_at > excluded.touched_at
                          THEN incidents.touched_at ELSE excluded.touched_at END,
        wake_at = excluded.wake_at
     RETURNING id, runbook, scope_key, seq, touched_at,
        (SELECT e.hash FROM events e WHERE e.incident = incidents.id AND e.seq = incidents.seq - 1)",
);

/// The open incidents that answer these episodes. CROSS JOIN: SQLite then keeps the order of the tables.
static ANSWERING: Rows = Rows::insert(
    "SELECT given.fingerprint, i.id FROM
        (SELECT column1 AS fingerprint, CAST(column2 AS BIGINT) AS number FROM (VALUES",
    2,
    ") AS given) AS given CROSS JOIN answered a CROSS JOIN incidents i
     WHERE a.fingerprint = given.fingerprint AND a.number = given.number
       AND i.id = a.incident AND i.closed_at IS NULL",
);

/// Takes the next number of an open incident, which then wants to be looked at.
const TOUCH: &str = "UPDATE incidents SET seq = seq + 1, wake_at = $2,
        touched_at = CASE WHEN touched_at > $2 THEN touched_at ELSE $2 END
     WHERE id = $1
     RETURNING seq, touched_at,
        (SELECT e.hash FROM events e WHERE e.incident = incidents.id AND e.seq = incidents.seq - 1)";

static UNANSWERED: Rows = Rows::insert(
    "INSERT INTO unanswered (alert_key, at, alert, refused, reason) VALUES",
    5,
    "ON CONFLICT (alert_key) DO UPDATE SET at = excluded.at",
);

const FORGET_UNANSWERED: &str = "DELETE FROM unanswered WHERE (at, alert_key) <=
    (SELECT at, alert_key FROM unanswered ORDER BY at DESC, alert_key DESC LIMIT 1 OFFSET $1)";

/// How many of these, from the first, have no alert and no scope in common and no alert twice. At least one.
pub(super) fn together(these: &[&Prepared]) -> usize {
    let mut alerts = HashSet::new();
    let mut scopes: HashMap<(&str, &str), usize> = HashMap::new();
    for (position, prepared) in these.iter().enumerate() {
        let new = prepared.alerts.iter().all(|entry| {
            alerts.insert(entry.fingerprint())
                && entry
                    .by
                    .iter()
                    .all(|by| *scopes.entry((&by.runbook, &by.scope_key)).or_insert(position) == position)
        });
        // One that has an alert twice is taken in alone, in rounds.
        if !new {
            return position.max(1);
        }
    }
    these.len()
}

/// Takes in notifications that can be taken in together; one receipt for each.
pub(super) async fn take_in(
    connection: &mut SqliteConnection,
    now: Timestamp,
    these: &[&Prepared],
    learned: &mut Vec<Learned>,
) -> Result<Vec<Receipt>, sqlx::Error> {
    let mut taking =
        Taking { connection, now, these, learned, receipts: vec![Receipt::default(); these.len()] };
    let mut rest: Vec<(usize, &Entry)> = these
        .iter()
        .enumerate()
        .flat_map(|(of, prepared)| prepared.alerts.iter().map(move |entry| (of, entry)))
        .collect();
    while !rest.is_empty() {
        let mut seen = HashSet::new();
        let (round, later): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(_, entry)| seen.insert(entry.fingerprint()));
        let (fire, end): (Vec<_>, Vec<_>) = round.into_iter().partition(|(_, entry)| entry.fires());
        // First what joins, then what resolves: an incident is not over while one of its alerts just came.
        taking.fire(&fire).await?;
        taking.end(&end).await?;
        rest = later;
    }
    taking.unanswered().await?;
    crate::crash::here("intake-in-transaction");
    Ok(taking.receipts)
}

struct Taking<'t> {
    connection: &'t mut SqliteConnection,
    now: Timestamp,
    these: &'t [&'t Prepared],
    learned: &'t mut Vec<Learned>,
    receipts: Vec<Receipt>,
}

/// An answer that is new, and the incident that was made for it.
struct Answer<'t> {
    of: usize,
    entry: &'t Entry,
    by: &'t By,
    number: i64,
}

impl<'t> Taking<'t> {
    async fn fire(&mut self, fire: &[(usize, &'t Entry)]) -> Result<(), sqlx::Error> {
        let rows = FIRES
            .run(self.connection, fire, |query, (_, entry)| {
                query.bind(entry.fingerprint()).bind(1_i64).bind(entry.starts_at).bind(None::<i64>)
            })
            .await?;
        let entries: HashMap<&str, &Entry> =
            fire.iter().map(|(_, entry)| (entry.fingerprint(), *entry)).collect();
        let mut open: HashMap<String, i64> = HashMap::new();
        for row in rows {
            let (fingerprint, ends_at): (String, Option<i64>) = (row.try_get(0)?, row.try_get(3)?);
            let mut answered = Vec::new();
            if ends_at.is_none() {
                open.insert(fingerprint.clone(), row.try_get(1)?);
                let by = entries.get(fingerprint.as_str()).map(|entry| entry.by.iter());
                answered.extend(by.into_iter().flatten().map(|by| by.runbook.clone()));
            }
            self.learned.push(Learned { fingerprint, starts_at: row.try_get(2)?, ends_at, answered });
        }
        let mut openings: HashMap<(usize, &str, &str), String> = HashMap::new();
        let mut answers: Vec<(Answer<'t>, String)> = Vec::new();
        for (of, entry) in fire {
            let Some(&number) = open.get(entry.fingerprint()) else { continue };
            for by in &entry.by {
                let id = openings
                    .entry((*of, &by.runbook, &by.scope_key))
                    .or_insert_with(|| chance::fresh_id(self.now).to_string());
                answers.push((Answer { of: *of, entry, by, number }, id.clone()));
            }
        }
        let bind = |query: super::rows::Bound, (answer, id): &(Answer<'t>, String)| {
            query
                .bind(answer.entry.fingerprint())
                .bind(&answer.by.runbook)
                .bind(answer.number)
                .bind(id.as_str())
        };
        let new = ANSWER.run(self.connection, &answers, bind).await?;
        let new: HashSet<(String, String)> = new
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, sqlx::Error>>()?;
        answers.retain(|(answer, _)| {
            new.contains(&(answer.entry.fingerprint().to_owned(), answer.by.runbook.clone()))
        });
        let acted: HashSet<&str> = answers.iter().map(|(answer, _)| answer.entry.fingerprint()).collect();
        for (of, entry) in fire {
            if !acted.contains(entry.fingerprint()) {
                self.receipts[*of].repeated += 1;
            }
        }
        if answers.is_empty() { Ok(()) } else { self.open(answers).await }
    }

    /// Opens the incidents of new answers, or joins those that are open.
    async fn open(&mut self, answers: Vec<(Answer<'t>, String)>) -> Result<(), sqlx::Error> {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<(String, Vec<Answer<'t>>)> = Vec::new();
        for (answer, id) in answers {
            let place = *places.entry(id.clone()).or_insert_with(|| {
                groups.push((id, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(answer);
        }
        let now = self.now.as_microsecond();
        let rows = OPEN
            .run(self.connection, &groups, |query, (id, answers)| {
                let by = answers[0].by;
                query
                    .bind(id.as_str())
                    .bind(&by.runbook)
                    .bind(&by.hash.0)
                    .bind(&by.scope_key)
                    .bind(&by.scope_json)
                    .bind(now)
                    .bind(now)
                    .bind(now)
                    .bind(1_i64)
                    .bind(0_i64)
            })
            .await?;
        let mut by_scope = HashMap::new();
        for row in rows {
            let key: (String, String) = (row.try_get(1)?, row.try_get(2)?);
            by_scope.insert(key, row);
        }
        let mut news = Vec::with_capacity(groups.len());
        let mut others: Vec<(&Answer<'t>, String)> = Vec::new();
        let mut joined: HashMap<&str, usize> = HashMap::new();
        for (id, answers) in &groups {
            let (by, of) = (answers[0].by, answers[0].of);
            let key = (by.runbook.clone(), by.scope_key.clone());
            let row = by_scope.get(&key).ok_or(sqlx::Error::RowNotFound)?;
            let (incident, seq, at): (String, i64, i64) = (row.try_get(0)?, row.try_get(3)?, row.try_get(4)?);
            let (written, more) = kept(answers.iter().map(|answer| answer.entry.json.as_str()).collect());
            // Their JSON was made outside of the writer.
            let alerts = Vec::new();
            let event = if incident == *id {
                self.receipts[of].opened.extend(id.parse());
                Event::Opened(Opened {
                    runbook: by.runbook.clone(),
                    hash: by.hash.clone(),
                    scope: by.scope.clone(),
                    deadline: after(self.now, by.deadline),
                    alerts,
                    more,
                    truncated: self.these[of].truncated,
                })
            } else {
                joined.extend(answers.iter().map(|answer| (answer.entry.fingerprint(), of)));
                others.extend(answers.iter().map(|answer| (answer, incident.clone())));
                Event::AlertsJoined { alerts, more }
            };
            let previous = row.try_get::<Option<String>, _>(5)?;
            let body = with_alerts(&event, written).map_err(|error| sqlx::Error::Encode(error.into()))?;
            news.push(Numbered::written(incident, seq, at, body, previous));
        }
        for of in joined.into_values() {
            self.receipts[of].joined += 1;
        }
        ANSWER_OTHER
            .run(self.connection, &others, |query, (answer, incident)| {
                query
                    .bind(answer.entry.fingerprint())
                    .bind(&answer.by.runbook)
                    .bind(answer.number)
                    .bind(incident.as_str())
            })
            .await?;
        events::insert(self.connection, &news).await
    }

    async fn end(&mut self, end: &[(usize, &'t Entry)]) -> Result<(), sqlx::Error> {
        let sound: Vec<_> = end.iter().filter(|(_, entry)| !entry.is_nonsense()).collect();
        let rows = ENDS
            .run(self.connection, &sound, |query, (_, entry)| {
                query.bind(entry.fingerprint()).bind(1_i64).bind(entry.starts_at).bind(entry.ends_at)
            })
            .await?;
        let mut ended: Vec<(String, i64)> = Vec::new();
        for row in rows {
            let fingerprint: String = row.try_get(0)?;
            ended.push((fingerprint.clone(), row.try_get(1)?));
            self.learned.push(Learned {
                fingerprint,
                starts_at: row.try_get(2)?,
                ends_at: row.try_get(3)?,
                answered: Vec::new(),
            });
        }
        let answering = ANSWERING
            .run(self.connection, &ended, |query, (fingerprint, number)| {
                query.bind(fingerprint.as_str()).bind(*number)
            })
            .await?;
        let mut incidents: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        let mut resolved: HashSet<String> = HashSet::new();
        for row in answering {
            let fingerprint: String = row.try_get(0)?;
            resolved.insert(fingerprint.clone());
            incidents.entry(row.try_get(1)?).or_default().insert(fingerprint);
        }
        let ended: HashSet<String> = ended.into_iter().map(|(fingerprint, _)| fingerprint).collect();
        for (of, entry) in end {
            let receipt = &mut self.receipts[*of];
            receipt.repeated += usize::from(!ended.contains(entry.fingerprint()));
            receipt.resolved += usize::from(resolved.contains(entry.fingerprint()));
        }
        let mut news = Vec::with_capacity(incidents.len());
        for (incident, fingerprints) in incidents {
            let rows = sqlx::query(TOUCH)
                .bind(incident.as_str())
                .bind(self.now.as_microsecond())
                .fetch_all(&mut *self.connection)
                .await?;
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            // In the order of the notification.
            let fingerprints = end
                .iter()
                .map(|(_, entry)| &entry.alert.fingerprint)
                .filter(|fingerprint| fingerprints.contains(&fingerprint.0))
                .cloned()
                .collect();
            let event = Event::AlertsResolved { fingerprints };
            news.push(Numbered::new(incident, row.try_get(0)?, row.try_get(1)?, &event, row.try_get(2)?)?);
        }
        events::insert(self.connection, &news).await
    }

    async fn unanswered(&mut self) -> Result<(), sqlx::Error> {
        let mut keys = HashSet::new();
        let all: Vec<_> = self
            .these
            .iter()
            .flat_map(|prepared| &prepared.unanswered)
            .filter(|(key, _)| keys.insert(key))
            .collect();
        if all.is_empty() {
            return Ok(());
        }
        let now = self.now.as_microsecond();
        UNANSWERED
            .run(self.connection, &all, |query, (key, unanswered)| {
                query
                    .bind(key)
                    .bind(now)
                    .bind(&unanswered.alert)
                    .bind(i64::from(unanswered.refused))
                    .bind(&unanswered.reason)
            })
            .await?;
        let most = i64::from(UNANSWERED_KEPT);
        sqlx::query(FORGET_UNANSWERED).bind(most).execute(&mut *self.connection).await.map(|_| ())
    }
}
