//! `cargo xtask bench NAME`: one benchmark of tests/bench, in release mode.

use anyhow::{Result, bail};

use crate::{build, process, workspace};

/// What `bench` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The name of a file in tests/bench, without its ending
    name: String,
    /// Handed to the benchmark
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds all programs, then runs the benchmark with their directory in `CAIRN_BIN`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let known = names()?;
    if !known.contains(&arguments.name) {
        bail!("there is no benchmark `{}`; there are: {}", arguments.name, known.join(", "));
    }
    if !process::is_root() {
        bail!("benchmarks work on network namespaces: run as root");
    }
    let programs = build::programs("release")?;
    process::run(
        workspace::cargo()
            .args(["bench", "--package", "cairn-lab", "--bench", &arguments.name, "--"])
            .args(&arguments.rest)
            .env("CAIRN_BIN", programs),
    )
}

fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(workspace::root().join("tests/bench"))? {
        let path = entry?.path();
        if let (Some("rs"), Some(stem)) = (path.extension().and_then(|e| e.to_str()), path.file_stem()) {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
