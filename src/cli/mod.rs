//! The commands: one file each. What they print is for people, and for scripts that look at the exit code:
//! 0 fine, 1 faults found or not recovered, 2 wrong usage.

pub mod approve;
pub mod changes;
pub mod check;
mod client;
pub mod decline;
pub mod demo;
mod follow;
pub mod incidents;
pub mod inject;
pub mod load;
mod output;
pub mod paint;
pub mod pause;
pub mod proofs;
pub mod report;
pub mod resume;
pub mod run;
pub mod serve;
pub mod status;
mod table;
mod teller;
pub mod timeline;
pub mod verify;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use paint::{Paint, Tone};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the runbooks of Prometheus alerts: confirms them, acts under guards, verifies that it helped, and reports.
#[derive(Debug, Parser)]
#[command(name = "runbookd", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How long threads that still wait for a disk may hold up the end.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

const AFTER_HELP: &str = "\
Begin here:
  runbookd demo                              See an alert go its whole way, in a sandbox on this machine
  runbookd check --config runbookd.yaml      Say everything that is wrong with a configuration and its runbooks
  runbookd serve --config runbookd.yaml      Run the daemon; it changes nothing while `ceiling:` is `shadow`

Exit codes: 0 fine, 1 faults found or not recovered, 2 wrong usage, 3 nobody can say (`verify`).";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show an alert's whole way in a sandbox: fired, confirmed, acted on, verified, recovered
    Demo(demo::Demo),
    /// Make a fault, and prove that what must follow comes true
    Inject(inject::Inject),
    /// Run the daemon
    Serve(serve::Serve),
    /// Say everything that is wrong with runbooks and a configuration
    Check(check::Check),
    /// Say whether all is well: pods, nodes, rollouts, whatever the checks of `rules/` ask
    Verify(verify::Verify),
    /// Show whether the daemon is paused, what is open, and which runbooks are loaded
    Status(status::StatusArgs),
    /// List incidents, show one with its timeline, or the alerts that nobody answered
    Incidents(incidents::IncidentsArgs),
    /// Show what is changed for a while: until when, and who touched it since
    Changes(changes::ChangesArgs),
    /// Show when each runbook was last proven, how near to the real failure, and how fast
    Proofs(proofs::ProofsArgs),
    /// Begin a runbook by hand, through the same guards
    Run(run::RunArgs),
    /// Stop all effects, durably
    Pause(pause::PauseArgs),
    /// Allow effects again
    Resume(resume::ResumeArgs),
    /// Approve the plan that an incident asks for
    Approve(approve::ApproveArgs),
    /// Decline the plan that an incident asks for
    Decline(decline::DeclineArgs),
    #[cfg(feature = "crash-points")]
    /// List the places at which a test can stop and kill this build
    #[command(hide = true)]
    CrashPoints,
}

/// Runs the command that the arguments name; the first is the program's own name.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            // A closed pipe is no reason to fail over it.
            let _ = usage.print();
            return if usage.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let code = runtime.block_on(async { command(cli.command).await.unwrap_or_else(|error| failed(&error)) });
    // A read that hangs on a dead disk must not keep the process.
    runtime.shutdown_timeout(LEAVE_WITHIN);
    code
}

/// From this call on, SIGTERM and Ctrl-C no longer end the process: what is returned comes back when one came,
/// however late it is asked.
///
/// # Errors
/// The system does not let it hear them.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn command(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Inject(args) => inject::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Check(args) => {
            let (text, fine) = args.report(Paint::of_stdout());
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Verify(args) => verify::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Incidents(args) => incidents::run(args).await,
        Command::Changes(args) => changes::run(args).await,
        Command::Proofs(args) => proofs::run(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Pause(args) => pause::run(args).await,
        Command::Resume(args) => resume::run(args).await,
        Command::Approve(args) => approve::run(args).await,
        Command::Decline(args) => decline::run(args).await,
        #[cfg(feature = "crash-points")]
        Command::CrashPoints => {
            let _ = writeln!(std::io::stdout(), "{}", crate::crash::POINTS.join("\n"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Says why, and that it failed. The cause of a cause is on the same line, so that a log has it whole.
fn failed(error: &anyhow::Error) -> ExitCode {
    let word = Paint::of_stderr().mark(Tone::Bad, "runbookd:");
    let _ = writeln!(std::io::stderr(), "{word} {error:#}");
    ExitCode::FAILURE
}

/// A variable of the environment; one that is not text counts as not set.
fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the commands read the environment here and nowhere else")]
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    /// Not heard yet would be the end of these tests.
    #[tokio::test]
    async fn a_signal_that_comes_before_anyone_waits_is_heard() {
        let told_to_stop = super::stopped().unwrap();
        let this = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &this]).status().unwrap().success());
        tokio::time::timeout(std::time::Duration::from_secs(5), told_to_stop).await.unwrap();
    }
}
