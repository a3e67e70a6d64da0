//! One notification into the model, alert by alert.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Episode, Kept, State};
use crate::alert::{Alert, Labels};
use crate::clock::after;
use crate::incident::event::Opened;
use crate::incident::{Event, IncidentId};
use crate::store::prepared::{By, Entry, Prepared, kept};
use crate::store::{Begun, Receipt, StoreError, Summary, UNANSWERED_KEPT, Unanswered, chance, rules};

impl State {
    pub(super) fn take_in(&mut self, now: Timestamp, prepared: &Prepared) -> Result<Receipt, StoreError> {
        let mut receipt = Receipt::default();
        let mut rest: Vec<&Entry> = prepared.alerts.iter().collect();
        while !rest.is_empty() {
            // An alert that is there twice comes in the next round.
            let mut seen = BTreeSet::new();
            let (round, later): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|entry| seen.insert(entry.key()));
            let (fire, end): (Vec<_>, Vec<_>) = round.into_iter().partition(|entry| entry.fires());
            self.fire(now, prepared.truncated, &fire, &mut receipt)?;
            self.end(now, &end, &mut receipt)?;
            rest = later;
        }
        self.suppress(now, prepared, &mut receipt)?;
        for (key, unanswered) in &prepared.unanswered {
            self.unanswered.insert(key.clone(), Unanswered { at: now, ..unanswered.clone() });
        }
        while self.unanswered.len() > UNANSWERED_KEPT as usize {
            let oldest = self.unanswered.iter().min_by_key(|(key, unanswered)| (unanswered.at, *key));
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            self.unanswered.remove(&oldest);
        }
        Ok(receipt)
    }

    fn fire(
        &mut self,
        now: Timestamp,
        truncated: u64,
        fire: &[&Entry],
        receipt: &mut Receipt,
    ) -> Result<(), StoreError> {
        let mut groups: BTreeMap<(&str, &str), (&By, Vec<&Entry>)> = BTreeMap::new();
        for entry in fire {
            let mut acts = false;
            for by in &entry.by {
                let key = (entry.key().to_string(), by.runbook.to_string());
                let is_new = self.episodes.get(&key).is_none_or(|last| {
                    // Of one that is still open the end was never heard: a silence, a lost notification,
                    // `send_resolved: false`.
                    entry.starts_at > last.ends_at.unwrap_or(last.starts_at)
                });
                if is_new {
                    let group = groups.entry((&by.runbook, &by.scope_key)).or_insert((by, Vec::new()));
                    group.1.push(entry);
                    acts = true;
                }
            }
            if acts {
                receipt.taken.push(entry.fingerprint.clone());
            } else {
                receipt.repeated += 1;
            }
        }
        let mut joined = BTreeSet::new();
        for (by, entries) in groups.into_values() {
            let (alerts, more) = kept(entries.iter().map(|entry| entry.json.as_str()).collect());
            let alerts = alerts.map(alert).collect::<Result<_, _>>()?;
            let open = self.incidents.values().find(|kept| {
                let summary = &kept.summary;
                summary.closed_at.is_none()
                    && summary.begun_by.is_none()
                    && *summary.runbook == *by.runbook
                    && summary.scope == by.scope
            });
            let incident = if let Some(open) = open {
                let incident = open.summary.id.clone();
                joined.extend(entries.iter().map(|entry| entry.key().clone()));
                self.record(now, &incident, Event::AlertsJoined { alerts, more })?;
                incident
            } else {
                let incident = self.begin(now, &by.runbook, &by.scope, None, by.drill.clone());
                receipt.opened.push(incident.clone());
                let opened = Opened {
                    runbook: by.runbook.to_string(),
                    hash: by.hash.clone(),
                    scope: by.scope.clone(),
                    deadline: after(now, by.deadline),
                    alerts,
                    more,
                    truncated,
                    restore: None,
                    run: None,
                    drill: by.drill.clone(),
                };
                self.record(now, &incident, Event::Opened(opened))?;
                incident
            };
            for entry in entries {
                let key = (entry.key().to_string(), by.runbook.to_string());
                let incident = Some(incident.clone());
                self.episodes.insert(key, Episode { starts_at: entry.starts_at, ends_at: None, incident });
            }
        }
        receipt.joined += joined.len();
        Ok(())
    }

    /// The incident of a restore, when none is open for the object, and something of it is changed.
    pub(super) fn open_restore(
        &mut self,
        now: Timestamp,
        opened: Opened,
    ) -> Result<Option<IncidentId>, StoreError> {
        let Some(restore) = &opened.restore else { return Err(rules::no_restore()) };
        let open = self.incidents.values().map(|kept| &kept.summary).any(|summary| {
            summary.closed_at.is_none() && summary.runbook == opened.runbook && summary.scope == opened.scope
        });
        if open || !self.changes.iter().any(|entry| entry.object == restore.object) {
            return Ok(None);
        }
        let incident = self.begin(now, &opened.runbook, &opened.scope, None, None);
        self.record(now, &incident, Event::Opened(opened))?;
        Ok(Some(incident))
    }

    /// The incident of a run, when nobody works on the same.
    pub(super) fn open_run(
        &mut self,
        now: Timestamp,
        key: &str,
        opened: Opened,
    ) -> Result<Begun, StoreError> {
        let by = rules::run_of(&opened)?.by.clone();
        if let Some(known) = self.runs.get(key) {
            return Ok(Begun::Known(known.clone()));
        }
        let mut open = self.incidents.values().map(|kept| &kept.summary).filter(|summary| {
            summary.closed_at.is_none() && summary.runbook == opened.runbook && summary.scope == opened.scope
        });
        if let Some(open) = open.next() {
            return Ok(Begun::Busy(open.id.clone()));
        }
        let incident = self.begin(now, &opened.runbook, &opened.scope, Some(by), None);
        self.runs.insert(key.to_owned(), incident.clone());
        self.record(now, &incident, Event::Opened(opened))?;
        Ok(Begun::New(incident))
    }

    pub(super) fn begin(
        &mut self,
        now: Timestamp,
        runbook: &str,
        scope: &Labels,
        begun_by: Option<String>,
        drill: Option<String>,
    ) -> IncidentId {
        let id = chance::fresh_id(now);
        let summary = Summary {
            id: id.clone(),
            runbook: runbook.to_owned(),
            scope: scope.clone(),
            opened_at: now,
            closed_at: None,
            outcome: None,
            seq: 0,
            begun_by,
            drill,
        };
        self.incidents.insert(id.clone(), Kept { summary, events: Vec::new(), owner: None, epoch: 0 });
        id
    }

    fn end(&mut self, now: Timestamp, end: &[&Entry], receipt: &mut Receipt) -> Result<(), StoreError> {
        let mut ended: BTreeMap<IncidentId, Vec<_>> = BTreeMap::new();
        for entry in end {
            let (starts_at, ends_at) = (entry.starts_at, entry.ends_at);
            if entry.is_nonsense() {
                receipt.repeated += 1;
                continue;
            }
            let mut answering = BTreeSet::new();
            let mut changed = false;
            for (_, episode) in self.episodes.iter_mut().filter(|((of, _), _)| **of == **entry.key()) {
                if episode.ends_at.is_none() && ends_at >= Some(episode.starts_at) {
                    episode.ends_at = ends_at;
                    answering.extend(episode.incident.clone());
                    changed = true;
                } else if episode.ends_at.is_some_and(|over| starts_at > over) {
                    *episode = Episode { starts_at, ends_at, incident: None };
                    changed = true;
                }
            }
            for by in &entry.by {
                let key = (entry.key().to_string(), by.runbook.to_string());
                self.episodes.entry(key).or_insert_with(|| {
                    changed = true;
                    Episode { starts_at, ends_at, incident: None }
                });
            }
            answering
                .retain(|incident| self.kept(incident).is_ok_and(|kept| kept.summary.closed_at.is_none()));
            receipt.resolved += usize::from(!answering.is_empty());
            receipt.repeated += usize::from(!changed);
            for incident in answering {
                ended.entry(incident).or_default().push(entry.fingerprint.clone());
            }
        }
        for (incident, fingerprints) in ended {
            self.record(now, &incident, Event::AlertsResolved { fingerprints })?;
        }
        Ok(())
    }

    fn suppress(
        &mut self,
        now: Timestamp,
        prepared: &Prepared,
        receipt: &mut Receipt,
    ) -> Result<(), StoreError> {
        let mut quiet: BTreeMap<(IncidentId, Option<&str>), Vec<_>> = BTreeMap::new();
        for (key, suppressed) in &prepared.suppressed {
            let open =
                self.episodes.iter().filter(|((of, _), episode)| **of == **key && episode.ends_at.is_none());
            let open: Vec<_> = open
                .filter_map(|(row, episode)| Some((row.clone(), episode.incident.clone()?)))
                .filter(|(_, incident)| {
                    self.kept(incident).is_ok_and(|kept| kept.summary.closed_at.is_none())
                })
                .collect();
            let count = match suppressed.why {
                Some(_) => &mut receipt.suppressed,
                None => &mut receipt.resolved,
            };
            *count += usize::from(!open.is_empty());
            for (row, incident) in open {
                self.episodes.remove(&row);
                let place = quiet.entry((incident, suppressed.why.as_deref())).or_default();
                place.push(suppressed.fingerprint.clone());
            }
        }
        for ((incident, why), fingerprints) in quiet {
            let event = match why {
                Some(why) => Event::AlertsSuppressed { fingerprints, why: why.to_owned() },
                None => Event::AlertsResolved { fingerprints },
            };
            self.record(now, &incident, event)?;
        }
        Ok(())
    }
}

fn alert(json: &str) -> Result<Alert, StoreError> {
    serde_json::from_str(json)
        .map_err(|error| StoreError::NotThisWay(format!("an alert that can not be read back ({error})")))
}
