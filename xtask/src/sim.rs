//! `cargo xtask sim`: networks of speakers in virtual time, for as long as one likes.

use anyhow::Result;

use crate::{process, workspace};

/// What `sim` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many networks
    #[arg(long, default_value_t = 10_000)]
    runs: u64,
    /// The seed of the first one; each next one has the next number
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the simulation that is also a suite of `cargo xtask test`, in release mode.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    process::run(
        workspace::cargo()
            .args(["test", "--release", "--package", "cairn-lab", "--test", "simulation", "--"])
            .args(["--runs", &arguments.runs.to_string(), "--seed", &arguments.seed.to_string()]),
    )
}
