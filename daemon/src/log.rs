//! Where log lines go.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error.
///
/// # Errors
/// If the filter, the value of `--log`, cannot be read.
pub fn start(format: LogFormat, filter: &str) -> Result<(), String> {
    let directives: EnvFilter = filter.parse().map_err(|error| format!("--log {filter:?}: {error}"))?;
    // A line that cannot be written, because the disk is full, is lost; reporting that to the same place would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(directives)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
