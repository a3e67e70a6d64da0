//! `runbookd pause`: stops all effects, durably.

use std::process::ExitCode;

use clap::Args;

use super::client::{Client, Connection, me};
use super::output::{finish, lines};
use super::paint::harmless;
use crate::api::wire::WithReason;
use crate::incident::ledger::Pause;

/// Stops all effects: nothing is changed any more until `runbookd resume`.
///
/// The pause is written to the journal, so it outlives the daemon. Alerts are still taken in, evidence is still
/// looked at, and an effect that has begun is still verified.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    runbookd pause --reason 'load test until 15:00'\n  \
    runbookd resume")]
pub struct PauseArgs {
    /// Why; everybody who looks at a refused incident reads it.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
    /// Who says it (by default you, as USER@HOST).
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the title of the flags")]
    pub connection: Connection,
}

/// Pauses.
///
/// # Errors
/// When the daemon can not be reached, or says no.
pub async fn run(args: PauseArgs) -> anyhow::Result<ExitCode> {
    finish(pause(args).await)
}

async fn pause(args: PauseArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.connection)?;
    let body = WithReason { by: args.by.unwrap_or_else(me), reason: args.reason };
    let pause: Pause = client.say("/pause", &body).await?;
    lines([
        format!("Paused by {} at {}: {}", harmless(&pause.by), pause.at, harmless(&pause.reason)),
        "Nothing new is changed until `runbookd resume`; what has begun is still verified.".to_owned(),
    ])?;
    Ok(ExitCode::SUCCESS)
}
