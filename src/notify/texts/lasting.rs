//! What is changed for a while: how long it stays, what a person would change so that it lasts, and how a restore speaks of itself.

use jiff::Timestamp;

use super::markup::{brief, code, plain, until};
use super::words::object;
use crate::clock::after;
use crate::incident::event::{EffectResult, Observation, Restore};
use crate::incident::plan::{SetField, Sets, Stays};
use crate::incident::{Event, Incident, OperationId, Outcome, Recorded};
use crate::runbook::Action;

/// What the incident has changed, and how long it stays so: for its end.
pub(super) fn changed(incident: &Incident, history: &[Recorded]) -> Vec<String> {
    let Some(closed) = incident.closed() else { return Vec::new() };
    let well = matches!(closed.outcome, Outcome::Recovered | Outcome::SelfHealed);
    let mut lines: Vec<(String, String)> = Vec::new();
    for recorded in history {
        let Event::EffectIntended { op, plan, .. } = &recorded.event else { continue };
        // What is as it was before needs no line.
        let changes = plan.action != Action::PutBack && happened(history, op);
        let Some(sets) = plan.sets.as_ref().filter(|_| changes) else { continue };
        let stays = stays(sets, recorded.at, closed.at, well);
        for set in &sets.fields {
            let key = format!("{}/{}", sets.object.key(), set.field);
            // What came later over the same field is what counts.
            lines.retain(|(other, _)| *other != key);
            let mut line = format!("• {} of {}: {stays}.", field(set), object(&sets.object));
            if let Some(last) = &sets.make_it_last {
                line.push_str(&format!(" To make it last: {}.", plain(last)));
            }
            lines.push((key, line));
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

fn happened(history: &[Recorded], wanted: &OperationId) -> bool {
    history.iter().any(|recorded| match &recorded.event {
        Event::EffectAnswered { op, result: EffectResult::Applied | EffectResult::Begun { .. } }
        | Event::EffectObserved { op, found: Observation::Done } => op == wanted,
        _ => false,
    })
}

fn field(set: &SetField) -> String {
    let value = |value: Option<&str>| value.map_or_else(|| "nothing".to_owned(), code);
    let (before, after) = (set.before.as_deref(), set.after.as_deref());
    let (before, after) = (value(set.field.or_absent(before)), value(set.field.or_absent(after)));
    format!("{} {before} → {after}", brief(&set.field.to_string()))
}

fn stays(sets: &Sets, intended: Timestamp, closed: Timestamp, well: bool) -> String {
    match sets.stays {
        Stays::ForGood => "stays, in the cluster only".to_owned(),
        Stays::For(time) => format!("put back at {}", until(after(intended, time), closed)),
        Stays::UntilRecovered { .. } if well => "put back now".to_owned(),
        Stays::UntilRecovered { or_else } => format!("put back at {}", until(after(closed, or_else), closed)),
        Stays::UntilAPersonDecides => "stays until a person decides; see `runbookd changes`".to_owned(),
    }
}

/// What a restore is about, instead of an alert.
pub(super) fn restores(restore: &Restore) -> String {
    format!("*Puts back*\nwhat incident {} ({}) changed", code(restore.of.as_str()), brief(&restore.runbook))
}

/// What the person who reads of a restore's end does next.
pub(super) fn next(incident: &Incident, restore: &Restore, outcome: Outcome) -> String {
    match outcome {
        Outcome::Blocked if !incident.left_alone.is_empty() => {
            "Nothing more will be done there: it stays as somebody else wants it.".to_owned()
        }
        Outcome::Recovered | Outcome::SelfHealed | Outcome::NotConfirmed | Outcome::Injected => {
            "Nothing for you to do.".to_owned()
        }
        Outcome::NotRecovered => format!(
            "Please decide what {} should have for good; {} shows what is changed.",
            object(&restore.object),
            code("runbookd changes")
        ),
        Outcome::Blocked | Outcome::Expired | Outcome::Declined | Outcome::Joined | Outcome::WouldAct => {
            format!(
                "Please look at {}: what was changed for a while may still be so. {} shows it.",
                object(&restore.object),
                code("runbookd changes")
            )
        }
        Outcome::Inconclusive | Outcome::Failed | Outcome::Ambiguous | Outcome::Stopped => format!(
            "Please look at {}: how it stands is not known for sure. {} shows what is still changed.",
            object(&restore.object),
            code("runbookd changes")
        ),
    }
}
