//! Somebody sets the time of day, back and forth by hours: whatever has a timer counts by the clock that nobody sets.
//!
//! All nodes share the machine's clock, and so would other scenarios: whoever `needs_clock` has a machine of his own.

use std::process::Command;

use anyhow::{Result, ensure};
use cairn_lab::lab::Families;

use crate::fabric::pods;
use crate::flow::Flows;
use crate::wait::eventually;
use crate::wireguard::{ON, becomes_encrypted, configure, public_key};
use crate::world::{SETTLES, World, play};

/// The nodes that are looked at.
const NODES: [&str; 2] = ["node1", "node3"];
/// KEEPALIVEs of a hold time, which is three times their interval, and one more.
const HOLD_TIME: u64 = 4;

/// Sets the time of day by so many seconds.
fn set_clock(by: i64) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let wanted = i64::try_from(now.as_secs())? + by;
    let done = Command::new("date").args(["-s", &format!("@{wanted}")]).output()?;
    ensure!(done.status.success(), "date: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// How often sessions came up or went down on a node.
fn changes(world: &World, node: &str) -> Result<Vec<(u64, u64)>> {
    let peers = world.peers(node)?.into_iter();
    Ok(peers.map(|peer| (peer.established_count, peer.dropped_count)).collect())
}

/// Waits until each session has lived for longer than a hold time, by what was received on it.
fn outlives_its_timers(world: &World, node: &str) -> Result<()> {
    let counts = || -> Result<Vec<u64>> {
        Ok(world.peers(node)?.into_iter().map(|peer| peer.counters.received.keepalives).collect())
    };
    let before = counts()?;
    eventually(SETTLES, || {
        let now = counts()?;
        let old = before.iter().zip(&now).all(|(before, now)| *now >= before + HOLD_TIME);
        ensure!(old && now.len() == before.len(), "{node}: {before:?} messages, now {now:?}");
        Ok(())
    })
    .map(drop)
}

mod needs_clock {
    use super::*;

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn sessions_pods_and_flows_do_not_care_what_time_of_day_it_is() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        play("two-racks", "clock", Families::Dual, |world| {
            let pods = [world.pod("node1", "a")?, world.pod("node3", "b")?];
            for node in NODES {
                world.await_sessions(node, World::SESSIONS_WITH_TORS)?;
            }
            world.all_reach_all(&pods)?;
            let before = [changes(world, NODES[0])?, changes(world, NODES[1])?];
            let flows = Flows::start_sparse(world, &pods[0], &pods[1])?;
            for (name, hours) in [("ahead", 6), ("back", -30), ("right", 24)] {
                set_clock(hours * 3600)?;
                // What is written and read meanwhile has times of the other day: blocks, journals, reports.
                let new = world.pod("node1", name)?;
                world.all_reach_all(&[new, pods[1].clone()])?;
                world.delete_pod("node1", name)?;
                for node in NODES {
                    outlives_its_timers(world, node)?;
                }
            }
            flows.end_without_loss()?;
            let after = [changes(world, NODES[0])?, changes(world, NODES[1])?];
            ensure!(before == after, "sessions ended: {before:?}, then {after:?}");
            Ok(())
        })
    }
}

/// Peers take no handshakes by the old keys for as long as the clock is behind.
fn a_clock_that_is_set_back_ends_no_encryption(families: Families) -> Result<()> {
    play("fabric", "wg-clock", families, |world| {
        configure(world, ON)?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        becomes_encrypted(world, &pods[0], &pods[1], true)?;
        let nodes = world.cairn_nodes();
        let keys = nodes.iter().map(|node| public_key(world, node)).collect::<Result<Vec<_>>>()?;
        set_clock(-6 * 3600)?;
        for (node, old) in nodes.iter().zip(&keys) {
            eventually(SETTLES, || {
                ensure!(public_key(world, node)? != *old, "{node} has the same key");
                Ok(())
            })?;
        }
        world.all_reach_all(&pods)?;
        becomes_encrypted(world, &pods[0], &pods[1], true)?;
        set_clock(6 * 3600)
    })
}

crate::scenario!(needs_wireguard_clock, a_clock_that_is_set_back_ends_no_encryption: dual);
