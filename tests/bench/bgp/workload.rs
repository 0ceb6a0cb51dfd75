//! What the speakers are put through.

#[path = "workload/churn.rs"]
mod churn;
#[path = "workload/fib.rs"]
mod fib;
#[path = "workload/full_table.rs"]
mod full_table;
#[path = "workload/reflect.rs"]
mod reflect;
#[path = "workload/session.rs"]
mod session;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::monitor::Monitor;
use crate::peers::{Peers, State};
use crate::speaker::{Kind, Neighbour};
use crate::usage::{self, Usage};
use crate::wire::{SPEAKER, SPEAKER_AS, peer_address};

/// What was measured, by its name: seconds, MiB, or a count.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// The hold time of the generator's sessions, in seconds.
const HOLD_TIME: u16 = 240;
/// Time after the sessions came up and after each measured phase, so that what is left over is counted where it belongs.
const SETTLE: Duration = Duration::from_secs(1);
/// How long any phase may take.
const LIMIT: Duration = Duration::from_secs(180);

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// A full table from one external peer to another; a third one joins late; all is withdrawn.
    FullTable { prefixes: usize },
    /// A reflector's clients announce to each other, then withdraw.
    Reflect { clients: usize, prefixes: usize },
    /// As above, with one block of addresses for each node, and nodes that restart.
    Pods { nodes: usize, blocks: usize },
    /// One peer's routes into the kernel, and out again.
    Fib { prefixes: usize },
    /// How fast a session comes up, and how fast a dead peer is noticed.
    Session,
    /// A steady rate of changed routes.
    Churn { prefixes: usize, rate: u32, seconds: u32 },
}

impl Workload {
    pub(crate) const FULL: [(&'static str, Self); 7] = [
        ("w1", Self::FullTable { prefixes: 1_000_000 }),
        ("w2", Self::Reflect { clients: 100, prefixes: 1000 }),
        ("w3", Self::Pods { nodes: 500, blocks: 16 }),
        ("w4", Self::Fib { prefixes: 100_000 }),
        ("w5", Self::Session),
        ("w6", Self::Churn { prefixes: 100_000, rate: 10_000, seconds: 30 }),
        ("w7", Self::Fib { prefixes: 500_000 }),
    ];

    /// The same, small: to see that everything works.
    pub(crate) const QUICK: [(&'static str, Self); 7] = [
        ("w1", Self::FullTable { prefixes: 20_000 }),
        ("w2", Self::Reflect { clients: 10, prefixes: 100 }),
        ("w3", Self::Pods { nodes: 30, blocks: 16 }),
        ("w4", Self::Fib { prefixes: 5000 }),
        ("w5", Self::Session),
        ("w6", Self::Churn { prefixes: 5000, rate: 1000, seconds: 3 }),
        ("w7", Self::Fib { prefixes: 20_000 }),
    ];

    /// In one line.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::FullTable { prefixes } => format!(
                "{prefixes} prefixes in {} attribute sets from one external peer to another; a third joins late",
                sets(prefixes)
            ),
            Self::Reflect { clients, prefixes } => {
                format!("route reflector, {clients} clients with {prefixes} prefixes each, all to all")
            }
            Self::Pods { nodes, blocks } => {
                format!("pod network: reflector, {nodes} nodes with {blocks} blocks each; 5 nodes restart")
            }
            Self::Fib { prefixes } => format!("{prefixes} prefixes into the kernel's table and out again"),
            Self::Session => {
                "a session comes up, five times; then its peer falls silent, hold time 3 s".to_owned()
            }
            Self::Churn { prefixes, rate, seconds } => {
                format!("{rate} changed routes a second of {prefixes} for {seconds} s")
            }
        }
    }

    /// Does it make sense for this speaker?
    pub(crate) fn suits(self, kind: Kind) -> bool {
        !matches!(self, Self::Fib { .. }) || kind.installs_routes()
    }

    /// Are the speaker's routes to be written into the kernel?
    pub(crate) fn installs(self) -> bool {
        matches!(self, Self::Fib { .. })
    }

    /// The speaker's peers.
    pub(crate) fn neighbours(self) -> Vec<Neighbour> {
        let (count, client) = match self {
            Self::FullTable { .. } => (3, false),
            Self::Reflect { clients, .. } => (clients, true),
            Self::Pods { nodes, .. } => (nodes, true),
            Self::Fib { .. } => (1, false),
            Self::Session | Self::Churn { .. } => (2, false),
        };
        let asn = |index| if client { SPEAKER_AS } else { external_as(index) };
        (0..count).map(|index| Neighbour { address: peer_address(index), asn: asn(index), client }).collect()
    }

    /// Runs it against the speaker with these processes, from within the generator's namespace.
    pub(crate) fn run(self, kind: Kind, pids: &[u32]) -> Result<Figures> {
        let mut bench = Bench::new(kind, pids)?;
        match self {
            Self::FullTable { prefixes } => full_table::run(&mut bench, prefixes)?,
            Self::Reflect { clients, prefixes } => reflect::run(&mut bench, clients, prefixes)?,
            Self::Pods { nodes, blocks } => reflect::run_pods(&mut bench, nodes, blocks)?,
            Self::Fib { prefixes } => fib::run(&mut bench, prefixes)?,
            Self::Session => session::run(&mut bench)?,
            Self::Churn { prefixes, rate, seconds } => churn::run(&mut bench, prefixes, rate, seconds)?,
        }
        bench.figure("peak", bench.usage().peak);
        Ok(bench.figures)
    }
}

/// Attribute sets of a table: ten prefixes share one on average.
fn sets(prefixes: usize) -> usize {
    prefixes.div_ceil(10)
}

/// The AS of an external peer.
fn external_as(index: usize) -> u32 {
    65001 + index as u32
}

/// What all workloads need.
struct Bench<'a> {
    kind: Kind,
    pids: &'a [u32],
    peers: Peers,
    figures: Figures,
    next_look: Instant,
}

/// Time and CPU at the beginning of a phase.
struct Phase {
    began: Instant,
    usage: Usage,
}

impl<'a> Bench<'a> {
    fn new(kind: Kind, pids: &'a [u32]) -> Result<Self> {
        Ok(Self {
            kind,
            pids,
            peers: Peers::new(SPEAKER)?,
            figures: Figures::new(),
            next_look: Instant::now(),
        })
    }

    fn figure(&mut self, name: &'static str, value: f64) {
        self.figures.insert(name, value);
    }

    fn usage(&self) -> Usage {
        Usage::of(self.pids)
    }

    /// Turns the loop until the condition holds; fails if that takes too long, or if the speaker ends.
    fn until(&mut self, monitor: &mut Monitor, done: impl Fn(&Peers, &Monitor) -> bool) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while !done(&self.peers, monitor) {
            self.peers.turn(Duration::from_millis(5), monitor)?;
            let now = Instant::now();
            if now > self.next_look {
                self.next_look = now + Duration::from_secs(1);
                ensure!(usage::alive(self.pids), "the speaker has ended");
            }
            if now > end {
                bail!("not within {} s: {}", LIMIT.as_secs(), monitor.shortfall());
            }
        }
        Ok(())
    }

    /// Turns the loop for a time.
    fn rest(&mut self, monitor: &mut Monitor, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        self.until(monitor, |_, _| Instant::now() >= end)
    }

    /// Brings all sessions up.
    fn bring_up(&mut self, monitor: &mut Monitor, count: usize) -> Result<()> {
        let began = Instant::now();
        (0..count).try_for_each(|index| self.peers.connect(index))?;
        self.until(monitor, |peers, _| peers.established() >= count)?;
        self.figure("up", began.elapsed().as_secs_f64());
        // Whoever has just started may wait for peers before it announces anything (RFC 4724 section 4.1). This is over
        // when it says that there is nothing more.
        if self.kind.sends_end_of_rib() {
            self.until(monitor, |peers, _| peers.list[..count].iter().all(|peer| peer.end_of_rib.is_some()))?;
        }
        self.rest(monitor, SETTLE)?;
        // Speakers that want to open the connections themselves may have closed some of ours at first.
        self.peers.list.iter_mut().for_each(|peer| peer.losses = 0);
        Ok(())
    }

    fn begin(&self) -> Phase {
        Phase { usage: self.usage(), began: Instant::now() }
    }

    /// Waits until everybody has what they are to have; notes time and CPU under these names.
    fn finish(
        &mut self,
        monitor: &mut Monitor,
        phase: &Phase,
        (time, cpu): (&'static str, &'static str),
    ) -> Result<()> {
        self.until(monitor, |_, monitor| monitor.satisfied())?;
        let reached = monitor.reached().unwrap_or(phase.began);
        self.figure(time, reached.saturating_duration_since(phase.began).as_secs_f64());
        self.rest(monitor, SETTLE / 2)?;
        let used = self.usage().cpu - phase.usage.cpu;
        self.figure(cpu, used);
        Ok(())
    }

    /// Fails if anything went wrong that numbers do not show.
    fn check(&self, monitor: &Monitor) -> Result<()> {
        monitor.expect_no_mistake()?;
        self.peers.expect_no_loss()
    }

    fn is_up(&self, index: usize) -> bool {
        self.peers.list[index].state == State::Established
    }
}

/// A value of which this share is smaller; sorts.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = (values.len().saturating_sub(1) as f64 * share).round();
    values.get(place as usize).copied().unwrap_or(f64::NAN)
}
