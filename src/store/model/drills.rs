//! Drills in the model.

use jiff::Timestamp;

use super::State;
use crate::incident::drill::{Announced, Drill};
use crate::incident::event::Opened;
use crate::incident::{Event, OperationId};
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
        let mut open = self.incidents.values().map(|kept| &kept.summary);
        if let Some(open) = open.find(|open| open.closed_at.is_none() && open.drill.is_none()) {
            let (id, runbook) = (open.id.clone(), open.runbook.clone());
            return Registered::NotNow(Hindrance::Incident { id, runbook });
        }
        let drill = Drill { began_at: now, ended_at: None, ..drill };
        self.drills.insert(drill.run.clone(), drill.clone());
        Registered::New(drill)
    }

    pub(super) fn end_drill(&mut self, now: Timestamp, run: &str) -> Option<Drill> {
        let drill = self.drills.get_mut(run)?;
        drill.ended_at.get_or_insert(now);
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
        if let Some(no) = rules::may_announce(self.drills.get(&run), self.pause.clone(), now) {
            return Ok(Announcement::NotNow(no));
        }
        let incident = self.begin(now, &opened.runbook, &opened.scope, Some(by), Some(run));
        self.record(now, &incident, Event::Opened(opened))?;
        let op = OperationId::new(&incident, 1);
        self.record(now, &incident, Event::FaultAnnounced { op, announced })?;
        self.record(now, &incident, rules::announced())?;
        Ok(Announcement::Made(incident))
    }
}
