//! `cairn-vm`: runs a command in a virtual machine that has this machine's files and another kernel.
//!
//! The host's kernel may lack what a pod network can use: tunnels, WireGuard, VRFs, faults on purpose. Debian's kernel has all of it.
//! There is no disk image: the guest's root is the host's, read-only, under an overlay in memory. This program is also
//! the guest's PID 1, alone with a few modules in the initial RAM disk.
//!
//! Exit codes of `run`: those of the command; 124 when the time is over; 125 when the machine itself failed.

mod accelerator;
mod archive;
mod guest;
mod job;
mod kernel;
mod machine;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Runs a command on this machine's files under a kernel that has every feature.
#[derive(Parser)]
#[command(name = "cairn-vm", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch the kernel unless it is there, and print its version
    Prepare,
    /// Run a command as root in a machine of its own; what it writes is lost, except below a `--share`
    Run(Options),
}

/// What `run` takes.
#[derive(clap::Args)]
struct Options {
    /// Seconds after which the machine is ended
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// MiB of memory
    #[arg(long, default_value_t = 4096)]
    memory: u32,
    /// Processors
    #[arg(long, default_value_t = 2)]
    processors: u32,
    /// A directory that the command may write to
    #[arg(long)]
    share: Vec<PathBuf>,
    /// A variable of the environment, `NAME=VALUE`; of those here only PATH, HOME and LANG go along
    #[arg(long)]
    env: Vec<String>,
    /// The command's working directory; the current one when left out
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Print the kernel's log at the end in any case
    #[arg(long)]
    log: bool,
    /// The command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<String>,
}

/// The machine did not do what it was to do.
const MACHINE_FAILED: u8 = 125;

fn main() -> ExitCode {
    if std::process::id() == 1 && guest::is_ours() {
        guest::main();
    }
    let result = match Arguments::parse().command {
        Command::Prepare => kernel::prepare().map(|kernel| {
            println!("Linux {} in {}", kernel.version, kernel.directory.display());
            0
        }),
        Command::Run(options) => run(options),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("cairn-vm: {error:#}");
            ExitCode::from(MACHINE_FAILED)
        }
    }
}

fn run(options: Options) -> anyhow::Result<u8> {
    let kernel = kernel::prepare()?;
    let job = job::Job::new(&kernel, options.words, &options.env, options.share, options.directory)?;
    let machine = machine::Machine {
        kernel,
        memory: options.memory,
        processors: options.processors,
        limit: Duration::from_secs(options.seconds),
        log: options.log,
    };
    run::run(&machine, job)
}
