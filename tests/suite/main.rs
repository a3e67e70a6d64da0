//! All tests of the outside of the crate, in one binary: each test binary links everything anew.
#![allow(clippy::unwrap_used, reason = "a test may fail by it, wherever in it")]

mod api;
mod core;
mod store;
