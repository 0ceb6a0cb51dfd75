//! `cargo xtask cluster ...`: a Kubernetes cluster on this machine with the Cairn of this tree, built first.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::test::install;
use crate::{build, process, workspace};

/// What `cluster` takes: whatever `cairn-k8s` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// `up`, `down` or `status`, and its options (try `cluster up --help`)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    rest: Vec<String>,
}

/// Builds all programs, installs what they run, and forwards.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        process::is_root(),
        "a cluster makes network namespaces: run it as root, `sudo -E env PATH=$PATH cargo xtask cluster up`"
    );
    if arguments.rest.first().is_some_and(|word| word == "up") {
        install::for_lab()?;
        install::for_kubernetes()?;
    }
    process::run(&mut build::everything())?;
    let programs = workspace::programs("debug")?;
    let mut cluster = Command::new(programs.join("cairn-k8s"));
    process::run(cluster.args(&arguments.rest).env("CAIRN_BIN", &programs))
}
