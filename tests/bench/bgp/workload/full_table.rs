//! A full table from one peer to another, to a late one, and away.

use std::rc::Rc;

use anyhow::{Context, Result};

use super::{Bench, HOLD_TIME, external_as, sets};
use crate::monitor::Monitor;
use crate::table::{From, Table, internet};
use crate::wire::{SPEAKER_AS, peer_address};

pub(super) fn run(bench: &mut Bench<'_>, prefixes: usize) -> Result<()> {
    let from = From::External(external_as(0));
    let table = Table::random(internet(prefixes, 42), sets(prefixes), from, peer_address(0), 7);
    for index in 0..3 {
        bench.peers.add(peer_address(index), external_as(index), HOLD_TIME);
    }
    let owners = vec![0; prefixes];
    let mut monitor = Monitor::new(3, &table.prefixes, owners, table.paths, Some(SPEAKER_AS));
    bench.bring_up(&mut monitor, 2)?;

    monitor.expect(1, Some(prefixes));
    let phase = bench.begin();
    bench.peers.send(0, Rc::new(table.announcements))?;
    bench.finish(&mut monitor, &phase, ("converged", "converged_cpu"))?;
    bench.figure("updates", monitor.updates as f64);

    // A late joiner: everything from the table.
    monitor.expect(1, None);
    monitor.expect(2, Some(prefixes));
    let phase = bench.begin();
    bench.peers.connect(2)?;
    bench.finish(&mut monitor, &phase, ("dumped", "dumped_cpu"))?;
    let since = bench.peers.list[2].established.context("the late peer has no session")?;
    let reached = monitor.reached_by(2).context("the late peer has no table")?;
    bench.figure("dumped", (reached - since).as_secs_f64());

    monitor.expect(1, Some(0));
    monitor.expect(2, Some(0));
    let phase = bench.begin();
    bench.peers.send(0, Rc::new(table.withdrawals))?;
    bench.finish(&mut monitor, &phase, ("withdrawn", "withdrawn_cpu"))?;
    bench.check(&monitor)
}
