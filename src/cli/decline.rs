//! `runbookd decline`: says no to the plan of an incident that asks.

use std::process::ExitCode;

use clap::Args;

use super::client::{Client, Connection, me};
use super::output::{finish, lines};
use crate::api::wire::WithReason;
use crate::incident::Recorded;

/// Says no to a plan that waits for approval. The incident is closed as declined; nothing was changed.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    runbookd incidents --open\n  \
    runbookd decline 1kfm3x9q02vge --reason 'the migration is still running'")]
pub struct DeclineArgs {
    /// The incident's id, or enough of its beginning or end.
    pub id: String,
    /// Why not; it goes into the journal.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
    /// Who says it (by default you, as USER@HOST).
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the title of the flags")]
    pub connection: Connection,
}

/// Declines.
///
/// # Errors
/// When the daemon can not be reached, or says no.
pub async fn run(args: DeclineArgs) -> anyhow::Result<ExitCode> {
    finish(decline(args).await)
}

async fn decline(args: DeclineArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.connection)?;
    let id = client.resolve(&args.id).await?;
    let body = WithReason { by: args.by.unwrap_or_else(me), reason: args.reason };
    let _: Recorded = client.say(&format!("/incidents/{id}/decline"), &body).await?;
    lines([format!("Declined. Incident {id} is closed, and nothing was changed by this plan.")])?;
    Ok(ExitCode::SUCCESS)
}
