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
