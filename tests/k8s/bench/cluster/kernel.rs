//! What the kernel of the node has for simulated nodes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cairn_k8s::Cluster;

use crate::{NODE, far};

/// How often it is looked at: often enough for the figures, seldom enough not to be the load.
const LOOK: Duration = Duration::from_millis(50);

/// How long everything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The device that packets to simulated nodes leave by.
pub(crate) const DEVICE: &str = "cairn-vxlan";

/// Of each simulated node: a route to its block, a neighbour, and where the device sends packets for it.
struct State {
    routes: BTreeSet<String>,
    neighbours: BTreeSet<String>,
    remotes: BTreeSet<String>,
}

impl State {
    /// A device that is not there has nothing.
    fn read(cluster: &Cluster) -> Result<Self> {
        let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
        let neighbours = format!("ip neighbour show nud all dev {DEVICE}");
        let routes = list(cluster, "ip -4 route show proto 202")?;
        Ok(Self {
            routes: routes.lines().filter(|line| line.contains(DEVICE)).filter_map(first).collect(),
            neighbours: list(cluster, &neighbours)?.lines().filter_map(first).collect(),
            remotes: remotes(cluster)?,
        })
    }

    fn has_all(&self, nodes: u32) -> Result<()> {
        let missing = |found: &BTreeSet<String>, wanted: &dyn Fn(u32) -> String| {
            (0..nodes).filter(|number| !found.contains(&wanted(*number))).count()
        };
        let address = |number: u32| far::address(number, 0).to_string();
        let (routes, neighbours, remotes) = (
            missing(&self.routes, &far::block),
            missing(&self.neighbours, &address),
            missing(&self.remotes, &address),
        );
        ensure!(
            routes + neighbours + remotes == 0,
            "of {nodes} nodes {routes} routes, {neighbours} neighbours and {remotes} forwarding entries are missing"
        );
        Ok(())
    }
}

fn list(cluster: &Cluster, line: &str) -> Result<String> {
    let words: Vec<&str> = line.split(' ').collect();
    Ok(cluster.lab().exec(NODE, &words)?.stdout)
}

/// Where the device sends packets to.
fn remotes(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let text = list(cluster, &format!("bridge fdb show dev {DEVICE}"))?;
    let remote = |line: &str| Some(line.split(" dst ").nth(1)?.split_whitespace().next()?.to_owned());
    Ok(text.lines().filter_map(remote).collect())
}

/// Waits until everything that follows from the objects of all simulated nodes is in the kernel, and returns when that was seen.
pub(crate) fn converged(cluster: &Cluster, nodes: u32) -> Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = State::read(cluster)?;
        let now = Instant::now();
        match state.has_all(nodes) {
            Ok(()) => return Ok(now),
            Err(error) => ensure!(now < deadline, "not within {} s: {error}", PATIENCE.as_secs()),
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until the device sends packets to an address, and returns when that was seen.
pub(crate) fn has_moved(cluster: &Cluster, address: &str) -> Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if remotes(cluster)?.contains(address) {
            return Ok(Instant::now());
        }
        ensure!(
            Instant::now() < deadline,
            "no forwarding entry of {address} within {} s",
            PATIENCE.as_secs()
        );
    }
}

/// Takes away all that the kernel has for simulated nodes: routes, neighbours and forwarding entries go with the device.
pub(crate) fn forget(cluster: &Cluster) -> Result<()> {
    cluster.lab().run(NODE, &format!("ip link delete {DEVICE}"))?;
    let left = State::read(cluster)?;
    ensure!(left.routes.is_empty() && left.remotes.is_empty(), "{DEVICE} is gone and its routes are not");
    Ok(())
}
