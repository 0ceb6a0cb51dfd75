//! The tables for people, what follows for a large cluster, and the line for programs.

use serde_json::{Map, Value, json};

use crate::announce::{Announced, GOAL};
use crate::mesh::{CHANGES, Mesh, Part};
use crate::pods::Start;

/// The cluster whose load is computed.
const LARGE: f64 = 5000.0;

/// kubelet writes its Node's status so often while nothing changes (nodeStatusReportFrequency). Seconds.
const HEARTBEAT: f64 = 300.0;

/// A watch is asked for 5 to 10 minutes, and begins again then. The mean, in seconds.
const WATCH: f64 = 450.0;

/// What so many nodes ask of the API server, from what one was measured to ask.
struct Load {
    watches: f64,
    /// Watches that begin again each second.
    renewals: f64,
    /// Events that kubelets' writes of their Nodes cause each second, and their octets.
    events: f64,
    event_octets: f64,
    /// What all of them are told while nothing happens, in octets each second.
    idle_octets: f64,
    /// What one that starts reads, in octets.
    start_octets: f64,
}

impl Load {
    fn of(mesh: &Mesh) -> Self {
        let watches: u64 = mesh.watches.values().sum();
        let of_nodes = mesh.watches.get("nodes").copied().unwrap_or_default();
        let watches = watches as f64 * LARGE;
        // Each Node that is written is told to every node.
        let told = LARGE / HEARTBEAT * LARGE;
        Self {
            watches,
            renewals: watches / WATCH,
            events: told * of_nodes as f64,
            event_octets: told * mesh.changes.octets.received as f64 / f64::from(CHANGES),
            idle_octets: mesh.idle.octets.received as f64 / mesh.idle.seconds * LARGE,
            start_octets: mesh.start.octets.received as f64 / f64::from(mesh.nodes) * LARGE,
        }
    }

    fn json(&self) -> Value {
        json!({
            "nodes": LARGE, "watches": self.watches, "watchesBegunPerSecond": self.renewals,
            "nodeEventsPerSecond": self.events, "nodeEventBytesPerSecond": self.event_octets,
            "idleBytesPerSecond": self.idle_octets, "bytesReadByOneStart": self.start_octets,
        })
    }
}

/// Prints all.
pub(crate) fn print(announced: Option<&Announced>, start: Option<&Start>, mesh: Option<&Mesh>) {
    let mut line = Map::from_iter([("bench".to_owned(), json!("cluster"))]);
    if let Some(announced) = announced {
        print_announced(announced);
        line.insert("blocks".to_owned(), announced_json(announced));
    }
    if let Some(start) = start {
        print_start(start);
        line.insert("pods".to_owned(), start_json(start));
    }
    if let Some(mesh) = mesh {
        let load = Load::of(mesh);
        print_mesh(mesh);
        print_load(&load);
        line.insert("mesh".to_owned(), mesh_json(mesh));
        line.insert("large".to_owned(), load.json());
    }
    println!("\n{}", Value::Object(line));
}

fn print_announced(announced: &Announced) {
    println!(
        "\n{} new blocks of one node, from the claim until the last of the other nodes has the route; the goal is {GOAL:.0} ms\n",
        announced.number()
    );
    println!("| p50 ms | p90 ms | longest ms |");
    println!("|---|---|---|");
    println!("| {:.1} | {:.1} | {:.1} |", announced.after(50), announced.after(90), announced.after(100));
}

fn announced_json(announced: &Announced) -> Value {
    json!({
        "blocks": announced.number(), "goalMs": GOAL, "p50Ms": announced.after(50),
        "p90Ms": announced.after(90), "maxMs": announced.after(100),
    })
}

fn print_start(start: &Start) {
    println!("\n{} pods at once on one node\n", start.pods);
    println!(
        "| all ready s | pods/s | sandbox, mean ms | Cairn's ADD p50 ms | p99 ms | longest ms | felix-lite CPU s | all gone s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| {:.1} | {:.2} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} |",
        start.ready,
        start.per_second(),
        start.sandbox,
        start.add(50),
        start.add(99),
        start.add(100),
        start.cpu,
        start.gone
    );
}

fn start_json(start: &Start) -> Value {
    json!({
        "pods": start.pods, "readySeconds": start.ready, "podsPerSecond": start.per_second(),
        "goneSeconds": start.gone, "sandboxMeanMs": start.sandbox, "addP50Ms": start.add(50),
        "addP99Ms": start.add(99), "addMaxMs": start.add(100), "cpuSeconds": start.cpu,
    })
}

fn print_mesh(mesh: &Mesh) {
    let change = f64::from(CHANGES);
    println!(
        "\none felix-lite among {} nodes, each with a status of {:.1} KiB, and {} pods: {:.1} MiB, {:.1} at most; {} watches, {} connections\n",
        mesh.nodes,
        mesh.status as f64 / 1024.0,
        mesh.pods,
        mesh.resident,
        mesh.peak,
        mesh.watches.values().sum::<u64>(),
        mesh.connections
    );
    println!("| what happens | in the kernel after s | CPU s | received KiB | sent KiB | requests |");
    println!("|---|---|---|---|---|---|");
    let row = |what: &str, part: &Part, by: f64, seconds: &str| {
        println!(
            "| {what} | {seconds} | {:.4} | {:.1} | {:.1} | {:.1} |",
            part.cpu / by,
            part.octets.received as f64 / 1024.0 / by,
            part.octets.sent as f64 / 1024.0 / by,
            part.requests as f64 / by
        );
    };
    let seconds = |part: &Part| format!("{:.3}", part.seconds);
    let written = format!("all objects are written in {:.1} s; then", mesh.written);
    row(&written, &mesh.arrival, 1.0, &seconds(&mesh.arrival));
    row("felix-lite starts", &mesh.start, 1.0, &seconds(&mesh.start));
    row("one node changes its address", &mesh.changes, change, &seconds(&mesh.changes));
    row(&format!("nothing, for {:.0} s", mesh.idle.seconds), &mesh.idle, 1.0, "");
    println!("\nthe API server used {:.2} s of CPU while it started", mesh.server);
}

fn print_load(load: &Load) {
    println!("\nwhat follows for an API server with {LARGE} nodes\n");
    println!("- {:.0} watches, of which {:.0} begin again each second", load.watches, load.renewals);
    println!(
        "- {:.0} events a second, {:.1} MiB/s, because each kubelet writes its Node every {HEARTBEAT} s",
        load.events,
        load.event_octets / 1_048_576.0
    );
    println!("- {:.0} KiB/s to all of them while nothing happens", load.idle_octets / 1024.0);
    println!("- {:.1} MiB to each one that starts", load.start_octets / 1_048_576.0);
}

fn mesh_json(mesh: &Mesh) -> Value {
    let part = |part: &Part, by: f64| {
        json!({
            "seconds": part.seconds, "cpuSeconds": part.cpu / by,
            "bytesReceived": part.octets.received as f64 / by, "bytesSent": part.octets.sent as f64 / by,
            "requests": part.requests as f64 / by,
        })
    };
    json!({
        "nodes": mesh.nodes, "pods": mesh.pods, "nodeStatusBytes": mesh.status,
        "writtenSeconds": mesh.written, "rssMiB": mesh.resident, "peakMiB": mesh.peak,
        "watches": mesh.watches, "connections": mesh.connections,
        "serverCpuSeconds": mesh.server, "arrival": part(&mesh.arrival, 1.0), "start": part(&mesh.start, 1.0),
        "change": part(&mesh.changes, f64::from(CHANGES)), "idle": part(&mesh.idle, 1.0),
    })
}
