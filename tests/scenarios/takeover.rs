//! A new bgpd takes the running sessions over: BIRD and FRRouting see nothing but KEEPALIVEs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bgpd_api::config::OriginatedRoute;
use cairn_lab::lab::Families;

use crate::router_restart::{BIRDS, Bird, FRRS, LONG, OURS, all_start, has, is_known};
use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// What BIRD says of its session, with the time since when; and FRRouting's counts of what it has received.
fn seen_by_peers(world: &World) -> Result<(String, String)> {
    let bird = world.run("bird", "birdc -r show protocols cairn")?;
    let bird =
        bird.lines().find(|line| line.starts_with("cairn ")).context("BIRD has no session")?.to_owned();
    let text = world.run("frr", "vtysh -c \"show bgp neighbors 10.11.2.1 json\"")?;
    let frr: serde_json::Value = serde_json::from_str(&text).context("FRRouting did not print JSON")?;
    let peer = &frr["10.11.2.1"];
    let stats = &peer["messageStats"];
    let counts = ["opensRecv", "opensSent", "updatesRecv", "updatesSent", "notificationsRecv"]
        .map(|name| stats[name].as_u64().map(|count| format!("{name} {count}")).unwrap_or_default());
    let established = &peer["connectionsEstablished"];
    Ok((bird, format!("{}, established {established}, {}", peer["bgpState"], counts.join(", "))))
}

/// Everything that was captured of BGP, as text.
fn captured(world: &World) -> Result<String> {
    world.run("cairn", "sh -c 'tcpdump -v -n -r /run/lab/takeover.pcap 2>/dev/null'")
}

/// The one bgpd that runs.
fn running(world: &World) -> Result<i32> {
    let found = world.processes("cairn", "bgpd")?;
    match found.as_slice() {
        [pid] => Ok(*pid),
        found => anyhow::bail!("{} processes are named bgpd", found.len()),
    }
}

fn settled(world: &World) -> Result<()> {
    // Announcements of the start are still on their way for a moment.
    let mut last = seen_by_peers(world)?;
    eventually(SETTLES, || {
        std::thread::sleep(Duration::from_secs(1));
        let now = seen_by_peers(world)?;
        let same = now == last;
        last = now;
        ensure!(same, "the peers are still being told something: {last:?}");
        Ok(())
    })
    .map(drop)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn peers_notice_nothing_of_a_new_process() -> Result<()> {
    play("restart", "takeover", Families::Dual, |world| {
        all_start(world, &Bird::FIRST, LONG)?;
        settled(world)?;
        let before = seen_by_peers(world)?;
        let record =
            "tcpdump -i any -Z root -s 256 -U --immediate-mode -w /run/lab/takeover.pcap tcp port 179";
        world.run("cairn", &format!("sh -c '{record} >/dev/null 2>&1 &'"))?;
        eventually(SETTLES, || world.run("cairn", "test -s /run/lab/takeover.pcap").map(drop))?;

        for _ in 0..3 {
            world.take_over("cairn", "/run/bgpd.yaml")?;
            // The kernel had them all the time; the new process says so once it answers.
            is_known(world, "cairn", &[BIRDS, FRRS].concat())?;
            eventually(SETTLES, || has(world, &[BIRDS, FRRS]))?;
            world.await_sessions("cairn", 2)?;
        }
        // Both directions have sent KEEPALIVEs since.
        let sent = |text: &str, from: &str| {
            text.lines().any(|line| line.trim().starts_with(from) && line.ends_with("length 19: BGP"))
        };
        eventually(SETTLES, || {
            let text = captured(world)?;
            for from in ["10.11.1.0.", "10.11.1.1.", "10.11.2.0.", "10.11.2.1."] {
                ensure!(sent(&text, from), "no KEEPALIVE from {from} yet: {text}");
            }
            ensure!(text.matches("Keepalive Message").count() >= 6, "few KEEPALIVEs yet: {text}");
            Ok(())
        })?;
        let text = captured(world)?;
        for kind in ["Open Message", "Update Message", "Notification Message"] {
            ensure!(!text.contains(kind), "a peer was sent or has sent an {kind}:\n{text}");
        }
        let after = seen_by_peers(world)?;
        ensure!(after == before, "the peers have noticed: {before:?}, then {after:?}");
        is_known(world, "bird", &OURS)?;
        is_known(world, "frr", &OURS)?;

        // The sessions carry routes as before, both ways.
        let route = OriginatedRoute { prefix: "198.51.100.0/28".parse()?, ..plain_route() };
        world.originate("cairn", "test", vec![route])?;
        world.run("frr", "vtysh -c \"configure terminal\" -c \"no ip route 192.0.2.48/28 Null0\"")?;
        eventually(SETTLES, || {
            is_known(world, "bird", &["198.51.100.0/28"])?;
            ensure!(is_known(world, "cairn", &["192.0.2.48/28"]).is_err(), "a withdrawn route stays");
            Ok(())
        })
        .map(drop)
    })
}

fn plain_route() -> OriginatedRoute {
    serde_json::from_str(r#"{"prefix": "198.51.100.0/28"}"#).expect("only the prefix is required")
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_take_over_that_fails_leaves_the_old_process_at_work() -> Result<()> {
    play("restart", "takeover-fails", Families::Dual, |world| {
        all_start(world, &Bird::FIRST, LONG)?;
        settled(world)?;
        let (before, old) = (seen_by_peers(world)?, running(world)?);
        // It has asked for everything by the time when it finds that there is no such place.
        let failed = world.exec("cairn", &["bgpd", "--take-over", "--config", "/nonexistent/bgpd.yaml"])?;
        ensure!(!failed.success, "it took over without a configuration file");
        eventually(SETTLES, || {
            let log = world.log("cairn")?;
            ensure!(log.contains("another process has not taken over"), "the log does not say so: {log}");
            Ok(())
        })?;
        ensure!(running(world)? == old, "the old process has ended");
        world.originate("cairn", "test", vec![plain_route()])?;
        eventually(SETTLES, || is_known(world, "bird", &["198.51.100.0/28"]))?;
        let after = seen_by_peers(world)?;
        ensure!(after.0 == before.0, "the session was made anew: {before:?}, then {after:?}");
        world.await_sessions("cairn", 2)
    })
}
