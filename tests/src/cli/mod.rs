//! The command line, one file for each group of commands.

mod inside;
mod manage;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Runs containerlab topologies on network namespaces.
#[derive(Parser)]
#[command(name = "cairn-lab", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Manage(manage::Command),
    #[command(flatten)]
    Inside(inside::Command),
}

impl Arguments {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Manage(command) => command.run(),
            Command::Inside(command) => command.run(),
        }
    }
}
