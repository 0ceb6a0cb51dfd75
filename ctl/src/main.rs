//! The operator's command line. One subcommand for each subject, each in a room of its own:
//!
//! * [`bgp`]: sessions and routes of the bgpd on this machine.
//! * [`bfd`]: BFD sessions of the bgpd on this machine.
//! * [`ipam`]: addresses: what is used, by whom, and whether it is consistent.
//! * [`pool`]: another range or other blocks for a pool.
//! * [`migrate`]: another pod network's objects as Cairn's.
//! * [`cleanup`]: what pod networks have left on this machine.
//! * [`doctor`]: what is wrong with the network around this node.
//! * [`node`]: this node on one page: daemons, sessions, addresses, dataplane, and what is wrong.
//!
//! Every command prints a table for people, or with `-o json` one JSON object a line, so that long lists can be
//! streamed through `jq`. Exit codes: 0, 1 if the command failed, 2 for a wrong command line.

mod bfd;
mod bgp;
mod cleanup;
mod doctor;
mod ipam;
mod migrate;
mod node;
mod output;
mod place;
mod pool;
mod table;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use thiserror::Error;

use output::Format;

/// Look at and steer the daemons of Cairn on this machine.
#[derive(Parser)]
#[command(name = "cairnctl", version)]
struct Cli {
    /// How answers look.
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    output: Format,
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// BGP sessions and routes.
    Bgp(bgp::Arguments),
    /// BFD sessions.
    Bfd(bfd::Arguments),
    /// Addresses: what is used, by whom, and whether it is consistent.
    Ipam(ipam::Arguments),
    /// Pools: another range or other blocks, planned first and then done.
    Pool(pool::Arguments),
    /// Another pod network's objects become Cairn's.
    Migrate(migrate::Arguments),
    /// What pod networks have left on this machine: lists it, and removes it if told to.
    Cleanup(cleanup::Arguments),
    /// The network around this node.
    Doctor(doctor::Arguments),
    /// This node: daemons, sessions, addresses, dataplane, and what is wrong.
    Node(node::Arguments),
}

/// Why a command failed.
#[derive(Debug, Error)]
enum Error {
    #[error(transparent)]
    Bgpd(#[from] bgpd_api::ClientError),
    #[error(transparent)]
    Store(#[from] cairn_datastore::StoreError),
    #[error(transparent)]
    Connect(#[from] cairn_datastore::ConnectError),
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
    #[error(transparent)]
    Kernel(#[from] cairn_kernel::Error),
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write the answer as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Answer(String),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match cli.subject {
                Subject::Bgp(arguments) => bgp::run(arguments, cli.output).await,
                Subject::Bfd(arguments) => bfd::run(arguments, cli.output).await,
                Subject::Ipam(arguments) => ipam::run(arguments, cli.output).await,
                Subject::Pool(arguments) => pool::run(arguments, cli.output).await,
                Subject::Migrate(arguments) => migrate::run(arguments, cli.output).await,
                Subject::Cleanup(arguments) => cleanup::run(&arguments, cli.output),
                Subject::Doctor(arguments) => doctor::run(arguments, cli.output).await,
                Subject::Node(arguments) => node::run(arguments, cli.output).await,
            }
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `cairnctl ... | head` is no failure.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Error::Json(error)) if error.io_error_kind() == Some(io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cairnctl: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
