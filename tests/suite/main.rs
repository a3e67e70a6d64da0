//! All tests of the outside of the crate, in one binary: each test binary links everything anew.

mod architecture;
mod core;
