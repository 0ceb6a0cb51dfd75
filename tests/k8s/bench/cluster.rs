//! What Cairn costs a large cluster, and what pods wait for: a real API server, real kubelets, real containers.
//!
//! `cargo xtask bench cluster`. First, new blocks of a node until all other nodes have a route to them. Second, pods that start at once on one
//! node, and Cairn's part of that. Then a cluster of many nodes as one felix-lite sees it: the objects of simulated nodes and of their pods are
//! written to the API server; there are no machines behind them. From what one node asked and was told follows what a server has to bear of
//! 5,000 of them. The last line is JSON.

#[path = "cluster/announce.rs"]
mod announce;
#[path = "cluster/audit.rs"]
mod audit;
#[path = "cluster/connections.rs"]
mod connections;
#[path = "cluster/far.rs"]
mod far;
#[path = "cluster/kernel.rs"]
mod kernel;
#[path = "cluster/mesh.rs"]
mod mesh;
#[path = "cluster/pods.rs"]
mod pods;
#[path = "cluster/process.rs"]
mod process;
#[path = "cluster/report.rs"]
mod report;

use anyhow::{Result, ensure};
use cairn_k8s::Cluster;
use cairn_lab::feature::Feature;
use cairn_lab::lab::Families;
use clap::Parser;

/// The node that is looked at.
const NODE: &str = "node1";

/// kubelet takes 150, and there are some already.
const MOST_PODS: usize = 130;

/// What the benchmark takes.
#[derive(Parser)]
#[command(name = "cluster", about = "Costs of a large cluster")]
struct Arguments {
    /// New blocks of one node, until all other nodes have a route to them; 0 leaves that out
    #[arg(long, default_value_t = 20)]
    blocks: u32,
    /// Pods that start at once on one node; 0 leaves that out
    #[arg(long, default_value_t = 110)]
    pods: usize,
    /// Simulated nodes; 0 leaves that out
    #[arg(long, default_value_t = 500)]
    nodes: u32,
    /// Pods of each simulated node
    #[arg(long, default_value_t = 10)]
    pods_per_node: u32,
    /// Seconds for which the cluster is watched while nothing happens
    #[arg(long, default_value_t = 120)]
    idle: u64,
    /// Said by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.blocks <= announce::MOST, "--blocks must be at most {}", announce::MOST);
    ensure!(arguments.pods <= MOST_PODS, "--pods must be at most {MOST_PODS}");
    ensure!(
        arguments.blocks > 0 || arguments.pods > 0 || arguments.nodes > 0,
        "--blocks, --pods and --nodes are all 0"
    );
    ensure!(arguments.nodes <= far::MOST, "--nodes must be at most {}", far::MOST);
    ensure!(
        arguments.nodes == 0 || arguments.nodes >= far::LEAST,
        "--nodes must be 0 or at least {}",
        far::LEAST
    );
    ensure!(arguments.pods_per_node <= far::MOST_PODS, "--pods-per-node must be at most {}", far::MOST_PODS);
    ensure!((1..=3600).contains(&arguments.idle), "--idle must be 1 to 3600");
    if arguments.nodes > 0 {
        ensure!(
            Feature::Vxlan.is_there()?,
            "simulated nodes are reached in VXLAN, which this kernel lacks: --nodes 0"
        );
    }
    let cluster = Cluster::up("bench", Families::Ipv4)?;
    let measured = measure(&cluster, &arguments);
    measured.map_err(|error| error.context(format!("traces: {}", cluster.keep_traces().display())))
}

fn measure(cluster: &Cluster, arguments: &Arguments) -> Result<()> {
    cluster.install_cairn()?;
    let announced = match arguments.blocks {
        0 => None,
        blocks => Some(announce::measure(cluster, blocks)?),
    };
    let start = match arguments.pods {
        0 => None,
        number => Some(pods::measure(cluster, number)?),
    };
    let mesh = match arguments.nodes {
        0 => None,
        nodes => Some(mesh::measure(cluster, nodes, arguments.pods_per_node, arguments.idle)?),
    };
    report::print(announced.as_ref(), start.as_ref(), mesh.as_ref());
    Ok(())
}
