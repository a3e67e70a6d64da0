//! Chaos: a fault is made, and the way of its alert is watched to the end. `runbookd demo` is its front.

pub mod stage;
