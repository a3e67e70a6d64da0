//! All tests of the outside of the crate, in one binary: each test binary links everything anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by them, wherever in it")]

mod actions;
mod alerts;
mod api;
mod architecture;
mod around;
mod asking;
mod check;
mod config;
mod core;
#[cfg(feature = "crash-points")]
mod crash;
#[cfg(feature = "crash-points")]
mod crash_actions;
#[cfg(feature = "crash-points")]
mod crash_proofs;
#[cfg(feature = "crash-points")]
mod crash_runs;
mod daemon;
mod docs;
mod exec;
mod fields;
mod flows;
mod http_calls;
mod inject;
mod inject_real;
mod invariants;
mod listen;
mod load;
mod notify;
mod proofs;
mod real_alertmanager;
mod real_aws;
mod real_faults;
mod real_inject;
mod real_prometheus;
mod real_prometheus_api;
mod real_rds;
mod real_record;
mod real_terraform;
mod receive;
mod reconcile;
mod records;
mod report;
mod runs;
mod sandbox_alertmanager;
mod sandbox_aws;
mod sandbox_conformance;
mod sandbox_ec2;
mod sandbox_front;
mod sandbox_loki;
mod sandbox_meddlers;
mod sandbox_rds;
mod sandbox_recordings;
mod sandbox_scenarios;
mod sandbox_slack;
mod sandbox_wire;
mod sandbox_world;
mod shutdown;
mod stages;
mod start;
mod store;
mod synthetic;
mod unschedulable;
mod verify;
mod webhook;
