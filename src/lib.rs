//! runbookd: runs the runbooks of Prometheus alerts.

pub mod alert;
pub mod clock;
pub mod incident;
pub mod logql;
pub mod runbook;
pub mod text;
