//! One notification into the model, alert by alert.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Episode, Kept, State};
use crate::clock::after;
use crate::incident::event::Opened;
use crate::incident::{Event, IncidentId};
use crate::store::prepared::{By, Entry, Prepared, kept};
use crate::store::{Receipt, StoreError, Summary, UNANSWERED_KEPT, Unanswered, chance};

/// An alert, a runbook that has not answered its episode yet, and the number of that.
type Answer<'a> = (&'a Entry, &'a By, u64);

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
        let mut groups: BTreeMap<(&str, &str), Vec<Answer<'_>>> = BTreeMap::new();
        for entry in fire {
            let new = Episode { number: 1, starts_at: entry.starts_at, ends_at: None };
            let episode = self.episodes.entry(entry.key().to_owned()).or_insert(new);
            match episode.ends_at {
                Some(over) if entry.starts_at > over => {
                    *episode = Episode { number: episode.number + 1, ..new }
                }
                Some(_) => {
                    receipt.repeated += 1;
                    continue;
                }
                // Its end was never heard: a silence, a lost notification, `send_resolved: false`.
                None if entry.starts_at > episode.starts_at => {
                    *episode = Episode { number: episode.number + 1, ..new }
                }
                None => {}
            }
            let number = episode.number;
            let mut acts = false;
            for by in &entry.by {
                let key = (entry.key().to_owned(), by.runbook.clone());
                if self.answered.get(&key).is_none_or(|(last, _)| *last < number) {
                    groups.entry((&by.runbook, &by.scope_key)).or_default().push((entry, by, number));
                    acts = true;
                }
            }
            receipt.repeated += usize::from(!acts);
        }
        let mut joined = BTreeSet::new();
        for answers in groups.into_values() {
            let by = answers[0].1;
            let (alerts, more) = kept(answers.iter().map(|(entry, ..)| entry.alert.clone()).collect());
            let alerts = alerts.collect();
            let open = self.incidents.values().find(|kept| {
                let summary = &kept.summary;
                summary.closed_at.is_none() && summary.runbook == by.runbook && summary.scope == by.scope
            });
            let incident = if let Some(open) = open {
                let incident = open.summary.id.clone();
                joined.extend(answers.iter().map(|(entry, ..)| entry.key().to_owned()));
                self.record(now, &incident, Event::AlertsJoined { alerts, more })?;
                incident
            } else {
                let incident = self.begin(now, by);
                receipt.opened.push(incident.clone());
                let opened = Opened {
                    runbook: by.runbook.clone(),
                    hash: by.hash.clone(),
                    scope: by.scope.clone(),
                    deadline: after(now, by.deadline),
                    alerts,
                    more,
                    truncated,
                };
                self.record(now, &incident, Event::Opened(opened))?;
                incident
            };
            for (entry, by, number) in answers {
                let key = (entry.key().to_owned(), by.runbook.clone());
                self.answered.insert(key, (number, incident.clone()));
            }
        }
        receipt.joined += joined.len();
        Ok(())
    }

    fn begin(&mut self, now: Timestamp, by: &By) -> IncidentId {
        let id = chance::fresh_id(now);
        let summary = Summary {
            id: id.clone(),
            runbook: by.runbook.clone(),
            scope: by.scope.clone(),
            opened_at: now,
            closed_at: None,
            outcome: None,
            seq: 0,
        };
        self.incidents.insert(id.clone(), Kept { summary, events: Vec::new(), owner: None, epoch: 0 });
        id
    }

    fn end(&mut self, now: Timestamp, end: &[&Entry], receipt: &mut Receipt) -> Result<(), StoreError> {
        let mut ended: BTreeMap<IncidentId, Vec<_>> = BTreeMap::new();
        for entry in end {
            let key = entry.key().to_owned();
            let (starts_at, ends_at) = (entry.starts_at, entry.ends_at);
            if entry.is_nonsense() {
                receipt.repeated += 1;
                continue;
            }
            let number = match self.episodes.get(&key) {
                None => 1,
                Some(open) if open.ends_at.is_none() => {
                    if ends_at < Some(open.starts_at) {
                        receipt.repeated += 1;
                        continue;
                    }
                    open.number
                }
                Some(over) if Some(starts_at) > over.ends_at => over.number + 1,
                Some(_) => {
                    receipt.repeated += 1;
                    continue;
                }
            };
            let begun = self.episodes.get(&key).filter(|open| open.ends_at.is_none());
            let starts_at = begun.map_or(starts_at, |open| open.starts_at);
            self.episodes.insert(key.clone(), Episode { number, starts_at, ends_at });
            let answering: BTreeSet<IncidentId> = self
                .answered
                .iter()
                .filter(|((of, _), (answered, _))| *of == key && *answered == number)
                .map(|(_, (_, incident))| incident.clone())
                .filter(|incident| self.kept(incident).is_ok_and(|kept| kept.summary.closed_at.is_none()))
                .collect();
            receipt.resolved += usize::from(!answering.is_empty());
            for incident in answering {
                ended.entry(incident).or_default().push(entry.alert.fingerprint.clone());
            }
        }
        for (incident, fingerprints) in ended {
            self.record(now, &incident, Event::AlertsResolved { fingerprints })?;
        }
        Ok(())
    }
}
