//! `runbookd inject cleanup`: undoes what runs at the real systems have left behind, by the notes on the objects. The daemon need not be there; when it is, it is
//! told that the drills are over.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;

use crate::api::wire::{DrillView, Drills};
use crate::chaos::real::{Cleaned, Ground, Undone, cleanup};
use crate::cli::client::{Client, Connection};
use crate::cli::output::{finish, lines, note};
use crate::cli::paint::{Paint, Tone, harmless};
use crate::clients::kubernetes::Kubernetes;
use crate::config::Config;
use crate::incident::drill::Drill;

/// Undoes what runs have left behind.
#[derive(Debug, Args)]
#[command(
    after_help = "Only what bears a note of a run is touched, and only as far as it still is as the run left it. Exit codes: 0 nothing is left; 1 something is,\n\
    and it was said what."
)]
pub(super) struct Cleanup {
    /// The configuration that says which cluster and, in `vars.namespace`, which namespace
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// Only what this run has left
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Undoes it.
pub(super) async fn run(args: Cleanup) -> anyhow::Result<ExitCode> {
    finish(clean(args).await)
}

async fn clean(args: Cleanup) -> anyhow::Result<ExitCode> {
    let config = Config::load(Some(&args.target)).map_err(|faults| anyhow!("{faults}"))?;
    let namespace = config.vars.get("namespace").context("the target's `vars:` name no `namespace`")?;
    let kubernetes = Kubernetes::connect(&config.kubernetes).await?;
    let ground = Ground::new(kubernetes, namespace);
    let cleaned = cleanup(&ground, args.run.as_deref()).await?;
    let paint = Paint::of_stdout();
    let mut is_clean = true;
    for Cleaned { object, note, came } in &cleaned {
        let of = note.as_ref().map(|note| format!(" ({} of {})", note.scenario, note.by)).unwrap_or_default();
        let (tone, word, text) = match came {
            Ok(Undone::Done(text) | Undone::Nothing(text)) => (Tone::Good, "undone", text.clone()),
            Ok(Undone::LeftAlone(why)) => (Tone::Wait, "left alone", why.clone()),
            Err(error) => {
                is_clean = false;
                (Tone::Bad, "not undone", error.to_string())
            }
        };
        let line = harmless(&format!("{object}{of}: {text}"));
        lines([format!("{} {line}", paint.mark(tone, &format!("{word:<10}")))])?;
    }
    // What still bears a note is not understood, or somebody else's to mend.
    for Cleaned { object, .. } in cleanup(&ground, args.run.as_deref()).await? {
        is_clean = false;
        let word = paint.mark(Tone::Bad, &format!("{:<10}", "still there"));
        lines([format!(
            "{word} {}",
            harmless(&format!("a note of a run on {object}: a person has to look"))
        )])?;
    }
    if cleaned.is_empty() {
        lines([format!("No run has left anything in {namespace}.")])?;
    }
    let runs: Vec<&str> = cleaned
        .iter()
        .filter_map(|cleaned| cleaned.note.as_ref())
        .map(|note| note.run.as_str())
        .chain(args.run.as_deref())
        .collect();
    drills_over(&args, &runs).await?;
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells the daemon, when it is there, that what was cleaned up is over. Another one may still be played, by somebody else.
async fn drills_over(args: &Cleanup, runs: &[&str]) -> anyhow::Result<()> {
    let client = Client::new(&args.connection)?;
    let known: Drills = match client.drills().await {
        Ok(known) => known,
        Err(error) => {
            note(&format!(
                "The daemon was not told ({error}): a drill that it has for running is over by itself, and what it still has to put back it puts back."
            ));
            return Ok(());
        }
    };
    for drill in known.drills.iter().filter(|drill| drill.on) {
        let Drill { run, scenario, by, .. } = &drill.drill;
        if !runs.contains(&run.as_str()) {
            lines([harmless(&format!(
                "The daemon has drill {run} of {scenario} by {by} for running; when nobody plays it any more, `--run {run}` ends it."
            ))])?;
            continue;
        }
        let _: DrillView = client.say_once(&format!("/drills/{run}/end"), &serde_json::json!({})).await?;
        lines([harmless(&format!("ended      drill {run} of {scenario}, by {by}"))])?;
    }
    Ok(())
}
