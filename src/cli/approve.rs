//! `runbookd approve`: shows exactly what would be done, and approves that and nothing else.

use std::io::{BufRead, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::client::{Client, Connection, me};
use super::output::{finish, lines, note};
use super::paint::{Paint, Tone, harmless};
use super::timeline;
use crate::api::wire::{Approve, Asking, IncidentView};
use crate::clock;
use crate::incident::Recorded;
use crate::text::span;

/// Shows the plan of an incident that waits for approval, and approves it.
///
/// Only the plan that is shown is approved: when it changes in the meantime, the daemon says so. After the approval
/// the evidence is confirmed anew and every guard is asked.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    runbookd approve 1kfm3x9q02vge          shows the plan and asks\n  \
    runbookd approve vge --yes              approves what it shows, for scripts\n\n\
    Exit codes: 0 approved; 1 not approved, or the daemon said no; 2 nobody could be asked")]
pub struct ApproveArgs {
    /// The incident's id, or enough of its beginning or end.
    pub id: String,
    /// Approves without asking on the terminal.
    #[arg(long, short)]
    pub yes: bool,
    /// Who says it (by default you, as USER@HOST).
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the title of the flags")]
    pub connection: Connection,
}

/// Approves.
///
/// # Errors
/// When the daemon can not be reached, or says no.
pub async fn run(args: ApproveArgs) -> anyhow::Result<ExitCode> {
    finish(approve(args).await)
}

async fn approve(args: ApproveArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.connection)?;
    let id = client.resolve(&args.id).await?;
    let view: IncidentView = client.incident(&id).await?;
    let Some(asking) = &view.asking else {
        anyhow::bail!(
            "incident {id} is {} and asks nobody, so there is nothing to approve; see `runbookd incidents {id}`",
            view.stage
        );
    };
    lines(question(&view, asking, clock::now(), Paint::of_stdout()))?;
    if !args.yes {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            note("runbookd: there is no terminal to ask on; use --yes to approve what is shown above");
            return Ok(ExitCode::from(2));
        }
        let mut out = std::io::stdout().lock();
        write!(out, "Approve? [y/N] ")?;
        out.flush()?;
        if !says_yes(&mut stdin.lock())? {
            lines([format!(
                "Not approved; nothing was sent. `runbookd decline {id} --reason ...` says no for good."
            )])?;
            return Ok(ExitCode::FAILURE);
        }
    }
    let body = Approve { by: args.by.unwrap_or_else(me), judged: asking.judged.clone() };
    let _: Recorded = client.say(&format!("/incidents/{id}/approve"), &body).await?;
    lines([format!(
        "Approved by {}. It is confirmed anew and every guard is asked; `runbookd incidents {id} --follow` shows it.",
        harmless(&body.by)
    )])?;
    Ok(ExitCode::SUCCESS)
}

/// What a person has to judge.
fn question(view: &IncidentView, asking: &Asking, now: Timestamp, paint: Paint) -> Vec<String> {
    let summary = &view.summary;
    let mut rows = vec![
        ("incident", summary.id.to_string()),
        ("runbook", harmless(&summary.runbook)),
        ("scope", timeline::scope(&summary.scope)),
    ];
    rows.extend(timeline::plan(&asking.plan));
    rows.extend(asking.why.iter().map(|why| ("asked", harmless(why))));
    let left = clock::between(now, asking.expires);
    let expires =
        if left.is_zero() { "expired".to_owned() } else { format!("in {} ({})", span(left), asking.expires) };
    rows.push(("expires", expires));
    let says = paint.mark(Tone::Strong, &harmless(&asking.plan.says));
    let rows = rows
        .into_iter()
        .map(|(name, value)| format!("  {}  {value}", paint.mark(Tone::Faint, &format!("{name:8}"))));
    std::iter::once(says).chain(rows).collect()
}

/// Only a clear yes is one.
fn says_yes(input: &mut impl BufRead) -> std::io::Result<bool> {
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (answer, yes) in
            [("y\n", true), ("YES\n", true), ("", false), ("\n", false), ("n\n", false), ("yeah\n", false)]
        {
            assert_eq!(says_yes(&mut answer.as_bytes()).unwrap(), yes, "{answer:?}");
        }
    }
}
