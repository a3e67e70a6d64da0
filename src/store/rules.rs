//! Which event comes into the journal which way, the same for every store.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;

use super::{AskGuards, Hindrance, StoreError};
use crate::incident::changes::Entry;
use crate::incident::drill::{Announced, Drill};
use crate::incident::event::Opened;
use crate::incident::ledger::{Ledger, Pause};
use crate::incident::permit::{Asked, Permit};
use crate::incident::proof::Level;
use crate::incident::run::Run;
use crate::incident::{Event, IncidentId, Outcome};

/// Not [`Event::Opened`], which has ways of its own, and not an intent, which needs the guards.
pub(super) fn may_append(event: &Event) -> Result<(), StoreError> {
    match event {
        Event::Opened(_)
        | Event::EffectIntended { .. }
        | Event::EffectRegranted { .. }
        | Event::FaultAnnounced { .. } => Err(StoreError::NotThisWay(format!("`{}`", event.name()))),
        _ => Ok(()),
    }
}

/// Only what a person says.
pub(super) fn may_say(event: &Event) -> Result<(), StoreError> {
    match event {
        Event::Approved { .. } | Event::Declined { .. } => Ok(()),
        _ => Err(StoreError::NotThisWay(format!("`{}`", event.name()))),
    }
}

/// Asks the guards. One that panics has not said yes, and must not take the journal with it.
pub(super) fn ask(ask: AskGuards, ledger: &Ledger) -> Result<Result<(Event, Permit), Asked>, StoreError> {
    catch_unwind(AssertUnwindSafe(|| ask(ledger)))
        .map_err(|_| StoreError::Unavailable("a guard panicked; nothing was granted".to_owned()))
}

/// The event is an intent of this incident, and of the same effect as the permit.
pub(super) fn fits(incident: &IncidentId, event: &Event, permit: &Permit) -> Result<(), StoreError> {
    let fits = match event {
        Event::EffectIntended { op, plan, .. } => op == permit.op() && plan == permit.plan(),
        Event::EffectRegranted { op, .. } => op == permit.op(),
        _ => false,
    };
    if fits && permit.op().incident() == *incident {
        Ok(())
    } else {
        Err(StoreError::NotThisWay(format!("`{}` with a permit for {}", event.name(), permit.op())))
    }
}

/// A permit again, for an effect whose target is no longer its own.
pub(super) fn not_in_flight(permit: &Permit) -> StoreError {
    StoreError::NotThisWay(format!("a further permit for {}, which is not in flight,", permit.op()))
}

/// An incident that only an alert can open.
pub(super) fn no_restore() -> StoreError {
    StoreError::NotThisWay("an incident that puts nothing back".to_owned())
}

/// The run of an incident that a person begins: it has no alerts.
pub(super) fn run_of(opened: &Opened) -> Result<&Run, StoreError> {
    let alone = opened.by_hand().filter(|_| opened.alerts.is_empty() && opened.more == 0);
    alone.ok_or_else(|| StoreError::NotThisWay("an incident that nobody began by hand".to_owned()))
}

/// The drill of an incident that announces a fault, and who plays it.
pub(super) fn announced_by(opened: &Opened) -> Result<(&str, &str), StoreError> {
    let fault = opened.drill.as_deref().zip(opened.run.as_ref()).filter(|_| opened.announces());
    let fault = fault.map(|(drill, run)| (drill, run.by.as_str()));
    fault.ok_or_else(|| StoreError::NotThisWay("an incident that announces no fault".to_owned()))
}

/// What stands against a fault of this drill now. `open`: a real incident that is open, when this is its first fault.
pub(super) fn may_announce(
    drill: Option<&Drill>,
    pause: Option<Pause>,
    open: Option<(IncidentId, String)>,
    now: Timestamp,
) -> Option<Hindrance> {
    match (drill, pause, open) {
        (None, ..) => Some(Hindrance::Unknown),
        (Some(drill), ..) if !drill.is_on(now) => Some(Hindrance::Over),
        (Some(drill), ..) if drill.at != Level::Fault => Some(Hindrance::NoFaults),
        (_, Some(pause), _) => Some(Hindrance::Paused(pause)),
        (_, _, Some((id, runbook))) => Some(Hindrance::Incident { id, runbook }),
        _ => None,
    }
}

/// What the entries say to a fault: `Ok` when it is of nothing that is changed; the incident that has announced the very same.
pub(super) fn over(
    entries: &[Entry],
    announced: &Announced,
    is_own: impl Fn(&IncidentId) -> bool,
) -> Result<Option<IncidentId>, Hindrance> {
    let Some(sets) = &announced.sets else { return Ok(None) };
    let mut known = None;
    for set in &sets.fields {
        let same = |entry: &&Entry| entry.object == sets.object && entry.field == set.field;
        let Some(entry) = entries.iter().find(same) else { continue };
        let by = entry.now.op.incident();
        if !is_own(&by) || !entry.field.same(entry.now.value.as_deref(), set.after.as_deref()) {
            let (object, field) = (entry.object.to_string(), entry.field.to_string());
            return Err(Hindrance::Changed { object, field });
        }
        known = Some(by);
    }
    Ok(known)
}

/// The end of an incident that announces a fault.
pub(super) fn announced() -> Event {
    Event::Closed {
        outcome: Outcome::Injected,
        why: "a fault of a drill; what it leads to is an incident of its own".to_owned(),
    }
}
