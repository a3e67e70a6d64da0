//! runbookd: runs the runbooks of Prometheus alerts.

pub mod clock;
pub mod retry;

pub mod logql;

pub mod clients;
