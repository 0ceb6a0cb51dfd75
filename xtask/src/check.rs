//! `cargo xtask check`: everything about the source that a machine can judge without running it.

mod layers;
mod licences;
mod paths;
mod sizes;

use anyhow::Result;

use crate::progress::Steps;
use crate::{generate, process, workspace};

/// What `check` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs every check in turn and stops at the first that fails.
pub(crate) fn run(_: &Arguments) -> Result<()> {
    let mut steps = Steps::new(8);
    steps.step("format", || process::run(workspace::cargo().args(["fmt", "--all", "--check"])))?;
    steps
        .step("layers: dependencies point down only, cores know no runtime, clock or socket", layers::run)?;
    steps.step("paths named in ARCHITECTURE.md exist", paths::run)?;
    steps.step("generated code is current", generate::check)?;
    steps.step("sizes of files", sizes::run)?;
    steps.step("licences and advisories", licences::run)?;
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
    })?;
    println!("all checks passed");
    Ok(())
}
