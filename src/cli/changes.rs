//! `runbookd changes`: what is changed for a while now, until when, and who touched it since.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::client::{Client, Connection};
use super::output::{Output, finish, json, lines};
use super::paint::{Paint, Tone, harmless};
use super::table::{Cell, table};
use crate::api::wire::{Change, Changes, Live};
use crate::clock::between;
use crate::incident::changes::Entry;
use crate::incident::plan::Stays;
use crate::text::span;

/// Shows every field that runbookd has changed and will put back, and whether somebody else has changed it since.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    runbookd changes                    what is changed now, and until when\n  \
    runbookd changes --output json      what the API gives\n\n\
    What is due is put back on its own, unless somebody else has changed it since, or a person has stopped all effects.")]
pub struct ChangesArgs {
    /// How to answer.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the title of the flags")]
    pub connection: Connection,
}

/// Shows the changes.
///
/// # Errors
/// When the daemon can not be reached, or says no.
pub async fn run(args: ChangesArgs) -> anyhow::Result<ExitCode> {
    finish(show(args).await)
}

async fn show(args: ChangesArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.connection)?;
    match args.output {
        Output::Json => json(&client.changes::<Value>().await?)?,
        Output::Text => lines(list(&client.changes().await?, crate::clock::now(), Paint::of_stdout()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The table of the changes, and a line for each that a person should know more of.
#[must_use]
pub fn list(changes: &Changes, now: Timestamp, paint: Paint) -> Vec<String> {
    if changes.changes.is_empty() {
        return vec![
            "Nothing is changed for a while. What a runbook changes for good is in its incident.".to_owned(),
        ];
    }
    let value = |value: &Option<String>| harmless(value.as_deref().unwrap_or("(nothing)"));
    let rows = changes.changes.iter().map(|change| {
        let Entry { object, field, base, now: ours, .. } = &change.entry;
        let (tone, until) = until(change, now);
        let (live_tone, live) = live(change);
        [
            Cell::toned(Tone::Strong, harmless(&object.key())),
            Cell::new(harmless(&field.to_string())),
            Cell::new(value(base)),
            Cell::new(value(&ours.value)),
            Cell::toned(tone, until),
            Cell::new(ours.op.incident().as_str().to_owned()),
            Cell::toned(live_tone, live),
        ]
    });
    let titles = ["OBJECT", "FIELD", "BEFORE", "CHANGED TO", "PUT BACK", "BY INCIDENT", "IN THE CLUSTER"];
    let mut all = table(titles, rows.collect(), paint);
    for change in &changes.changes {
        if let Some(last) = &change.entry.make_it_last {
            let object = harmless(&change.entry.object.key());
            all.push(format!("{object}: to make it last, change {}", harmless(last)));
        }
    }
    all
}

fn until(change: &Change, now: Timestamp) -> (Tone, String) {
    match (change.entry.now.until, change.entry.now.stays) {
        (Some(until), _) if change.overdue => {
            (Tone::Wait, format!("due since {}", span(between(until, now))))
        }
        (Some(until), _) => (Tone::Plain, format!("in {}", span(between(now, until)))),
        (None, Stays::UntilRecovered { .. }) => (Tone::Plain, "at the end of its incident".to_owned()),
        (None, _) => (Tone::Bad, "when a person decides".to_owned()),
    }
}

fn live(change: &Change) -> (Tone, String) {
    match &change.live {
        Live::AsWeLeftIt => (Tone::Good, "as runbookd left it".to_owned()),
        Live::AsBefore => (Tone::Plain, "as before already".to_owned()),
        Live::Changed { value, by } => {
            let value = harmless(value.as_deref().unwrap_or("(nothing)"));
            let by = by.as_ref().map(|by| format!(" by {}", harmless(by))).unwrap_or_default();
            (Tone::Bad, format!("{value}{by}: will be left alone"))
        }
        Live::Unseen { why } => (Tone::Wait, format!("not seen: {}", harmless(why))),
    }
}
