//! Hand-over to the commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    runbookd::cli::run(std::env::args_os())
}
