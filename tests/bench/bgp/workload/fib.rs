//! Routes into the kernel's table, and out again.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Bench, HOLD_TIME, LIMIT, external_as};
use crate::monitor::Monitor;
use crate::table::{From, Table, internet};
use crate::wire::peer_address;

/// How often the kernel is asked how many routes it has.
const LOOK: Duration = Duration::from_millis(5);

pub(super) fn run(bench: &mut Bench<'_>, prefixes: usize) -> Result<()> {
    let from = From::External(external_as(0));
    let table = Table::random(internet(prefixes, 42), prefixes / 100, from, peer_address(0), 7);
    bench.peers.add(peer_address(0), external_as(0), HOLD_TIME);
    let mut monitor = Monitor::new(1, &table.prefixes, vec![0; prefixes], table.paths, None);
    bench.bring_up(&mut monitor, 1)?;
    let before = routes(bench)?;
    let steps = [
        ("installed", "installed_cpu", before + prefixes, table.announcements),
        ("removed", "removed_cpu", before, table.withdrawals),
    ];
    for (time, cpu, target, messages) in steps {
        let phase = bench.begin();
        bench.peers.send(0, Rc::new(messages))?;
        while routes(bench)? != target {
            bench.peers.turn(LOOK, &mut monitor)?;
            ensure!(phase.began.elapsed() < LIMIT, "{} of {target} routes", routes(bench)?);
            // The count costs time that the speaker could use.
            let next = Instant::now() + LOOK;
            while Instant::now() < next {
                bench.peers.turn(LOOK, &mut monitor)?;
            }
        }
        bench.figure(time, phase.began.elapsed().as_secs_f64());
        bench.rest(&mut monitor, Duration::from_millis(500))?;
        let used = bench.usage().cpu - phase.usage.cpu;
        bench.figure(cpu, used);
        ensure!(routes(bench)? == target, "the kernel's routes changed afterwards");
    }
    bench.check(&monitor)
}

/// Routes in the main table of the speaker's namespace.
fn routes(bench: &Bench<'_>) -> Result<usize> {
    let pid = bench.pids.last().context("no process")?;
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/fib_triestat"))?;
    // Sections of tables, Main first; where the local table shares the trie, its routes count as well, and do not change.
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Prefixes:"));
    line.and_then(|count| count.trim().parse().ok()).context("fib_triestat names no prefixes")
}
