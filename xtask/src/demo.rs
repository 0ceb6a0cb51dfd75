//! `cargo xtask demo`: builds, then lets the lab show a whole network.

use std::process::ExitCode;

use crate::{build, lab, process};

/// What `demo` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave the network running, and say how to look around and how to end it
    #[arg(long)]
    keep: bool,
}

/// Builds and forwards to `cairn-lab demo`.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    if !process::is_root() {
        eprintln!(
            "error: the demo makes network namespaces: run it as root, `sudo -E env PATH=$PATH cargo xtask demo`"
        );
        return ExitCode::FAILURE;
    }
    if process::find("ip").is_none() {
        eprintln!("error: the demo needs the `ip` program: apt-get install iproute2");
        return ExitCode::FAILURE;
    }
    println!("building (the first time takes a few minutes)");
    let programs = match build::programs("release") {
        Ok(programs) => programs,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let keep = arguments.keep.then_some("--keep");
    lab::forward(&programs, std::iter::once("demo").chain(keep))
}
