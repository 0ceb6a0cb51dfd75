//! What a fabric costs: TCP between pods of two nodes, against the same made by hand of plain namespaces, routes and devices on the same Ethernet.
//!
//! `cargo xtask bench fabrics`. Both paths cross one bridge and have the same MTU; they take turns within a round. A figure is the median of all rounds; a
//! ratio is Cairn's by the plain one's, so that 1 is as good as the kernel can. Then, what a mesh of many nodes costs one of them. The last line is
//! JSON.

#[path = "fabrics/fabric.rs"]
mod fabric;
#[path = "fabrics/report.rs"]
mod report;
#[path = "fabrics/scale.rs"]
mod scale;
#[path = "fabrics/traffic.rs"]
mod traffic;

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_kernel::Netns;
use cairn_lab::lab::Options;
use cairn_lab::pod::{Pod, netns};
use cairn_lab::{Lab, Topology};
use cairn_net::Family;
use clap::Parser;

use fabric::Fabric;
use report::{Comparison, Sample};

/// How long anything may take to settle.
const SETTLES: Duration = Duration::from_secs(60);

/// What the benchmark takes.
#[derive(Parser)]
#[command(name = "fabrics", about = "Costs of fabrics")]
struct Arguments {
    /// Rounds
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds that a stream, or an exchange of messages, lasts
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// The fabrics; those that this kernel lacks are named and left out
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Fabric::ALL)]
    fabrics: Vec<Fabric>,
    /// With the fast path of established connections
    #[arg(long)]
    flowtable: bool,
    /// With pools whose pods are masqueraded when they leave the cluster, for which the kernel tracks all connections
    #[arg(long)]
    nat_outgoing: bool,
    /// Nodes of the mesh whose state is programmed, in VXLAN and WireGuard; 0 leaves that out
    #[arg(long, default_value_t = 5000)]
    nodes: u32,
    /// Said by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.rounds > 0, "--rounds must be at least 1");
    ensure!((0.01..=60.0).contains(&arguments.seconds), "--seconds must be 0.01 to 60");
    ensure!(arguments.nodes <= scale::MOST, "--nodes must be at most {}", scale::MOST);
    let time = Duration::from_secs_f64(arguments.seconds);
    let (mut comparisons, mut missing) = (Vec::new(), Vec::new());
    let wanted = arguments.fabrics;
    for fabric in wanted.iter().copied() {
        match fabric.needs() {
            Some(feature) if !feature.is_there()? => missing.push(fabric),
            _ => comparisons.extend(in_lab(|lab| {
                if arguments.flowtable {
                    fabric::configure(lab, "fast-path", "flowtable: Software")?;
                }
                if arguments.nat_outgoing {
                    Family::ALL
                        .iter()
                        .try_for_each(|family| fabric::set_in_pool(lab, *family, "natOutgoing: true"))?;
                }
                compare(lab, fabric, arguments.rounds, time)
            })?),
        }
    }
    // Those whose state grows with the nodes.
    let meshes = [Fabric::Vxlan, Fabric::Wireguard].into_iter();
    let meshes =
        meshes.filter(|fabric| arguments.nodes > 0 && wanted.contains(fabric) && !missing.contains(fabric));
    let meshes = meshes.map(|fabric| in_lab(|lab| scale::measure(lab, fabric, arguments.nodes)));
    let meshes: Vec<_> = meshes.collect::<Result<_>>()?;
    report::print(&comparisons, &meshes, &missing);
    Ok(())
}

fn in_lab<T>(body: impl FnOnce(&Lab) -> Result<T>) -> Result<T> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies/fabrics.clab.yml");
    let topology = Topology::load(&file)?;
    Lab::down_by_name(&topology.name)?;
    let lab = Lab::up(topology, &Options::default())?;
    let result = body(&lab).map_err(|error| error.context(lab.tails()));
    lab.down()?;
    result
}

/// One of the two paths, for one family.
struct Ends {
    client: Netns,
    server: Netns,
    address: IpAddr,
}

fn compare(lab: &Lab, fabric: Fabric, rounds: usize, time: Duration) -> Result<Vec<Comparison>> {
    fabric.set_mode(lab)?;
    let pods = [("node1", "a"), ("node2", "b")];
    let pods: Vec<Pod> =
        pods.iter().map(|(node, name)| wait(|| lab.add_pod(node, name))).collect::<Result<_>>()?;
    let mut comparisons = Vec::new();
    for family in fabric.families() {
        let address = pods[1].addresses.iter().copied().find(|address| Family::of(*address) == *family);
        let address = address.with_context(|| format!("pod b has no {family} address"))?;
        wait(|| fabric.is_used(lab, "node1", address))?;
        let mtu = mtu(lab)?;
        fabric.by_hand(lab, *family, mtu)?;
        let ours = Ends { client: pod(lab, "node1", "a")?, server: pod(lab, "node2", "b")?, address };
        let plain = Ends { client: node(lab, "end1")?, server: node(lab, "end2")?, address: end2(*family) };
        for ends in [&ours, &plain] {
            wait(|| traffic::round_trips(ends, Duration::from_millis(50)))?;
        }
        let mut comparison = Comparison::new(fabric, *family, mtu);
        for round in 0..rounds {
            eprintln!("{fabric}, {family}, round {} of {rounds} ...", round + 1);
            // Whoever goes second finds warm caches: take turns.
            let (first, second) = if round % 2 == 0 { (&plain, &ours) } else { (&ours, &plain) };
            let (first, second) = (sample(first, time)?, sample(second, time)?);
            let (plain, ours) = if round % 2 == 0 { (first, second) } else { (second, first) };
            comparison.add(plain, ours);
        }
        comparisons.push(comparison);
    }
    Ok(comparisons)
}

fn sample(ends: &Ends, time: Duration) -> Result<Sample> {
    Ok(Sample { octets: traffic::stream(ends, time)?, round_trips: traffic::round_trips(ends, time)? })
}

/// The address of the plain server.
fn end2(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => [10, 250, 2, 1].into(),
        Family::Ipv6 => [0xfd00, 0x250, 2, 0, 0, 0, 0, 1].into(),
    }
}

/// The MTU of pods.
fn mtu(lab: &Lab) -> Result<u32> {
    let output = lab.exec_in("node1", Some("a"), &["ip", "-json", "link", "show", "eth0"])?;
    let links: serde_json::Value = serde_json::from_str(&output.stdout).with_context(|| output.text())?;
    let mtu = links[0]["mtu"].as_u64().and_then(|mtu| u32::try_from(mtu).ok());
    mtu.with_context(|| format!("pod a has no MTU: {links}"))
}

fn node(lab: &Lab, name: &str) -> Result<Netns> {
    Ok(Netns::open(Path::new(&format!("/proc/{}/ns/net", lab.process(name)?.pid)))?)
}

fn pod(lab: &Lab, node: &str, name: &str) -> Result<Netns> {
    Ok(Netns::open(Path::new(&format!("/proc/{}/root{}", lab.process(node)?.pid, netns(name))))?)
}

fn wait<T>(mut check: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + SETTLES;
    loop {
        match check() {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() > deadline => return Err(error).context("not in time"),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
