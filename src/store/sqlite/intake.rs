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
    "INSERT INTO episodes (alert_key, number, starts_at, ends_at) VALUES",
    4,
    "ON CONFLICT (alert_key) DO UPDATE SET
        number = CASE WHEN excluded.starts_at > COALESCE(episodes.ends_at, episodes.starts_at)
                      THEN episodes.number + 1 ELSE episodes.number END,
        starts_at = CASE WHEN excluded.starts_at > COALESCE(episodes.ends_at, episodes.starts_at)
                         THEN excluded.starts_at ELSE episodes.starts_at END,
        ends_at = CASE WHEN excluded.starts_at > episodes.ends_at THEN NULL ELSE episodes.ends_at END
     RETURNING alert_key, number, starts_at, ends_at",
);

/// An alert that the journal has no episode of. Nothing comes back: a row costs more than the insert. Should there be
/// one after all, the unique row refuses, and the notification is tried again and then refused as a whole.
static FIRES_FIRST: Rows =
    Rows::insert("INSERT INTO episodes (alert_key, number, starts_at, ends_at) VALUES", 4, "");

/// Resolved: ends the open episode, or stands for a later one of which only the end was heard.
static ENDS: Rows = Rows::insert(
    "INSERT INTO episodes (alert_key, number, starts_at, ends_at) VALUES",
    4,
    "ON CONFLICT (alert_key) DO UPDATE SET
        number = CASE WHEN episodes.ends_at IS NULL THEN episodes.number ELSE episodes.number + 1 END,
        starts_at = CASE WHEN episodes.ends_at IS NULL THEN episodes.starts_at ELSE excluded.starts_at END,
        ends_at = excluded.ends_at
     WHERE (episodes.ends_at IS NULL AND excluded.ends_at >= episodes.starts_at)
        OR excluded.starts_at > episodes.ends_at
     RETURNING alert_key, number, starts_at, ends_at",
);

/// A runbook answers an episode once: only the rows that are new come back.
static ANSWER: Rows = Rows::insert(
    "INSERT INTO answered (alert_key, runbook, number, incident) VALUES",
    4,
    "ON CONFLICT (alert_key, runbook) DO UPDATE SET number = excluded.number, incident = excluded.incident
     WHERE answered.number < excluded.number
     RETURNING alert_key, runbook",
);

/// The same for an alert that nobody has answered before.
static ANSWER_FIRST: Rows =
    Rows::insert("INSERT INTO answered (alert_key, runbook, number, incident) VALUES", 4, "");

/// The incident that was open already takes the answers that were meant for a new one.
static ANSWER_OTHER: Rows = Rows::insert(
    "INSERT INTO answered (alert_key, runbook, number, incident) VALUES",
    4,
    "ON CONFLICT (alert_key, runbook) DO UPDATE SET incident = excluded.incident",
);

/// Opens an incident, or takes the next numbers of the one that is open: as many as `seq` says.
static OPEN: Rows = Rows::insert(
    "INSERT INTO incidents
        (id, runbook, hash, scope_key, scope, opened_at, touched_at, wake_at, seq, epoch) VALUES",
    10,
    "ON CONFLICT (runbook, scope_key) WHERE closed_at IS NULL DO UPDATE SET
        seq = incidents.seq + excluded.seq,
        touched_at = CASE WHEN incidents.touched_at > excluded.touched_at
                          THEN incidents.touched_at ELSE excluded.touched_at END,
        wake_at = excluded.wake_at
     RETURNING id, runbook, scope_key, seq, touched_at,
        (SELECT e.hash FROM events e WHERE e.incident = incidents.id ORDER BY e.seq DESC LIMIT 1)",
);

/// The open incidents that answer these episodes. CROSS JOIN: SQLite then keeps the order of the tables.
static ANSWERING: Rows = Rows::insert(
    "SELECT given.alert_key, i.id FROM
        (SELECT column1 AS alert_key, CAST(column2 AS BIGINT) AS number FROM (VALUES",
    2,
    ") AS given) AS given CROSS JOIN answered a CROSS JOIN incidents i
     WHERE a.alert_key = given.alert_key AND a.number = given.number
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

/// How many of these, from the first, have no alert in common and no alert twice, and a scope in common only
/// where all alerts fire. At least one.
pub(super) fn together(these: &[&Prepared]) -> usize {
    let mut alerts = HashSet::new();
    let mut scopes: HashMap<(&str, &str), (usize, bool)> = HashMap::new();
    for (position, prepared) in these.iter().enumerate() {
        let fires = prepared.alerts.iter().all(Entry::fires);
        let new = prepared.alerts.iter().all(|entry| {
            alerts.insert(entry.key())
                && entry.by.iter().all(|by| {
                    let (last, all_fire) =
                        scopes.entry((&by.runbook, &by.scope_key)).or_insert((position, fires));
                    let may = *last == position || *all_fire && fires;
                    *last = position;
                    may
                })
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
    new: &HashSet<String>,
    learned: &mut Vec<Learned>,
) -> Result<Vec<Receipt>, sqlx::Error> {
    let mut first = true;
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
            rest.into_iter().partition(|(_, entry)| seen.insert(entry.key()));
        let (fire, end): (Vec<_>, Vec<_>) = round.into_iter().partition(|(_, entry)| entry.fires());
        // First what joins, then what resolves: an incident is not over while one of its alerts just came.
        // In a second round an alert is not new any more.
        let is_new = |entry: &Entry| first && new.contains(entry.key());
        taking.fire(&fire, is_new).await?;
        // The end of an alert that nobody answers and that the journal has never seen is no news.
        let (end, news): (Vec<_>, Vec<_>) =
            end.into_iter().partition(|(_, entry)| !(entry.by.is_empty() && is_new(entry)));
        for (of, _) in news {
            taking.receipts[of].repeated += 1;
        }
        first = false;
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

/// The new answers of one runbook in one scope, notification by notification.
struct Group<'t> {
    /// The incident's name, when there is none open yet.
    id: String,
    by: &'t By,
    parts: Vec<(usize, Vec<Answer<'t>>)>,
}

/// As many events as parts.
fn count(parts: &[(usize, Vec<Answer<'_>>)]) -> i64 {
    i64::try_from(parts.len()).unwrap_or(i64::MAX)
}

impl<'t> Taking<'t> {
    async fn fire(
        &mut self,
        fire: &[(usize, &'t Entry)],
        is_new: impl Fn(&Entry) -> bool + Send + Sync,
    ) -> Result<(), sqlx::Error> {
        let (new, known): (Vec<_>, Vec<_>) = fire.iter().copied().partition(|(_, entry)| is_new(entry));
        let bind = |query: super::rows::Bound, (_, entry): &(usize, &Entry)| {
            query.bind(entry.key()).bind(1_i64).bind(entry.starts_at).bind(None::<i64>)
        };
        FIRES_FIRST.run(self.connection, &new, bind).await?;
        let rows = FIRES.run(self.connection, &known, bind).await?;
        let runbooks = |entry: &Entry| entry.by.iter().map(|by| by.runbook.clone()).collect::<Vec<_>>();
        let entries: HashMap<&str, &Entry> = known.iter().map(|(_, entry)| (entry.key(), *entry)).collect();
        let mut open: HashMap<String, i64> = HashMap::new();
        for row in rows {
            let (alert_key, ends_at): (String, Option<i64>) = (row.try_get(0)?, row.try_get(3)?);
            let mut answered = Vec::new();
            if ends_at.is_none() {
                open.insert(alert_key.clone(), row.try_get(1)?);
                answered = entries.get(alert_key.as_str()).map(|entry| runbooks(entry)).unwrap_or_default();
            }
            self.learned.push(Learned { alert_key, starts_at: row.try_get(2)?, ends_at, answered });
        }
        for (_, entry) in &new {
            open.insert(entry.key().to_owned(), 1);
            self.learned.push(Learned {
                alert_key: entry.key().to_owned(),
                starts_at: entry.starts_at,
                ends_at: None,
                answered: runbooks(entry),
            });
        }
        let answers = self.answers(fire, &open, is_new).await?;
        let acted: HashSet<&str> = answers.iter().map(|(answer, _)| answer.entry.key()).collect();
        for (of, entry) in fire {
            if !acted.contains(entry.key()) {
                self.receipts[*of].repeated += 1;
            }
        }
        if answers.is_empty() { Ok(()) } else { self.open(answers).await }
    }

    /// The answers to open episodes that nobody has given before, in the order of the notifications, each with
    /// the name of the incident that is opened when there is none.
    async fn answers(
        &mut self,
        fire: &[(usize, &'t Entry)],
        open: &HashMap<String, i64>,
        is_new: impl Fn(&Entry) -> bool + Send + Sync,
    ) -> Result<Vec<(Answer<'t>, String)>, sqlx::Error> {
        let mut ids: HashMap<(&str, &str), String> = HashMap::new();
        let mut answers: Vec<(Answer<'t>, String)> = Vec::new();
        for (of, entry) in fire {
            let Some(&number) = open.get(entry.key()) else { continue };
            for by in &entry.by {
                let id = ids
                    .entry((&by.runbook, &by.scope_key))
                    .or_insert_with(|| chance::fresh_id(self.now).to_string());
                answers.push((Answer { of: *of, entry, by, number }, id.clone()));
            }
        }
        let bind = |query: super::rows::Bound, (answer, id): &&(Answer<'t>, String)| {
            query.bind(answer.entry.key()).bind(&answer.by.runbook).bind(answer.number).bind(id.as_str())
        };
        let (first, again): (Vec<_>, Vec<_>) = answers.iter().partition(|(answer, _)| is_new(answer.entry));
        ANSWER_FIRST.run(self.connection, &first, bind).await?;
        let answered = ANSWER.run(self.connection, &again, bind).await?;
        let answered: HashSet<(String, String)> = answered
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, sqlx::Error>>()?;
        answers.retain(|(answer, _)| {
            is_new(answer.entry)
                || answered.contains(&(answer.entry.key().to_owned(), answer.by.runbook.clone()))
        });
        Ok(answers)
    }

    /// Opens the incidents of new answers, or joins those that are open: one event for each notification.
    async fn open(&mut self, answers: Vec<(Answer<'t>, String)>) -> Result<(), sqlx::Error> {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<Group<'t>> = Vec::new();
        for (answer, id) in answers {
            let place = *places.entry(id.clone()).or_insert_with(|| {
                groups.push(Group { id, by: answer.by, parts: Vec::new() });
                groups.len() - 1
            });
            let parts = &mut groups[place].parts;
            match parts.last_mut() {
                Some((of, answers)) if *of == answer.of => answers.push(answer),
                _ => parts.push((answer.of, vec![answer])),
            }
        }
        let now = self.now.as_microsecond();
        let rows = OPEN
            .run(self.connection, &groups, |query, Group { id, by, parts }| {
                query
                    .bind(id.as_str())
                    .bind(&by.runbook)
                    .bind(&by.hash.0)
                    .bind(&by.scope_key)
                    .bind(&by.scope_json)
                    .bind(now)
                    .bind(now)
                    .bind(now)
                    .bind(count(parts))
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
        for Group { id, by, parts } in &groups {
            let key = (by.runbook.clone(), by.scope_key.clone());
            let row = by_scope.get(&key).ok_or(sqlx::Error::RowNotFound)?;
            let (incident, last, at): (String, i64, i64) =
                (row.try_get(0)?, row.try_get(3)?, row.try_get(4)?);
            let mut previous = row.try_get::<Option<String>, _>(5)?;
            let mut seq = last - count(parts);
            for (of, answers) in parts {
                seq += 1;
                let (written, more) = kept(answers.iter().map(|answer| answer.entry.json.as_str()).collect());
                // Their JSON was made outside of the writer.
                let alerts = Vec::new();
                let event = if seq == 1 {
                    self.receipts[*of].opened.extend(id.parse());
                    Event::Opened(Opened {
                        runbook: by.runbook.clone(),
                        hash: by.hash.clone(),
                        scope: by.scope.clone(),
                        deadline: after(self.now, by.deadline),
                        alerts,
                        more,
                        truncated: self.these[*of].truncated,
                    })
                } else {
                    joined.extend(answers.iter().map(|answer| (answer.entry.key(), *of)));
                    Event::AlertsJoined { alerts, more }
                };
                let body = with_alerts(&event, written).map_err(|error| sqlx::Error::Encode(error.into()))?;
                let new = Numbered::written(incident.clone(), seq, at, body, previous);
                previous = Some(new.hash().to_owned());
                news.push(new);
            }
            if incident != *id {
                let answers = parts.iter().flat_map(|(_, answers)| answers);
                others.extend(answers.map(|answer| (answer, incident.clone())));
            }
        }
        for of in joined.into_values() {
            self.receipts[of].joined += 1;
        }
        ANSWER_OTHER
            .run(self.connection, &others, |query, (answer, incident)| {
                query
                    .bind(answer.entry.key())
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
                query.bind(entry.key()).bind(1_i64).bind(entry.starts_at).bind(entry.ends_at)
            })
            .await?;
        let mut ended: Vec<(String, i64)> = Vec::new();
        for row in rows {
            let alert_key: String = row.try_get(0)?;
            ended.push((alert_key.clone(), row.try_get(1)?));
            self.learned.push(Learned {
                alert_key,
                starts_at: row.try_get(2)?,
                ends_at: row.try_get(3)?,
                answered: Vec::new(),
            });
        }
        let answering = ANSWERING
            .run(self.connection, &ended, |query, (alert_key, number)| {
                query.bind(alert_key.as_str()).bind(*number)
            })
            .await?;
        let mut incidents: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        let mut resolved: HashSet<String> = HashSet::new();
        for row in answering {
            let alert_key: String = row.try_get(0)?;
            resolved.insert(alert_key.clone());
            incidents.entry(row.try_get(1)?).or_default().insert(alert_key);
        }
        let ended: HashSet<String> = ended.into_iter().map(|(alert_key, _)| alert_key).collect();
        for (of, entry) in end {
            let receipt = &mut self.receipts[*of];
            receipt.repeated += usize::from(!ended.contains(entry.key()));
            receipt.resolved += usize::from(resolved.contains(entry.key()));
        }
        let mut news = Vec::with_capacity(incidents.len());
        for (incident, keys) in incidents {
            let rows = sqlx::query(TOUCH)
                .bind(incident.as_str())
                .bind(self.now.as_microsecond())
                .fetch_all(&mut *self.connection)
                .await?;
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            // In the order of the notification.
            let fingerprints = end
                .iter()
                .filter(|(_, entry)| keys.contains(entry.key()))
                .map(|(_, entry)| entry.alert.fingerprint.clone())
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
