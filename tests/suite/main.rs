//! All tests of the outside of the crate, in one binary: each test binary links everything anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, in whatever function it is")]

mod store;
