//! Commands that the lab runs itself, in and around nodes; not for people.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use cairn_lab::node::{self, NodeProcess};
use cairn_lab::pod;
use cairn_lab::probe::{self, Pace};
use cairn_net::Transport;
use clap::Subcommand;
use serde_json::Map;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a node's namespaces and start its PID 1
    #[command(hide = true)]
    NodeInit {
        #[arg(long)]
        lab: String,
        #[arg(long)]
        node: String,
    },
    /// Be a node's PID 1
    #[command(hide = true)]
    NodeMain {
        #[arg(long)]
        lab: String,
        #[arg(long)]
        node: String,
    },
    /// Run a command in the namespaces of a process
    #[command(hide = true)]
    Enter {
        #[arg(long)]
        pid: i32,
        #[arg(long)]
        netns: Option<PathBuf>,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
    /// Add or remove a pod, in the namespaces of a node's PID 1
    #[command(hide = true)]
    PodInside {
        #[arg(long)]
        pid: i32,
        #[command(subcommand)]
        command: PodCommand,
    },
    /// Send traffic and count what comes back; prints one line of JSON
    Probe {
        #[command(subcommand)]
        command: ProbeCommand,
    },
}

#[derive(Subcommand)]
pub(crate) enum PodCommand {
    /// Make the network namespace and run ADD
    Add {
        name: String,
        #[arg(long = "argument")]
        arguments: Vec<String>,
        /// A JSON object of what the runtime gives by capability
        #[arg(long)]
        capabilities: Option<String>,
    },
    /// Run DEL and remove the network namespace
    Del { name: String },
}

#[derive(Clone, Subcommand)]
pub(crate) enum ProbeCommand {
    /// ICMP echo at a steady pace
    Ping {
        /// Whom to ask
        address: IpAddr,
        /// Requests
        #[arg(long, default_value_t = 1)]
        count: u64,
        /// Milliseconds between requests
        #[arg(long, default_value_t = 1000)]
        interval: u64,
        /// Milliseconds to wait for the last answers
        #[arg(long, default_value_t = 1000)]
        patience: u64,
        /// Send no more once standard input ends
        #[arg(long)]
        while_input: bool,
    },
    /// Echo every TCP connection and every datagram to a port
    Serve {
        /// The port
        port: u16,
    },
    /// Tell whoever asks a port, over TCP or UDP, by which address it is seen
    Tell {
        /// The port
        port: u16,
        /// Also over SCTP
        #[arg(long)]
        sctp: bool,
    },
    /// Ask many who `tell` by which address they see us; prints one line of JSON
    AskAll {
        /// Their port
        port: u16,
        /// Their addresses
        #[arg(required = true)]
        addresses: Vec<IpAddr>,
    },
    /// Ask a `tell` once; prints the address
    Ask {
        /// The server's address
        address: IpAddr,
        /// Its port
        port: u16,
        /// Over tcp, udp or sctp
        #[arg(long, default_value_t = Transport::Tcp)]
        over: Transport,
        /// The port to ask from
        #[arg(long, default_value_t = 0)]
        from: u16,
    },
    /// Take what comes over TCP to a port, and tell how much that was
    Sink {
        /// The port
        port: u16,
    },
    /// Send to a `sink` for some seconds as much as goes; prints how much arrived, and in which time
    Flood {
        /// The server's address
        address: IpAddr,
        /// Its port
        port: u16,
        /// Seconds
        #[arg(long, default_value_t = 8)]
        seconds: u64,
    },
    /// Send numbered datagrams to a `serve` at a steady pace
    Datagrams {
        /// The server's address
        address: IpAddr,
        /// Its port
        port: u16,
        /// Datagrams
        #[arg(long, default_value_t = 1)]
        count: u64,
        /// Milliseconds between datagrams
        #[arg(long, default_value_t = 10)]
        interval: u64,
        /// Milliseconds to wait for the last answers
        #[arg(long, default_value_t = 1000)]
        patience: u64,
        /// Send no more once standard input ends
        #[arg(long)]
        while_input: bool,
    },
    /// Keep one TCP connection to a `serve` busy
    Stream {
        /// The server's address
        address: IpAddr,
        /// Its port
        port: u16,
        /// Messages
        #[arg(long, default_value_t = 1)]
        count: u64,
        /// Milliseconds between messages
        #[arg(long, default_value_t = 10)]
        interval: u64,
        /// Send no more once standard input ends
        #[arg(long)]
        while_input: bool,
    },
}

impl Command {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::NodeInit { lab, node } => node::initialise(&lab, &node).map(|()| ExitCode::SUCCESS),
            Self::NodeMain { .. } => node::run_as_init().map(|()| ExitCode::SUCCESS),
            Self::Enter { pid, netns, words } => enter(NodeProcess { pid }, netns.as_deref(), &words),
            Self::PodInside { pid, command } => pod_inside(NodeProcess { pid }, command),
            Self::Probe { command } => probe(command),
        }
    }
}

/// Runs a command in a node. A child is needed: entering a PID namespace moves children, not ourselves.
fn enter(process: NodeProcess, netns: Option<&Path>, words: &[String]) -> Result<ExitCode> {
    let env = node::enter_namespaces(process, netns)?;
    let (program, arguments) = words.split_first().context("there is no command")?;
    let mut command = std::process::Command::new(program);
    command.args(arguments).env_clear().envs(env);
    for kept in ["TERM", "CAIRN_PROBE"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn pod_inside(process: NodeProcess, command: PodCommand) -> Result<ExitCode> {
    node::enter_namespaces(process, None)?;
    match command {
        PodCommand::Add { name, arguments, capabilities } => {
            let capabilities = capabilities.map_or(Ok(Map::new()), |text| serde_json::from_str(&text))?;
            let pod = pod::add(&name, &pod::Request { arguments, capabilities })?;
            println!("{}", serde_json::to_string(&pod)?);
        }
        PodCommand::Del { name } => pod::delete(&name)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// True until standard input ends, where that is asked for.
fn wanted(while_input: bool) -> Arc<AtomicBool> {
    let lasts = Arc::new(AtomicBool::new(true));
    if !while_input {
        return lasts;
    }
    let flag = Arc::clone(&lasts);
    std::thread::spawn(move || {
        // Whatever comes is of no interest, and an error is an end too.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        flag.store(false, Ordering::Relaxed);
    });
    lasts
}

fn probe(command: ProbeCommand) -> Result<ExitCode> {
    let milliseconds = Duration::from_millis;
    let report = match command {
        ProbeCommand::Ping { address, count, interval, patience, while_input } => {
            let pace = Pace { count, interval: milliseconds(interval), patience: milliseconds(patience) };
            probe::ping_while(address, pace, &wanted(while_input))?
        }
        ProbeCommand::Datagrams { address, port, count, interval, patience, while_input } => {
            let pace = Pace { count, interval: milliseconds(interval), patience: milliseconds(patience) };
            probe::datagrams_while(address, port, pace, &wanted(while_input))?
        }
        ProbeCommand::Stream { address, port, count, interval, while_input } => {
            probe::stream_while(address, port, count, milliseconds(interval), &wanted(while_input))?
        }
        ProbeCommand::Serve { port } => {
            probe::serve(port)?;
            return Ok(ExitCode::SUCCESS);
        }
        ProbeCommand::Tell { port, sctp } => {
            probe::tell(port, sctp)?;
            return Ok(ExitCode::SUCCESS);
        }
        ProbeCommand::Ask { address, port, over, from } => {
            println!("{}", probe::ask(address, port, over, from)?);
            return Ok(ExitCode::SUCCESS);
        }
        ProbeCommand::Sink { port } => {
            probe::sink(port)?;
            return Ok(ExitCode::SUCCESS);
        }
        ProbeCommand::Flood { address, port, seconds } => {
            let amount = probe::flood(address, port, Duration::from_secs(seconds))?;
            println!("{}", serde_json::to_string(&amount)?);
            return Ok(ExitCode::SUCCESS);
        }
        ProbeCommand::AskAll { port, addresses } => {
            let seen = probe::ask_all(port, &addresses);
            println!("{}", serde_json::to_string(&seen)?);
            return Ok(if seen.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(if report.lost() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
