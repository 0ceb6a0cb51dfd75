//! `cargo xtask bench cni`: what it costs to connect and disconnect a pod, compared with the kernel's own work and with the reference plugins.
//!
//! Four ways, interleaved pod by pod so that all meet the same machine: `floor` does nothing but the kernel's work for a pod in this
//! process; `one-shot` does the same in a static process started for it; `cairn` is the plugin with felix-lite; `ptp` is the
//! reference plugin with host-local. The first two check nothing, keep nothing and have no firewall: nobody can be faster.
//! CPU time is that of the processes started, of all they start, and of felix-lite with its store, until everything is cleaned up.

#[path = "cni/floor.rs"]
mod floor;
#[path = "cni/measure.rs"]
mod measure;
#[path = "cni/report.rs"]
mod report;
#[path = "cni/way.rs"]
mod way;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cairn_lab::cni::node::{Netns, Node, eventually};
use cairn_net::Family;
use clap::Parser;

use measure::Costs;
use report::Row;
use way::{Pod, Way};

/// What the benchmark takes.
#[derive(Parser)]
#[command(name = "cni", about = "Costs of CNI ADD and DEL")]
struct Arguments {
    /// Pods one after the other
    #[arg(long, default_value_t = 200)]
    pods: usize,
    /// Pods in parallel
    #[arg(long, default_value_t = 100)]
    parallel: usize,
    /// Calls at a time in the parallel part
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Both families for each pod instead of IPv4
    #[arg(long)]
    dual: bool,
    /// Said by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    if let Some(result) = floor::one_shot() {
        return result;
    }
    let arguments = Arguments::parse();
    let families = if arguments.dual { &Family::ALL[..] } else { &Family::ALL[..1] };
    eprintln!("building the reference plugins, if need be, and starting felix-lite ...");
    let node = Node::start("bench", families)?;
    let plain = Netns::new(format!("cni-bench-plain-{}", std::process::id()))?;
    let ways = way::all(&node, &plain, families)?;
    let mut rows = one_after_the_other(&ways, arguments.pods)?;
    rows.extend(in_parallel(&ways, arguments.parallel, arguments.concurrency)?);
    report::print(&rows, families)
}

type Call = fn(&(dyn Way + '_), &Pod) -> Result<()>;

const VERBS: [(&str, Call); 2] = [("ADD", |way, pod| way.add(pod)), ("DEL", |way, pod| way.del(pod))];

/// Every way connects its n-th pod before any connects its next.
fn one_after_the_other(ways: &[Box<dyn Way + '_>], count: usize) -> Result<Vec<Row>> {
    eprintln!("{count} pods one after the other, {} ways ...", ways.len());
    let pods = ways.iter().map(|way| pods(&**way, "s", count)).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for (verb, call) in VERBS {
        let daemons: Vec<_> = ways.iter().map(|way| way.daemon_cpu()).collect::<Result<_>>()?;
        let mut all: Vec<Costs> = ways.iter().map(|_| Costs::default()).collect();
        for number in 0..count {
            for ((way, pods), costs) in ways.iter().zip(&pods).zip(&mut all) {
                let (cpu, start) = (way.cpu()?, Instant::now());
                call(&**way, &pods[number])?;
                costs.walls.push(start.elapsed());
                costs.cpu += way.cpu()?.saturating_sub(cpu);
            }
        }
        for ((way, costs), before) in ways.iter().zip(all).zip(daemons) {
            let daemon = settle(&**way, verb)?.saturating_sub(before);
            rows.push(Row::new(way.name(), verb, "sequential", costs, daemon, None));
        }
    }
    Ok(rows)
}

fn in_parallel(ways: &[Box<dyn Way + '_>], count: usize, concurrency: usize) -> Result<Vec<Row>> {
    eprintln!("{count} pods, {concurrency} at a time ...");
    let mut rows = Vec::new();
    for way in ways {
        let pods = pods(&**way, "p", count)?;
        for (verb, call) in VERBS {
            let (daemon, cpu, start) = (way.daemon_cpu()?, way.cpu()?, Instant::now());
            let walls = together(&**way, &pods, concurrency, call)?;
            let (wall, cpu) = (start.elapsed(), way.cpu()?.saturating_sub(cpu));
            let daemon = settle(&**way, verb)?.saturating_sub(daemon);
            rows.push(Row::new(way.name(), verb, "parallel", Costs { walls, cpu }, daemon, Some(wall)));
        }
    }
    Ok(rows)
}

/// Waits until what the calls left to the daemon is done, and tells the daemon's CPU time until then.
fn settle(way: &dyn Way, verb: &str) -> Result<Duration> {
    ensure!(verb != "DEL" || eventually(|| way.is_clean()), "{} leaves interfaces behind", way.name());
    way.daemon_cpu()
}

fn together(way: &dyn Way, pods: &[Pod], concurrency: usize, call: Call) -> Result<Vec<Duration>> {
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<Duration>> {
        let mut walls = Vec::new();
        while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            call(way, pod)?;
            walls.push(start.elapsed());
        }
        Ok(walls)
    };
    let walls = thread::scope(|scope| {
        let workers: Vec<_> = (0..concurrency).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("no worker panics")).collect::<Result<Vec<_>>>()
    })?;
    Ok(walls.concat())
}

fn pods(way: &dyn Way, series: &'static str, count: usize) -> Result<Vec<Pod>> {
    (0..count).map(|number| Pod::new(way.name(), series, number)).collect()
}
