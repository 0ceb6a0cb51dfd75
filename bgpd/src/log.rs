//! Log lines go to stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

use crate::cli::LogFormat;

/// Begins to log.
///
/// # Errors
/// If the filter is not valid.
pub(crate) fn start(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    // A level alone means this program; its libraries speak of frames and polls.
    let own = filter.parse::<LevelFilter>().map(|level| format!("warn,bgpd={level}"));
    let filter = EnvFilter::try_new(own.as_deref().unwrap_or(filter))?;
    // A line that cannot be written, because the disk is full, is lost; reporting that to the same place would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
