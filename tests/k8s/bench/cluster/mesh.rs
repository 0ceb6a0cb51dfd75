//! One felix-lite in a cluster of many nodes: what it takes to know all of them, after they came and after its own start, what one that changes
//! costs, and what it asks while nothing happens.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_k8s::Cluster;
use cairn_k8s::cluster::CONTROL;
use cairn_k8s::program::Program;
use serde_json::Value;

use crate::audit::{self, Requests};
use crate::connections::{Connections, Octets};
use crate::process::Usage;
use crate::{NODE, far, kernel};

/// Nodes that change their address, one after the other.
pub(crate) const CHANGES: u32 = 20;

/// After this time nothing follows any more from what happened.
const SETTLES: Duration = Duration::from_secs(5);

/// How long kubelet may take to start a container again.
const BEGINS: Duration = Duration::from_secs(120);

const FELIX: &str = "felix-lite";

/// What was measured of some time of one felix-lite.
pub(crate) struct Part {
    /// Seconds until everything was in the kernel; for a change, the median.
    pub(crate) seconds: f64,
    /// felix-lite's CPU time, in seconds.
    pub(crate) cpu: f64,
    /// What it exchanged with the API server.
    pub(crate) octets: Octets,
    /// Reads and writes that it sent, without watches.
    pub(crate) requests: u64,
}

/// All of it.
pub(crate) struct Mesh {
    pub(crate) nodes: u32,
    pub(crate) pods: u32,
    /// Octets of a Node's status, as JSON.
    pub(crate) status: usize,
    /// How long it took to write all objects, in seconds; `arrival.seconds` is what felix-lite took beyond that.
    pub(crate) written: f64,
    pub(crate) arrival: Part,
    pub(crate) start: Part,
    /// All of [`CHANGES`] together, but for the time.
    pub(crate) changes: Part,
    pub(crate) idle: Part,
    /// Memory after the start, in MiB: then, and at most.
    pub(crate) resident: f64,
    pub(crate) peak: f64,
    /// Watches that one felix-lite has, by resource, and its connections.
    pub(crate) watches: BTreeMap<String, u64>,
    pub(crate) connections: usize,
    /// The API server's CPU time while felix-lite started, in seconds.
    pub(crate) server: f64,
}

/// What there is before something happens.
struct Before {
    felix: i32,
    usage: Usage,
    connections: Connections,
    audit: audit::Mark,
}

impl Before {
    fn look(cluster: &Cluster) -> Result<Self> {
        let felix = cluster.daemon(NODE, FELIX)?;
        let (usage, connections) = (Usage::of(felix)?, Connections::of(cluster, FELIX)?);
        Ok(Self { felix, usage, connections, audit: audit::mark(cluster)? })
    }

    fn part(&self, cluster: &Cluster, seconds: f64) -> Result<Part> {
        ensure!(cluster.daemon(NODE, FELIX)? == self.felix, "felix-lite began again meanwhile");
        Ok(Part {
            seconds,
            cpu: Usage::of(self.felix)?.cpu_since(&self.usage),
            octets: Connections::of(cluster, FELIX)?.since(&self.connections),
            requests: audit::since(cluster, self.audit)?.others,
        })
    }
}

pub(crate) fn measure(cluster: &Cluster, nodes: u32, pods_per_node: u32, idle: u64) -> Result<Mesh> {
    let status = status(cluster)?;
    let size = status.to_string().len();
    leave_one_alone(cluster)?;
    cluster.apply(&far::pool())?;
    cluster.await_that("the node has the device", || {
        cluster.lab().run(NODE, &format!("ip link show {}", kernel::DEVICE)).map(drop)
    })?;
    sleep(SETTLES);

    eprintln!("objects of {nodes} nodes and {} pods ...", nodes * pods_per_node);
    let (before, began) = (Before::look(cluster)?, Instant::now());
    far::at_the_server(cluster, async |writer| writer.write_all(nodes, pods_per_node, status).await)?;
    let written = Instant::now();
    let lag = kernel::converged(cluster, nodes)?.saturating_duration_since(written).as_secs_f64();
    sleep(SETTLES);
    let arrival = before.part(cluster, lag)?;
    let written = written.duration_since(began).as_secs_f64();

    eprintln!("felix-lite starts among them ...");
    let Started { part: start, usage, requests, connections, server } = start(cluster, nodes)?;
    eprintln!("{CHANGES} nodes change their address ...");
    let changes = change(cluster, nodes)?;
    eprintln!("nothing happens for {idle} s ...");
    let before = Before::look(cluster)?;
    sleep(Duration::from_secs(idle));
    let idle = before.part(cluster, Duration::from_secs(idle).as_secs_f64())?;
    Ok(Mesh {
        nodes,
        pods: nodes * pods_per_node,
        status: size,
        written,
        arrival,
        start,
        changes,
        idle,
        resident: usage.resident,
        peak: usage.peak,
        watches: requests.watches,
        connections,
        server,
    })
}

/// What kubelet wrote of the real node.
fn status(cluster: &Cluster) -> Result<Value> {
    let node = cluster.json(&["get", "node", NODE])?;
    let status = node["status"].clone();
    let images = status["images"].as_array().map_or(0, Vec::len);
    ensure!(images > 0 && status["nodeInfo"].is_object(), "kubelet has not told all of {NODE} yet: {status}");
    Ok(status)
}

/// One felix-lite, and nobody who would make pods for simulated nodes or say that they are not there.
fn leave_one_alone(cluster: &Cluster) -> Result<()> {
    for part in [Program::KubeControllerManager, Program::KubeScheduler] {
        cluster.kill_program(CONTROL, part.name())?;
    }
    for other in cluster.nodes().into_iter().filter(|node| *node != NODE) {
        cluster.power_off(other)?;
    }
    Ok(())
}

/// What was measured of a start.
struct Started {
    part: Part,
    usage: Usage,
    requests: Requests,
    connections: usize,
    server: f64,
}

/// felix-lite begins again, with nothing of the other nodes in the kernel: it reads everything, and all of it must follow from that.
fn start(cluster: &Cluster, nodes: u32) -> Result<Started> {
    let kubelet = Program::Kubelet.name();
    // So that it does not begin before everything is away.
    cluster.kill_program(NODE, kubelet)?;
    cluster.kill_daemon(NODE, FELIX)?;
    cluster.await_that("felix-lite has ended", || {
        ensure!(cluster.daemon(NODE, FELIX).is_err(), "it runs");
        Ok(())
    })?;
    kernel::forget(cluster)?;
    let server =
        *cluster.lab().processes(CONTROL, Program::KubeApiserver.name())?.first().context("it runs")?;
    let (mark, server_before) = (audit::mark(cluster)?, Usage::of(server)?);
    cluster.start_kubelet(NODE)?;
    let felix = begins(cluster)?;
    let began = Instant::now();
    let seconds = kernel::converged(cluster, nodes)?.saturating_duration_since(began).as_secs_f64();
    sleep(SETTLES);
    let (usage, connections) = (Usage::of(felix)?, Connections::of(cluster, FELIX)?);
    let server = Usage::of(server)?.cpu_since(&server_before);
    let requests = audit::since(cluster, mark)?;
    ensure!(requests.watches() > 0, "the API server logged no watch of felix-lite");
    let part = Part {
        seconds,
        cpu: usage.cpu.as_secs_f64(),
        octets: connections.total(),
        requests: requests.others,
    };
    Ok(Started { part, usage, requests, connections: connections.number(), server })
}

/// Waits until kubelet has started felix-lite, and returns its process as soon as it is there.
fn begins(cluster: &Cluster) -> Result<i32> {
    let deadline = Instant::now() + BEGINS;
    loop {
        match cluster.daemon(NODE, FELIX) {
            Ok(felix) => return Ok(felix),
            Err(error) => ensure!(Instant::now() < deadline, "not within {} s: {error:#}", BEGINS.as_secs()),
        }
        sleep(Duration::from_millis(5));
    }
}

/// Nodes change their address, one after the other; each change is waited for.
fn change(cluster: &Cluster, nodes: u32) -> Result<Part> {
    let before = Before::look(cluster)?;
    let mut times = far::at_the_server(cluster, async |writer| {
        let mut times = Vec::new();
        for round in 1..=CHANGES {
            let number = (round - 1) * (nodes / CHANGES);
            writer.move_node(number, round).await?;
            let began = Instant::now();
            let moved = kernel::has_moved(cluster, &far::address(number, round).to_string())?;
            times.push(moved.saturating_duration_since(began).as_secs_f64());
        }
        Ok(times)
    })?;
    sleep(Duration::from_secs(1));
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().context("something changed")?;
    before.part(cluster, median)
}
