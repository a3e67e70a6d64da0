//! Hand-over: the command line decides.

use std::process::ExitCode;

fn main() -> ExitCode {
    runbookd::cli::run(std::env::args_os())
}
