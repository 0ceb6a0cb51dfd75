//! `cargo xtask sim`: networks of speakers in virtual time, for as long as one likes.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::{process, workspace};

/// What `sim` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many networks
    #[arg(long, default_value_t = 10_000, conflicts_with = "minutes")]
    runs: u64,
    /// Instead: as many as there is time for
    #[arg(long)]
    minutes: Option<u64>,
    /// The seed of the first one; each next one has the next number. Otherwise some number, which is printed
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the simulation that is also a suite of `cargo xtask test`, in release mode.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let seed = arguments.seed.map_or_else(another, Ok)?;
    let (bound, number) = match arguments.minutes {
        Some(minutes) => ("--minutes", minutes),
        None => ("--runs", arguments.runs),
    };
    process::run(
        workspace::cargo()
            .args(["test", "--release", "--package", "cairn-lab", "--test", "simulation", "--"])
            .args([bound, &number.to_string(), "--seed", &seed.to_string()]),
    )
}

/// A seed that no earlier run has had: CI's suite begins with 1 each time.
fn another() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(u64::try_from(now.as_nanos())?)
}
