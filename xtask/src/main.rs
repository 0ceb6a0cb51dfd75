//! The developer's loop: one file per subcommand, no logic anywhere else (the justfile and `.ci/run` only forward).
//!
//! Everything here runs programs and prints what it does; nothing here is part of what Cairn ships.

mod bench;
mod beside;
mod build;
mod check;
mod cluster;
mod demo;
mod fuzz;
mod generate;
mod lab;
mod process;
mod progress;
mod sim;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The developer's commands of Cairn.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build every program, static, in release mode
    Build(build::Arguments),
    /// Format, lints, layers, generated code, licences, documentation
    Check(check::Arguments),
    /// Install what tests need and run all of them (root needed for the lab tier)
    Test(test::Arguments),
    /// Bring up 3 nodes in 2 racks behind 2 ToRs and show that all pods reach each other
    Demo(demo::Arguments),
    /// Measure: prints a table, and the same figures as JSON on the last line
    Bench(bench::Arguments),
    /// Run the fuzz targets for a bounded time
    Fuzz(fuzz::Arguments),
    /// Simulate networks of speakers in virtual time, each from its seed
    Sim(sim::Arguments),
    /// Write generated code anew
    Gen(generate::Arguments),
    /// Containerlab topologies on network namespaces: up, down, exec, status, graph, logs, pod
    Lab(lab::Arguments),
    /// A real Kubernetes cluster in namespaces, with Cairn as its pod network: up, status, down
    Cluster(cluster::Arguments),
    /// Run a command on this machine's files under a kernel with every feature, in a virtual machine
    Vm(vm::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Build(arguments) => build::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Test(arguments) => return test::run(&arguments),
        Command::Demo(arguments) => return demo::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Gen(arguments) => generate::run(&arguments),
        Command::Cluster(arguments) => cluster::run(&arguments),
        Command::Lab(arguments) => return lab::run(&arguments),
        Command::Vm(arguments) => return vm::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
