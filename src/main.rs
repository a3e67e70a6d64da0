//! Hand-over.
fn main() {}
