//! A steady rate of changes: what each costs, and how long it takes to come out.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Bench, HOLD_TIME, external_as, quantile, sets};
use crate::monitor::Monitor;
use crate::table::{Attributes, From, Key, Numbers, Table, announce, internet};
use crate::usage::Usage;
use crate::wire::{SPEAKER_AS, peer_address};

/// Attribute sets that the changed routes have in turn.
const SETS: usize = 2000;
/// A prime: the prefixes that change lie all over the table.
const STRIDE: usize = 7919;

pub(super) fn run(bench: &mut Bench<'_>, prefixes: usize, rate: u32, seconds: u32) -> Result<()> {
    let from = From::External(external_as(0));
    let table = Table::random(internet(prefixes, 42), sets(prefixes), from, peer_address(0), 7);
    for index in 0..2 {
        bench.peers.add(peer_address(index), external_as(index), HOLD_TIME);
    }
    let keys: Vec<Key> = table.prefixes.clone();
    let mut monitor = Monitor::new(2, &keys, vec![0; prefixes], table.paths, Some(SPEAKER_AS));
    bench.bring_up(&mut monitor, 2)?;
    monitor.expect(1, Some(prefixes));
    bench.peers.send(0, Rc::new(table.announcements))?;
    bench.until(&mut monitor, |_, monitor| monitor.satisfied())?;
    bench.rest(&mut monitor, Duration::from_secs(1))?;

    let mut numbers = Numbers::new(77);
    let pool: Vec<Attributes> =
        (0..SETS).map(|_| Attributes::random(&mut numbers, from, peer_address(0))).collect();
    monitor.sent = vec![None; prefixes];
    monitor.announcements = 0;
    let total = rate as usize * seconds as usize;
    let generator = Usage::of_this_thread();
    let phase = bench.begin();
    let mut sent = 0;
    while sent < total {
        let now = Instant::now();
        let due = ((now - phase.began).as_secs_f64() * f64::from(rate)) as usize;
        let mut messages = Vec::new();
        while sent < due.min(total) {
            let prefix = sent * STRIDE % prefixes;
            // Another set each time round.
            let set = (sent * 31 + sent / prefixes) % SETS;
            announce(&pool[set].wire, &keys[prefix..=prefix], &mut messages);
            monitor.sent[prefix] = Some(now);
            sent += 1;
        }
        if !messages.is_empty() {
            bench.peers.send(0, Rc::new(messages))?;
        }
        bench.peers.turn(Duration::from_millis(1), &mut monitor)?;
    }
    let generator = Usage::of_this_thread() - generator;
    // Whoever sends changes at intervals may leave some out that were overtaken; all that is waited for is the last one.
    let quiet = Duration::from_secs(2);
    let mut heard = (monitor.announcements, Instant::now());
    while heard.1.elapsed() < quiet && monitor.announcements < total as u64 {
        bench.peers.turn(Duration::from_millis(5), &mut monitor)?;
        if monitor.announcements != heard.0 {
            heard = (monitor.announcements, Instant::now());
        }
    }
    let used = bench.usage().cpu - phase.usage.cpu;
    bench.figure("churn_cpu", used);
    bench.figure("generator_cpu", generator);
    bench.figure("delivered", monitor.announcements as f64 / total as f64);
    let mut latencies = std::mem::take(&mut monitor.latencies);
    bench.figure("latency_median", quantile(&mut latencies, 0.5));
    bench.figure("latency_p99", quantile(&mut latencies, 0.99));
    bench.check(&monitor)
}
