//! Options of single neighbours, as seen by these.

use super::*;

/// What GoBGP has of a prefix; empty: nothing.
fn gobgp_rib(world: &World, prefix: &str) -> Result<String> {
    let text = world.run("gobgp", &format!("gobgp global rib {prefix} -a {}", family(prefix)))?;
    Ok(if text.contains("Network not in table") { String::new() } else { text })
}

/// What BIRD has of a prefix; it fails where there is nothing.
fn bird_rib(world: &World, prefix: &str) -> Result<String> {
    world.run("bird", &format!("sh -c 'birdc show route all {prefix} || true'"))
}

/// The peers from which FRRouting has a path to a prefix.
fn frr_sources(world: &World, prefix: &str) -> Result<BTreeSet<String>> {
    let detail = frr_detail(world, prefix)?;
    let paths = detail["paths"].as_array().into_iter().flatten();
    Ok(paths.filter_map(|path| Some(path["peer"]["peerId"].as_str()?.to_owned())).collect())
}

/// Fails unless the first of FRRouting's paths to a prefix has this next hop.
fn frr_next_hop(world: &World, prefix: &str, wanted: &str) -> Result<()> {
    let path = &frr_detail(world, prefix)?["paths"][0];
    ensure!(path["nexthops"][0]["ip"] == wanted, "FRRouting, {prefix}: no next hop {wanted}: {path}");
    Ok(())
}

/// Fails unless the weight decides for the path of GoBGP, which has the higher identifier and is better in nothing else.
fn weight_decides(world: &World, prefix: &str) -> Result<()> {
    let all = paths(world, Table::AllPaths, prefix)?;
    let best = all.iter().find(|path| path.best).context("no best path")?;
    ensure!(all.len() == 2 && as_path(best) == "300", "{prefix}: {all:?}");
    ensure!(best.decided_by == "higher weight", "{prefix}: {best:?}");
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn options_of_one_neighbor_are_seen_by_it_alone() -> Result<()> {
    const MARKED: [&str; 2] = ["192.0.2.0/28", "2001:db8:1::/48"];
    // BIRD and GoBGP both announce these.
    const SHARED: [&str; 2] = ["192.0.2.128/28", "2001:db8:128::/48"];
    const BACKUP: [&str; 2] = ["203.0.113.0/25", "2001:db8:200::/48"];
    const SPARE: [&str; 2] = ["203.0.113.128/25", "2001:db8:300::/48"];
    play_case("neighbors", |world| {
        for (node, sessions) in [("cairn", 3), ("bird", 1), ("frr", 1), ("gobgp", 1)] {
            world.await_sessions(node, sessions)?;
        }
        for prefix in SHARED {
            gobgp(world, "add", prefix)?;
        }
        eventually(SETTLES, || {
            for prefix in SHARED {
                weight_decides(world, prefix)?;
            }
            // Unchanged: BIRD's own address at FRRouting, but ours for what is ours.
            for (prefix, next_hop) in MARKED.into_iter().zip(["10.10.4.0", "fd10:4::"]) {
                frr_next_hop(world, prefix, next_hop)?;
            }
            for (prefix, next_hop) in SPARE.into_iter().zip(["10.10.5.1", "fd10:5::1"]) {
                frr_next_hop(world, prefix, next_hop)?;
            }
            for prefix in MARKED {
                // as-override: FRRouting would take its own AS for a loop. All communities come along.
                has_all("FRRouting", &frr_paths(world, prefix)?, &["100 100"])?;
                let path = &frr_detail(world, prefix)?["paths"][0];
                for (kind, expected) in [
                    ("community", "65201:1"),
                    ("largeCommunity", "65201:1:2"),
                    ("extendedCommunity", "RT:65201:9"),
                ] {
                    ensure!(path[kind]["string"] == expected, "FRRouting, {prefix}, {kind}: {path}");
                }
                // A private AS that is replaced; standard communities only.
                let rib = gobgp_rib(world, prefix)?;
                ensure!(rib.contains(" 100 100 ") && !rib.contains("65201 "), "GoBGP: {rib}");
                ensure!(rib.contains("{Communities: 65201:1}"), "GoBGP: {rib}");
                ensure!(!rib.contains("65201:1:2") && !rib.contains("65201:9"), "GoBGP: {rib}");
            }
            // The next hop by address, where a route of the family can have it.
            let next_hops = ["10.10.6.77", "fd10:6::1"];
            for (prefix, next_hop) in MARKED.into_iter().zip(next_hops) {
                let rib = gobgp_rib(world, prefix)?;
                ensure!(rib.contains(&format!(" {next_hop} ")), "GoBGP: no {next_hop} in {rib}");
            }
            Ok(())
        })?;
        // While the primary is there GoBGP has the backup, and BIRD not the spare; without it, the other way round.
        let expect = |primary: bool| {
            eventually(SETTLES, || {
                for prefix in BACKUP {
                    let rib = gobgp_rib(world, prefix)?;
                    ensure!(rib.is_empty() != primary, "GoBGP, {prefix}: {rib:?}");
                }
                for prefix in SPARE {
                    let text = bird_rib(world, prefix)?;
                    ensure!(text.contains("BGP.as_path: 100") != primary, "BIRD, {prefix}: {text}");
                }
                // Each condition is that of one neighbour.
                for prefix in BACKUP.into_iter().chain(SPARE) {
                    has_all("FRRouting", &frr_paths(world, prefix)?, &["100"])?;
                }
                for prefix in SPARE {
                    ensure!(!gobgp_rib(world, prefix)?.is_empty(), "GoBGP lacks {prefix}");
                }
                Ok(())
            })
        };
        expect(true)?;
        for (does, primary) in [("disable", false), ("enable", true)] {
            for protocol in ["primary4", "primary6"] {
                world.run("bird", &format!("birdc {does} {protocol}"))?;
            }
            expect(primary)?;
        }
        Ok(())
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn clients_that_have_a_session_with_each_other_are_not_reflected_to_each_other() -> Result<()> {
    // What BIRD and FRRouting, the clients, and GoBGP announce.
    const BIRD: [&str; 2] = ["192.0.2.0/28", "2001:db8:1::/48"];
    const FRR: [&str; 2] = ["192.0.2.16/28", "2001:db8:2::/48"];
    const GOBGP: [&str; 2] = ["203.0.113.0/24", "2001:db8:6::/48"];
    play_case("reflection", |world| {
        for (node, sessions) in [("cairn", 3), ("bird", 2), ("frr", 2), ("gobgp", 1)] {
            world.await_sessions(node, sessions)?;
        }
        for prefix in GOBGP {
            gobgp(world, "add", prefix)?;
        }
        let set = |peers: &[&str]| peers.iter().map(|peer| (*peer).to_owned()).collect::<BTreeSet<_>>();
        eventually(SETTLES, || {
            // Who is no client hears of both, and both of it.
            for prefix in BIRD.into_iter().chain(FRR) {
                ensure!(!gobgp_rib(world, prefix)?.is_empty(), "GoBGP lacks {prefix}");
            }
            // With the reflector's cluster, and with the reflector as next hop, for each neighbour has `nextHop: self`.
            for (prefix, next_hop) in GOBGP.into_iter().zip(["10.10.5.1", "fd10:5::1"]) {
                let sources = frr_sources(world, prefix)?;
                ensure!(sources == set(&["10.10.5.1"]), "FRRouting, {prefix}: {sources:?}");
                let path = &frr_detail(world, prefix)?["paths"][0];
                let clusters = &path["clusterList"]["list"];
                ensure!(*clusters == serde_json::json!(["10.10.0.4"]), "FRRouting, {prefix}: {path}");
                frr_next_hop(world, prefix, next_hop)?;
                let text = bird_rib(world, prefix)?;
                for said in ["BGP.originator_id: 10.10.0.3", "BGP.cluster_list: 10.10.0.4"] {
                    ensure!(text.contains(said), "BIRD, {prefix}: {text}");
                }
            }
            // Of each other the clients hear themselves only.
            for prefix in BIRD {
                let sources = frr_sources(world, prefix)?;
                ensure!(sources == set(&["10.10.1.0"]), "FRRouting, {prefix}: {sources:?}");
            }
            for prefix in FRR {
                let text = bird_rib(world, prefix)?;
                ensure!(text.contains("[frr ") && !text.contains("[cairn "), "BIRD, {prefix}: {text}");
            }
            Ok(())
        })?;
        for (peer, prefixes) in [("10.10.5.0", BIRD), ("10.10.4.0", FRR)] {
            for prefix in prefixes {
                let told = paths(world, Table::AdjRibOut(peer.parse()?), prefix)?;
                ensure!(told.is_empty(), "{peer} is told of {prefix}: {told:?}");
            }
        }
        Ok(())
    })
}
