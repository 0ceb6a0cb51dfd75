//! `cargo xtask bench NAME`: one benchmark of tests/bench or tests/k8s/bench, of the programs as they are shipped.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::test::install;
use crate::{build, process, vm, workspace};

/// Where benchmarks are, and the packages that they are of.
const ROOMS: [Room; 2] = [
    Room { package: "cairn-lab", directory: "tests", kubernetes: false },
    Room { package: "cairn-k8s", directory: "tests/k8s", kubernetes: true },
];

/// A package with benchmarks, in `bench` below its directory.
struct Room {
    package: &'static str,
    directory: &'static str,
    /// Whether they need a real Kubernetes.
    kubernetes: bool,
}

/// How long a benchmark may take in the virtual machine.
const VM_SECONDS: &str = "3600";

/// What `bench` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run it in the virtual machine, whose kernel has every kind of tunnel
    #[arg(long)]
    vm: bool,
    /// The name of a file in tests/bench or tests/k8s/bench, without its ending
    name: String,
    /// Handed to the benchmark
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds all programs, then runs the benchmark with their directory in `CAIRN_BIN`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (mut known, mut found) = (Vec::new(), None);
    for room in &ROOMS {
        let names = names(room)?;
        if names.contains(&arguments.name) {
            found = Some(room);
        }
        known.extend(names);
    }
    known.sort();
    let Some(room) = found else {
        bail!("there is no benchmark `{}`; there are: {}", arguments.name, known.join(", "));
    };
    if !process::is_root() {
        bail!("benchmarks work on network namespaces: run as root");
    }
    if room.kubernetes {
        ensure!(!arguments.vm, "--vm: `{}` runs on this machine alone", arguments.name);
        install::for_lab()?;
        install::for_kubernetes()?;
    }
    let programs = build::programs("dist")?;
    if room.kubernetes {
        // What pods' sandboxes run.
        let mut cargo = workspace::cargo();
        let profile = ["build", "--profile", "dist"];
        process::run(cargo.args(profile).args(["--package", room.package, "--bin", "cairn-pause"]))?;
    }
    let benchmark = benchmark(room, &arguments.name)?;
    let tests = workspace::root().join(room.directory);
    if arguments.vm {
        let mut command = vm::command()?;
        command.args(["--seconds", VM_SECONDS]).arg("--directory").arg(tests);
        command.arg("--env").arg(format!("CAIRN_BIN={}", programs.display()));
        return process::run(command.arg("--").arg(benchmark).args(&arguments.rest));
    }
    process::run(Command::new(benchmark).args(&arguments.rest).current_dir(tests).env("CAIRN_BIN", programs))
}

/// Builds a benchmark and gives its program.
fn benchmark(room: &Room, name: &str) -> Result<PathBuf> {
    let messages = process::capture(workspace::cargo().args([
        "bench",
        "--package",
        room.package,
        "--bench",
        name,
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]))?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages
        .filter(|message| message["target"]["kind"][0] == "bench")
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    program.with_context(|| format!("cargo built no program for benchmark {name}"))
}

fn names(room: &Room) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let directory = workspace::root().join(room.directory).join("bench");
    let entries = std::fs::read_dir(&directory);
    for entry in entries.with_context(|| format!("benchmarks are in {}", directory.display()))? {
        let path = entry?.path();
        if let (Some("rs"), Some(stem)) = (path.extension().and_then(|e| e.to_str()), path.file_stem()) {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
