//! The commands, one file each. What they print is for people and for scripts that look at the exit code: 0 fine, 1 not, 2 wrong usage.

pub mod approve;
pub mod check;
mod client;
pub mod decline;
mod follow;
pub mod incidents;
mod output;
pub mod paint;
pub mod pause;
pub mod resume;
mod table;
pub mod timeline;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs the runbooks of Prometheus alerts: confirms, acts under guards, verifies, reports.
#[derive(Debug, Parser)]
#[command(name = "runbookd", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  runbookd check rules/                      Say everything that is wrong with the runbooks in a folder
  runbookd check --config runbookd.yaml      The same for a configuration and the runbooks that it names";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say everything that is wrong with runbooks and a configuration
    Check(check::Check),
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
    match cli.command {
        Command::Check(check) => {
            let (text, code) = check.report(paint::Paint::of_stdout() == paint::Paint::COLOUR);
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            code
        }
    }
}

/// A variable of the environment; one that is not text counts as not set.
fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the commands read the environment here and nowhere else")]
    std::env::var(name).ok()
}
