//! Drills in the model.

use jiff::Timestamp;

use super::State;
use crate::incident::drill::{Announced, Drill, INJECT};
use crate::incident::event::Opened;
use crate::incident::restore::RESTORE;
use crate::incident::{Event, IncidentId, OperationId};
use crate::store::{Announcement, Hindrance, Registered, StoreError, rules};

impl State {
    pub(super) fn register(&mut self, now: Timestamp, drill: Drill) -> Registered {
        if let Some(there) = self.drills.get(&drill.run) {
            return if there.is_on(now) {
                Registered::Known(there.clone())
            } else {
                Registered::NotNow(Hindrance::Over)
            };
        }
        if let Some(pause) = &self.pause {
            return Registered::NotNow(Hindrance::Paused(pause.clone()));
        }
        if let Some(other) = self.drills.values().find(|other| other.is_on(now)) {
            return Registered::NotNow(Hindrance::Drill(Box::new(other.clone())));
        }
        if let Some((id, runbook)) = self.open_for_real() {
            return Registered::NotNow(Hindrance::Incident { id, runbook });
        }
        let drill = Drill { began_at: now, ended_at: None, ..drill };
        self.drills.insert(drill.run.clone(), drill.clone());
        Registered::New(drill)
    }

    fn open_for_real(&self) -> Option<(IncidentId, String)> {
        let mut open = self.incidents.values().map(|kept| &kept.summary);
        let open =
            open.find(|open| open.closed_at.is_none() && open.drill.is_none() && open.runbook != RESTORE)?;
        Some((open.id.clone(), open.runbook.clone()))
    }

    /// The incidents in which a drill has announced its faults.
    fn own(&self, run: &str) -> Vec<IncidentId> {
        let all = self.incidents.values().map(|kept| &kept.summary);
        let own = all.filter(|summary| summary.drill.as_deref() == Some(run) && summary.runbook == INJECT);
        own.map(|summary| summary.id.clone()).collect()
    }

    pub(super) fn end_drill(&mut self, now: Timestamp, run: &str) -> Option<Drill> {
        let own = self.own(run);
        let drill = self.drills.get_mut(run)?;
        if drill.ended_at.is_none() {
            drill.ended_at = Some(now);
            let of_it = self.changes.iter_mut().filter(|entry| own.contains(&entry.now.op.incident()));
            of_it.for_each(|entry| entry.now.until = Some(now));
        }
        Some(drill.clone())
    }

    pub(super) fn announce(
        &mut self,
        now: Timestamp,
        opened: Opened,
        announced: Announced,
    ) -> Result<Announcement, StoreError> {
        let (run, by) = rules::announced_by(&opened)?;
        let (run, by) = (run.to_owned(), by.to_owned());
        let is_first = !self.incidents.values().any(|kept| kept.summary.drill.as_ref() == Some(&run));
        let open = if is_first { self.open_for_real() } else { None };
        if let Some(no) = rules::may_announce(self.drills.get(&run), self.pause.clone(), open, now) {
            return Ok(Announcement::NotNow(no));
        }
        let own = self.own(&run);
        match rules::over(&self.changes, &announced, |id| own.contains(id)) {
            Err(hindrance) => return Ok(Announcement::NotNow(hindrance)),
            Ok(Some(known)) => return Ok(Announcement::Made(known)),
            Ok(None) => {}
        }
        let incident = self.begin(now, &opened.runbook, &opened.scope, Some(by), Some(run));
        self.record(now, &incident, Event::Opened(opened))?;
        let op = OperationId::new(&incident, 1);
        self.record(now, &incident, Event::FaultAnnounced { op, announced })?;
        self.record(now, &incident, rules::announced())?;
        Ok(Announcement::Made(incident))
    }
}
