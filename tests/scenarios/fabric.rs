//! Pods behind a network that knows none of them: VXLAN between nodes, with no BGP at all.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::flow::{Flows, Kept};
use crate::pools::{await_condition, set_modes, set_modes_of};
use crate::wait::eventually;
use crate::wire::Watch;
use crate::world::{PodOn, SETTLES, World, play};

pub(crate) fn pods(world: &World) -> Result<Vec<PodOn>> {
    [("node1", "a"), ("node2", "b"), ("node3", "c")]
        .into_iter()
        .map(|(node, name)| world.pod(node, name))
        .collect()
}

/// Waits until a node's own packets reach every address of a pod, too, through whatever is between them.
pub(crate) fn node_reaches(world: &World, node: &str, to: &PodOn) -> Result<()> {
    eventually(SETTLES, || {
        for address in &to.pod.addresses {
            let report = world.ping(node, None, *address, 3)?;
            ensure!(report.lost() == 0, "{node} does not reach {address} on {}: {report:?}", to.node);
        }
        Ok(())
    })
    .map(|_| ())
}

/// The outer family of packets to an address: that of the pods, for the nodes have what the pods have.
const fn header(address: IpAddr) -> &'static str {
    if address.is_ipv6() { "IP6 fd10:" } else { "IP 10.0." }
}

/// Every packet from one pod to another is seen in VXLAN on the wire, or none is.
fn travels(world: &World, from: &PodOn, to: &PodOn, in_vxlan: bool) -> Result<()> {
    for address in &to.pod.addresses {
        // The router's port to the other node sees all that comes to it.
        let watch = Watch::start(world, "router", &to.node, "udp port 4789 or icmp or icmp6")?;
        let report = world.ping(&from.node, Some(&from.pod.name), *address, 3)?;
        ensure!(report.lost() == 0, "{address}: {report:?}");
        let inner =
            |line: &str| line.contains(&format!("> {address}: ICMP")) && line.contains("echo request");
        let seen = watch.until(world, inner)?;
        // What is inside of a packet is on a line of its own behind the packet's, without a time. Other flows may be in between.
        let lines: Vec<&str> = seen.lines().collect();
        let at = lines.iter().position(|line| inner(line)).context("it was seen")?;
        let outer = lines.get(at.wrapping_sub(1)).filter(|_| lines[at].starts_with("IP"));
        let outer = outer.filter(|line| line.contains("VXLAN, flags [I] (0x08), vni 4096"));
        ensure!(outer.is_some() == in_vxlan, "VXLAN to {address} expected: {in_vxlan}; seen:\n{seen}");
        if let Some(outer) = outer {
            ensure!(outer.contains(header(*address)) && outer.contains(".4789: "), "{outer}");
        }
    }
    Ok(())
}

/// Gives every node these settings.
pub(crate) fn configure(world: &World, settings: &str) -> Result<()> {
    let directory = world.directory().join("volumes/objects/nodeconfigurations");
    std::fs::create_dir_all(&directory)?;
    let object = format!(
        "apiVersion: cairn.network/v1alpha1\nkind: NodeConfiguration\nmetadata: {{name: default}}\nspec: {{{settings}}}\n"
    );
    let draft = directory.join("default.draft");
    std::fs::write(&draft, object)?;
    Ok(std::fs::rename(&draft, directory.join("default.yaml"))?)
}

/// Waits until both ends of a pod's link have an MTU.
pub(crate) fn await_mtu(world: &World, pod: &PodOn, mtu: u32) -> Result<()> {
    let is = |link: &Value| link["mtu"].as_u64() == Some(mtu.into());
    eventually(SETTLES, || {
        let inside =
            world.exec_in(&pod.node, Some(&pod.pod.name), &["ip", "-json", "link", "show", "eth0"])?;
        let inside: Vec<Value> = serde_json::from_str(&inside.stdout).with_context(|| inside.text())?;
        ensure!(inside.len() == 1 && inside.iter().all(is), "{}: not {mtu}: {inside:?}", pod.pod.name);
        let host: Vec<Value> = serde_json::from_str(&world.run(&pod.node, "ip -json link")?)?;
        let pods = |link: &&Value| link["ifname"].as_str().is_some_and(|name| name.starts_with("crn"));
        ensure!(host.iter().filter(pods).all(is), "{}: not {mtu}: {host:?}", pod.node);
        Ok(())
    })
    .map(|_| ())
}

fn vxlan_carries_pods_through_a_network_that_knows_none(families: Families) -> Result<()> {
    play("fabric", "vxlan", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        travels(world, &pods[0], &pods[1], true)?;
        travels(world, &pods[0], &pods[2], true)?;
        node_reaches(world, "node1", &pods[1])?;
        node_reaches(world, "node1", &pods[2])?;
        let overhead = if families == Families::Ipv4 { 50 } else { 70 };
        await_mtu(world, &pods[2], 1500 - overhead)?;

        set_modes(world, "vxlanMode: CrossSubnet")?;
        eventually(SETTLES, || travels(world, &pods[0], &pods[1], false))?;
        travels(world, &pods[1], &pods[2], true)?;
        world.all_reach_all(&pods)?;

        // The link of one node narrows, and so do all pods that may send to it; and it widens again.
        for mtu in [1400, 1500] {
            world.run("node3", &format!("ip link set eth1 mtu {mtu}"))?;
            world.run("router", &format!("ip link set node3 mtu {mtu}"))?;
            await_mtu(world, &pods[2], mtu - overhead)?;
        }
        world.all_reach_all(&pods)?;
        Ok(())
    })
}

/// The pods that can be entered follow at once, the other one when it can be; a pod that comes in between is as the others.
fn a_pod_that_cannot_be_entered_follows_the_mtu_later(families: Families) -> Result<()> {
    play("fabric", "mtu-later", families, |world| {
        let pod = world.pod("node1", "a")?;
        await_mtu(world, &pod, 1500)?;
        let netns = "/run/netns/a";
        world.run("node1", &format!("mount --bind /dev/null {netns}"))?;
        configure(world, "mtu: 1400")?;
        let refused = "the pod keeps its MTU until it can be changed";
        eventually(SETTLES, || {
            let log = std::fs::read_to_string(world.log_path("node1"))?;
            ensure!(log.contains(refused), "felix-lite did not try");
            Ok(())
        })?;
        world.run("node1", &format!("umount {netns}"))?;
        await_mtu(world, &pod, 1400)?;
        world.pod("node1", "b")?;
        await_mtu(world, &pod, 1400)
    })
}

fn a_change_of_mode_loses_next_to_nothing(families: Families) -> Result<()> {
    play("fabric", "vxlan-live", families, |world| {
        set_modes(world, "vxlanMode: CrossSubnet")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        for mode in ["vxlanMode: Always", "vxlanMode: CrossSubnet"] {
            let flows = Flows::start(world, &pods[0], &pods[1])?;
            set_modes(world, mode)?;
            eventually(SETTLES, || travels(world, &pods[0], &pods[1], mode.ends_with("Always")))?;
            flows.end_with_at_most(1)?;
        }
        Ok(())
    })
}

fn a_daemon_that_restarts_adopts_its_tunnels(families: Families) -> Result<()> {
    play("fabric", "vxlan-restart", families, |world| {
        // With other settings than those that hold while nothing is read.
        configure(world, "vxlanPort: 4790, vxlanVNI: 77, mtu: 1380")?;
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let index = |world: &World| -> Result<Vec<(String, u64)>> {
            let links: Vec<Value> =
                serde_json::from_str(&world.run("node1", "ip -json link show type vxlan")?)?;
            let of = |link: &Value| Some((link["ifname"].as_str()?.to_owned(), link["ifindex"].as_u64()?));
            Ok(links.iter().filter_map(of).collect())
        };
        let before = index(world)?;
        let flows = Flows::start(world, &pods[0], &pods[2])?;
        for (node, signal) in [("node1", Signal::SIGKILL), ("node3", Signal::SIGTERM)] {
            let old = world.processes(node, "felix-lite")?;
            world.end_process(node, "felix-lite", signal)?;
            eventually(SETTLES, || {
                let now = world.processes(node, "felix-lite")?;
                ensure!(now.len() == 1 && now != old, "felix-lite does not run on {node}: {now:?}");
                Ok(())
            })?;
            // A pod that comes needs a daemon that has read everything: all that it would sweep is swept then.
            world.pod(node, &format!("after-{node}"))?;
        }
        flows.end_without_loss()?;
        ensure!(index(world)? == before, "the devices were made anew");
        let shown = world.run("node1", "ip -d link show type vxlan")?;
        ensure!(shown.contains("id 77 ") && shown.contains("dstport 4790"), "{shown}");
        await_mtu(world, &pods[2], 1380)?;
        node_reaches(world, "node1", &pods[2])
    })
}

fn tunnels_that_somebody_breaks_are_mended(families: Families) -> Result<()> {
    play("fabric", "vxlan-drift", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let device = if families == Families::Ipv6 { "cairn-vxlan6" } else { "cairn-vxlan" };
        for damage in [
            format!("ip link delete {device}"),
            format!("ip link set {device} down"),
            format!("ip link set {device} mtu 1300"),
            format!("ip link set {device} address 02:00:00:00:00:99"),
            format!("ip neighbour flush dev {device} nud permanent"),
            format!(
                "sh -c 'bridge fdb show dev {device} | while read mac rest; do bridge fdb del $mac dev {device} self; done'"
            ),
            format!("ip address flush dev {device}"),
        ] {
            world.run("node1", &damage)?;
            let time = world.all_reach_all(&pods).with_context(|| damage.clone())?;
            node_reaches(world, "node1", &pods[2]).with_context(|| damage.clone())?;
            println!("{}: {damage}: mended after {time:?}", world.name());
        }
        Ok(())
    })
}

fn only_nodes_may_send_encapsulated_packets(families: Families) -> Result<()> {
    play("fabric", "vxlan-outsider", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let (device, outer) = match families {
            Families::Ipv6 => ("cairn-vxlan6", ["fd10:0:1::fe", "fd10:0:1::1"]),
            Families::Ipv4 | Families::Dual => ("cairn-vxlan", ["10.0.1.254", "10.0.1.1"]),
        };
        let links: Vec<Value> =
            serde_json::from_str(&world.run("node1", &format!("ip -json link show {device}"))?)?;
        let mac = links.first().and_then(|link| link["address"].as_str()).context("no MAC")?;
        let [local, remote] = outer;
        world.run(
            "router",
            &format!(
                "ip link add forged type vxlan id 4096 dstport 4789 local {local} remote {remote} nolearning"
            ),
        )?;
        world.run("router", "ip link set forged up")?;
        let address = pods[0].pod.addresses[0];
        world.run("router", &format!("ip neighbour add {address} lladdr {mac} dev forged nud permanent"))?;
        world.run("router", &format!("ip route add {address} dev forged"))?;
        let before = counted(world, "node1", "tunnel-ends")?;
        let report = world.ping("router", None, address, 3)?;
        ensure!(report.received == 0, "an outsider reached {address}: {report:?}");
        ensure!(counted(world, "node1", "tunnel-ends")? >= before + 3, "the packets were lost elsewhere");
        world.all_reach_all(&pods)?;
        Ok(())
    })
}

/// What a chain of a node has counted. It need not be there.
fn counted(world: &World, node: &str, chain: &str) -> Result<u64> {
    let listed = world.exec(node, &["nft", "-j", "list", "chain", "inet", "cairn", chain])?;
    if !listed.success {
        return Ok(0);
    }
    let rules: Value = serde_json::from_str(&listed.stdout)?;
    let items = rules["nftables"].as_array().context("no rules")?;
    let parts = items.iter().filter_map(|item| item["rule"]["expr"].as_array()).flatten();
    Ok(parts.filter_map(|part| part["counter"]["packets"].as_u64()).sum())
}

fn await_counted(world: &World, node: &str, chain: &str, more_than: u64) -> Result<()> {
    eventually(SETTLES, || {
        ensure!(counted(world, node, chain)? > more_than, "{chain} of {node} counts nothing");
        Ok(())
    })
    .map(|_| ())
}

/// A table that is not ours: addresses of a service that lead to a tunnel of node2, and node1's address for whatever goes to tunnels.
fn translate(world: &World) -> Result<()> {
    for line in [
        "add table inet svc",
        "add chain inet svc pre { type nat hook prerouting priority -100; }",
        "add rule inet svc pre ip daddr 198.51.100.1 udp dport 9 dnat ip to 10.0.1.2:4789",
        "add rule inet svc pre ip6 daddr fd99::1 udp dport 9 dnat ip6 to [fd10:0:1::2]:4789",
        "add chain inet svc post { type nat hook postrouting priority 100; }",
        "add rule inet svc post udp dport 4789 masquerade",
    ] {
        let done = world.exec("node1", &["nft", line])?;
        ensure!(done.success, "{}", done.text());
    }
    Ok(())
}

/// What would be taken for a packet of the pod's node, once masqueraded: straight to another node, or by way of a service; also in a connection that is
/// older than the tunnels.
fn pods_send_no_encapsulated_packets_to_nodes(families: Families) -> Result<()> {
    play("fabric", "vxlan-forged", families, |world| {
        let pods = pods(world)?;
        translate(world)?;
        // Shorter than any packet of a tunnel.
        let watch = || Watch::start(world, "node2", "eth1", "udp port 4789 and less 80");
        let before = watch()?;
        let mut older = Vec::new();
        for address in &pods[0].pod.addresses {
            let (service, masqueraded) = match address {
                IpAddr::V4(_) => ("198.51.100.1", "10.0.1.1."),
                IpAddr::V6(_) => ("fd99::1", "fd10:0:1::1."),
            };
            let lasting = format!("exec 3<>/dev/udp/{service}/9; while sleep 0.1; do echo x >&3; done");
            let pod = world.command("node1", Some(&pods[0].pod.name))?;
            older.push(Kept::start(pod, &format!("bash -c '{lasting}'"))?);
            before.until(world, |line| line.contains(masqueraded))?;
        }
        drop(before);
        set_modes(world, "vxlanMode: Always")?;
        world.all_reach_all(&pods)?;
        await_counted(world, "node1", "to-nodes", 10 * older.len() as u64)?;
        // Those have all been ended by now.
        let after = watch()?;
        await_counted(world, "node1", "to-nodes", counted(world, "node1", "to-nodes")? + 20)?;
        let passed = after.now(world)?;
        ensure!(passed.is_empty(), "{passed}");
        drop(older);
        for address in &pods[0].pod.addresses {
            let (node, service) = match address {
                IpAddr::V4(_) => ("10.0.1.2", "198.51.100.1"),
                IpAddr::V6(_) => ("fd10:0:1::2", "fd99::1"),
            };
            for (to, port) in [(node, 4789), (service, 9)] {
                let before = counted(world, "node1", "to-nodes")?;
                let send = format!("echo forged > /dev/udp/{to}/{port}");
                world.exec_in("node1", Some(&pods[0].pod.name), &["bash", "-c", &send])?;
                await_counted(world, "node1", "to-nodes", before)?;
            }
        }
        world.all_reach_all(&pods)?;
        Ok(())
    })
}

fn modes_that_cannot_be_had_change_nothing(families: Families) -> Result<()> {
    play("fabric", "fabric-bad", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        await_condition(world, "Encapsulation", "True", "OK")?;
        set_modes(world, "vxlanMode: Always\n  ipipMode: CrossSubnet")?;
        await_condition(world, "Encapsulation", "False", "BothModes")?;
        world.all_reach_all(&pods)?;
        travels(world, &pods[0], &pods[2], true)?;
        // Also to a daemon that knows nothing of what was before.
        world.end_process("node1", "felix-lite", Signal::SIGKILL)?;
        world.pod("node1", "after")?;
        travels(world, &pods[0], &pods[2], true)?;
        if families != Families::Ipv4 {
            set_modes(world, "ipipMode: Always")?;
            eventually(SETTLES, || {
                let text = std::fs::read_to_string(crate::pools::path(world, "pods-ipv6"))?;
                ensure!(text.contains("FamilyUnsupported"), "{text}");
                Ok(())
            })?;
        }
        Ok(())
    })
}

fn a_port_in_use_is_told_and_taken_once_it_is_free(families: Families) -> Result<()> {
    play("fabric", "vxlan-port", families, |world| {
        // Somebody's own device on the port of ours, of both families.
        for (name, local) in [("theirs4", "127.0.0.1"), ("theirs6", "::1")] {
            world
                .run("node1", &format!("ip link add {name} type vxlan id 4096 dstport 4789 local {local}"))?;
            world.run("node1", &format!("ip link set {name} up"))?;
        }
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        eventually(SETTLES, || {
            let text =
                std::fs::read_to_string(world.directory().join("volumes/objects/nodestatuses/node1.yaml"))?;
            ensure!(text.contains("another VXLAN device of this node has VNI 4096 on port 4789"), "{text}");
            Ok(())
        })?;
        world.all_reach_all(&pods[1..])?;
        world.run("node1", "ip link delete theirs4")?;
        world.run("node1", "ip link delete theirs6")?;
        world.all_reach_all(&pods)?;
        Ok(())
    })
}

/// Pods of IPv4 in IP-in-IP; pods of IPv6, which it does not carry, in VXLAN beside it.
fn ip_in_ip_carries_ipv4_and_follows_its_mode(families: Families) -> Result<()> {
    play("fabric", "ipip", families, |world| {
        let set = |world: &World, mode: &str| -> Result<()> {
            set_modes_of(world, |name| name == "pods-ipv4", &format!("ipipMode: {mode}"))?;
            set_modes_of(world, |name| name == "pods-ipv6", &format!("vxlanMode: {mode}"))
        };
        set(world, "Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        in_ip(world, &pods[0], &pods[1], true)?;
        in_ip(world, &pods[0], &pods[2], true)?;
        node_reaches(world, "node1", &pods[2])?;
        if families == Families::Ipv4 {
            await_mtu(world, &pods[2], 1480)?;
        }
        set(world, "CrossSubnet")?;
        eventually(SETTLES, || in_ip(world, &pods[0], &pods[1], false))?;
        in_ip(world, &pods[1], &pods[2], true)?;
        if families != Families::Ipv6 {
            for damage in ["ip link delete cairn-ipip", "ip link set cairn-ipip down"] {
                world.run("node1", damage)?;
                world.all_reach_all(&pods).with_context(|| damage.to_owned())?;
                node_reaches(world, "node1", &pods[2]).with_context(|| damage.to_owned())?;
            }
        }
        // From one tunnel to the other, while pods speak; an emulated machine does not keep up with flows of both families at once.
        let flows = match families {
            Families::Dual => None,
            Families::Ipv4 | Families::Ipv6 => Some(Flows::start(world, &pods[0], &pods[2])?),
        };
        set_modes(world, "vxlanMode: Always")?;
        eventually(SETTLES, || travels(world, &pods[0], &pods[2], true))?;
        flows.map_or(Ok(()), |flows| flows.end_with_at_most(1))
    })
}

/// Every packet of IPv4 from one pod to another is seen in IP-in-IP on the wire, or none is.
fn in_ip(world: &World, from: &PodOn, to: &PodOn, wanted: bool) -> Result<()> {
    for address in to.pod.addresses.iter().filter(|address| address.is_ipv4()) {
        let watch = Watch::start(world, "router", &to.node, "ip proto 4 or icmp")?;
        let report = world.ping(&from.node, Some(&from.pod.name), *address, 3)?;
        ensure!(report.lost() == 0, "{address}: {report:?}");
        let request = format!("> {address}: ICMP echo request");
        let seen = watch.until(world, |line| line.contains(&request))?;
        let requests: Vec<&str> = seen.lines().filter(|line| line.contains(&request)).collect();
        let is_inside = |line: &&str| line.matches("IP 10.").count() == 2 && line.contains("IP 10.0.");
        ensure!(
            requests.iter().all(|line| is_inside(line) == wanted),
            "in IP-in-IP: {wanted}; seen:\n{seen}"
        );
    }
    Ok(())
}

crate::scenario!(needs_ipip, ip_in_ip_carries_ipv4_and_follows_its_mode: ipv4 dual);
crate::scenario!(vxlan_carries_pods_through_a_network_that_knows_none);
crate::scenario!(a_pod_that_cannot_be_entered_follows_the_mtu_later);
crate::scenario!(a_change_of_mode_loses_next_to_nothing);
crate::scenario!(a_daemon_that_restarts_adopts_its_tunnels);
crate::scenario!(tunnels_that_somebody_breaks_are_mended);
crate::scenario!(pods_send_no_encapsulated_packets_to_nodes);
crate::scenario!(only_nodes_may_send_encapsulated_packets);
crate::scenario!(modes_that_cannot_be_had_change_nothing);
crate::scenario!(a_port_in_use_is_told_and_taken_once_it_is_free);
