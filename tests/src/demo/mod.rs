//! `cairn-lab demo`: a whole network from nothing, shown and measured, and taken down again.

mod matrix;
mod tables;

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::lab::{Lab, Options};
use crate::topology::Topology;

use matrix::{DemoPod, Matrix};

/// The topology: 3 nodes in 2 racks, 2 ToRs, all of them running bgpd.
const TOPOLOGY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/topologies/demo.clab.yml");

/// Pods on each node.
const PODS: usize = 2;

/// How long daemons may take to serve, and routing to settle.
const SETTLES: Duration = Duration::from_secs(60);

/// Runs the demo; `true` if every pod reached every other.
///
/// # Errors
/// Where the lab does not come up or a pod cannot be added; then the nodes' last log lines are part of the message.
pub fn run(keep: bool) -> Result<bool> {
    let started = Instant::now();
    let topology = Topology::load(Path::new(TOPOLOGY))?;
    let name = topology.name.clone();
    // What a demo that was killed left behind.
    Lab::down_by_name(&name)?;
    step(started, &format!("bringing up {} nodes and {} links", topology.nodes.len(), topology.links.len()));
    let lab = Lab::up(topology, &Options::default())?;
    let result = show(&lab, started);
    if keep {
        print!("{}", tables::how_to_look_around(&lab));
    } else {
        lab.down()?;
    }
    let matrix = result?;
    println!("\n{}", matrix.verdict());
    Ok(matrix.is_complete())
}

fn show(lab: &Lab, started: Instant) -> Result<Matrix> {
    step(started, &format!("adding {PODS} pods to each node"));
    let pods = pods(lab).map_err(|error| error.context(lab.tails()))?;
    step(started, "waiting for the BGP sessions");
    await_sessions(lab).map_err(|error| error.context(lab.tails()))?;
    step(started, "waiting for the routes");
    let deadline = Instant::now() + SETTLES;
    while !Matrix::measure(lab, &pods, 1)?.is_complete() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
    }
    step(started, "measuring");
    let matrix = Matrix::measure(lab, &pods, 5)?;
    println!("\n{}", tables::nodes(lab, &pods));
    println!("{}", tables::sessions(lab)?);
    println!("{}", tables::routes(lab)?);
    println!("{}", matrix.text());
    Ok(matrix)
}

fn step(started: Instant, text: &str) {
    println!("[{:5.1} s] {text}", started.elapsed().as_secs_f64());
    // A closed standard output is no reason to stop.
    let _ = std::io::stdout().flush();
}

/// Adds the pods; the first on each node waits for its daemon.
fn pods(lab: &Lab) -> Result<Vec<DemoPod>> {
    let mut pods = Vec::new();
    for node in tables::cluster_nodes(lab) {
        for letter in ["a", "b"].into_iter().take(PODS) {
            let name = format!("{node}-{letter}").replace("node", "pod");
            let deadline = Instant::now() + SETTLES;
            let pod = loop {
                match lab.add_pod(&node, &name) {
                    Ok(pod) => break pod,
                    Err(error) if Instant::now() > deadline => return Err(error),
                    Err(_) => std::thread::sleep(Duration::from_millis(200)),
                }
            };
            pods.push(DemoPod { node: node.clone(), pod });
        }
    }
    Ok(pods)
}

fn await_sessions(lab: &Lab) -> Result<()> {
    let deadline = Instant::now() + SETTLES;
    loop {
        let sessions = lab.all_sessions();
        let down = sessions.iter().filter(|session| !session.established).count();
        let silent =
            lab.topology().nodes.keys().filter(|node| !sessions.iter().any(|session| &session.node == *node));
        let silent: Vec<&String> = silent.collect();
        if down == 0 && silent.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{down} sessions are down; without any: {silent:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
