//! Links without addresses: neighbours by interface, IPv4 routes with IPv6 next hops (RFC 8950), and packets that follow them.

use anyhow::{Context, Result, ensure};
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
