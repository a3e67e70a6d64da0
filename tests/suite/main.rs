//! All tests of the outside of the crate, in one binary: each test binary links everything anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by them, wherever in it")]

mod check;
mod config;
mod core;
mod store;
