//! One notification into the journal. Every decision is a statement's own: unique rows and `ON CONFLICT`, no read
//! before a write.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, Error, ErrorCode, ToSql};

use super::super::prepared::{By, Entry, Prepared, kept, scope_of, with_alerts, written};
use super::super::{Receipt, StoreError, UNANSWERED_KEPT, chance, rules};
use super::known::Learned;
use super::writer::Turn;
use super::{events, sql};
use crate::alert::Fingerprint;
use crate::clock::after;
use crate::incident::event::Opened;
use crate::incident::{Event, IncidentId};

// No RETURNING and no SELECT of the same table where there is a row for each alert: SQLite makes a table of its own
// for the result, which costs more than the insert.

/// Firing: opens an episode, or the next one when the last is over, or its end was never heard, and this is later.
/// An open episode keeps the latest start, so that a late copy of an earlier end does not end it.
const FIRES: &str = "INSERT INTO episodes (alert_key, runbook, starts_at, ends_at, incident)
     VALUES ($1, $2, $3, NULL, $4)
     ON CONFLICT (alert_key, runbook) DO UPDATE SET
        starts_at = excluded.starts_at, ends_at = NULL, incident = excluded.incident
     WHERE excluded.starts_at > COALESCE(episodes.ends_at, episodes.starts_at)";

const EPISODE: &str = "SELECT runbook, starts_at, ends_at FROM episodes WHERE alert_key = $1";

/// Resolved: ends the open episode, or stands for a later one of which only the end was heard.
const ENDS: &str = "UPDATE episodes SET
        starts_at = CASE WHEN ends_at IS NULL THEN starts_at ELSE $1 END,
        incident = CASE WHEN ends_at IS NULL THEN incident ELSE '' END,
        ends_at = $2
     WHERE alert_key = $3 AND ((ends_at IS NULL AND $2 >= starts_at) OR $1 > ends_at)
     RETURNING incident";

/// A runbook that has not heard of it keeps the end: a late copy of its firing is then known to be late.
const ENDS_UNHEARD: &str = "INSERT INTO episodes (alert_key, runbook, starts_at, ends_at, incident)
     VALUES ($1, $2, $3, $4, '') ON CONFLICT (alert_key, runbook) DO NOTHING";

/// Suppressed: the open incidents that answer it forget the episode, so that the same beginning can be answered anew.
const FORGETS: &str = "DELETE FROM episodes
     WHERE alert_key = $1 AND ends_at IS NULL
       AND incident IN (SELECT id FROM incidents WHERE closed_at IS NULL)
     RETURNING incident";

/// The incident that was open already takes the episode that was meant for a new one.
const ANSWERED_BY: &str = "UPDATE episodes SET incident = $1 WHERE alert_key = $2 AND runbook = $3";

/// Opens an incident, or takes the next number of the one that is open.
const OPEN: &str = "INSERT INTO incidents
        (id, runbook, hash, scope_key, scope, opened_at, touched_at, wake_at, seq, epoch, drill)
     VALUES ($1, $2, $3, $4, $5, $6, $6, $6, 1, 0, $7)
     ON CONFLICT (runbook, scope_key) WHERE closed_at IS NULL DO UPDATE SET
        seq = incidents.seq + 1,
        touched_at = CASE WHEN incidents.touched_at > excluded.touched_at
                          THEN incidents.touched_at ELSE excluded.touched_at END,
        wake_at = excluded.wake_at";

const OPENED: &str = "SELECT i.id, i.seq, i.touched_at,
        (SELECT e.hash FROM events e WHERE e.incident = i.id AND e.seq = i.seq - 1)
     FROM incidents i WHERE i.runbook = $1 AND i.scope_key = $2 AND i.closed_at IS NULL";

/// Takes the next number of an open incident, which then wants to be looked at.
const TOUCH: &str = "UPDATE incidents SET seq = seq + 1, wake_at = $1,
        touched_at = CASE WHEN touched_at > $1 THEN touched_at ELSE $1 END
     WHERE id = $2 AND closed_at IS NULL
     RETURNING seq, touched_at,
        (SELECT e.hash FROM events e WHERE e.incident = incidents.id AND e.seq = incidents.seq - 1)";

const UNANSWERED: &str = "INSERT INTO unanswered (alert_key, at, alert, refused, reason)
     VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (alert_key) DO UPDATE SET at = excluded.at";

const FORGET_UNANSWERED: &str = "DELETE FROM unanswered WHERE (at, alert_key) <=
    (SELECT at, alert_key FROM unanswered ORDER BY at DESC, alert_key DESC LIMIT 1 OFFSET $1)";

/// How often another id is tried for a new incident when by chance one is taken.
const IDS_TRIED: usize = 3;

/// Takes one in.
pub(super) fn take_in(turn: &mut Turn<'_>, prepared: &Prepared) -> Result<Receipt, Error> {
    let mut taking = Taking { turn, prepared, receipt: Receipt::default() };
    let mut rest: Vec<&Entry> = prepared.alerts.iter().collect();
    // An alert that is there twice comes in a second round.
    while !rest.is_empty() {
        let mut seen = HashSet::new();
        let (round, later): (Vec<_>, Vec<_>) = rest.into_iter().partition(|entry| seen.insert(entry.key()));
        let (fire, end): (Vec<_>, Vec<_>) = round.into_iter().partition(|entry| entry.fires());
        // First what joins, then what resolves: an incident is not over while one of its alerts just came.
        taking.fire(&fire)?;
        taking.end(&end)?;
        rest = later;
    }
    taking.suppress()?;
    taking.unanswered()?;
    crate::crash::here("intake-in-transaction");
    Ok(taking.receipt)
}

struct Taking<'t, 'w> {
    turn: &'t mut Turn<'w>,
    prepared: &'t Prepared,
    receipt: Receipt,
}

/// The new answers of one runbook in one scope.
struct Group<'t> {
    /// The incident's name, when there is none open yet.
    id: String,
    by: &'t By,
    entries: Vec<&'t Entry>,
}

/// The open incident of a scope, after it has taken its next number.
type Taken = (String, i64, i64, Option<String>);

impl<'t> Taking<'t, '_> {
    const fn connection(&self) -> &Connection {
        self.turn.connection
    }

    fn fire(&mut self, fire: &[&'t Entry]) -> Result<(), Error> {
        let mut groups: Vec<Group<'t>> = Vec::new();
        let mut places: HashMap<(&str, &str), usize> = HashMap::new();
        let mut fires = sql::Statement::new(self.turn.connection, FIRES)?;
        for &entry in fire {
            let mut answered = 0;
            for by in &entry.by {
                let place = *places.entry((&by.runbook, &by.scope_key)).or_insert_with(|| {
                    let id = chance::fresh_id(self.turn.now).to_string();
                    groups.push(Group { id, by, entries: Vec::new() });
                    groups.len() - 1
                });
                let group = &mut groups[place];
                let values: [&dyn ToSql; 4] = [&entry.key(), &by.runbook, &entry.starts_at, &group.id];
                if fires.execute(&values)? > 0 {
                    answered += 1;
                    group.entries.push(entry);
                }
            }
            if answered == 0 {
                self.receipt.repeated += 1;
            } else {
                self.receipt.taken.push(entry.fingerprint.clone());
            }
            if answered == entry.by.len() {
                let row = |by: &Arc<By>| (Arc::clone(&by.runbook), entry.starts_at, None);
                let rows = entry.by.iter().map(row).collect();
                self.turn.learned.push(Learned { alert_key: Arc::clone(entry.key()), rows, whole: false });
            } else {
                self.learn(entry)?;
            }
        }
        let mut joined = HashSet::new();
        for group in groups.iter().filter(|group| !group.entries.is_empty()) {
            if self.open(group)? {
                joined.extend(group.entries.iter().map(|entry| entry.key()));
            }
        }
        self.receipt.joined += joined.len();
        Ok(())
    }

    /// Opens the incident of new answers, or joins the one that is open: true.
    fn open(&mut self, Group { id, by, entries }: &Group<'t>) -> Result<bool, Error> {
        let (incident, seq, at, previous) = self.take_open(id, by)?;
        let (alerts, more) = kept(entries.iter().map(|entry| entry.json.as_str()).collect());
        // Their JSON was made outside of the writer.
        let event = if seq == 1 {
            self.receipt.opened.extend(incident.parse());
            Event::Opened(Opened {
                runbook: by.runbook.to_string(),
                hash: by.hash.clone(),
                scope: by.scope.clone(),
                deadline: after(self.turn.now, by.deadline),
                alerts: Vec::new(),
                more,
                truncated: self.prepared.truncated,
                restore: None,
                run: None,
                drill: by.drill.clone(),
            })
        } else {
            Event::AlertsJoined { alerts: Vec::new(), more }
        };
        let body = with_alerts(&event, alerts).map_err(unwritable)?;
        events::insert(self.connection(), &incident, seq, at, &body, previous.as_deref())?;
        if incident != *id {
            let mut answered_by = sql::Statement::new(self.turn.connection, ANSWERED_BY)?;
            for entry in entries {
                answered_by.execute(&[&incident, &entry.key(), &by.runbook])?;
            }
        }
        Ok(seq > 1)
    }

    fn take_open(&self, id: &str, by: &By) -> Result<Taken, Error> {
        let now = self.turn.now.as_microsecond();
        let open = |id: &str| {
            let values: [&dyn ToSql; 7] =
                [&id, &by.runbook, &by.hash.0, &by.scope_key, &by.scope_json, &now, &by.drill];
            sql::execute(self.connection(), OPEN, &values)
        };
        let mut opened = open(id);
        for _ in 1..IDS_TRIED {
            match &opened {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    opened = open(chance::fresh_id(self.turn.now).as_str());
                }
                _ => break,
            }
        }
        opened?;
        let row = sql::first(self.connection(), OPENED, &[&by.runbook, &by.scope_key])?;
        row.ok_or(Error::QueryReturnedNoRows)
    }

    fn end(&mut self, end: &[&'t Entry]) -> Result<(), Error> {
        // In the order of the notification.
        let mut incidents: BTreeMap<String, Vec<&'t Entry>> = BTreeMap::new();
        for &entry in end {
            if entry.is_nonsense() {
                self.receipt.repeated += 1;
                continue;
            }
            let mut changed = false;
            let values: [&dyn ToSql; 3] = [&entry.starts_at, &entry.ends_at, &entry.key()];
            for (incident,) in sql::all::<(String,)>(self.connection(), ENDS, &values)? {
                changed = true;
                if !incident.is_empty() {
                    incidents.entry(incident).or_default().push(entry);
                }
            }
            for by in &entry.by {
                let values: [&dyn ToSql; 4] = [&entry.key(), &by.runbook, &entry.starts_at, &entry.ends_at];
                changed |= sql::execute(self.connection(), ENDS_UNHEARD, &values)? > 0;
            }
            self.receipt.repeated += usize::from(!changed);
            self.learn(entry)?;
        }
        let mut resolved = HashSet::new();
        for (incident, entries) in incidents {
            let fingerprints = entries.iter().map(|entry| entry.fingerprint.clone()).collect();
            if self.append(&incident, &Event::AlertsResolved { fingerprints })? {
                resolved.extend(entries.iter().map(|entry| entry.key()));
            }
        }
        self.receipt.resolved += resolved.len();
        Ok(())
    }

    /// As the next event of an incident; false when it is closed.
    fn append(&self, incident: &str, event: &Event) -> Result<bool, Error> {
        let now = self.turn.now.as_microsecond();
        let Some((seq, at, previous)) = sql::first(self.connection(), TOUCH, &[&now, &incident])? else {
            return Ok(false);
        };
        let previous: Option<String> = previous;
        let body = serde_json::to_string(event).map_err(unwritable)?;
        events::insert(self.connection(), incident, seq, at, &body, previous.as_deref())?;
        Ok(true)
    }

    fn suppress(&mut self) -> Result<(), Error> {
        // One event for each incident and reason.
        let mut incidents: BTreeMap<(String, Option<&str>), Vec<Fingerprint>> = BTreeMap::new();
        for (key, suppressed) in &self.prepared.suppressed {
            let rows = sql::all::<(String,)>(self.connection(), FORGETS, &[key])?;
            let count = match suppressed.why {
                Some(_) => &mut self.receipt.suppressed,
                None => &mut self.receipt.resolved,
            };
            *count += usize::from(!rows.is_empty());
            for (incident,) in rows {
                let place = incidents.entry((incident, suppressed.why.as_deref())).or_default();
                place.push(suppressed.fingerprint.clone());
            }
            let rows = sql::all(self.connection(), EPISODE, &[key])?;
            self.turn.learned.push(Learned { alert_key: Arc::clone(key), rows, whole: true });
        }
        for ((incident, why), fingerprints) in incidents {
            let event = match why {
                Some(why) => Event::AlertsSuppressed { fingerprints, why: why.to_owned() },
                None => Event::AlertsResolved { fingerprints },
            };
            self.append(&incident, &event)?;
        }
        Ok(())
    }

    /// What is on disk about an alert once this is committed.
    fn learn(&mut self, entry: &Entry) -> Result<(), Error> {
        let rows = sql::all(self.connection(), EPISODE, &[&entry.key()])?;
        self.turn.learned.push(Learned { alert_key: Arc::clone(entry.key()), rows, whole: true });
        Ok(())
    }

    fn unanswered(&self) -> Result<(), Error> {
        if self.prepared.unanswered.is_empty() {
            return Ok(());
        }
        let now = self.turn.now.as_microsecond();
        for (key, unanswered) in &self.prepared.unanswered {
            let refused = i64::from(unanswered.refused);
            let values: [&dyn ToSql; 5] = [key, &now, &unanswered.alert, &refused, &unanswered.reason];
            sql::execute(self.connection(), UNANSWERED, &values)?;
        }
        sql::execute(self.connection(), FORGET_UNANSWERED, &[&UNANSWERED_KEPT])?;
        Ok(())
    }
}

/// Opens the incident of a restore, when none is open for the object.
const OPEN_ALONE: &str = "INSERT INTO incidents
        (id, runbook, hash, scope_key, scope, opened_at, touched_at, wake_at, seq, epoch)
     SELECT $1, $2, $3, $4, $5, $6, $6, $6, 1, 0
     WHERE EXISTS (SELECT 1 FROM changes WHERE object = $7)
     ON CONFLICT (runbook, scope_key) WHERE closed_at IS NULL DO NOTHING";

/// No alert opens it, so none has an episode in it.
pub(super) fn open_restore(turn: &mut Turn<'_>, opened: Opened) -> Result<Option<IncidentId>, StoreError> {
    let Some(restore) = &opened.restore else { return Err(rules::no_restore()) };
    let id = chance::fresh_id(turn.now);
    let (scope, scope_key) = scope_of(&opened.scope);
    let (now, object) = (turn.now.as_microsecond(), restore.object.key());
    let values: [&dyn ToSql; 7] =
        [&id.as_str(), &opened.runbook, &opened.hash.0, &scope_key, &scope, &now, &object];
    if sql::execute(turn.connection, OPEN_ALONE, &values)? == 0 {
        return Ok(None);
    }
    let (body, _) = written(&Event::Opened(opened))?;
    events::insert(turn.connection, id.as_str(), 1, now, &body, None)?;
    Ok(Some(id))
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::ToSqlConversionFailure(error.into())
}
