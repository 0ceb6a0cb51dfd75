//! Links without addresses: neighbours by interface, IPv4 routes with IPv6 next hops (RFC 8950), and packets that follow them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bgpd_api::bfd::BfdState;
use cairn_lab::lab::Families;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

fn established(world: &World) -> Result<()> {
    eventually(SETTLES, || {
        let sessions = world.sessions("cairn")?;
        let up = sessions.iter().filter(|session| session.established && session.peer.is_ipv6()).count();
        ensure!(up == 2, "{up} sessions are established: {sessions:?}");
        Ok(())
    })
    .map(|_| ())
}

/// The kernel's route of bgpd has so many next hops on these links.
fn has_route(world: &World, prefix: &str, via: &str, links: &[&str]) -> Result<()> {
    let command = if prefix.contains(':') { "ip -6 route show" } else { "ip route show" };
    let table = world.run("cairn", command)?;
    // A route of several next hops takes several lines, all but the first indented.
    let (_, rest) =
        table.split_once(&format!("{prefix} ")).with_context(|| format!("no {prefix}: {table}"))?;
    let route: String = rest
        .split_inclusive('\n')
        .enumerate()
        .take_while(|(n, line)| *n == 0 || line.starts_with('\t'))
        .map(|(_, line)| line)
        .collect();
    ensure!(route.contains("proto 202"), "{prefix} is not bgpd's: {route}");
    for link in links {
        ensure!(
            route.contains(&format!("dev {link} ")) && route.contains(via),
            "{prefix} not by {link}: {route}"
        );
    }
    ensure!(route.matches(via).count() == links.len(), "{prefix}: not {} next hops: {route}", links.len());
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_neighbour_of_an_interface_is_found_and_routes_of_both_families_lead_to_it() -> Result<()> {
    play("unnumbered", "unnumbered", Families::Dual, |world| {
        established(world)?;
        for (prefix, via) in [("192.0.2.16/28", "via inet6 fe80::"), ("2001:db8:2::/48", "via fe80::")] {
            eventually(SETTLES, || has_route(world, prefix, via, &["frr", "frr2"]))?;
        }
        for (line, word) in [
            ("vtysh -c 'show bgp ipv4 unicast 192.0.2.32/28'", "192.0.2.32/28"),
            ("vtysh -c 'show bgp ipv6 unicast 2001:db8:3::/48'", "2001:db8:3::/48"),
        ] {
            eventually(SETTLES, || {
                let text = world.run("frr", line)?;
                ensure!(text.contains(word) && text.contains("best"), "FRRouting lacks {word}: {text}");
                Ok(())
            })?;
        }
        // Packets, there and back, between the loopbacks.
        for (from, to) in [("192.0.2.33", "192.0.2.17"), ("2001:db8:3::1", "2001:db8:2::1")] {
            eventually(SETTLES, || world.run("cairn", &format!("ping -c 1 -W 1 -I {from} {to}")).map(drop))?;
        }
        // One link goes: the routes lead over the other one.
        world.run("frr", "ip link set cairn2 down")?;
        for (prefix, via) in [("192.0.2.16/28", "via inet6 fe80::"), ("2001:db8:2::/48", "via fe80::")] {
            eventually(SETTLES, || has_route(world, prefix, via, &["frr"]))?;
        }
        // It comes back, and so does the neighbour.
        world.run("frr", "ip link set cairn2 up")?;
        established(world)
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn an_external_neighbour_is_taken_with_whatever_as_it_says_and_no_internal_one() -> Result<()> {
    play("unnumbered", "unnumbered-as", Families::Dual, |world| {
        established(world)?;
        let learned = |world: &World| -> Result<Vec<u32>> {
            let mut peers = world.peers("cairn")?;
            peers.sort_by_key(|peer| peer.description.clone());
            Ok(peers.iter().map(|peer| peer.remote_as.0).collect())
        };
        let found = learned(world)?;
        ensure!(found == [65402, 65402], "the ASes of the neighbours are {found:?}");
        // The same link with another AS, which bgpd is not told of.
        world.run("frr", "vtysh -c 'configure terminal' -c 'router bgp 65402' -c 'neighbor cairn local-as 65499 no-prepend replace-as'")?;
        eventually(SETTLES, || {
            let found = learned(world)?;
            ensure!(found == [65499, 65402], "the ASes of the neighbours are {found:?}");
            Ok(())
        })?;
        established(world)?;
        // An internal one is what it is not.
        world.run("cairn", "sed -i 's/remoteAs: external/remoteAs: internal/' /etc/cairn/bgpd.yaml")?;
        let refusal = "wrong AS: the peer says AS 65499, the configuration says AS 65400";
        eventually(SETTLES, || {
            let peers = world.peers("cairn")?;
            let refused = peers.iter().filter(|peer| peer.last_error.contains(refusal)).count();
            ensure!(refused == 1, "{refused} neighbours are refused for their AS: {peers:#?}");
            let text = world.run("frr", "vtysh -c 'show bgp neighbors cairn json'")?;
            ensure!(text.contains("Bad Peer AS"), "FRRouting is not told why: {text}");
            Ok(())
        })?;
        let sessions = world.sessions("cairn")?;
        let up: Vec<_> = sessions.iter().filter(|session| session.established).collect();
        ensure!(up.len() == 1 && up[0].remote_as == 65402, "the other session is no concern: {sessions:?}");
        world.run("cairn", "sed -i 's/remoteAs: internal/remoteAs: external/' /etc/cairn/bgpd.yaml")?;
        established(world)
    })
}

/// What FRRouting says of its sessions over both links: BGP's and BFD's, with how often each came up.
fn seen_by_frr(world: &World) -> Result<Vec<String>> {
    let text = world.run("frr", "vtysh -c 'show bgp neighbors json'")?;
    let neighbors: serde_json::Value = serde_json::from_str(&text).context("FRRouting did not print JSON")?;
    let mut seen = Vec::new();
    for link in ["cairn", "cairn2"] {
        let neighbor = &neighbors[link];
        ensure!(neighbor["bgpState"] == "Established", "no session over {link}: {neighbor}");
        seen.push(format!("{link}: established {} times", neighbor["connectionsEstablished"]));
    }
    let text = world.run("frr", "vtysh -c 'show bfd peers counters json'")?;
    let peers: serde_json::Value = serde_json::from_str(&text).context("FRRouting did not print JSON")?;
    let peers = peers.as_array().context("a list of BFD sessions")?;
    ensure!(peers.len() == 2, "not two BFD sessions: {text}");
    for peer in peers {
        seen.push(format!("{}: up {}, down {}", peer["interface"], peer["session-up"], peer["session-down"]));
    }
    seen.sort();
    Ok(seen)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn neighbours_of_interfaces_and_their_bfd_notice_nothing_of_a_new_process() -> Result<()> {
    play("unnumbered", "unnumbered-takeover", Families::Dual, |world| {
        let all_up = |world: &World| {
            established(world)?;
            eventually(SETTLES, || {
                let sessions = world.bfd_sessions("cairn")?;
                let up = sessions.iter().filter(|session| session.local.state == BfdState::Up).count();
                ensure!(up == 2 && sessions.len() == 2, "{up} BFD sessions are up: {sessions:#?}");
                Ok(())
            })
            .map(drop)
        };
        all_up(world)?;
        eventually(SETTLES, || has_route(world, "192.0.2.16/28", "via inet6 fe80::", &["frr", "frr2"]))?;
        // FRRouting begins its BFD sessions anew once BGP is up.
        let mut before = Vec::new();
        eventually(SETTLES, || {
            std::thread::sleep(Duration::from_secs(1));
            let now = seen_by_frr(world)?;
            let same = now == before;
            before = now;
            ensure!(same, "sessions still change: {before:?}");
            all_up(world)
        })?;
        let counts = |world: &World| -> Result<Vec<u64>> {
            Ok(world.bfd_sessions("cairn")?.iter().map(|session| session.packets_received).collect())
        };
        for _ in 0..2 {
            world.take_over("cairn", "/etc/cairn/bgpd.yaml")?;
            all_up(world)?;
            // More than it takes to notice a loss.
            let then = counts(world)?;
            eventually(SETTLES, || {
                let now = counts(world)?;
                let enough = now.iter().zip(&then).all(|(now, then)| *now >= then + 12);
                ensure!(enough, "few BFD packets since: {then:?}, {now:?}");
                Ok(())
            })?;
        }
        let after = seen_by_frr(world)?;
        ensure!(after == before, "FRRouting has noticed: {before:?}, then {after:?}");
        // The new process knows the links: routes come and go over them.
        world.run("frr", "vtysh -c 'configure terminal' -c 'ip route 192.0.2.48/28 Null0' -c 'router bgp 65402' -c 'address-family ipv4 unicast' -c 'network 192.0.2.48/28'")?;
        eventually(SETTLES, || has_route(world, "192.0.2.48/28", "via inet6 fe80::", &["frr", "frr2"]))?;
        // And it finds out when a link is lost.
        world.run("frr", "ip link set cairn2 down")?;
        eventually(SETTLES, || has_route(world, "192.0.2.16/28", "via inet6 fe80::", &["frr"])).map(drop)
    })
}

/// The AS path of the ToR's best route to where an address is.
fn path_at_tor(world: &World, address: std::net::IpAddr) -> Result<String> {
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    let text = world.run("tor", &format!("vtysh -c 'show bgp {family} unicast {address} json'"))?;
    let route: serde_json::Value = serde_json::from_str(&text).context("FRRouting did not print JSON")?;
    let paths = route["paths"].as_array().with_context(|| format!("no path to {address}: {text}"))?;
    let best = paths.iter().find(|path| path["bestpath"]["overall"].as_bool() == Some(true));
    let path = best.and_then(|best| best["aspath"]["string"].as_str());
    path.map(ToOwned::to_owned).with_context(|| format!("no best path to {address}: {text}"))
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn pods_reach_each_other_over_links_without_addresses() -> Result<()> {
    play("unnumbered-rack", "unnumbered-rack", Families::Dual, |world| {
        let pods = [world.pod("node1", "a")?, world.pod("node2", "b")?];
        for node in ["node1", "node2"] {
            world.await_sessions(node, 1)?;
        }
        world.all_reach_all(&pods)?;
        // The ToR sees one node in its own AS, and the other one in that which its BGPPeer names.
        for (pod, path) in pods.iter().zip(["65101", "65200"]) {
            for address in &pod.pod.addresses {
                let found = path_at_tor(world, *address)?;
                ensure!(found == path, "the ToR's path to {address} is {found:?}, not {path:?}");
            }
        }
        Ok(())
    })
}
