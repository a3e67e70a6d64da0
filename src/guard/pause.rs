//! A person stopped all effects. Durable state in the journal, with the reason and the person.

use super::{allow, refuse};
use crate::incident::ledger::Ledger;
use crate::incident::refusal::{Answer, Guard, Refusal};

pub(super) fn ask(ledger: &Ledger) -> (Answer, Option<Refusal>) {
    match &ledger.pause {
        None => allow(Guard::Pause, "not paused", "no effect while paused"),
        Some(pause) => {
            let saw = format!("paused by {} since {}: {}", pause.by, pause.at, pause.reason);
            refuse(Guard::Pause, saw, "until somebody runs `runbookd resume`", None)
        }
    }
}
