//! `runbookd status`: how the daemon stands, in a few lines.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::{Client, Connection};
use super::output::{Output, finish, json, lines};
use super::paint::{Paint, Tone, harmless};
use super::table::{Cell, table};
use crate::api::wire::Status;
use crate::runbook::Mode;

/// Shows whether the daemon is paused, how many incidents are open, and which runbooks are loaded.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  runbookd status")]
pub struct StatusArgs {
    /// How to answer.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the title of the flags")]
    pub connection: Connection,
}

/// Shows the status.
///
/// # Errors
/// When the daemon can not be reached, or says no.
pub async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    finish(show(args).await)
}

async fn show(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.connection)?;
    match args.output {
        Output::Json => json(&client.status::<Value>().await?)?,
        Output::Text => lines(shown(&client.status().await?, Paint::of_stdout()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The status as people read it.
#[must_use]
pub fn shown(status: &Status, paint: Paint) -> Vec<String> {
    let row =
        |name: &str, value: String| format!("{}  {value}", paint.mark(Tone::Faint, &format!("{name:8}")));
    let paused = match &status.paused {
        Some(pause) => {
            let by = harmless(&pause.by);
            paint.mark(Tone::Bad, &format!("by {by} since {}: {}", pause.at, harmless(&pause.reason)))
        }
        None => "no".to_owned(),
    };
    let ceiling = match status.ceiling {
        Mode::Off => "off: no alert is answered",
        Mode::Shadow => "shadow: decides and reports, and does nothing",
        Mode::Ask => "ask: a person approves every plan",
        Mode::Act => "act: runbooks may act on their own, under the guards",
    };
    let mut all = vec![
        row("runbookd", harmless(&status.version)),
        row("paused", paused),
        row("ceiling", ceiling.to_owned()),
        row("open", crate::text::count(status.incidents_open as u64, "incident", "incidents")),
        String::new(),
    ];
    let runbooks = status.runbooks.iter().map(|runbook| {
        [
            Cell::new(harmless(&runbook.name)),
            // What is above the ceiling is never reached.
            Cell::new(runbook.mode.min(status.ceiling).as_str()),
            Cell::new(harmless(&runbook.summary)),
        ]
    });
    all.extend(table(["RUNBOOK", "MODE", "SUMMARY"], runbooks.collect(), paint));
    // Below the table: it is longer than a column.
    if status.runbooks.iter().any(|runbook| runbook.proven.is_some()) {
        all.push(String::new());
        all.extend(status.runbooks.iter().map(|runbook| {
            let proven = runbook.proven.as_deref().unwrap_or("never proven");
            format!("{}: {}", harmless(&runbook.name), harmless(proven))
        }));
    }
    all
}
