//! Two racks behind two ToRs, BIRD 2 and FRRouting, with eBGP: both ways are used, and either may fail.

use anyhow::{Context, Result, ensure};
use bgpd_api::bfd::{BfdSession, BfdState};
use bgpd_api::peer::Peer;
use cairn_lab::lab::Families;

use crate::route::learned;
use crate::wait::eventually;
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
fn with_tor(world: &World, node: &str, asn: u32) -> Result<(Peer, BfdSession)> {
    let peer = world.peers(node)?.into_iter().find(|peer| peer.remote_as.0 == asn);
    let peer = peer.with_context(|| format!("{node} has no session with AS {asn}"))?;
    let sessions = world.bfd_sessions(node)?;
    let session = sessions.into_iter().find(|session| session.peer == peer.address);
    let session = session.with_context(|| format!("{node} has no BFD session with {}", peer.address))?;
    Ok((peer, session))
}

/// Has a ToR fall silent: no link goes down, no connection is reset, it forwards nothing.
const SILENCE: &str = "nft 'add table inet silence; \
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
