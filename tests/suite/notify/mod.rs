//! What people read in Slack, and how it gets there.

mod fakes;
mod hostile;
mod picture;
mod restores;
mod sink;
mod stories;
mod texts;
