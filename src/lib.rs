//! runbookd: runs the runbooks of Prometheus alerts.

// Things: plain data and pure functions.
pub mod alert;
pub mod incident;
pub mod logql;
pub mod runbook;
pub mod text;

// Tools.
pub mod clients;
pub mod clock;
pub mod retry;
pub mod store;

// Stages.
pub mod act;
pub mod crash;
pub mod guard;
pub mod metrics;
pub mod notify;
pub mod pipeline;
pub mod probe;
pub mod telemetry;
