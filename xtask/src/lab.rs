//! `cargo xtask lab ...`: the lab's own command line, built first.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::build;

/// What `lab` takes: whatever `cairn-lab` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Arguments of cairn-lab (try `lab -- --help`)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds all programs and forwards.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match build::programs("release") {
        Ok(programs) => forward(&programs, &arguments.rest),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the lab that lies in `programs`, and returns its exit code.
pub(crate) fn forward(programs: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ExitCode {
    let mut lab = Command::new(programs.join("cairn-lab"));
    match lab.args(arguments).env("CAIRN_BIN", programs).status() {
        Ok(status) => {
            status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => {
            eprintln!("error: cannot start {}: {error}", programs.join("cairn-lab").display());
            ExitCode::FAILURE
        }
    }
}
