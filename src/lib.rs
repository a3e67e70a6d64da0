//! runbookd: runs the runbooks of Prometheus alerts.

// Things: plain data and pure functions.
pub mod text;

pub mod yaml;

pub mod alert;
pub mod incident;
pub mod logql;
pub mod promql;
pub mod runbook;

// Tools.
pub mod clients;
pub mod clock;
pub mod crash;
pub mod listen;
pub mod metrics;
pub mod retry;
pub mod store;
pub mod telemetry;

// Stages, in the order in which an alert passes them.
pub mod receive;

pub mod probe;

pub mod guard;

pub mod act;

pub mod notify;

pub mod pipeline;

// Around it.
pub mod api;
pub mod chaos;
pub mod cli;
pub mod config;
pub mod sandbox;
