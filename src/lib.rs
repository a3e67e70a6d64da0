//! runbookd: runs the runbooks of Prometheus alerts.

// Things: plain data and pure functions.
pub mod alert;
pub mod incident;
pub mod logql;
pub mod runbook;
pub mod text;
pub mod yaml;

// Tools.
pub mod clients;
pub mod clock;
pub mod retry;
pub mod store;

// Stages.
pub mod act;
pub mod crash;
pub mod guard;
pub mod listen;
pub mod metrics;
pub mod pipeline;
pub mod probe;
pub mod receive;
pub mod telemetry;

// Around it.
pub mod cli;
pub mod config;
