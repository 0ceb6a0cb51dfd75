//! Nodes that have IPv6 alone, and pods that have both families: IPv4 travels by next hops of IPv6 (RFC 8950), without any encapsulation.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;

use crate::fabric::await_mtu;
use crate::pools::set_modes;
use crate::wait::eventually;
use crate::wire::Watch;
use crate::world::{PodOn, SETTLES, World, play_with};

/// Whom an ICMP error is from where a router has no IPv4 address (RFC 7600 section 4.8).
const DUMMY: &str = "From 192.0.0.8 ";

/// Two pods with an address of each family, on two nodes that have no IPv4 address.
fn pods(world: &World) -> Result<[PodOn; 2]> {
    let pod = |node: &str, name: &str| -> Result<PodOn> {
        let addresses = world.run(node, "ip -4 -brief address show scope global")?;
        ensure!(addresses.trim().is_empty(), "{node} has an IPv4 address: {addresses}");
        let mut made = None;
        eventually(SETTLES, || {
            made = Some(world.add_pod(node, name)?);
            Ok(())
        })?;
        let pod = made.context("the pod was made")?;
        let families: Vec<bool> = pod.addresses.iter().map(IpAddr::is_ipv4).collect();
        ensure!(families == [true, false], "{name} has {:?}", pod.addresses);
        Ok(PodOn { node: node.to_owned(), pod })
    };
    Ok([pod("node1", "a")?, pod("node2", "b")?])
}

/// What `ping` in a pod prints until it contains some words.
fn told(world: &World, from: &PodOn, to: &PodOn, options: &[&str], words: &[&str]) -> Result<()> {
    let target = to.pod.addresses[0].to_string();
    let line = [&["ping", "-c", "1", "-W", "1"], options, &[&target]].concat();
    eventually(SETTLES, || {
        let output = world.exec_in(&from.node, Some(&from.pod.name), &line)?;
        ensure!(words.iter().all(|word| output.stdout.contains(word)), "{line:?}: {}", output.text());
        Ok(())
    })
    .map(drop)
}

/// The node's IPv4 routes to pods of others lead by IPv6.
fn leads_by_ipv6(world: &World, gateway: &str) -> Result<()> {
    let routes = world.run("node1", "ip route show proto 202")?;
    ensure!(routes.contains(&format!("via inet6 {gateway}")), "{routes}");
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_mesh_of_nodes_without_ipv4_carries_it() -> Result<()> {
    play_with("mesh", "ipv6-nodes", Families::Ipv6, &[("CAIRN_FAMILY", "ipv6-nodes")], |world| {
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        leads_by_ipv6(world, "fd10::2")?;
        // The pod's own node is the first router on its way.
        told(world, &pods[0], &pods[1], &["-t", "1"], &[DUMMY, "Time to live exceeded"])?;
        // To masquerade an address of IPv4 takes one.
        set_modes(world, "natOutgoing: true")?;
        eventually(SETTLES, || {
            let report = world.directory().join("volumes/objects/nodestatuses/node1.yaml");
            let report = std::fs::read_to_string(report)?;
            ensure!(
                report.contains("no interface of this node has an address of ipv4 to masquerade with"),
                "{report}"
            );
            Ok(())
        })?;
        world.all_reach_all(&pods).map(drop)
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn nodes_without_ipv4_behind_a_tor_without_addresses_carry_it() -> Result<()> {
    let nodes = [("CAIRN_NODES", "ipv6-nodes")];
    play_with("unnumbered-rack", "ipv6-rack", Families::Dual, &nodes, |world| {
        for (node, address) in [("node1", "10.0.0.1"), ("node2", "10.0.0.2")] {
            world.run(node, &format!("ip address delete {address}/32 dev lo"))?;
        }
        let pods = pods(world)?;
        for node in ["node1", "node2"] {
            world.await_sessions(node, 1)?;
        }
        world.all_reach_all(&pods)?;
        leads_by_ipv6(world, "fe80::")?;
        told(world, &pods[0], &pods[1], &["-t", "2"], &[DUMMY, "Time to live exceeded"])?;
        // The ToR's link to the other node is narrower than anything that this one knows of.
        world.run("tor", "ip link set node2 mtu 1300")?;
        told(world, &pods[0], &pods[1], &["-M", "do", "-s", "1400"], &[DUMMY, "mtu = 1300"])
    })
}

/// Every packet to the addresses of a pod travels in VXLAN between the nodes' IPv6 addresses, whatever its family.
fn travels_over_ipv6(world: &World, from: &PodOn, to: &PodOn) -> Result<()> {
    for address in &to.pod.addresses {
        let watch = Watch::start(world, &to.node, "eth1", "udp port 4789 or icmp or icmp6")?;
        let report = world.ping(&from.node, Some(&from.pod.name), *address, 3)?;
        ensure!(report.lost() == 0, "{address}: {report:?}");
        let request = |line: &str| line.contains(&format!("> {address}: ICMP")) && line.contains("request");
        let seen = watch.until(world, request)?;
        // What is inside is on the line behind the packet's.
        let lines: Vec<&str> = seen.lines().collect();
        let inside = |pair: &[&str]| pair[0].contains("IP6 fd10::1.") && pair[0].contains("VXLAN");
        let wrapped = lines.windows(2).filter(|pair| request(pair[1]) && inside(pair)).count();
        let all = lines.iter().filter(|line| request(line)).count();
        ensure!(wrapped == all, "{wrapped} of {all} requests to {address} in VXLAN over IPv6:\n{seen}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn vxlan_between_nodes_without_ipv4_carries_it() -> Result<()> {
    play_with("mesh", "ipv6-vxlan", Families::Ipv6, &[("CAIRN_FAMILY", "ipv6-nodes")], |world| {
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        set_modes(world, "vxlanMode: Always")?;
        eventually(SETTLES, || travels_over_ipv6(world, &pods[0], &pods[1]))?;
        world.all_reach_all(&pods)?;
        pods.iter().try_for_each(|pod| await_mtu(world, pod, 1500 - 70))
    })
}

/// Every packet to the addresses of a pod is encrypted between the nodes' IPv6 addresses, whatever its family.
fn is_sealed_over_ipv6(world: &World, from: &PodOn, to: &PodOn) -> Result<()> {
    for address in &to.pod.addresses {
        let watch = Watch::start(world, &to.node, "eth1", "udp port 51820 or icmp or icmp6")?;
        let report = world.ping(&from.node, Some(&from.pod.name), *address, 3)?;
        ensure!(report.lost() == 0, "{address}: {report:?}");
        // A request of 64 bytes behind its header, filled up to a multiple of 16, and WireGuard's own 32. No handshake is as long.
        let length = if address.is_ipv6() { 64 + 40 + 8 + 32 } else { 64 + 20 + 12 + 32 };
        let request = format!("IP6 fd10::1.51820 > fd10::2.51820: UDP, length {length}");
        let seen = watch.until(world, |line| line.contains(&request))?;
        let plain = seen.lines().any(|line| line.contains(&format!("> {address}: ICMP")));
        ensure!(!plain, "to {address} in clear text:\n{seen}");
    }
    Ok(())
}

mod needs_wireguard {
    use super::*;
    use crate::wireguard;

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn wireguard_between_nodes_without_ipv4_carries_it() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        play_with("mesh", "ipv6-wg", Families::Ipv6, &[("CAIRN_FAMILY", "ipv6-nodes")], |world| {
            let pods = pods(world)?;
            world.all_reach_all(&pods)?;
            wireguard::configure(world, wireguard::ON)?;
            eventually(SETTLES, || is_sealed_over_ipv6(world, &pods[0], &pods[1]))?;
            world.all_reach_all(&pods)?;
            pods.iter().try_for_each(|pod| await_mtu(world, pod, 1500 - 80))
        })
    }
}
