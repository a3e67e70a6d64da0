//! Every sentence that people read in Slack, for the person who is woken by it: short, concrete, what to do next.
//!
//! An incident is one thread. Its [`head()`] is edited as the incident moves; [`reply()`] adds a line for each event that is worth one.
//! Pure: no clock and no I/O, so the same history always gives the same message.
//!
//! Labels, names, log lines and the words of other systems are hostile: all of them pass through `markup`.

mod by_hand;
mod drill;
mod head;
mod lasting;
mod markup;
mod reply;
mod words;

pub use head::head;
pub use reply::reply;

/// Whether a message says that an incident has ended so.
#[must_use]
pub fn tells_the_end(text: &str, outcome: crate::incident::Outcome) -> bool {
    [true, false].into_iter().any(|acted| text.contains(words::outcome(outcome, acted).1))
}
