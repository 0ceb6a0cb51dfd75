//! What the mesh of many nodes costs one of them: a tunnel's state for each other node, all at once and one by one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cairn_kernel::monitor::{Event, Monitor, Topic};
use cairn_kernel::object::{Change, PROTOCOL};
use cairn_lab::Lab;
use cairn_net::Prefix;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fabric::Fabric;

/// So many blocks, and node addresses, there are in the topology's ranges.
pub(crate) const MOST: u32 = 20_000;

/// How long the whole mesh may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often one node's change is timed.
const CHANGES: u32 = 21;

const WITHOUT_MESH: &str = "apiVersion: cairn.network/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\nspec:\n  \
    nodeToNodeMeshEnabled: false\n";

/// What it took.
pub(crate) struct Mesh {
    pub(crate) nodes: u32,
    /// From the moment that felix-lite may read the objects to the last piece of state in the kernel. Seconds.
    pub(crate) total: f64,
    /// From the first piece of state in the kernel to the last. Seconds.
    pub(crate) programmed: f64,
    /// CPU time of felix-lite. Seconds.
    pub(crate) cpu: f64,
    /// One node gets another address, from the object's new file to the kernel. The median, seconds.
    pub(crate) change: f64,
}

/// Gives node1 a mesh of so many other nodes, with a block each, in VXLAN.
pub(crate) fn measure(lab: &Lab, nodes: u32) -> Result<Mesh> {
    // So many nodes are no full mesh of BGP: their blocks are known from the datastore.
    write(lab, "bgpconfigurations", "default", WITHOUT_MESH)?;
    Fabric::Vxlan.set_mode(lab)?;
    // Other nodes are not on the Ethernet.
    lab.run("node1", "ip route add default via 10.0.0.254")?;
    let pod = crate::wait(|| lab.add_pod("node2", "b"))?;
    let address = pod.addresses.iter().copied().find(IpAddr::is_ipv4).context("the pod has no address")?;
    crate::wait(|| Fabric::Vxlan.is_used(lab, "node1", address))?;
    let felix = *lab.processes("node1", "felix-lite")?.first().context("felix-lite runs")?;
    let felix = Pid::from_raw(felix);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let netns = crate::node(lab, "node1")?;
    runtime.block_on(async {
        let topics = [Topic::Neighbours, Topic::Routes];
        let mut monitor = Monitor::open_in(&netns, &topics)?;
        eprintln!("a mesh of {nodes} nodes ...");
        // It finds all of them at once.
        kill(felix, Signal::SIGSTOP)?;
        let written = (0..nodes).try_for_each(|number| {
            write(lab, "nodes", &name(number), &node(number, 0))?;
            write(lab, "blockaffinities", &affinity_name(number), &affinity(number))
        });
        let before = cpu(felix)?;
        kill(felix, Signal::SIGCONT)?;
        written?;
        let (start, mut state) = (Instant::now(), State::default());
        let mut first = None;
        while !state.has(nodes) {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let event = tokio::time::timeout(left, monitor.next()).await;
            let event = event.with_context(|| format!("{nodes} nodes wanted, in the kernel: {state}"))??;
            if state.take(&event)? {
                first.get_or_insert_with(Instant::now);
            }
        }
        let programmed = first.context("something was written")?.elapsed().as_secs_f64();
        let total = start.elapsed().as_secs_f64();
        let cpu = cpu(felix)? - before;
        let mut changes = Vec::new();
        for round in 1..=CHANGES {
            eprintln!("another address, {round} of {CHANGES} ...");
            // What the last one left behind.
            while tokio::time::timeout(Duration::from_millis(500), monitor.next()).await.is_ok() {}
            let number = round * (nodes - 1) / CHANGES;
            let start = Instant::now();
            write(lab, "nodes", &name(number), &node(number, round))?;
            let moved = IpAddr::V4(underlay(number, round));
            loop {
                let event = tokio::time::timeout(PATIENCE, monitor.next()).await;
                let event = event.with_context(|| format!("{moved} is not in the kernel"))??;
                if matches!(event, Event::Forwarding(Change::Present(entry)) if entry.remote == moved) {
                    break;
                }
            }
            changes.push(start.elapsed().as_secs_f64());
        }
        Ok(Mesh { nodes, total, programmed, cpu, change: crate::report::median(&changes) })
    })
}

/// What the kernel has for other nodes.
#[derive(Default)]
struct State {
    remotes: BTreeSet<IpAddr>,
    neighbours: BTreeSet<IpAddr>,
    blocks: BTreeSet<Prefix>,
}

impl State {
    /// Whether the event is about it.
    fn take(&mut self, event: &Event) -> Result<bool> {
        let new = match event {
            Event::Forwarding(Change::Present(entry)) => self.remotes.insert(entry.remote),
            Event::Neighbour(Change::Present(entry)) => self.neighbours.insert(entry.addr),
            Event::Route(Change::Present(route)) if route.protocol == PROTOCOL => {
                self.blocks.insert(route.prefix)
            }
            Event::Resync => anyhow::bail!("notifications were lost"),
            _ => false,
        };
        Ok(new)
    }

    fn has(&self, nodes: u32) -> bool {
        let nodes = nodes as usize;
        self.remotes.len() >= nodes && self.neighbours.len() >= nodes && self.blocks.len() >= nodes
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (remotes, neighbours) = (self.remotes.len(), self.neighbours.len());
        write!(
            formatter,
            "{remotes} forwarding entries, {neighbours} neighbours, {} routes",
            self.blocks.len()
        )
    }
}

fn name(number: u32) -> String {
    format!("far-{number}")
}

/// The address of a node, another one for each time that it moves.
fn underlay(number: u32, moved: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0b00_0000 + (moved << 16) + number + 1)
}

fn block(number: u32) -> Prefix {
    // From the middle of the pool; the topology's own nodes take the first ones.
    let address = Ipv4Addr::from_bits(0x0aa0_0000 + (number << 6));
    Prefix::containing(IpAddr::V4(address), 26).expect("26 bits fit")
}

fn node(number: u32, moved: u32) -> String {
    let address = underlay(number, moved);
    format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: {}\n  annotations:\n    cairn.network/ipv4-address: {address}/8\n",
        name(number)
    )
}

fn affinity_name(number: u32) -> String {
    let block = block(number);
    format!("{}-{}", block.addr().to_string().replace('.', "-"), block.len())
}

fn affinity(number: u32) -> String {
    format!(
        "apiVersion: cairn.network/v1alpha1\nkind: BlockAffinity\nmetadata:\n  name: {}\nspec:\n  cidr: {}\n  node: {}\n  \
         pool: pods-ipv4\n  state: confirmed\n",
        affinity_name(number),
        block(number),
        name(number)
    )
}

fn write(lab: &Lab, kind: &str, name: &str, text: &str) -> Result<()> {
    let directory: PathBuf = lab.directory().join("volumes/objects").join(kind);
    std::fs::create_dir_all(&directory)?;
    let put = |path: &Path, draft: &Path| {
        std::fs::write(draft, text)?;
        std::fs::rename(draft, path)
    };
    let path = directory.join(format!("{name}.yaml"));
    put(&path, &directory.join(format!("{name}.draft"))).with_context(|| path.display().to_string())
}

/// CPU time of a process until now. Seconds.
fn cpu(process: Pid) -> Result<f64> {
    let clock = nix::time::clock_getcpuclockid(process).context("no such process")?;
    Ok(Duration::from(clock.now()?).as_secs_f64())
}
