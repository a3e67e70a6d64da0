//! Where the commands write. A reader that goes away, such as `head`, is no failure.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

/// How a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// What the daemon's API gave.
    Json,
}

/// Writes lines to standard output.
pub(super) fn lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", line.as_ref())?;
    }
    out.flush()
}

/// Writes indented JSON to standard output.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    lines([serde_json::to_string_pretty(value)?])
}

/// Writes one line of JSON to standard output.
pub(super) fn json_line(value: &impl Serialize) -> io::Result<()> {
    lines([serde_json::to_string(value)?])
}

/// Tells a person something that is not the answer. That nobody listens is no failure.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The end of a command.
pub(super) fn finish(result: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    result.or_else(|error| {
        let gone =
            error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        if gone { Ok(ExitCode::SUCCESS) } else { Err(error) }
    })
}
