//! YAML as a tree whose every node knows where it stood, and a reader over that tree that collects faults instead of stopping at the
//! first. serde would stop; a person who wrote six things wrong wants to hear of six.
//!
//! A strict subset: no anchors, aliases or tags, no duplicate keys, only text as keys, and a budget. No I/O but [`read_file`].

mod fault;
mod fields;
mod file;
mod scalar;
mod tree;
mod values;

pub use fault::{Fault, Faults, Place, Severity};
pub use fields::{Field, Fields};
pub use file::read_file;
pub use scalar::{Scalar, Style};
pub use tree::{Document, Entry, MAX_BYTES, MAX_DEPTH, MAX_NODES, Node, Value, parse};
pub use values::{did_you_mean, parse_duration, parse_size, write_duration};
