//! Logs: sentences with fields, as text or as JSON, to stderr. Never a token and never a raw body.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Begins to log. `level` is a level or an `EnvFilter` directive such as `info,runbookd=debug`.
///
/// # Errors
/// What is wrong with `level`, or that logging had begun already.
pub fn begin(format: Format, level: &str, colour: bool) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        format!("`level: {level}` is not a log level ({error}); expected `info`, `debug` or `warn`")
    })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would say on stderr that stderr can not be written, and panic: a full disk or a broken pipe there must not
        // end what is logged about.
        .log_internal_errors(false);
    let begun = match format {
        Format::Text => {
            logs.with_ansi(colour && std::io::stderr().is_terminal()).with_target(false).compact().try_init()
        }
        Format::Json => {
            logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
    };
    begun.map_err(|error| error.to_string())
}
