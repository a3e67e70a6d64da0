//! Tells people: a reader of the journal that never writes an event and never holds an incident up.
//!
//! ```text
//! journal --behind--> slack (when, in which order, how often) --> clients::slack
//!                       |
//!                     texts (every sentence that people read)
//! ```
//!
//! What could not be delivered stays in the journal and is delivered later.

pub mod slack;
pub mod texts;
pub mod transcript;

pub use slack::SlackSink;
