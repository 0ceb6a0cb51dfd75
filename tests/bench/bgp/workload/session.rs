//! One session: how fast it comes up, and how fast it is missed.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Bench, HOLD_TIME, external_as, quantile};
use crate::monitor::Monitor;
use crate::speaker::Kind;
use crate::table::{Attributes, Key, Table};
use crate::wire::{SPEAKER_AS, peer_address};

/// The shortest hold time there is, in seconds.
const SHORT: u16 = 3;
const CYCLES: usize = 5;
/// How long the session is down in between.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) fn run(bench: &mut Bench<'_>) -> Result<()> {
    let kind = bench.kind;
    let prefixes: Vec<Key> = (0..16).map(|number| Key::new(0x0a80_0000 + (number << 6), 26)).collect();
    let attributes = Attributes::of_peer(external_as(0), peer_address(0));
    let table = Table::uniform(prefixes, &attributes);
    let count = table.prefixes.len();
    let mut monitor = Monitor::new(2, &table.prefixes, vec![0; count], table.paths, Some(SPEAKER_AS));
    bench.peers.add(peer_address(0), external_as(0), SHORT);
    bench.peers.add(peer_address(1), external_as(1), HOLD_TIME);

    let [mut up, mut complete] = [const { Vec::new() }; 2];
    // OpenBGPD keeps a peer that has left out for half a minute: it gets one try.
    let cycles = if kind == Kind::OpenBgpd { 1 } else { CYCLES };
    for cycle in 0..cycles {
        let began = Instant::now();
        bench.peers.connect(0)?;
        let ended = |peer: &crate::peers::Peer| peer.established.is_some() && peer.end_of_rib.is_some();
        bench.until(&mut monitor, |peers, _| {
            let peer = &peers.list[0];
            ended(peer) || (!kind.sends_end_of_rib() && peer.established.is_some())
        })?;
        let peer = &bench.peers.list[0];
        up.extend(peer.established.map(|at| (at - began).as_secs_f64()));
        complete.extend(peer.end_of_rib.map(|at| (at - began).as_secs_f64()));
        if cycle + 1 < cycles {
            bench.peers.list[0].persistent = false;
            bench.peers.close(0);
            bench.rest(&mut monitor, PAUSE)?;
            bench.peers.list[0].persistent = true;
        }
    }
    bench.figure("established", quantile(&mut up, 0.5));
    if !complete.is_empty() {
        bench.figure("end_of_rib", quantile(&mut complete, 0.5));
    }

    // The second peer hears of the first one's routes, until that one falls silent.
    bench.peers.connect(1)?;
    bench.until(&mut monitor, |peers, _| peers.established() == 2)?;
    bench.peers.send(0, Rc::new(table.announcements))?;
    monitor.expect(1, Some(count));
    bench.until(&mut monitor, |_, monitor| monitor.satisfied())?;
    ensure!(bench.is_up(0), "the session was lost before its time");
    let last = Instant::now().min(bench.peers.list[0].last_keepalive);
    bench.peers.list[0].mute = true;
    bench.peers.list[0].persistent = false;
    monitor.expect(1, Some(0));
    bench.until(&mut monitor, |_, monitor| monitor.satisfied())?;
    let noticed = monitor.reached().context("nothing was withdrawn")?;
    bench.figure("dead_peer", (noticed - last).as_secs_f64());
    monitor.expect_no_mistake()
}
