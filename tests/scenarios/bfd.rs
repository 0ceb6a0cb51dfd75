//! BFD with BIRD and FRRouting: single hop and multihop, authenticated and not, both families; failures, changed times, removal.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bgpd_api::bfd::{BfdSession, BfdState};
use bgpd_api::route::Table;
use cairn_lab::Lab;
use cairn_lab::lab::Families;
use nix::sys::signal::Signal;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// What BIRD and FRRouting both announce, and what the far router does.
const TWO_WAYS: [&str; 2] = ["192.0.2.0/28", "2001:db8:1::/48"];
const FAR: [&str; 2] = ["198.51.100.0/24", "2001:db8:9::/48"];
const BIRD: [&str; 2] = ["10.20.1.0", "fd20:1::"];
const FRR: [&str; 2] = ["10.20.2.0", "fd20:2::"];
const FAR_PEERS: [&str; 2] = ["10.20.3.1", "fd20:3::1"];

fn sessions(lab: &Lab) -> Result<Vec<BfdSession>> {
    lab.bfd_sessions("cairn")
}

fn session(lab: &Lab, peer: &str) -> Result<BfdSession> {
    let peer: IpAddr = peer.parse()?;
    sessions(lab)?
        .into_iter()
        .find(|session| session.peer == peer)
        .with_context(|| format!("no BFD session with {peer}"))
}

/// Waits until all six BFD sessions and all six BGP sessions are up.
fn all_up(world: &World) -> Result<()> {
    eventually(SETTLES, || {
        let sessions = sessions(world)?;
        let up =
            sessions.iter().filter(|session| session.local.state == BfdState::Up && !session.polling).count();
        ensure!(up == 6 && sessions.len() == 6, "{up} of 6 BFD sessions are up: {sessions:#?}");
        Ok(())
    })?;
    world.await_sessions("cairn", 6)
}

/// Fails unless the kernel's route to each prefix leads to exactly these gateways.
fn leads_to(world: &World, prefixes: &[&str], gateways: &[&[&str; 2]]) -> Result<()> {
    for (index, prefix) in prefixes.iter().enumerate() {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        let text = world.run("cairn", &format!("ip {family} route show {prefix}"))?;
        let found = text.matches("via ").count();
        let all = gateways.iter().all(|pair| text.contains(&format!("via {} ", pair[index])));
        ensure!(found == gateways.len() && all, "{prefix} does not lead to {gateways:?}: {text}");
    }
    Ok(())
}

/// Has the node drop silently what comes from these addresses: no link goes down, no connection is reset.
pub(crate) fn cut(world: &World, from: &[&str; 2]) -> Result<()> {
    let [four, six] = from;
    let rules = format!(
        "nft 'add table inet cut; add chain inet cut in {{ type filter hook prerouting priority -400; }}; \
         add rule inet cut in ip saddr {four} drop; \
         add rule inet cut in ip6 saddr {six} ip6 nexthdr != icmpv6 drop'"
    );
    world.run("cairn", &rules).map(drop)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn sessions_come_up_with_the_negotiated_times() -> Result<()> {
    play("bfd", "bfd-up", Families::Dual, |world| {
        all_up(world)?;
        let ms = Duration::from_millis;
        // FRRouting begins its sessions anew once BGP is up.
        eventually(SETTLES, || {
            for session in sessions(world)? {
                let far = FAR_PEERS.contains(&session.peer.to_string().as_str());
                ensure!(session.multihop == far, "{session:#?}");
                // Each side offers 300 ms and waits for three packets of the other.
                let times = (session.transmit_interval, session.detection_time);
                ensure!(times == (ms(300), ms(900)) && session.remote.detect_multiplier == 3, "{session:#?}");
            }
            let theirs = world.run("frr", "vtysh -c 'show bfd peers'")?;
            ensure!(theirs.matches("Status: up").count() == 2, "FRRouting says: {theirs}");
            leads_to(world, &TWO_WAYS, &[&BIRD, &FRR])
        })?;
        let method = session(world, BIRD[0])?.authentication;
        ensure!(method == "meticulous keyed SHA1", "BIRD's packets are authenticated: {method}");
        let scrape =
            "exec 3<>/dev/tcp/127.0.0.1/9179; printf \"GET /metrics HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3";
        let metrics = world.run("cairn", &format!("bash -c '{scrape}'"))?;
        for peer in BIRD.iter().chain(&FRR).chain(&FAR_PEERS) {
            for sample in ["bgpd_bfd_up", "bgpd_bfd_detection_time_seconds"] {
                let value = if sample.ends_with("up") { "1" } else { "0.9" };
                let line = format!("{sample}{{peer=\"{peer}\"}} {value}");
                ensure!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
            }
        }
        let text = world.run("cairn", "cairnctl bfd sessions 10.20.3.1")?;
        ensure!(text.contains("multihop") && text.contains("detection time 900ms"), "{text}");
        Ok(())
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_silent_path_is_left_long_before_the_hold_time() -> Result<()> {
    play("bfd", "bfd-cut", Families::Dual, |world| {
        all_up(world)?;
        eventually(SETTLES, || leads_to(world, &TWO_WAYS, &[&BIRD, &FRR]))?;
        for (lost, kept) in [(BIRD, FRR), (FRR, BIRD)] {
            cut(world, &lost)?;
            let time = eventually(SETTLES, || leads_to(world, &TWO_WAYS, &[&kept]))?;
            println!("{}: {lost:?} silent, its routes gone after {time:?}", world.name());
            for address in lost {
                let address: IpAddr = address.parse()?;
                let peers = world.peers("cairn")?;
                let peer = peers.iter().find(|peer| peer.address == address).context("configured")?;
                // The hold time is 90 s: nothing but BFD can have ended it.
                ensure!(
                    peer.last_error.contains("BFD")
                        || peer.notes.iter().any(|note| note.contains("BFD"))
                        || session(world, &address.to_string())?.down_count > 0,
                    "{peer:?}"
                );
            }
            world.run("cairn", "nft delete table inet cut")?;
            // BIRD waits for a minute after an error unless it is told not to.
            world.run("bird", "birdc restart all")?;
            all_up(world)?;
            eventually(SETTLES, || leads_to(world, &TWO_WAYS, &[&BIRD, &FRR]))?;
        }
        Ok(())
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_lost_path_behind_a_router_is_found_by_multihop_and_strict_waits_for_it() -> Result<()> {
    play("bfd", "bfd-far", Families::Dual, |world| {
        all_up(world)?;
        // Their next hop is not on a link, so these routes are in the table of BGP only.
        let known = |world: &World| -> Result<usize> {
            let routes = world.table("cairn", Table::LocRib)?;
            Ok(routes.iter().filter(|route| FAR.contains(&route.prefix.to_string().as_str())).count())
        };
        eventually(SETTLES, || {
            let count = known(world)?;
            ensure!(count == 2, "{count} of 2 far routes");
            Ok(())
        })?;
        world.run("far", "ip link set frr down")?;
        eventually(SETTLES, || {
            let count = known(world)?;
            ensure!(count == 0, "{count} far routes are still there");
            Ok(())
        })?;
        let peers = world.peers("cairn")?;
        let waiting =
            peers.iter().filter(|peer| peer.notes.iter().any(|note| note.contains("waits for BFD"))).count();
        ensure!(waiting == 2, "both far sessions wait for BFD: {peers:?}");
        Ok(())
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn times_change_without_a_flap() -> Result<()> {
    play("bfd", "bfd-change", Families::Dual, |world| {
        all_up(world)?;
        let counts = |world: &World| -> Result<Vec<_>> {
            let peers = world.peers("cairn")?;
            let bird = peers.iter().filter(|peer| peer.remote_as.0 == 65201);
            Ok(bird.map(|peer| (peer.address, peer.established_count)).collect())
        };
        let before = counts(world)?;
        world.run(
            "cairn",
            "sed -i 's/bfd: {minTxInterval: 300, minRxInterval: 300/bfd: {minTxInterval: 500, minRxInterval: 700/' /etc/cairn/bgpd.yaml",
        )?;
        eventually(SETTLES, || {
            for peer in BIRD {
                let session = session(world, peer)?;
                let times = (session.transmit_interval.as_millis(), session.detection_time.as_millis());
                ensure!(times == (500, 2100) && !session.polling && session.down_count == 0, "{session:#?}");
            }
            // It sends every 700 ms and waits for three of our packets.
            let theirs = world.run("bird", "birdc show bfd sessions")?;
            let agreed =
                theirs.lines().filter(|line| line.contains("0.700") && line.contains("1.500")).count();
            ensure!(agreed == 2, "BIRD says: {theirs}");
            Ok(())
        })?;
        ensure!(counts(world)? == before, "a session was made anew");
        frr_at_50_milliseconds(world)
    })
}

/// FRRouting and bgpd both want a packet every 50 ms and wait for ten: as fast as a process without a processor of its own can be held to.
fn frr_at_50_milliseconds(world: &World) -> Result<()> {
    let profile =
        ["bfd", "profile fast", "transmit-interval 50", "receive-interval 50", "detect-multiplier 10"];
    let lines: Vec<String> =
        ["configure terminal"].into_iter().chain(profile).map(|line| format!("-c '{line}'")).collect();
    world.run("frr", &format!("vtysh {}", lines.join(" ")))?;
    world.run(
        "frr",
        "vtysh -c 'configure terminal' -c 'router bgp 65202' -c 'neighbor 10.20.2.1 bfd profile fast' \
         -c 'neighbor fd20:2::1 bfd profile fast'",
    )?;
    world.run(
        "cairn",
        "sed -i 's/bfd: {multiplier: 4}/bfd: {minTxInterval: 50, minRxInterval: 50, multiplier: 10}/' /etc/cairn/bgpd.yaml",
    )?;
    eventually(SETTLES, || {
        for peer in FRR {
            let session = session(world, peer)?;
            let times = (session.transmit_interval.as_millis(), session.detection_time.as_millis());
            ensure!(
                times == (50, 500) && session.local.state == BfdState::Up && !session.polling,
                "{session:#?}"
            );
        }
        leads_to(world, &TWO_WAYS, &[&BIRD, &FRR])
    })
    .map(drop)
}

/// What the others say of their BFD sessions with the node: BIRD with the time since when, FRRouting with its counts.
fn seen_by_peers(world: &World) -> Result<String> {
    let mut said = String::new();
    for (node, line) in [
        ("bird", "birdc -r show bfd sessions"),
        ("far", "birdc -r show bfd sessions"),
        ("bird", "birdc -r show protocols"),
        ("far", "birdc -r show protocols"),
    ] {
        let text = world.run(node, line)?;
        said += &text
            .lines()
            .filter(|line| line.contains("Up") || line.contains("BGP"))
            .collect::<Vec<_>>()
            .join("\n");
    }
    let text = world.run("frr", "vtysh -c 'show bfd peers counters json'")?;
    let peers: serde_json::Value = serde_json::from_str(&text).context("FRRouting did not print JSON")?;
    for peer in peers.as_array().context("a list of peers")? {
        said += &format!("\n{} up {} down {}", peer["peer"], peer["session-up"], peer["session-down"]);
    }
    Ok(said)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn no_session_notices_that_another_process_goes_on() -> Result<()> {
    play("bfd", "bfd-takeover", Families::Dual, |world| {
        all_up(world)?;
        eventually(SETTLES, || leads_to(world, &TWO_WAYS, &[&BIRD, &FRR]))?;
        let discriminators = |world: &World| -> Result<Vec<_>> {
            Ok(sessions(world)?.iter().map(|session| (session.peer, session.local.discriminator)).collect())
        };
        // FRRouting begins its sessions anew once BGP is up.
        let mut before = seen_by_peers(world)?;
        eventually(SETTLES, || {
            std::thread::sleep(Duration::from_secs(2));
            let now = seen_by_peers(world)?;
            let same = now == before;
            before = now;
            ensure!(same, "sessions still change: {before}");
            all_up(world)
        })?;
        let numbers = discriminators(world)?;
        // The first ones may have come before the document.
        let starts =
            |world: &World| -> Result<usize> { Ok(world.log("cairn")?.matches("starting it again").count()) };
        let begun = starts(world)?;
        for round in 0..3 {
            world.take_over("cairn", "/etc/cairn/bgpd.yaml")?;
            eventually(SETTLES, || {
                let received = sessions(world)?.iter().all(|session| session.packets_received > 0);
                ensure!(received, "round {round}: nothing received yet");
                Ok(())
            })?;
            ensure!(discriminators(world)? == numbers, "round {round}: other sessions");
        }
        // The node's own supervisor lets it be.
        let log = world.log("cairn")?;
        ensure!(log.contains("another bgpd goes on with the sessions"), "the supervisor says nothing: {log}");
        ensure!(starts(world)? == begun, "a second bgpd was started beside the one that goes on: {log}");
        // Both sides have exchanged more packets than it takes to notice a loss.
        let counts = |world: &World| -> Result<Vec<u64>> {
            Ok(sessions(world)?.iter().map(|session| session.packets_received).collect())
        };
        let then = counts(world)?;
        eventually(SETTLES, || {
            let now = counts(world)?;
            let enough = now.iter().zip(&then).all(|(now, then)| *now >= then + 10);
            ensure!(enough, "few packets since: {then:?}, {now:?}");
            Ok(())
        })?;
        for session in sessions(world)? {
            ensure!(session.local.state == BfdState::Up && session.down_count <= 1, "{session:#?}");
        }
        let after = seen_by_peers(world)?;
        ensure!(after == before, "the others have noticed: {before}\nthen {after}");
        leads_to(world, &TWO_WAYS, &[&BIRD, &FRR])?;
        // And it still finds out when a path is lost.
        cut(world, &BIRD)?;
        eventually(SETTLES, || leads_to(world, &TWO_WAYS, &[&FRR]))?;
        // The supervisor notices its end although it has not started it.
        let last = world.processes("cairn", "bgpd")?;
        world.end_process("cairn", "bgpd", Signal::SIGKILL)?;
        eventually(SETTLES, || {
            let now = world.processes("cairn", "bgpd")?;
            ensure!(now.len() == 1 && now != last, "{now:?} after {last:?}");
            world.peers("cairn").map(drop)
        })
        .map(drop)
    })
}
