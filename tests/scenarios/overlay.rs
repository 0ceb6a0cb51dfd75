//! Encapsulated pools in the networks that they are used in: behind ToRs that speak BGP, over several links at once, on wide links, on links that flap,
//! and on cards that spoil checksums.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;
use cairn_lab::probe::Report;
use serde_json::Value;

use crate::egress::{join_nodes, put};
use crate::fabric::{await_mtu, configure, pods};
use crate::flow::Server;
use crate::pools::set_modes;
use crate::wait::eventually;
use crate::wire::Watch;
use crate::world::{PodOn, SETTLES, World, play};

/// Flows that are sent at once.
pub(crate) const FLOWS: usize = 32;

const fn has(families: Families, version_6: bool) -> bool {
    match families {
        Families::Ipv4 => !version_6,
        Families::Ipv6 => version_6,
        Families::Dual => true,
    }
}

/// Sends so many messages from a pod, each from another port.
pub(crate) fn send_flows(world: &World, from: &PodOn, address: IpAddr) -> Result<()> {
    let send = format!("for i in $(seq {FLOWS}); do echo x > /dev/udp/{address}/9; done; true");
    world.exec_in(&from.node, Some(&from.pod.name), &["bash", "-c", &send]).map(drop)
}

/// Waits until what a node sends to an address leaves by a device, named so or with a 6 behind it for IPv6. Until the mode of a tunnel is in force, pods reach
/// each other without it.
pub(crate) fn await_device(world: &World, node: &str, address: IpAddr, device: &str) -> Result<()> {
    eventually(SETTLES, || {
        let route = world.run(node, &format!("ip route get {address}"))?;
        ensure!(route.contains(&format!("dev {device}")), "{node}: not by {device}: {route}");
        Ok(())
    })
    .map(drop)
}

/// Sends messages from a pod to another, each from another port, and finds all of them in VXLAN behind the ToRs, with source ports by which a network
/// spreads them.
fn flows_are_told_apart(world: &World, from: &PodOn, to: &PodOn) -> Result<()> {
    for address in &to.pod.addresses {
        await_device(world, &from.node, *address, "cairn-vxlan")?;
        let filter = "udp port 4789";
        let watches =
            [Watch::start(world, "tor1", &to.node, filter)?, Watch::start(world, "tor2", &to.node, filter)?];
        send_flows(world, from, *address)?;
        // What is inside is on the line behind the packet's.
        let target = format!("> {address}.9: UDP");
        eventually(SETTLES, || {
            let mut sources = Vec::new();
            for watch in &watches {
                let text = watch.now(world)?;
                let lines: Vec<&str> = text.lines().collect();
                let wrapped = lines.windows(2).filter(|pair| pair[1].contains(&target));
                let source =
                    |pair: &[&str]| pair[0].split(" > ").next().map(|source| port_of(source).to_owned());
                sources.extend(wrapped.filter(|pair| pair[0].contains("VXLAN")).filter_map(source));
            }
            let seen = sources.len();
            let distinct = sources.into_iter().collect::<BTreeSet<_>>().len();
            let apart = seen == FLOWS && distinct * 2 >= FLOWS;
            ensure!(apart, "of {FLOWS} flows to {address} {seen} were seen, from {distinct} ports");
            Ok(())
        })?;
    }
    Ok(())
}

/// What is behind the last dot of an address, as tcpdump writes it.
fn port_of(end: &str) -> &str {
    end.rsplit('.').next().unwrap_or_default()
}

/// Blocks are announced to ToRs, which carry what enters the cluster plainly; what pods send each other is in VXLAN, over either ToR.
fn nodes_wrap_and_tors_route(families: Families) -> Result<()> {
    play("two-racks", "vxlan-tors", families, |world| {
        join_nodes(world, &[1, 2])?;
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        for node in world.cairn_nodes() {
            world.await_sessions(&node, World::SESSIONS_WITH_TORS)?;
        }
        world.all_reach_all(&pods)?;
        flows_are_told_apart(world, &pods[0], &pods[2])?;

        for address in &pods[2].pod.addresses {
            eventually(SETTLES, || {
                let report = world.ping("outside", None, *address, 3)?;
                ensure!(report.lost() == 0, "{address} from outside: {report:?}");
                Ok(())
            })?;
            let watch = Watch::start(world, "tor1", "node3", "icmp or icmp6 or udp port 4789")?;
            let report = world.ping("outside", None, *address, 3)?;
            ensure!(report.lost() == 0, "{address} from outside: {report:?}");
            let request = format!("> {address}: ICMP");
            let seen = watch.until(world, |line| line.contains(&request) && line.contains("echo request"))?;
            ensure!(!seen.contains("VXLAN"), "what comes from outside is wrapped:\n{seen}");
        }

        // The tunnels know nothing of ToRs: what carries their packets may be another from one moment to the next. The routes that the network
        // has for its nodes do, and go with an interface, whatever other way they name.
        join_nodes(world, &[1])?;
        world.kill_node("tor2")?;
        let time = world.all_reach_all(&pods)?;
        println!("{}: tor2 lost, all pods reach each other after {time:?}", world.name());
        Ok(())
    })
}

/// An address of the pool that two nodes have themselves, and no pod.
const SHARED: &str = "10.244.200.1";

/// The packets to a target that each of a node's links carries, one line for each, once there are so many.
fn on_links(world: &World, links: &[Watch; 2], target: &str, count: usize) -> Result<[Vec<String>; 2]> {
    let mut seen: [Vec<String>; 2] = [Vec::new(), Vec::new()];
    eventually(SETTLES, || {
        for (lines, link) in seen.iter_mut().zip(links) {
            let text = link.now(world)?;
            *lines = text.lines().filter(|line| line.contains(target)).map(ToOwned::to_owned).collect();
        }
        let total: usize = seen.iter().map(Vec::len).sum();
        ensure!(total == count, "{total} packets of {count} were seen: {seen:?}");
        Ok(())
    })?;
    Ok(seen)
}

/// Has two nodes announce one address of the pool, to the others and not only to the ToRs, and waits until the third has both behind its tunnel.
fn share(world: &World) -> Result<()> {
    let mesh = "apiVersion: cairn.network/v1alpha1\nkind: BGPConfiguration\nmetadata: {name: default}\n\
                spec: {nodeToNodeMeshEnabled: true}\n";
    put(world, "bgpconfigurations", "default", mesh)?;
    for node in ["node1", "node2"] {
        world.run(node, &format!("ip address add {SHARED}/32 dev lo"))?;
        world.run(node, &format!("cairnctl bgp originate {SHARED}/32"))?;
    }
    eventually(SETTLES, || {
        let route = world.run("node3", &format!("ip route show {SHARED}"))?;
        ensure!(route.matches("dev cairn-ipip").count() == 2, "not two ways to {SHARED}: {route}");
        Ok(())
    })
    .map(drop)
}

/// There is one device, and as many ways as the network has: flows are spread over both links to the other end of a tunnel, and over all ends of an address
/// that several nodes announce. A flow has one way.
fn flows_in_ip_in_ip_take_all_ways_there_are(families: Families) -> Result<()> {
    play("two-racks", "ipip-ways", families, |world| {
        join_nodes(world, &[1, 2])?;
        set_modes(world, "ipipMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let (from, to) = (&pods[2], *pods[0].pod.addresses.first().context("an address")?);
        await_device(world, &from.node, to, "cairn-ipip")?;
        // The ToRs' ports to the node see all that it sends.
        let filter = "ip proto 4";
        let links = [
            Watch::start(world, "tor1", &from.node, filter)?,
            Watch::start(world, "tor2", &from.node, filter)?,
        ];
        send_flows(world, from, to)?;
        let seen = on_links(world, &links, &format!("> {to}.9: UDP"), FLOWS)?;
        ensure!(!seen.iter().any(Vec::is_empty), "all flows to {to} take one link: {seen:?}");

        let report = world.ping(&from.node, Some(&from.pod.name), to, 20)?;
        ensure!(report.lost() == 0, "{to}: {report:?}");
        let seen = on_links(world, &links, &format!("> {to}: ICMP echo request"), 20)?;
        ensure!(seen.iter().any(Vec::is_empty), "one flow to {to} takes both links: {seen:?}");

        share(world)?;
        send_flows(world, from, SHARED.parse()?)?;
        let seen = on_links(world, &links, &format!("> {SHARED}.9: UDP"), FLOWS)?.concat();
        for end in ["10.0.0.1", "10.0.0.2"] {
            let outer = format!(" > {end}: IP ");
            ensure!(
                seen.iter().any(|line| line.contains(&outer)),
                "no flow to {SHARED} ends at {end}: {seen:?}"
            );
        }
        Ok(())
    })
}

/// The largest packet that a pod may send, unfragmented, gets to another pod.
fn largest_arrives(world: &World, from: &PodOn, to: &PodOn, mtu: u32) -> Result<()> {
    for address in &to.pod.addresses {
        let headers = if address.is_ipv6() { 40 + 8 } else { 20 + 8 };
        let (size, target) = ((mtu - headers).to_string(), address.to_string());
        eventually(SETTLES, || {
            let line = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", &size, &target];
            let output = world.exec_in(&from.node, Some(&from.pod.name), &line)?;
            ensure!(output.success, "{mtu} bytes to {address}: {}", output.text());
            Ok(())
        })?;
    }
    Ok(())
}

/// Gives the link of a node, at both ends, an MTU.
fn set_link_mtu(world: &World, node: &str, mtu: u32) -> Result<()> {
    world.run("router", &format!("ip link set {node} mtu {mtu}"))?;
    world.run(node, &format!("ip link set eth1 mtu {mtu}")).map(drop)
}

fn jumbo_frames_are_pods_too(families: Families) -> Result<()> {
    play("fabric", "jumbo", families, |world| {
        for node in world.cairn_nodes() {
            set_link_mtu(world, &node, 9000)?;
        }
        world.run("router", "ip link set br0 mtu 9000")?;
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        let overhead = if families == Families::Ipv4 { 50 } else { 70 };
        world.all_reach_all(&pods)?;
        pods.iter().try_for_each(|pod| await_mtu(world, pod, 9000 - overhead))?;
        largest_arrives(world, &pods[0], &pods[2], 9000 - overhead)?;
        // Pods of a node with a narrow link are narrow for as long as it is.
        for mtu in [1500, 9000] {
            set_link_mtu(world, "node3", mtu)?;
            await_mtu(world, &pods[2], mtu - overhead)?;
            largest_arrives(world, &pods[2], &pods[0], mtu - overhead)?;
        }
        Ok(())
    })
}

/// Takes a node's link away and brings it back, with what the kernel has forgotten of it.
fn flap(world: &World) -> Result<()> {
    world.run("node3", "ip link set eth1 down")?;
    world.run("node3", "ip link set eth1 up")?;
    if has(world.families, false) {
        world.run("node3", "ip route replace default via 10.0.2.254")?;
    }
    if has(world.families, true) {
        world.run("node3", "ip address replace fd10:0:2::3/64 dev eth1 nodad")?;
        world.run("node3", "ip -6 route replace default via fd10:0:2::fe")?;
    }
    Ok(())
}

fn a_link_that_flaps_costs_no_tunnel(families: Families) -> Result<()> {
    play("fabric", "vxlan-flaps", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let devices = || -> Result<Vec<(String, u64)>> {
            let links: Vec<Value> =
                serde_json::from_str(&world.run("node3", "ip -json link show type vxlan")?)?;
            let of = |link: &Value| Some((link["ifname"].as_str()?.to_owned(), link["ifindex"].as_u64()?));
            Ok(links.iter().filter_map(of).collect())
        };
        let before = devices()?;
        ensure!(!before.is_empty(), "no tunnel");
        for _ in 0..3 {
            flap(world)?;
            let time = world.all_reach_all(&pods)?;
            println!("{}: a link was down: all pods reach each other after {time:?}", world.name());
        }
        ensure!(devices()? == before, "the tunnels were made anew: {before:?}, {:?}", devices()?);
        Ok(())
    })
}

/// The checksum of a pod's SYN as it is on the wire, inside of VXLAN: is it right?
fn is_summed(world: &World, from: &PodOn, to: &PodOn, address: IpAddr) -> Result<bool> {
    let watch = Watch::start(world, "router", &to.node, "udp port 4789")?;
    let connect = format!("exec 3<>/dev/tcp/{address}/7000");
    let output = world.exec_in(&from.node, Some(&from.pod.name), &["bash", "-c", &connect])?;
    ensure!(output.success, "no connection with {address}: {}", output.text());
    let syn = format!("> {address}.7000: Flags [S]");
    let seen = watch.details_until(world, |line| line.contains(&syn))?;
    let line = seen.lines().find(|line| line.contains(&syn)).context("it was seen")?;
    ensure!(line.contains("(correct)") != line.contains("(incorrect"), "no checksum: {line}");
    Ok(line.contains("(correct)"))
}

fn checksums_are_added_where_the_network_spoils_them(families: Families) -> Result<()> {
    play("fabric", "vxlan-sums", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let _server = Server::start(world, &pods[2], 7000)?;
        // A virtual link never adds them, so that they are missing on it unless the node does.
        for (settings, summed) in [("", false), ("vxlanChecksumOffload: false", true), ("", false)] {
            configure(world, settings)?;
            for address in &pods[2].pod.addresses {
                eventually(SETTLES, || {
                    let found = is_summed(world, &pods[0], &pods[2], *address)?;
                    ensure!(found == summed, "{settings:?}: checksums to {address} are right: {found}");
                    Ok(())
                })?;
            }
        }
        Ok(())
    })
}

/// What a link does to packets in one direction.
const NOISE: &str = "netem delay 20ms 10ms loss 3% duplicate 5% reorder 25% 50%";

fn a_bad_network_costs_time_and_no_connection(families: Families) -> Result<()> {
    play("fabric", "vxlan-noise", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let routes = || world.run("node1", "sh -c 'ip route show proto 202; ip -6 route show proto 202'");
        let before = routes()?;
        let ends = [("router", "node3"), ("node3", "eth1")];
        for (node, link) in ends {
            world.run(node, &format!("tc qdisc replace dev {link} root {NOISE}"))?;
        }
        let report = world.ping("node1", Some("a"), pods[2].pod.addresses[0], 200)?;
        ensure!(report.lost() > 0 && report.received > 0, "the network is not bad: {report:?}");
        let _server = Server::start(world, &pods[2], 7000)?;
        for address in &pods[2].pod.addresses {
            let line = format!("cairn-lab probe stream {address} 7000 --count 100 --interval 10");
            let output = world.exec_in("node1", Some("a"), &line.split(' ').collect::<Vec<_>>())?;
            let report = Report::parse(&output.stdout).with_context(|| output.text())?;
            println!("{}: {line}: {report:?}", world.name());
            ensure!(report.error.is_none() && report.received == 100, "{line}: {report:?}");
        }
        ensure!(routes()? == before, "routes are others: {before}, {}", routes()?);
        for (node, link) in ends {
            world.run(node, &format!("tc qdisc del dev {link} root"))?;
        }
        world.all_reach_all(&pods).map(drop)
    })
}

crate::scenario!(needs_netem, a_bad_network_costs_time_and_no_connection: dual);
crate::scenario!(nodes_wrap_and_tors_route);
crate::scenario!(needs_ipip, flows_in_ip_in_ip_take_all_ways_there_are: ipv4);
crate::scenario!(jumbo_frames_are_pods_too);
crate::scenario!(a_link_that_flaps_costs_no_tunnel);
crate::scenario!(checksums_are_added_where_the_network_spoils_them);
