//! What the mesh of many nodes costs one of them: a tunnel's state for each other node, all at once and one by one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_kernel::Netns;
use cairn_kernel::monitor::{Event, Monitor, Topic};
use cairn_kernel::object::{Change, LinkName, PROTOCOL};
use cairn_kernel::wireguard::{PublicKey, Wireguard};
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

/// Time between two questions to a kernel that does not tell.
const PAUSE: Duration = Duration::from_millis(20);

/// felix-lite looks often at peers that have not answered yet, for ten seconds; none of these answers.
const ANSWERS: Duration = Duration::from_secs(15);

const WITHOUT_MESH: &str = "apiVersion: cairn.network/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\nspec:\n  \
    nodeToNodeMeshEnabled: false\n";

/// What it took.
pub(crate) struct Mesh {
    pub(crate) fabric: Fabric,
    pub(crate) nodes: u32,
    /// From the moment that felix-lite may read the objects to the last piece of state in the kernel. Seconds.
    pub(crate) total: f64,
    /// From the first piece of state in the kernel to the last. Seconds.
    pub(crate) programmed: f64,
    /// CPU time of felix-lite. Seconds.
    pub(crate) cpu: f64,
    /// One node gets another address, from the object's new file to the kernel. The median, seconds.
    pub(crate) change: f64,
    /// CPU time of felix-lite for that, on average. Seconds.
    pub(crate) change_cpu: f64,
}

/// Gives node1 a mesh of so many other nodes, with a block each.
pub(crate) fn measure(lab: &Lab, fabric: Fabric, nodes: u32) -> Result<Mesh> {
    // So many nodes are no full mesh of BGP: their blocks are known from the datastore.
    write(lab, "bgpconfigurations", "default", WITHOUT_MESH)?;
    fabric.set_mode(lab)?;
    // Other nodes are not on the Ethernet.
    lab.run("node1", "ip route add default via 10.0.0.254")?;
    let pod = crate::wait(|| lab.add_pod("node2", "b"))?;
    let address = pod.addresses.iter().copied().find(IpAddr::is_ipv4).context("the pod has no address")?;
    crate::wait(|| fabric.is_used(lab, "node1", address))?;
    let felix = *lab.processes("node1", "felix-lite")?.first().context("felix-lite runs")?;
    let felix = Pid::from_raw(felix);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut kernel = Kernel::of(&crate::node(lab, "node1")?, fabric)?;
        eprintln!("{fabric}: a mesh of {nodes} nodes ...");
        // It finds all of them at once.
        kill(felix, Signal::SIGSTOP)?;
        let written = (0..nodes).try_for_each(|number| {
            if fabric == Fabric::Wireguard {
                write(lab, "wireguardpeers", &name(number), &wireguard_peer(number))?;
            }
            write(lab, "nodes", &name(number), &node(number, 0))?;
            write(lab, "blockaffinities", &affinity_name(number), &affinity(number))
        });
        let before = cpu(felix)?;
        kill(felix, Signal::SIGCONT)?;
        written?;
        let start = Instant::now();
        let programmed = kernel.has_all(nodes).await?.elapsed().as_secs_f64();
        let (total, whole_cpu) = (start.elapsed().as_secs_f64(), cpu(felix)? - before);
        if fabric == Fabric::Wireguard {
            eprintln!("{fabric}: until none of them is waited for to answer ...");
            tokio::time::sleep(ANSWERS).await;
        }
        let (mut changes, mut change_cpu) = (Vec::new(), 0.0);
        for round in 1..=CHANGES {
            eprintln!("another address, {round} of {CHANGES} ...");
            kernel.settle().await;
            let number = round * (nodes - 1) / CHANGES;
            let (before, start) = (cpu(felix)?, Instant::now());
            write(lab, "nodes", &name(number), &node(number, round))?;
            kernel.has_moved(number, underlay(number, round)).await?;
            changes.push(start.elapsed().as_secs_f64());
            kernel.settle().await;
            change_cpu += (cpu(felix)? - before) / f64::from(CHANGES);
        }
        let change = crate::report::median(&changes);
        Ok(Mesh { fabric, nodes, total, programmed, cpu: whole_cpu, change, change_cpu })
    })
}

/// The kernel's side of it.
enum Kernel {
    /// It tells of each entry.
    Vxlan(Monitor),
    /// It tells of nothing, and is asked for all of its peers each time: how fast it can say that is how exactly time is measured.
    Wireguard(Wireguard, LinkName),
}

impl Kernel {
    fn of(netns: &Netns, fabric: Fabric) -> Result<Self> {
        Ok(match fabric {
            Fabric::Wireguard => Self::Wireguard(Wireguard::open_in(netns)?, "cairn-wg".parse()?),
            _ => Self::Vxlan(Monitor::open_in(netns, &[Topic::Neighbours, Topic::Routes])?),
        })
    }

    /// Waits until it has the state of all nodes; gives when it had the first piece.
    async fn has_all(&mut self, nodes: u32) -> Result<Instant> {
        let (start, mut first, mut state) = (Instant::now(), None, State::default());
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let new = match self {
                Self::Vxlan(monitor) => {
                    let event = tokio::time::timeout(left, monitor.next()).await;
                    state.take(
                        &event.with_context(|| format!("{nodes} nodes wanted, in the kernel: {state}"))??,
                    )?
                }
                Self::Wireguard(client, device) => {
                    let peers = client.device(device)?.peers;
                    let far = peers.iter().filter(|state| {
                        state.peer.endpoint.is_some_and(is_far) && !state.peer.allowed_ips.is_empty()
                    });
                    state.peers = far.count();
                    ensure!(!left.is_zero(), "{nodes} nodes wanted, in the kernel: {state}");
                    tokio::time::sleep(PAUSE).await;
                    state.peers > 0
                }
            };
            if new {
                first.get_or_insert_with(Instant::now);
            }
            if let Some(first) = first.filter(|_| state.has(nodes)) {
                return Ok(first);
            }
        }
    }

    /// Waits until it sends what is for a node to its new address.
    async fn has_moved(&mut self, number: u32, to: Ipv4Addr) -> Result<()> {
        let start = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let moved = match self {
                Self::Vxlan(monitor) => {
                    let event = tokio::time::timeout(left, monitor.next()).await;
                    let event = event.with_context(|| format!("{to} is not in the kernel"))??;
                    matches!(event, Event::Forwarding(Change::Present(entry)) if entry.remote == to)
                }
                Self::Wireguard(client, device) => {
                    ensure!(!left.is_zero(), "{to} is not in the kernel");
                    let peers = client.device(device)?.peers;
                    let peer = peers.iter().find(|state| state.peer.public_key == key(number));
                    peer.and_then(|state| state.peer.endpoint).is_some_and(|end| end.ip() == to)
                }
            };
            if moved {
                return Ok(());
            }
        }
    }

    /// Waits until nothing comes of what was before.
    async fn settle(&mut self) {
        let quiet = Duration::from_millis(500);
        match self {
            Self::Vxlan(monitor) => while tokio::time::timeout(quiet, monitor.next()).await.is_ok() {},
            Self::Wireguard(..) => tokio::time::sleep(quiet).await,
        }
    }
}

/// What the kernel has for other nodes.
#[derive(Default)]
struct State {
    remotes: BTreeSet<IpAddr>,
    neighbours: BTreeSet<IpAddr>,
    blocks: BTreeSet<Prefix>,
    /// Of WireGuard, with addresses behind them.
    peers: usize,
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
        let by_vxlan = [self.remotes.len(), self.neighbours.len(), self.blocks.len()];
        self.peers >= nodes || by_vxlan.iter().all(|count| *count >= nodes)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (remotes, neighbours) = (self.remotes.len(), self.neighbours.len());
        write!(
            formatter,
            "{remotes} forwarding entries, {neighbours} neighbours, {} routes, {} peers",
            self.blocks.len(),
            self.peers
        )
    }
}

fn name(number: u32) -> String {
    format!("far-{number}")
}

/// Is it one of those nodes' address? All of them are in 11.0.0.0/8.
fn is_far(end: SocketAddr) -> bool {
    matches!(end.ip(), IpAddr::V4(address) if address.octets()[0] == 11)
}

/// The address of a node, another one for each time that it moves.
fn underlay(number: u32, moved: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0b00_0000 + (moved << 16) + number + 1)
}

/// A key of nobody's.
fn key(number: u32) -> PublicKey {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    PublicKey(key)
}

fn wireguard_peer(number: u32) -> String {
    format!(
        "apiVersion: cairn.network/v1alpha1\nkind: WireguardPeer\nmetadata:\n  name: {}\nspec:\n  publicKey: {}\n",
        name(number),
        key(number)
    )
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
