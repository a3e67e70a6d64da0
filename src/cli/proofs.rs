//! `runbookd proofs`: when each runbook was last proven, how near to the real failure, and how fast it was.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Client, Connection};
use super::output::{Output, finish, json, lines};
use super::paint::{Paint, Tone, harmless};
use super::table::{Cell, table};
use crate::api::wire::{ProofView, Proofs, ProvenRunbook};
use crate::incident::proven::day;
use crate::text::span;

/// Shows when each runbook was last put to the proof at each level, and what keeps one from acting on its own.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    runbookd proofs                    the newest proof of each runbook at each level\n  \
    runbookd proofs --output json      what the API gives\n\n\
    `runbookd inject` makes them. Whether one is demanded before a runbook may act on its own says `proof:` in the configuration.")]
pub struct ProofsArgs {
    /// How to answer.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the title of the flags")]
    pub connection: Connection,
}

/// Shows the proofs.
///
/// # Errors
/// When the daemon can not be reached, or says no.
pub async fn run(args: ProofsArgs) -> anyhow::Result<ExitCode> {
    finish(show(args).await)
}

async fn show(args: ProofsArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.connection)?;
    match args.output {
        Output::Json => json(&client.proofs::<Value>().await?)?,
        Output::Text => lines(list(&client.proofs().await?, Paint::of_stdout()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The table of the proofs, and a line for each runbook that lacks the one that is demanded.
#[must_use]
pub fn list(proofs: &Proofs, paint: Paint) -> Vec<String> {
    let rows = proofs.runbooks.iter().flat_map(|runbook| {
        let name = harmless(&runbook.runbook);
        let never = || {
            let none = || Cell::new("-");
            [
                Cell::new(name.clone()),
                Cell::toned(Tone::Wait, "never"),
                none(),
                none(),
                none(),
                none(),
                Cell::new(""),
            ]
        };
        let mut rows: Vec<_> = runbook.proofs.iter().rev().map(|view| row(&name, runbook, view)).collect();
        if rows.is_empty() {
            rows.push(never());
        }
        rows
    });
    let titles = ["RUNBOOK", "LAST PROVEN", "LEVEL", "SCENARIO", "DETECT", "RECOVER", ""];
    let mut all = table(titles, rows.collect(), paint);
    let demand = match &proofs.demand {
        Some(demand) => {
            let within = span(Duration::from_secs(demand.within_seconds));
            format!("A runbook acts on its own only when it was proven at {} within {within}.", demand.at)
        }
        None => "No proof is demanded before a runbook may act (`proof:` in the configuration).".to_owned(),
    };
    all.extend([String::new(), demand]);
    all.extend(proofs.runbooks.iter().filter_map(|runbook| {
        let missing = harmless(runbook.missing.as_ref()?);
        Some(format!("{} is {missing}", harmless(&runbook.runbook)))
    }));
    all
}

fn row(name: &str, runbook: &ProvenRunbook, view: &ProofView) -> [Cell; 7] {
    let proof = &view.proof;
    let time = |time: Option<Duration>| Cell::new(time.map_or_else(|| "-".to_owned(), span));
    let (tone, remark) = match (proof.passed, runbook.loaded, view.of_this_text) {
        (false, ..) => (Tone::Bad, "failed"),
        (true, false, _) => (Tone::Plain, "not loaded"),
        (true, true, false) => (Tone::Wait, "changed since"),
        (true, true, true) => (Tone::Good, ""),
    };
    [
        Cell::new(name),
        Cell::toned(tone, day(proof.proven_at)),
        Cell::new(proof.at.as_str()),
        Cell::new(harmless(&proof.scenario)),
        time(proof.times.detect),
        time(proof.times.recover),
        Cell::toned(tone, remark),
    ]
}
