//! `runbookd resume`: allows effects again.

use std::process::ExitCode;

use clap::Args;

use super::client::{Client, Connection, me};
use super::output::{finish, lines};
use super::paint::harmless;
use crate::api::wire::{Resume, Resumed};

/// Allows effects again after `runbookd pause`. Each waiting incident is confirmed anew first.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  runbookd resume")]
pub struct ResumeArgs {
    /// Who says it (by default you, as USER@HOST).
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the title of the flags")]
    pub connection: Connection,
}

/// Resumes.
///
/// # Errors
/// When the daemon can not be reached, or says no.
pub async fn run(args: ResumeArgs) -> anyhow::Result<ExitCode> {
    finish(resume(args).await)
}

async fn resume(args: ResumeArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.connection)?;
    let resumed: Resumed = client.say("/resume", &Resume { by: args.by.unwrap_or_else(me) }).await?;
    lines([match resumed.was {
        Some(pause) => format!(
            "Resumed. It was paused by {} since {}: {}",
            harmless(&pause.by),
            pause.at,
            harmless(&pause.reason)
        ),
        None => "Nothing was paused.".to_owned(),
    }])?;
    Ok(ExitCode::SUCCESS)
}
