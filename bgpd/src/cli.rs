//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use bgpd_api::DEFAULT_SOCKET;
use clap::{Parser, Subcommand, ValueEnum};

/// A BGP daemon: eBGP and iBGP for IPv4 and IPv6, route reflection, ECMP, graceful restart.
#[derive(Parser)]
#[command(name = "bgpd", version)]
pub(crate) struct Cli {
    /// Configuration file (YAML). Applied again whenever it changes. Without it, bgpd waits for an `Apply` on its socket.
    #[arg(long, value_name = "FILE", env = "BGPD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Unix socket of the gRPC interface.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET, env = "BGPD_SOCKET")]
    pub(crate) socket: PathBuf,
    /// Write the routes of the Loc-RIB into the kernel's main table, for a router without felix-lite. They stay there
    /// when bgpd ends.
    #[arg(long, env = "BGPD_INSTALL_ROUTES")]
    pub(crate) install_routes: bool,
    /// Serve Prometheus metrics over HTTP here, such as 127.0.0.1:9179, unless the document has `metrics.listen`.
    #[arg(long, value_name = "ADDRESS", env = "BGPD_METRICS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Take the sessions of the running bgpd with the same --socket over, so that its peers notice nothing; it ends. Without one
    /// that runs, start as usual.
    #[arg(long)]
    pub(crate) take_over: bool,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "BGPD_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace), or directives such as `info,bgpd::daemon=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "BGPD_LOG")]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check a configuration file and print it with all peer groups merged in; exits with 3 if it is not valid.
    Check {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
