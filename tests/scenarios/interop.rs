//! bgpd beside BIRD, FRRouting and GoBGP: MD5, GTSM, both families on one session, route refresh, graceful restart.

use anyhow::{Result, ensure};
use bgpd_api::route::Table;
use cairn_lab::lab::Families;
use nix::sys::signal::Signal;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// What bgpd originates, and what BIRD and FRRouting do.
const OURS: [&str; 2] = ["192.0.2.32/28", "2001:db8:3::/48"];
const THEIRS: [&str; 4] = ["192.0.2.0/28", "2001:db8:1::/48", "192.0.2.16/28", "2001:db8:2::/48"];

/// Fails unless a node's kernel has routes to all of the prefixes.
fn has_routes(world: &World, node: &str, prefixes: &[&str]) -> Result<()> {
    let table = world.run(node, "ip route show")? + &world.run(node, "ip -6 route show")?;
    for prefix in prefixes {
        ensure!(
            table.lines().any(|line| line.starts_with(&format!("{prefix} "))),
            "{node} lacks {prefix}: {table}"
        );
    }
    Ok(())
}

fn all_established(world: &World) -> Result<()> {
    for (node, sessions) in [("cairn", 6), ("bird", 4), ("frr", 4), ("gobgp", 4)] {
        world.await_sessions(node, sessions)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn bgpd_exchanges_routes_with_every_router() -> Result<()> {
    play("routers", "interop", Families::Dual, |world| {
        all_established(world)?;
        eventually(SETTLES, || {
            has_routes(world, "bird", &OURS)?;
            has_routes(world, "frr", &OURS)?;
            has_routes(world, "cairn", &THEIRS)?;
            let loc_rib = world.table("cairn", Table::LocRib)?;
            ensure!(loc_rib.len() == OURS.len() + THEIRS.len(), "unexpected routes: {loc_rib:?}");
            let gobgp = world.run("gobgp", "gobgp global rib -a ipv4")?
                + &world.run("gobgp", "gobgp global rib -a ipv6")?;
            ensure!(OURS.iter().all(|prefix| gobgp.contains(prefix)), "GoBGP lacks ours: {gobgp}");
            Ok(())
        })
        .map(|_| ())
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn route_refresh_works_both_ways_without_a_new_session() -> Result<()> {
    play("routers", "refresh", Families::Dual, |world| {
        all_established(world)?;
        eventually(SETTLES, || has_routes(world, "bird", &OURS))?;
        let counters = |world: &World| -> Result<(u64, u64)> {
            let peers = world.peers("cairn")?;
            let sum = |count: fn(&bgpd_api::peer::Counters) -> u64| {
                peers.iter().map(|peer| count(&peer.counters)).sum()
            };
            Ok((sum(|counters| counters.updates_sent), sum(|counters| counters.updates_received)))
        };
        let established = |world: &World| -> Result<Vec<u64>> {
            Ok(world.peers("cairn")?.iter().map(|peer| peer.established_count).collect())
        };
        let (sent, _) = counters(world)?;
        let before = established(world)?;
        world.run("bird", "birdc reload in cairn4")?;
        world.run("frr", "vtysh -c 'clear bgp ipv4 unicast 10.10.5.1 soft in'")?;
        world.run("gobgp", "gobgp neighbor 10.10.6.1 softresetin")?;
        eventually(SETTLES, || {
            let (now, _) = counters(world)?;
            ensure!(now >= sent + 3, "three refreshes were asked for, {} UPDATEs were sent", now - sent);
            Ok(())
        })?;
        let (_, received) = counters(world)?;
        world.soft_reset("cairn")?;
        eventually(SETTLES, || {
            let (_, now) = counters(world)?;
            ensure!(now >= received + 4, "only {} UPDATEs came after the soft reset", now - received);
            Ok(())
        })?;
        let after = established(world)?;
        ensure!(before == after, "a session was made anew: {before:?}, then {after:?}");
        has_routes(world, "cairn", &THEIRS)
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn neighbours_keep_routes_while_bgpd_restarts() -> Result<()> {
    play("routers", "graceful", Families::Dual, |world| {
        all_established(world)?;
        eventually(SETTLES, || {
            has_routes(world, "bird", &OURS)?;
            has_routes(world, "frr", &OURS)?;
            has_routes(world, "cairn", &THEIRS)
        })?;
        world.end_process("cairn", "bgpd", Signal::SIGKILL)?;
        // At no moment may a route be missing, on either side, until all sessions are there again.
        eventually(SETTLES, || {
            for (node, prefixes) in [("bird", &OURS[..]), ("frr", &OURS[..]), ("cairn", &THEIRS[..])] {
                if let Err(error) = has_routes(world, node, prefixes) {
                    panic!("a route was lost during the restart: {error:#}");
                }
            }
            let up =
                world.peers("cairn")?.iter().filter(|peer| peer.state.to_string() == "Established").count();
            ensure!(up == 6, "{up} of 6 sessions are back");
            Ok(())
        })?;
        all_established(world)?;
        has_routes(world, "bird", &OURS)?;
        has_routes(world, "cairn", &THEIRS)
    })
}
