//! Sessions of bgpd in a VRF, with FRRouting, beside sessions outside of it, with BIRD.

use anyhow::{Context, Result, ensure};
use bgpd_api::bfd::BfdState;
use bgpd_api::peer::Peer;
use bgpd_api::route::Table;
use cairn_lab::lab::Families;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// What each router announces.
const OWN: [&str; 2] = ["192.0.2.32/28", "2001:db8:3::/48"];
const BIRDS: [&str; 2] = ["192.0.2.0/28", "2001:db8:1::/48"];
const FRRS: [&str; 2] = ["192.0.2.16/28", "2001:db8:2::/48"];

/// Fails unless the table of BGP has all of the prefixes.
fn knows(world: &World, prefixes: &[&str]) -> Result<()> {
    let routes = world.table("cairn", Table::LocRib)?;
    for prefix in prefixes {
        let known = routes.iter().any(|route| route.prefix.to_string() == *prefix);
        ensure!(known, "bgpd does not know {prefix}");
    }
    Ok(())
}

fn peer(world: &World, address: &str) -> Result<Peer> {
    let found = world.peers("cairn")?.into_iter().find(|peer| peer.address.to_string() == address);
    found.with_context(|| format!("{address} is no neighbour"))
}

/// Waits until BFD is up with all four neighbours, and BGP.
fn all_up(world: &World) -> Result<()> {
    eventually(SETTLES, || {
        let sessions = world.bfd_sessions("cairn")?;
        let up = sessions.iter().filter(|session| session.local.state == BfdState::Up).count();
        ensure!(up == 4 && sessions.len() == 4, "{up} of 4 BFD sessions are up: {sessions:#?}");
        Ok(())
    })?;
    world.await_sessions("cairn", 4)
}

mod needs_vrf {
    use super::{
        BIRDS, BfdState, Context as _, FRRS, Families, OWN, Result, SETTLES, all_up, ensure, eventually,
        knows, peer, play,
    };
    use crate::bfd::cut;

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn sessions_come_up_in_a_vrf_and_beside_it() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        play("vrf", "vrf", Families::Dual, |world| {
            for (node, sessions) in [("cairn", 4), ("bird", 2), ("frr", 2)] {
                world.await_sessions(node, sessions)?;
            }
            eventually(SETTLES, || knows(world, &[OWN, BIRDS, FRRS].concat()))?;
            // One session was opened by bgpd from inside the VRF, the other one to a listener inside of it.
            eventually(SETTLES, || {
                for prefix in OWN.iter().chain(&BIRDS) {
                    let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
                    let said = world.run("frr", &format!("vtysh -c 'show bgp {family} unicast {prefix}'"))?;
                    ensure!(said.contains("65300"), "FRRouting has no {prefix} by bgpd: {said}");
                }
                Ok(())
            })?;
            // The kernel agrees: both connections are those of a socket of the VRF.
            let sockets = world.run("cairn", "ss -Htn state established")?;
            for address in ["10.20.2.1%red:", "[fd20:2::1]%red:"] {
                ensure!(sockets.contains(address), "no connection of {address} in {sockets}");
            }
            // Without the VRF its neighbours are gone, the others stay.
            let before: Vec<u64> = [BIRD[0], BIRD[1]]
                .iter()
                .map(|address| peer(world, address).map(|peer| peer.established_count))
                .collect::<Result<_>>()?;
            world.run("cairn", "ip link set frr nomaster")?;
            eventually(SETTLES, || {
                for address in FRR {
                    let state = peer(world, address)?.state.to_string();
                    ensure!(state != "Established", "{address} is still {state} outside of its VRF");
                }
                Ok(())
            })?;
            let after: Vec<u64> = [BIRD[0], BIRD[1]]
                .iter()
                .map(|address| peer(world, address).map(|peer| peer.established_count))
                .collect::<Result<_>>()?;
            ensure!(before == after, "sessions outside of the VRF were made anew: {before:?}, {after:?}");
            world.run("cairn", "ip link set frr master red")?;
            world.run("cairn", "ip address replace fd20:2::1/127 dev frr nodad").context("its address")?;
            world.await_sessions("cairn", 4)
        })
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn bfd_finds_a_loss_in_a_vrf_and_goes_on_when_the_vrf_is_made_anew() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        play("vrf", "vrf-bfd", Families::Dual, |world| {
            all_up(world)?;
            // The packets are those of sockets of the VRF, and of others for BIRD.
            let sockets = world.run("cairn", "ss -Hun")?;
            for (address, bound) in FRR.iter().map(|of| (of, true)).chain(BIRD.iter().map(|of| (of, false))) {
                let line = sockets.lines().find(|line| {
                    line.contains(&format!("{address}]:3784")) || line.contains(&format!("{address}:3784"))
                });
                let line = line.with_context(|| format!("no BFD socket for {address}: {sockets}"))?;
                ensure!(line.contains("%red") == bound, "{address}: {line}");
            }
            // The hold time is 90 s: nothing but BFD can end a session of a silent neighbour so soon.
            cut(world, &FRR)?;
            eventually(SETTLES, || {
                for address in FRR {
                    let peer = peer(world, address)?;
                    ensure!(peer.last_error.contains("BFD"), "{address} is not found silent: {peer:?}");
                }
                Ok(())
            })?;
            for address in BIRD {
                ensure!(peer(world, address)?.dropped_count == 0, "{address} is outside of the VRF");
            }
            world.run("cairn", "nft delete table inet cut")?;
            all_up(world)?;
            // Another VRF of the same name: sockets that are bound to the old one hear nothing any more.
            world.run("cairn", "ip link delete red")?;
            eventually(SETTLES, || {
                let down = world
                    .bfd_sessions("cairn")?
                    .iter()
                    .filter(|session| session.local.state != BfdState::Up)
                    .count();
                ensure!(down == FRR.len(), "{down} BFD sessions are down without the VRF");
                Ok(())
            })?;
            world.run("cairn", "ip link add red type vrf table 10")?;
            world.run("cairn", "ip link set red up")?;
            world.run("cairn", "ip link set frr master red")?;
            world.run("cairn", "ip address replace fd20:2::1/127 dev frr nodad").context("its address")?;
            all_up(world)
        })
    }

    const BIRD: [&str; 2] = ["10.20.1.0", "fd20:1::"];
    const FRR: [&str; 2] = ["10.20.2.0", "fd20:2::"];
}
