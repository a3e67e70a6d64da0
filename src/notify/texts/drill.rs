//! What is said otherwise of a drill: people must see at a glance that an alert was made up, and that a fault was made on purpose.

use super::markup::{Draft, brief, code, plain, time};
use super::words::object;
use crate::clients::slack::Message;
use crate::incident::drill::{Announced, Rehearsed};
use crate::incident::{Event, Incident, Recorded};

/// What stands before every head of a drill.
pub(super) const MARK: &str = "🎭 Drill";

/// The whole thread of a fault that is announced.
pub(super) fn fault(incident: &Incident, history: &[Recorded]) -> Option<Message> {
    if !incident.opened.announces() {
        return None;
    }
    let announced = history.iter().find_map(|recorded| match &recorded.event {
        Event::FaultAnnounced { announced, .. } => Some(announced),
        _ => None,
    });
    let Some(Announced { says, undo, object: broken, .. }) = announced else {
        return Some(Draft::new(&format!("{MARK}: a fault")).header(&format!("{MARK}: a fault")).message());
    };
    let run = incident.opened.run.as_ref();
    let by = run
        .map_or_else(String::new, |run| format!("*Broken by*\n{}: {}", plain(&run.by), plain(&run.reason)));
    let says = brief(says);
    let message = Draft::new(&format!("{MARK}: {says}"))
        .header(&format!("{MARK}: {says}"))
        .fields(&[by, format!("*Where*\n{}", object(broken))])
        .section(&[format!(
            "*In the end*: {}, at {} at the latest.",
            plain(undo),
            time(incident.opened.deadline)
        )])
        .context(&[
            format!("Incident {}", code(incident.id.as_str())),
            format!("{} undoes it now", code("runbookd inject cleanup")),
        ]);
    Some(message.message())
}

/// What the other system said to the rehearsal of what would have been done.
pub(super) fn rehearsed(rehearsed: &Rehearsed) -> String {
    match rehearsed {
        Rehearsed::Accepted { what } => format!("🎭 Rehearsed: {}.", plain(what)),
        Rehearsed::Refused { why } => format!("🔴 Rehearsed, and *it would have failed*: {}.", plain(why)),
        Rehearsed::Unanswered { why } => format!("❓ It could not be rehearsed: {}.", plain(why)),
        Rehearsed::OnlyPlanned { why } => format!("⚪ Planned only: {}.", plain(why)),
    }
}
