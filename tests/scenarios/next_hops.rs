//! Next hops behind other routers: the kernel's routes decide which path is used, and where packets go.

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;
use serde_json::Value;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// By family: announced by BIRD and FRRouting, by BIRD alone, and by BIRD with a next hop in a network that it announces, too.
const BOTH: [&str; 2] = ["192.0.2.0/24", "2001:db8:1::/48"];
const BIRDS: [&str; 2] = ["198.51.100.0/24", "2001:db8:2::/48"];
const BEHIND: [&str; 2] = ["203.0.113.0/24", "2001:db8:3::/48"];
/// Next hops of BIRD's and of FRRouting's routes, and the routers that lead there.
const BIRD_HOPS: [&str; 2] = ["10.255.0.1", "fd30:255::1"];
const FRR_HOPS: [&str; 2] = ["10.255.0.2", "fd30:255::2"];
const BIRD: [&str; 2] = ["10.30.1.0", "fd30:1::"];
const FRR: [&str; 2] = ["10.30.2.0", "fd30:2::"];

/// The kernel's route of bgpd to a prefix leads over this router and link; `None`: there is none.
fn leads_to(world: &World, prefix: &str, to: Option<(&str, &str)>) -> Result<()> {
    let command = if prefix.contains(':') { "ip -6 route show" } else { "ip route show" };
    let text = world.run("cairn", &format!("{command} {prefix} proto 202"))?;
    match to {
        Some((router, link)) => {
            let wanted = format!("via {router} dev {link} ");
            ensure!(
                text.contains(&wanted) && text.matches("via ").count() == 1,
                "{prefix} not {wanted}: {text:?}"
            );
        }
        None => ensure!(text.trim().is_empty(), "{prefix} has a route: {text}"),
    }
    Ok(())
}

fn both_lead_to(world: &World, prefixes: [&str; 2], to: Option<([&str; 2], &str)>) -> Result<()> {
    for (index, prefix) in prefixes.into_iter().enumerate() {
        let to = to.map(|(routers, link)| (routers[index], link));
        eventually(SETTLES, || leads_to(world, prefix, to)).map(drop).with_context(|| next_hops(world))?;
    }
    Ok(())
}

/// What bgpd says of its next hops, for people.
fn next_hops(world: &World) -> String {
    world.run("cairn", "cairnctl bgp nexthops").unwrap_or_else(|error| error.to_string())
}

/// A next hop as bgpd prints it.
fn next_hop(world: &World, address: &str) -> Result<Value> {
    let text = world.run("cairn", &format!("cairnctl -o json bgp nexthops {address}"))?;
    serde_json::from_str(text.lines().next().context("no such next hop")?).context(text)
}

fn route(world: &World, verb: &str, hop: &str, via: &str, metric: u32) -> Result<()> {
    let (ip, len) = if hop.contains(':') { ("ip -6", 128) } else { ("ip", 32) };
    world.run("cairn", &format!("{ip} route {verb} {hop}/{len} via {via} metric {metric}")).map(drop)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn the_kernels_routes_to_next_hops_decide_and_are_followed() -> Result<()> {
    play("next-hops", "next-hops", Families::Dual, |world| {
        world.await_sessions("cairn", 4)?;
        // The nearer one of two wins, and its route in the kernel names the router that leads there.
        both_lead_to(world, BOTH, Some((FRR, "frr")))?;
        both_lead_to(world, BIRDS, Some((BIRD, "bird")))?;
        // A next hop in a network that was learned, too.
        both_lead_to(world, BEHIND, Some((BIRD, "bird")))?;
        for index in [0, 1] {
            let hop = next_hop(world, FRR_HOPS[index])?;
            ensure!(hop["metric"] == 10 && hop["paths"] == 1 && hop["connected"] == false, "{hop}");
            ensure!(hop["gateways"][0]["interfaceName"] == "frr", "{hop}");
            let hop = next_hop(world, BIRD_HOPS[index])?;
            ensure!(hop["metric"] == 20 && hop["paths"] == 2, "{hop}");
            let paths = world.run("cairn", &format!("cairnctl bgp routes --table all {}", BOTH[index]))?;
            ensure!(paths.contains("lower IGP metric") && paths.contains("metric 20"), "{paths}");
        }

        // The way to the better one goes: the other one is used. It comes back.
        for index in [0, 1] {
            route(world, "del", FRR_HOPS[index], FRR[index], 10)?;
        }
        both_lead_to(world, BOTH, Some((BIRD, "bird")))?;
        for index in [0, 1] {
            let hop = next_hop(world, FRR_HOPS[index])?;
            ensure!(hop["metric"].is_null() && hop["unreachable"] == "no route leads there", "{hop}");
            let paths = world.run("cairn", &format!("cairnctl bgp routes --table all {}", BOTH[index]))?;
            ensure!(paths.contains("its next hop is not reachable"), "{paths}");
            route(world, "add", FRR_HOPS[index], FRR[index], 30)?;
        }
        // It is farther than the other one now, until that gets farther still.
        for index in [0, 1] {
            eventually(SETTLES, || {
                let hop = next_hop(world, FRR_HOPS[index])?;
                ensure!(hop["metric"] == 30, "{hop}");
                Ok(())
            })?;
        }
        both_lead_to(world, BOTH, Some((BIRD, "bird")))?;
        for index in [0, 1] {
            route(world, "add", BIRD_HOPS[index], BIRD[index], 40)?;
            route(world, "del", BIRD_HOPS[index], BIRD[index], 20)?;
        }
        both_lead_to(world, BOTH, Some((FRR, "frr")))?;
        both_lead_to(world, BIRDS, Some((BIRD, "bird")))?;

        // Nothing leads to BIRD's next hop any more: what it alone announced is withdrawn from FRRouting, too.
        let told = |wanted: bool| {
            eventually(SETTLES, || {
                for (family, prefix) in ["ipv4", "ipv6"].into_iter().zip(BIRDS) {
                    let text = world.run("frr", &format!("vtysh -c 'show bgp {family} unicast'"))?;
                    ensure!(text.contains(prefix) == wanted, "FRRouting's table: {text}");
                }
                Ok(())
            })
        };
        told(true)?;
        for index in [0, 1] {
            route(world, "del", BIRD_HOPS[index], BIRD[index], 40)?;
        }
        both_lead_to(world, BIRDS, None)?;
        told(false)?;
        // Behind a blackhole it is used again, and what goes by way of it is dropped here.
        for (ip, hop) in [("ip", BIRD_HOPS[0]), ("ip -6", BIRD_HOPS[1])] {
            world.run("cairn", &format!("{ip} route add blackhole {hop} metric 5"))?;
        }
        for (ip, prefix) in ["ip", "ip -6"].into_iter().zip(BIRDS) {
            eventually(SETTLES, || {
                let text = world.run("cairn", &format!("{ip} route show {prefix} proto 202"))?;
                ensure!(text.contains("blackhole"), "{prefix} is no blackhole: {text:?}");
                Ok(())
            })?;
        }
        told(true)?;
        let shown = next_hops(world);
        ensure!(shown.contains("blackhole"), "{shown}");
        for (ip, hop) in [("ip", BIRD_HOPS[0]), ("ip -6", BIRD_HOPS[1])] {
            world.run("cairn", &format!("{ip} route del blackhole {hop} metric 5"))?;
        }
        both_lead_to(world, BIRDS, None)?;

        // Another way, over another router: the path is the same, the kernel's route is not.
        for index in [0, 1] {
            route(world, "add", BIRD_HOPS[index], FRR[index], 5)?;
        }
        both_lead_to(world, BIRDS, Some((FRR, "frr")))?;
        told(true)?;
        // A link that goes takes its routes along.
        world.run("frr", "ip link set cairn down")?;
        both_lead_to(world, BIRDS, None)?;
        both_lead_to(world, BEHIND, Some((BIRD, "bird")))
    })
}
