//! Where log lines go.

use tracing_subscriber::EnvFilter;

use crate::args::{Args, LogFormat};

/// Starts logging to standard error.
///
/// # Errors
/// If the filter cannot be read.
pub fn start(args: &Args) -> Result<(), String> {
    let filter: EnvFilter = args.log.parse().map_err(|error| format!("--log {:?}: {error}", args.log))?;
    // A line that cannot be written, because the disk is full, is lost; reporting that to the same place would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
