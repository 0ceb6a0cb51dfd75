//! What bgpd passes on, and how, between BIRD, FRRouting and GoBGP.

mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bgpd_api::route::{Path, Table};
use cairn_lab::lab::Families;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play_with};

/// Runs a scenario with the configurations of one directory.
fn play_case(case: &str, body: impl FnOnce(&mut World) -> Result<()>) -> Result<()> {
    play_with("propagation", case, Families::Dual, &[("CASE", case)], body)
}

/// The paths that bgpd has of a prefix in one of its tables.
fn paths(world: &World, table: Table, prefix: &str) -> Result<Vec<Path>> {
    let routes = world.table("cairn", table)?;
    let wanted = routes.into_iter().filter(|route| route.prefix.to_string() == prefix);
    Ok(wanted.flat_map(|route| route.paths).collect())
}

/// BIRD's paths to a prefix, as its AS_PATHs.
fn bird_paths(world: &World, prefix: &str) -> Result<BTreeSet<String>> {
    let text = world.run("bird", &format!("birdc show route all {prefix}"))?;
    let path = |line: &str| Some(line.trim().strip_prefix("BGP.as_path:")?.trim().to_owned());
    Ok(text.lines().filter_map(path).collect())
}

/// FRRouting's paths to a prefix, as its AS_PATHs.
fn frr_paths(world: &World, prefix: &str) -> Result<BTreeSet<String>> {
    let detail = frr_detail(world, prefix)?;
    let paths = detail["paths"].as_array().into_iter().flatten();
    Ok(paths.filter_map(|path| Some(path["aspath"]["string"].as_str()?.to_owned())).collect())
}

/// All that FRRouting says of a prefix.
fn frr_detail(world: &World, prefix: &str) -> Result<serde_json::Value> {
    let family = family(prefix);
    let text = world.run("frr", &format!("vtysh -c 'show bgp {family} unicast {prefix} json'"))?;
    // Of a prefix that it does not know FRRouting says so, in words.
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

fn gobgp(world: &World, what: &str, prefix: &str) -> Result<()> {
    let family = family(prefix);
    world.run("gobgp", &format!("gobgp global rib {what} {prefix} -a {family}")).map(|_| ())
}

/// The name that FRRouting and GoBGP give the family.
fn family(prefix: &str) -> &'static str {
    if prefix.contains(':') { "ipv6" } else { "ipv4" }
}

/// A path's AS_PATH as text.
fn as_path(path: &Path) -> String {
    let segments: Vec<String> = path.attributes.as_path.iter().map(ToString::to_string).collect();
    segments.join(" ")
}

/// Fails unless all of the wanted are among what there is.
fn has_all(who: &str, there: &BTreeSet<String>, wanted: &[&str]) -> Result<()> {
    ensure!(wanted.iter().all(|path| there.contains(*path)), "{who} lacks one of {wanted:?}: {there:?}");
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn several_paths_of_a_prefix_go_both_ways() -> Result<()> {
    const SHARED: [&str; 2] = ["198.51.100.0/24", "2001:db8:100::/48"];
    play_case("add-path", |world| {
        for (node, sessions) in [("cairn", 3), ("bird", 2), ("frr", 2), ("gobgp", 1)] {
            world.await_sessions(node, sessions)?;
        }
        for prefix in SHARED {
            gobgp(world, "add", prefix)?;
        }
        eventually(SETTLES, || {
            for prefix in SHARED {
                // Sent: what only bgpd can tell, beside its best path.
                has_all("BIRD", &bird_paths(world, prefix)?, &["65204 65202", "65204 65203"])?;
                has_all("FRRouting", &frr_paths(world, prefix)?, &["65204 65201", "65204 65203"])?;
                // Received: both have a path of their own and the other's.
                for peer in ["10.10.4.0", "10.10.5.0"] {
                    let peer: IpAddr = peer.parse()?;
                    let paths = paths(world, Table::AdjRibIn(peer), prefix)?;
                    let ids: BTreeSet<u32> = paths.iter().map(|path| path.path_id).collect();
                    ensure!(paths.len() >= 2 && ids.len() == paths.len(), "{peer}, {prefix}: {paths:?}");
                }
                // A neighbour without ADD-PATH gets one path, without an identifier.
                let plain = paths(world, Table::AdjRibOut("10.10.6.0".parse()?), prefix)?;
                ensure!(plain.len() <= 1 && plain.iter().all(|path| path.path_id == 0), "{plain:?}");
            }
            Ok(())
        })?;
        for prefix in SHARED {
            gobgp(world, "del", prefix)?;
        }
        eventually(SETTLES, || {
            for prefix in SHARED {
                let bird = bird_paths(world, prefix)?;
                ensure!(!bird.contains("65204 65203"), "BIRD keeps what GoBGP withdrew: {bird:?}");
                has_all("BIRD", &bird, &["65204 65202"])?;
                let frr = frr_paths(world, prefix)?;
                ensure!(!frr.contains("65204 65203"), "FRRouting keeps what GoBGP withdrew: {frr:?}");
                has_all("FRRouting", &frr, &["65204 65201"])?;
            }
            Ok(())
        })?;
        Ok(())
    })
}

/// What FRRouting has of a prefix from bgpd: identifier and AS_PATH of each path; and how many UPDATEs it has received from bgpd.
fn frr_from_us(world: &World, prefix: &str) -> Result<(BTreeMap<u64, String>, u64)> {
    const OURS: &str = "10.10.5.1";
    let detail = frr_detail(world, prefix)?;
    let paths = detail["paths"].as_array().into_iter().flatten();
    let ours = paths.filter(|path| path["peer"]["peerId"] == OURS).map(|path| {
        let id = path["addpathRxId"].as_u64().context("FRRouting shows no identifier")?;
        Ok((id, path["aspath"]["string"].to_string()))
    });
    let text = world.run("frr", &format!("vtysh -c \"show bgp neighbors {OURS} json\""))?;
    let neighbor: serde_json::Value = serde_json::from_str(&text)?;
    let updates = neighbor[OURS]["messageStats"]["updatesRecv"].as_u64();
    Ok((ours.collect::<Result<_>>()?, updates.context("FRRouting does not count UPDATEs")?))
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn several_paths_keep_their_identifiers_when_a_new_process_takes_over() -> Result<()> {
    const SHARED: [&str; 2] = ["198.51.100.0/24", "2001:db8:100::/48"];
    let variables = [("CASE", "add-path")];
    play_with("propagation", "add-path-takeover", Families::Dual, &variables, |world| {
        for (node, sessions) in [("cairn", 3), ("bird", 2), ("frr", 2), ("gobgp", 1)] {
            world.await_sessions(node, sessions)?;
        }
        for prefix in SHARED {
            gobgp(world, "add", prefix)?;
        }
        let seen = |world: &World| {
            SHARED.map(|prefix| frr_from_us(world, prefix)).into_iter().collect::<Result<Vec<_>>>()
        };
        let mut before = Vec::new();
        eventually(SETTLES, || {
            std::thread::sleep(Duration::from_secs(1));
            let now = seen(world)?;
            let same = now == before;
            let several = now.iter().all(|(paths, _)| paths.len() >= 2);
            before = now;
            ensure!(same && several, "FRRouting is still being told something: {before:?}");
            Ok(())
        })?;
        for _ in 0..3 {
            world.take_over("cairn", "/etc/cairn/bgpd.yaml")?;
            world.await_sessions("cairn", 3)?;
        }
        let after = seen(world)?;
        ensure!(after == before, "FRRouting had {before:?}, and has {after:?}");
        // A change by the new process leaves the others untouched.
        gobgp(world, "add", "198.51.100.128/25")?;
        eventually(SETTLES, || {
            has_all("FRRouting", &frr_paths(world, "198.51.100.128/25")?, &["65204 65203"])?;
            has_all("BIRD", &bird_paths(world, "198.51.100.128/25")?, &["65204 65203"])
        })?;
        let kept = seen(world)?.into_iter().zip(&before).all(|(now, before)| now.0 == before.0);
        ensure!(kept, "FRRouting had {before:?}, and has {:?}", seen(world)?);
        // A withdrawal by the new process names what the old one announced.
        for prefix in SHARED {
            gobgp(world, "del", prefix)?;
        }
        eventually(SETTLES, || {
            for prefix in SHARED {
                let (bird, frr) = (bird_paths(world, prefix)?, frr_paths(world, prefix)?);
                ensure!(!bird.contains("65204 65203"), "BIRD keeps what GoBGP withdrew: {bird:?}");
                has_all("BIRD", &bird, &["65204 65202"])?;
                ensure!(!frr.contains("65204 65203"), "FRRouting keeps what GoBGP withdrew: {frr:?}");
                has_all("FRRouting", &frr, &["65204 65201"])?;
            }
            Ok(())
        })
        .map(drop)
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_confederation_looks_like_one_as_from_outside() -> Result<()> {
    // What GoBGP, FRRouting and bgpd originate.
    const OUTSIDE: [&str; 2] = ["203.0.113.0/24", "2001:db8:6::/48"];
    const MEMBER: [&str; 2] = ["192.0.2.16/28", "2001:db8:2::/48"];
    const OURS: [&str; 2] = ["192.0.2.32/28", "2001:db8:3::/48"];
    play_case("confederation", |world| {
        for (node, sessions) in [("cairn", 3), ("bird", 2), ("frr", 2), ("gobgp", 1)] {
            world.await_sessions(node, sessions)?;
        }
        for prefix in OUTSIDE {
            gobgp(world, "add", prefix)?;
        }
        world.run("gobgp", "gobgp global rib add 203.0.113.64/26 community no-export -a ipv4")?;
        eventually(SETTLES, || {
            for prefix in OUTSIDE {
                has_all("FRRouting", &frr_paths(world, prefix)?, &["(65002) 65203"])?;
                has_all("BIRD", &bird_paths(world, prefix)?, &["65000 65203"])?;
            }
            for prefix in MEMBER {
                let from_member: BTreeSet<String> =
                    paths(world, Table::LocRib, prefix)?.iter().map(as_path).collect();
                has_all("bgpd", &from_member, &["(65003)"])?;
                let rib = world.run("gobgp", &format!("gobgp global rib {prefix} -a {}", family(prefix)))?;
                ensure!(rib.contains(" 65000 ") && !rib.contains("65003"), "GoBGP: {rib}");
            }
            for prefix in OURS {
                has_all("FRRouting", &frr_paths(world, prefix)?, &["(65002)"])?;
                has_all("BIRD", &bird_paths(world, prefix)?, &["65000"])?;
            }
            // NO_EXPORT goes to the other member, and no further.
            has_all("FRRouting", &frr_paths(world, "203.0.113.64/26")?, &["(65002) 65203"])
        })?;
        let told = paths(world, Table::AdjRibOut("10.10.4.0".parse()?), "203.0.113.64/26")?;
        ensure!(told.is_empty(), "NO_EXPORT left the confederation: {told:?}");
        Ok(())
    })
}

/// BIRD and GoBGP have the same networks. As long as BIRD says that it leaves (RFC 8326) its paths, which are the better ones, are the last
/// choice.
fn who_leaves_is_the_last_choice(world: &World) -> Result<()> {
    const SHARED: [&str; 2] = ["198.51.100.0/24", "2001:db8:100::/48"];
    let expect = |best: &str, bird_preference: Option<u32>| {
        eventually(SETTLES, || {
            for prefix in SHARED {
                let all = paths(world, Table::AllPaths, prefix)?;
                let chosen = all.iter().find(|path| path.best).map(as_path);
                ensure!(chosen.as_deref() == Some(best), "{prefix}: {chosen:?} is the best of {all:?}");
                let bird = all.iter().find(|path| as_path(path) == "65201").context("no path of BIRD")?;
                ensure!(bird.attributes.local_preference == bird_preference, "{prefix}: {bird:?}");
            }
            Ok(())
        })
    };
    for prefix in SHARED {
        gobgp(world, "add", prefix)?;
    }
    expect("65203", Some(0))?;
    for does in ["disable leaving4", "disable leaving6", "enable staying4", "enable staying6"] {
        world.run("bird", &format!("birdc {does}"))?;
    }
    expect("65201", None).map(drop)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn options_of_what_is_sent_are_seen_by_others() -> Result<()> {
    const PARTS: [&str; 2] = ["203.0.113.0/25", "203.0.113.128/25"];
    play_case("sent", |world| {
        for (node, sessions) in [("cairn", 3), ("bird", 1), ("frr", 1), ("gobgp", 1)] {
            world.await_sessions(node, sessions)?;
        }
        for prefix in PARTS {
            gobgp(world, "add", prefix)?;
        }
        eventually(SETTLES, || {
            // BIRD's and GoBGP's private AS numbers are gone, the aggregate stands for its parts, and a default route is there.
            for prefix in ["192.0.2.0/28", "2001:db8:1::/48", "203.0.113.0/24", "0.0.0.0/0", "::/0"] {
                has_all("FRRouting", &frr_paths(world, prefix)?, &["100"])?;
            }
            has_all("BIRD", &bird_paths(world, "203.0.113.0/24")?, &["100 65203"])?;
            let marked = world.run("gobgp", "gobgp global rib 192.0.2.0/28 -a ipv4")?;
            // Its name for GRACEFUL_SHUTDOWN, from the draft.
            ensure!(marked.contains("planned-shut"), "GoBGP: {marked}");
            let kernel = world.run("cairn", "ip route show 192.0.2.7/32")?;
            ensure!(kernel.contains("blackhole"), "the kernel of cairn: {kernel}");
            Ok(())
        })?;
        for prefix in PARTS.into_iter().chain(["192.0.2.7/32"]) {
            let told = paths(world, Table::AdjRibOut("10.10.5.0".parse()?), prefix)?;
            ensure!(told.is_empty() && frr_paths(world, prefix)?.is_empty(), "{prefix} is sent: {told:?}");
        }
        for prefix in PARTS {
            gobgp(world, "del", prefix)?;
        }
        world.run("bird", "birdc disable upstream")?;
        world.run("bird", "birdc disable attacked")?;
        eventually(SETTLES, || {
            for prefix in ["203.0.113.0/24", "0.0.0.0/0", "::/0"] {
                let left = frr_paths(world, prefix)?;
                ensure!(left.is_empty(), "FRRouting keeps {prefix}: {left:?}");
            }
            let kernel = world.run("cairn", "ip route show 192.0.2.7/32")?;
            ensure!(kernel.trim().is_empty(), "the kernel of cairn: {kernel}");
            Ok(())
        })?;
        who_leaves_is_the_last_choice(world)
    })
}
