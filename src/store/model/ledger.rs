//! The ledger of the model: what the limits are counted from.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::State;
use crate::clock;
use crate::incident::ledger::{Attempt, InFlight, KEPT_HOURS, Ledger};
use crate::incident::proof::{Level, Proof};

impl State {
    pub(super) fn ledger(&self, now: Timestamp) -> Ledger {
        let since = clock::before(now, Duration::from_secs(KEPT_HOURS * 3600));
        let mut effects: Vec<_> = self.effects.iter().collect();
        effects.sort_by_key(|(op, effect)| (effect.at, (*op).clone()));
        let in_flight = effects.iter().filter(|(_, effect)| !effect.ended).map(|(op, effect)| InFlight {
            op: (*op).clone(),
            incident: effect.incident.clone(),
            target: effect.target.clone(),
        });
        let attempts = effects.iter().filter(|(_, effect)| effect.at > since).map(|(op, effect)| Attempt {
            op: (*op).clone(),
            runbook: effect.runbook.clone(),
            target: effect.target.clone(),
            at: effect.at,
        });
        Ledger {
            now,
            pause: self.pause.clone(),
            in_flight: in_flight.collect(),
            attempts: attempts.collect(),
            proofs: self.newest_proofs(),
        }
    }

    pub(super) fn newest_proofs(&self) -> Vec<Proof> {
        let mut newest: BTreeMap<(&str, Level, &str, &str), &Proof> = BTreeMap::new();
        let age = |proof: &Proof| (proof.proven_at, !proof.passed, proof.run.clone());
        for proof in self.proofs.values() {
            let there =
                newest.entry((&proof.runbook, proof.at, &proof.scenario, &proof.text)).or_insert(proof);
            if age(proof) > age(there) {
                *there = proof;
            }
        }
        newest.into_values().cloned().collect()
    }
}
