//! Two racks behind two ToRs, BIRD 2 and FRRouting, with eBGP: both ways are used, either may fail, and one may fail unseen.

use anyhow::{Context, Result, ensure};
use bgpd_api::bfd::{BfdSession, BfdState};
use bgpd_api::peer::Peer;
use cairn_lab::lab::Families;

use crate::overlay::{FLOWS, send_flows};
use crate::route::learned;
use crate::wait::eventually;
use crate::wire::Watch;
use crate::world::{PodOn, SETTLES, World, play, play_with};

/// Waits until a node's route to another's pod has so many next hops.
fn await_hops(world: &World, node: &str, to: &PodOn, hops: usize) -> Result<()> {
    eventually(SETTLES, || {
        for address in &to.pod.addresses {
            let found = learned(world, node, *address)?;
            ensure!(found == hops, "{node} has {found} next hops to {address}, not {hops}");
        }
        Ok(())
    })
    .map(|_| ())
}

fn pods(world: &World) -> Result<Vec<PodOn>> {
    [("node1", "a"), ("node2", "b"), ("node3", "c")]
        .into_iter()
        .map(|(node, name)| world.pod(node, name))
        .collect()
}

fn both_tors_carry_traffic_and_either_may_fail(families: Families) -> Result<()> {
    play("two-racks", "tor-loss", families, |world| {
        let pods = pods(world)?;
        for node in world.cairn_nodes() {
            world.await_sessions(&node, World::SESSIONS_WITH_TORS)?;
        }
        world.all_reach_all(&pods)?;
        for tor in ["tor1", "tor2"] {
            await_hops(world, "node1", &pods[2], 2)?;
            await_hops(world, "node1", &pods[1], 2)?;
            world.kill_node(tor)?;
            await_hops(world, "node1", &pods[2], 1)?;
            let time = world.all_reach_all(&pods)?;
            println!("{}: {tor} lost, all pods reach each other after {time:?}", world.name());
            world.bring_back(tor)?;
        }
        await_hops(world, "node1", &pods[2], 2)?;
        world.all_reach_all(&pods)?;
        Ok(())
    })
}

fn a_lost_node_takes_only_its_own_routes(families: Families) -> Result<()> {
    play("two-racks", "node-loss", families, |world| {
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        world.kill_node("node2")?;
        await_hops(world, "node1", &pods[1], 0)?;
        await_hops(world, "node1", &pods[2], 2)?;
        world.all_reach_all(&[pods[0].clone(), pods[2].clone()])?;
        world.bring_back("node2")?;
        let again = world.pod("node2", "d")?;
        world.all_reach_all(&[pods[0].clone(), pods[2].clone(), again])?;
        Ok(())
    })
}

/// Edits the BGPPeers whose names begin so, as an operator would, each in one step.
fn edit_peers(world: &World, named: &str, change: impl Fn(&str) -> String) -> Result<()> {
    let peers = world.directory().join("volumes/objects/bgppeers");
    for entry in std::fs::read_dir(&peers).with_context(|| peers.display().to_string())? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(named) {
            continue;
        }
        let path = entry.path();
        let text = change(&std::fs::read_to_string(&path)?);
        let draft = path.with_extension("draft");
        std::fs::write(&draft, text)?;
        std::fs::rename(&draft, &path)?;
    }
    Ok(())
}

/// Asks for BFD in every BGPPeer.
pub(crate) fn ask_for_bfd(world: &World, bfd: &str) -> Result<()> {
    edit_peers(world, "", |text| text.replace("\nspec:\n", &format!("\nspec:\n  {bfd}\n")))
}

/// Waits until the node's sessions of both kinds with both ToRs are up.
pub(crate) fn await_bfd(world: &World, node: &str) -> Result<()> {
    eventually(SETTLES, || {
        let sessions = world.bfd_sessions(node)?;
        let up = sessions.iter().filter(|session| session.local.state == BfdState::Up && !session.polling);
        let up = up.count();
        ensure!(up == 2 && sessions.len() == 2, "{node}: {up} of 2 BFD sessions are up: {sessions:#?}");
        Ok(())
    })?;
    world.await_sessions(node, World::SESSIONS_WITH_TORS)
}

/// Both sessions of a node with the ToR of that AS.
pub(crate) fn with_tor(world: &World, node: &str, asn: u32) -> Result<(Peer, BfdSession)> {
    let peer = world.peers(node)?.into_iter().find(|peer| peer.remote_as.0 == asn);
    let peer = peer.with_context(|| format!("{node} has no session with AS {asn}"))?;
    let sessions = world.bfd_sessions(node)?;
    let session = sessions.into_iter().find(|session| session.peer == peer.address);
    let session = session.with_context(|| format!("{node} has no BFD session with {}", peer.address))?;
    Ok((peer, session))
}

/// Has a node fall silent: no link goes down, no connection is reset, it forwards nothing.
pub(crate) const SILENCE: &str = "nft 'add table inet silence; \
    add chain inet silence in { type filter hook prerouting priority -400; policy drop; }; \
    add chain inet silence out { type filter hook output priority -400; policy drop; }'";

/// The hold time is 90 s, more than anything here waits for: only BFD can move the traffic.
fn a_silent_tor_is_left_by_bfd(families: Families) -> Result<()> {
    play_with("two-racks", "tor-silence", families, &[("TORS", "-bfd")], |world| {
        let pods = pods(world)?;
        let nodes = world.cairn_nodes();
        for node in &nodes {
            world.await_sessions(node, World::SESSIONS_WITH_TORS)?;
        }
        let counts = |world: &World| -> Result<Vec<u64>> {
            let mut counts = Vec::new();
            for node in &nodes {
                counts.extend(world.peers(node)?.iter().map(|peer| peer.established_count));
            }
            Ok(counts)
        };
        let before = counts(world)?;
        ask_for_bfd(world, "bfd: {multiplier: 4}")?;
        nodes.iter().try_for_each(|node| await_bfd(world, node))?;
        ensure!(counts(world)? == before, "a session was made anew when BFD came");
        world.all_reach_all(&pods)?;
        for (tor, asn) in [("tor1", 65001), ("tor2", 65002)] {
            await_hops(world, "node1", &pods[2], 2)?;
            for node in &nodes {
                let (peer, bfd) = with_tor(world, node, asn)?;
                let times = (peer.hold_time.as_secs(), bfd.local.detect_multiplier);
                ensure!(times == (90, 4), "{node}: {times:?}: {peer:?}, {bfd:?}");
            }
            world.run(tor, SILENCE)?;
            await_hops(world, "node1", &pods[2], 1)?;
            let time = world.all_reach_all(&pods)?;
            println!("{}: {tor} silent, all pods reach each other after {time:?}", world.name());
            for node in &nodes {
                let (peer, bfd) = with_tor(world, node, asn)?;
                ensure!(bfd.local.state == BfdState::Down && bfd.down_count > 0, "{node}: {bfd:#?}");
                let by_bfd = peer.last_error.contains("BFD");
                ensure!(by_bfd, "{node} has lost its session otherwise: {peer:#?}");
            }
            world.run(tor, "nft delete table inet silence")?;
            nodes.iter().try_for_each(|node| await_bfd(world, node))?;
        }
        await_hops(world, "node1", &pods[2], 2)?;
        world.all_reach_all(&pods)?;
        Ok(())
    })
}

/// Sends flows from a pod to each address of another, which its node spreads over both ToRs, and waits until each ToR has passed all that it took on to the
/// other node, or nothing.
fn tors_pass_on(world: &World, from: &PodOn, to: &PodOn, wanted: [bool; 2]) -> Result<()> {
    let watch = |node: &str| -> Result<[Watch; 2]> {
        let start = |tor: &str| Watch::start(world, tor, node, "udp port 9");
        Ok([start("tor1")?, start("tor2")?])
    };
    for address in &to.pod.addresses {
        let (near, far) = (watch(&from.node)?, watch(&to.node)?);
        let target = format!("> {address}.9: UDP");
        let count = |links: &[Watch; 2]| -> Result<[usize; 2]> {
            let of = |link: &Watch| -> Result<usize> {
                Ok(link.now(world)?.lines().filter(|line| line.contains(&target)).count())
            };
            Ok([of(&links[0])?, of(&links[1])?])
        };
        send_flows(world, from, *address)?;
        eventually(SETTLES, || {
            let (taken, passed) = (count(&near)?, count(&far)?);
            let all = taken.iter().sum::<usize>() == FLOWS && !taken.contains(&0);
            let right = (0..2).all(|tor| passed[tor] == if wanted[tor] { taken[tor] } else { 0 });
            ensure!(all && right, "{address}: of {FLOWS} flows ToRs took {taken:?} and passed {passed:?} on");
            Ok(())
        })?;
    }
    Ok(())
}

/// Waits until the routes that tor1 has learned are in its kernel, or none of them is.
fn await_fib(world: &World, wanted: bool) -> Result<()> {
    eventually(SETTLES, || {
        // Routes of BIRD: protocol 12.
        let routes = world.run("tor1", "sh -c 'ip route show proto 12; ip -6 route show proto 12'")?;
        ensure!(routes.trim().is_empty() != wanted, "routes in the kernel of tor1: {wanted}: {routes}");
        Ok(())
    })
    .map(drop)
}

/// Its sessions stay, BGP's and BFD's, so that nobody can know: flows over it are lost, those over the other ToR are not, until it has its routes again.
fn a_tor_that_loses_its_forwarding_table_alone_is_not_left(families: Families) -> Result<()> {
    play_with("two-racks", "tor-fib", families, &[("TORS", "-bfd")], |world| {
        let pods = pods(world)?;
        ask_for_bfd(world, "bfd: {multiplier: 4}")?;
        let nodes = world.cairn_nodes();
        nodes.iter().try_for_each(|node| await_bfd(world, node))?;
        let (from, to) = (&pods[0], &pods[2]);
        await_hops(world, "node1", to, 2)?;
        world.all_reach_all(&pods)?;
        tors_pass_on(world, from, to, [true, true])?;
        let (peer, bfd) = with_tor(world, "node1", 65001)?;

        // BIRD would put back within a minute what somebody deletes: it is told to take its routes out of the kernel.
        world.run("tor1", "birdc 'disable \"kernel*\"'")?;
        await_fib(world, false)?;
        let (_, emptied) = with_tor(world, "node1", 65001)?;
        tors_pass_on(world, from, to, [false, true])?;
        // Longer than any detection time.
        eventually(SETTLES, || {
            let (_, now) = with_tor(world, "node1", 65001)?;
            ensure!(now.packets_received >= emptied.packets_received + 10, "few packets of BFD: {now:#?}");
            Ok(())
        })?;
        let (peer_now, bfd_now) = with_tor(world, "node1", 65001)?;
        ensure!(peer_now.established_count == peer.established_count, "another session: {peer_now:#?}");
        let stays = bfd_now.local.state == BfdState::Up && bfd_now.down_count == bfd.down_count;
        ensure!(stays, "BFD has noticed: {bfd_now:#?}");
        await_hops(world, "node1", to, 2)?;

        world.run("tor1", "birdc 'enable \"kernel*\"'")?;
        await_fib(world, true)?;
        world.all_reach_all(&pods)?;
        tors_pass_on(world, from, to, [true, true])
    })
}

crate::scenario!(a_tor_that_loses_its_forwarding_table_alone_is_not_left);

/// A ToR hands the blocks of two other nodes and the way outside to each node: more than one prefix.
fn a_tor_that_sends_too_much_is_left_or_warned_about(families: Families) -> Result<()> {
    play("two-racks", "tor-limit", families, |world| {
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        await_hops(world, "node1", &pods[2], 2)?;
        edit_peers(world, "node1-tor1", |text| text.replace("\nspec:\n", "\nspec:\n  maxPrefixes: 1\n"))?;
        eventually(SETTLES, || {
            let report = world.directory().join("volumes/objects/nodestatuses/node1.yaml");
            let report = std::fs::read_to_string(report)?;
            ensure!(report.contains("the peer announced more than the 1 ipv"), "not why: {report}");
            Ok(())
        })?;
        // It stays away, and the other ToR is enough.
        await_hops(world, "node1", &pods[2], 1)?;
        world.all_reach_all(&pods)?;
        let peers = world.peers("node1")?;
        let limited = peers.iter().find(|peer| peer.remote_as.0 == 65001).context("tor1 is a peer")?;
        ensure!(limited.state.to_string() == "Idle", "{limited:#?}");
        edit_peers(world, "node1-tor1", |text| {
            text.replace("maxPrefixes: 1\n", "maxPrefixes: 1\n  maxPrefixesAction: Warn\n")
        })?;
        // Until the edit is in force the session ends again.
        eventually(SETTLES, || {
            world.run("node1", &format!("cairnctl bgp neighbor {} enable", limited.address))?;
            let log = world.log("node1")?;
            ensure!(log.contains("prefixes, near or beyond the limit of 1"), "no warning:\n{log}");
            for pod in &pods[1..] {
                for address in &pod.pod.addresses {
                    let found = learned(world, "node1", *address)?;
                    ensure!(found == 2, "{found} next hops to {address}, not 2");
                }
            }
            Ok(())
        })?;
        world.await_sessions("node1", World::SESSIONS_WITH_TORS)?;
        world.all_reach_all(&pods).map(drop)
    })
}

crate::scenario!(a_tor_that_sends_too_much_is_left_or_warned_about);
crate::scenario!(a_silent_tor_is_left_by_bfd);
crate::scenario!(both_tors_carry_traffic_and_either_may_fail);
crate::scenario!(a_lost_node_takes_only_its_own_routes);
