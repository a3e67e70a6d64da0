//! The journal in memory, for the tests.
