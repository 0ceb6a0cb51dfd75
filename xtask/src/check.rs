//! `cargo xtask check`: everything about the source that a machine can judge without running it.

mod layers;
mod licences;
mod paths;
mod sizes;

use std::process::Command;

use anyhow::Result;

use crate::progress::Steps;
use crate::{generate, process, workspace};

/// What `check` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these
    #[arg(long)]
    only: Option<Part>,
}

/// Checks that run together.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Part {
    /// What is read: format, layers, paths, generated code, sizes, licences
    Source,
    /// What is compiled, which takes minutes: clippy, documentation
    Lints,
}

/// Runs the checks in turn and stops at the first that fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let takes = |part| arguments.only.is_none_or(|only| only == part);
    let mut steps = Steps::new(match arguments.only {
        None => SOURCE + LINTS,
        Some(Part::Source) => SOURCE,
        Some(Part::Lints) => LINTS,
    });
    if takes(Part::Source) {
        source(&mut steps)?;
    }
    if takes(Part::Lints) {
        lints(&mut steps)?;
    }
    println!("all checks passed");
    Ok(())
}

/// Runs the checks of what is read.
pub(crate) fn read() -> Result<()> {
    source(&mut Steps::new(SOURCE))
}

/// This program, to run the checks of what is compiled.
pub(crate) fn lints_command() -> Result<Command> {
    let mut command = workspace::own()?;
    command.args(["check", "--only", "lints"]);
    Ok(command)
}

/// How many steps there are of each.
const SOURCE: usize = 6;
const LINTS: usize = 2;

fn source(steps: &mut Steps) -> Result<()> {
    steps.step("format", || process::run(workspace::cargo().args(["fmt", "--all", "--check"])))?;
    steps
        .step("layers: dependencies point down only, cores know no runtime, clock or socket", layers::run)?;
    steps.step("paths named in ARCHITECTURE.md exist", paths::run)?;
    steps.step("generated code is current", generate::check)?;
    steps.step("sizes of files", sizes::run)?;
    steps.step("licences and advisories", licences::run)
}

fn lints(steps: &mut Steps) -> Result<()> {
    steps.step("clippy, warnings are errors", || {
        process::run(workspace::cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    steps.step("documentation, warnings are errors", || {
        process::run(
            workspace::cargo()
                .args(["doc", "--workspace", "--no-deps", "--locked", "--quiet", "--document-private-items"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    })
}
