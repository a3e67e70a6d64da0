//! Chaos: a fault is made, and the way of its alert is watched to the end. `runbookd demo` and `runbookd inject` are its fronts.

pub mod breaking;
pub mod load;
pub mod real;
pub mod report;
pub mod scenario;
pub mod shipped;
pub mod stage;
pub mod synthetic;
