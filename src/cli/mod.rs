//! The commands: one file each. What they print is for people and for scripts that look at the exit code: 0 fine, 1 not, 2 wrong usage.

mod check;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use check::Check;

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
    Check(Check),
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
            let (text, code) = check.report(colour());
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            code
        }
    }
}

/// Whether stdout is a terminal whose owner wants colour. Source: <https://no-color.org>.
fn colour() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the environment of the person at the terminal")]
    let refused = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
    !refused && std::io::stdout().is_terminal()
}
