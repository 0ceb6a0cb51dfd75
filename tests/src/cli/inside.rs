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
use clap::{Args, Subcommand};
use serde_json::Map;

/// Milliseconds between two requests of a ping, and between two datagrams, unless something else is asked for.
const PING: u64 = 1000;
const DATAGRAMS: u64 = 10;

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
        #[command(flatten)]
        pacing: Pacing,
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
        #[command(flatten)]
        pacing: Pacing,
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

// How many, how fast and for how long. No comment for users: it would take the place of the command's own.
#[derive(Clone, Args)]
pub(crate) struct Pacing {
    /// How many to send
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Milliseconds between two; 1000 of a ping and 10 of datagrams unless they are said
    #[arg(long)]
    interval: Option<u64>,
    /// Milliseconds to wait for the last answers
    #[arg(long, default_value_t = 1000)]
    patience: u64,
    /// Send no more once standard input ends
    #[arg(long)]
    while_input: bool,
}

impl Pacing {
    /// The pace, with so many milliseconds between two unless something else was asked for.
    fn pace(&self, interval: u64) -> Pace {
        Pace {
            count: self.count,
            interval: Duration::from_millis(self.interval.unwrap_or(interval)),
            patience: Duration::from_millis(self.patience),
        }
    }
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
    let report = match command {
        ProbeCommand::Ping { address, pacing } => {
            probe::ping_while(address, pacing.pace(PING), &wanted(pacing.while_input))?
        }
        ProbeCommand::Datagrams { address, port, pacing } => {
            probe::datagrams_while(address, port, pacing.pace(DATAGRAMS), &wanted(pacing.while_input))?
        }
        ProbeCommand::Stream { address, port, count, interval, while_input } => {
            let interval = Duration::from_millis(interval);
            probe::stream_while(address, port, count, interval, &wanted(while_input))?
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

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: ProbeCommand,
    }

    /// Count, interval and patience, both in milliseconds, and whether input ends it.
    fn paced(line: &str) -> (u64, u128, u128, bool) {
        let (pacing, interval) = match Line::try_parse_from(line.split(' ')).unwrap().command {
            ProbeCommand::Ping { pacing, .. } => (pacing, PING),
            ProbeCommand::Datagrams { pacing, .. } => (pacing, DATAGRAMS),
            _ => panic!("{line}"),
        };
        let pace = pacing.pace(interval);
        (pace.count, pace.interval.as_millis(), pace.patience.as_millis(), pacing.while_input)
    }

    #[test]
    fn each_has_a_pace_of_its_own_unless_it_is_told_another() {
        assert_eq!(paced("probe ping 10.0.0.1"), (1, 1000, 1000, false));
        assert_eq!(paced("probe datagrams 10.0.0.1 7000"), (1, 10, 1000, false));
        for command in ["ping 10.0.0.1", "datagrams 10.0.0.1 7000"] {
            let line = format!("probe {command} --count 3 --interval 20 --patience 5 --while-input");
            assert_eq!(paced(&line), (3, 20, 5, true));
        }
        for (name, about) in [
            ("ping", "ICMP echo at a steady pace"),
            ("datagrams", "Send numbered datagrams to a `serve` at a steady pace"),
        ] {
            let command = Line::command();
            let found = command.find_subcommand(name).and_then(clap::Command::get_about).unwrap();
            assert_eq!(found.to_string(), about);
        }
    }
}
