//! How soon a new block is known everywhere: from its claim in the store by the daemons of its node and BGP through both ToRs into the routing
//! tables of all other nodes.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cairn_k8s::Cluster;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{NODE, far};

/// So many blocks the pool has.
pub(crate) const MOST: u32 = 1024;
/// What it is to take at most, in milliseconds.
pub(crate) const GOAL: f64 = 100.0;

/// The pool, which no pod names, so that no node claims anything of it by itself.
const POOL: &str = "announced";
const RANGE: &str = "10.251.0.0/16";
/// 10.251.0.0.
const FIRST_BLOCK: u32 = 0x0afb_0000;

/// After this time `ip monitor` listens, and what happened before is over.
const BEGINS: Duration = Duration::from_secs(1);
/// Between two blocks.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lines that wait to be read: more than the routes of all blocks.
const LINES: usize = 16_384;

/// What it took for each block until the last node had it: milliseconds, in order.
pub(crate) struct Announced(Vec<f64>);

impl Announced {
    pub(crate) fn number(&self) -> usize {
        self.0.len()
    }

    /// So many hundredths took no longer. Milliseconds.
    pub(crate) fn after(&self, hundredths: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * hundredths / 100).copied().unwrap_or_default()
    }
}

/// A change of a node's routing table.
struct Change {
    node: String,
    line: String,
    seen: Instant,
}

/// `ip monitor` on each node but the one that has the blocks.
struct Monitors {
    programs: Vec<(String, Child)>,
    changes: Receiver<Change>,
}

impl Monitors {
    fn start(cluster: &Cluster) -> Result<Self> {
        let (sender, changes) = sync_channel(LINES);
        let mut programs = Vec::new();
        for node in cluster.nodes().into_iter().filter(|node| *node != NODE) {
            let mut command = cluster.lab().command(node, None)?;
            command.args(["ip", "-4", "monitor", "route"]);
            let mut program = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
            let output = program.stdout.take().context("the program has an output")?;
            let (name, sender) = (node.to_owned(), sender.clone());
            std::thread::spawn(move || follow(&name, output, &sender));
            programs.push((node.to_owned(), program));
        }
        Ok(Self { programs, changes })
    }

    /// When the last of the nodes had a route to the block.
    fn everywhere(&self, block: &str) -> Result<Instant> {
        let mut missing: BTreeSet<&str> = self.programs.iter().map(|(node, _)| node.as_str()).collect();
        let mut last: Option<Instant> = None;
        let deadline = Instant::now() + PATIENCE;
        while !missing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let change = self.changes.recv_timeout(left);
            let change = change.with_context(|| format!("no route to {block} on {missing:?}"))?;
            // A route that goes begins with another word.
            let is_it = change.line.split_whitespace().next() == Some(block);
            if is_it && missing.remove(change.node.as_str()) {
                last = last.max(Some(change.seen));
            }
        }
        last.context("there is another node")
    }

    fn end(self, cluster: &Cluster) -> Result<()> {
        for (node, mut program) in self.programs {
            cluster.lab().end_process(&node, "ip", Signal::SIGTERM)?;
            program.wait()?;
        }
        Ok(())
    }
}

/// Takes the time of each line as it comes, until the program ends.
fn follow(node: &str, output: ChildStdout, sender: &SyncSender<Change>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let change = Change { node: node.to_owned(), line, seen: Instant::now() };
        if sender.send(change).is_err() {
            return;
        }
    }
}

fn block(number: u32) -> String {
    format!("{}/26", Ipv4Addr::from_bits(FIRST_BLOCK + (number << 6)))
}

pub(crate) fn measure(cluster: &Cluster, blocks: u32) -> Result<Announced> {
    eprintln!("{blocks} new blocks of {NODE} ...");
    let pool = json!({
        "apiVersion": "cairn.network/v1alpha1",
        "kind": "IPPool",
        "metadata": { "name": POOL },
        "spec": { "cidr": RANGE, "assignmentMode": "Manual" },
    });
    cluster.apply(&pool.to_string())?;
    let monitors = Monitors::start(cluster)?;
    sleep(BEGINS);
    let (mut times, monitors) = far::at_the_server(cluster, async move |writer| {
        let mut times = Vec::new();
        for number in 0..blocks {
            let block = block(number);
            writer.claim(&block, NODE, POOL).await?;
            let claimed = Instant::now();
            let known = monitors.everywhere(&block)?;
            times.push(known.saturating_duration_since(claimed).as_secs_f64() * 1000.0);
            sleep(PAUSE);
        }
        for number in 0..blocks {
            writer.disclaim(&block(number)).await?;
        }
        Ok((times, monitors))
    })?;
    monitors.end(cluster)?;
    cluster.kubectl(&["delete", "ippool", POOL])?;
    times.sort_by(f64::total_cmp);
    Ok(Announced(times))
}
