//! `cargo xtask vm -- COMMAND`: the command in a virtual machine with this machine's files.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::test::install;
use crate::{process, workspace};

/// What `vm` takes: whatever `cairn-vm run` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Options of `cairn-vm run` (try `vm -- --help`), and the command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    rest: Vec<String>,
}

/// Installs what is missing, builds and forwards.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match forward(&arguments.rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn forward(rest: &[String]) -> Result<ExitCode> {
    let mut command = command()?;
    let status = command
        .args(rest)
        .status()
        .with_context(|| format!("cannot start `{}`", process::shown(&command)))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// `cairn-vm run`, built; its arguments are still to be added.
pub(crate) fn command() -> Result<Command> {
    install::for_machine()?;
    process::run(workspace::cargo().args(["build", "--quiet", "--package", "cairn-vm", "--locked"]))?;
    let mut command = Command::new(workspace::programs("debug")?.join("cairn-vm"));
    command.arg("run");
    Ok(command)
}
