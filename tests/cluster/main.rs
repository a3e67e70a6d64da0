//! runbookd's probes and actions against a real cluster, the one of `RUNBOOKD_TEST_KUBECONFIG`; without that, nothing is run and one line says so.
//!
//! Each test has a namespace of its own and two nodes that the tests make themselves, plays kubelet and scheduler for them, and pulls no image: no
//! scheduler knows the pods, and no machine runs them. Nothing is changed that the tests did not make.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by them, wherever in it")]

mod actions;
mod admin;
mod fields;
mod ground;
mod hooks;
mod leftovers;
mod objects;
mod owners;
mod probes;
mod rights;
mod stage;

#[path = "../suite/invariants.rs"]
mod invariants;
