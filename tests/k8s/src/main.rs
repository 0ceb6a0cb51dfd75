//! `cairn-k8s`: a Kubernetes cluster on this machine, with Cairn as its pod network.

use std::process::ExitCode;

use anyhow::{Result, bail};
use cairn_k8s::Cluster;
use cairn_k8s::cluster::CONTROL;
use cairn_k8s::program::Program;
use cairn_lab::Lab;
use cairn_lab::lab::{Families, lab_program};
use clap::{Parser, Subcommand};

/// A real Kubernetes in network namespaces: a control plane, three nodes in two racks, Cairn as the pod network.
#[derive(Parser)]
#[command(name = "cairn-k8s", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build what is run of Kubernetes, where it is not there yet
    Prepare,
    /// Bring a cluster up, unless it is
    Up {
        #[command(flatten)]
        which: Which,
        /// Address families of nodes, pods and Services
        #[arg(long, value_enum, default_value = "dual")]
        families: Families,
        /// Leave Cairn out: nodes stay without a pod network
        #[arg(long)]
        without_cairn: bool,
    },
    /// Show nodes and pods
    Status(Which),
    /// End a cluster, also what a killed one left behind
    Down(Which),
}

#[derive(clap::Args)]
struct Which {
    /// The cluster's name
    #[arg(long, default_value = "cluster")]
    name: String,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Prepare => Program::prepare(&Program::all()),
        Command::Up { which, families, without_cairn } => up(&which.name, families, without_cairn),
        Command::Status(which) => status(&which.name),
        Command::Down(which) => {
            let nodes = Cluster::down_by_name(&which.name)?;
            println!("cluster {}: {nodes} nodes ended", which.name);
            Ok(())
        }
    }
}

fn up(name: &str, families: Families, without_cairn: bool) -> Result<()> {
    if families == Families::Ipv6 {
        bail!("--families ipv6: the sessions of this cluster are over IPv4; there are: ipv4, dual");
    }
    let running = Cluster::open(name).ok().filter(|cluster| cluster.kubectl(&["get", "nodes"]).is_ok());
    let cluster = match running {
        Some(cluster) => cluster,
        None => {
            let mut cluster = Cluster::up(name, families)?;
            cluster.keep();
            cluster
        }
    };
    if !without_cairn {
        cluster.install_cairn()?;
    }
    status(name)?;
    let lab = lab_program()?;
    println!("\nIts kubectl, a shell on a node, and the routes of a ToR:");
    for (node, words) in [(CONTROL, "kubectl get pods -A"), ("node1", "bash"), ("tor1", "ip route")] {
        println!("    {} exec --lab {name} {node} {words}", lab.display());
    }
    println!("`cargo xtask cluster down` ends it.");
    Ok(())
}

fn status(name: &str) -> Result<()> {
    if !Lab::names().iter().any(|running| running == name) {
        bail!("there is no cluster `{name}`: cargo xtask cluster up");
    }
    let cluster = Cluster::open(name)?;
    print!("{}", cluster.kubectl(&["get", "nodes", "--output", "wide"])?);
    print!("{}", cluster.kubectl(&["get", "pods", "--all-namespaces", "--output", "wide"])?);
    Ok(())
}
