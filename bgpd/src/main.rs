//! Cairn's BGP daemon: sockets, one timer and the gRPC server around bgp-core.
//!
//! ```text
//!                        +--------------------------- one thread ---------------------------+
//!   bgpd.yaml, SIGHUP -->| file task --+                                                    |
//!   SIGTERM ------------>| signal task +--jobs--> daemon task: Speaker, all BGP sockets     |<--> peers
//!   bgpd.sock ---------->| gRPC tasks -+                                                    |
//!                        +------------------------------------------------------------------+
//!                                                  |  mailbox, commands
//!                                    bfd thread: all BFD sessions and their sockets (`bfd`)             <--> peers
//! ```
//!
//! Exit codes: 0 after a clean stop, 1 if it cannot run, 2 for a wrong command line, 3 if the configuration is not valid.

mod bfd;
mod bmp;
mod cli;
mod daemon;
mod difference;
mod fib;
mod file;
mod grpc;
mod interface;
mod log;
mod metrics;
mod mrt;
mod nexthop;
mod report;
mod run;
mod settings;
mod signature;
mod takeover;
mod transport;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.command {
        Some(cli::Command::Check { file }) => run::check(&file),
        None => run::run(&cli),
    }
}
