//! The sandbox against the recorded answers of the real servers. Every recording is replayed, or stands in a list of
//! those that are not, with the reason; a new one that is in neither fails the test.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod kubernetes;
mod loki;

use std::collections::BTreeSet;

use crate::sandbox_recordings::names;

/// Fails when a recording of a system is in neither list, in both, or not there.
fn assert_all_accounted_for(system: &str, replayed: &[&str], left_out: &[(&str, &str)]) {
    let present: BTreeSet<String> = names(system).into_iter().collect();
    let replayed: BTreeSet<String> = replayed.iter().map(|name| (*name).to_owned()).collect();
    let left_out: BTreeSet<String> = left_out.iter().map(|(name, _)| (*name).to_owned()).collect();
    let both: Vec<_> = replayed.intersection(&left_out).collect();
    assert!(both.is_empty(), "in both lists: {both:?}");
    let listed: BTreeSet<String> = replayed.union(&left_out).cloned().collect();
    let forgotten: Vec<_> = present.difference(&listed).collect();
    assert!(forgotten.is_empty(), "neither replayed nor left out with a reason: {forgotten:?}");
    let gone: Vec<_> = listed.difference(&present).collect();
    assert!(gone.is_empty(), "listed but not recorded: {gone:?}");
}
