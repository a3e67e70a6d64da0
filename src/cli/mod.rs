//! The commands over the daemon's API, one file each.

pub mod approve;
mod client;
pub mod decline;
mod follow;
pub mod incidents;
mod output;
pub mod paint;
pub mod pause;
pub mod resume;
pub mod status;
mod table;
pub mod timeline;

/// A variable of the environment; one that is not text counts as not set.
fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the commands read the environment here and nowhere else")]
    std::env::var(name).ok()
}
