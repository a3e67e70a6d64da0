//! runbookd: runs the runbooks of Prometheus alerts.

pub mod clock;
pub mod sandbox;
