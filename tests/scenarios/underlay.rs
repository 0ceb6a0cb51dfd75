//! Pods in the network that the nodes are in: as neighbours of its hosts (macvlan, ipvlan in mode L2), or routed to (ipvlan in modes L3 and L3S).

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use cairn_lab::lab::Families;
use cairn_lab::pod::Request;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::flow::Flows;
use crate::wait::eventually;
use crate::wire::Watch;
use crate::world::{PodOn, SETTLES, World, play_with};

/// Addresses of the plain host, and behind the router.
const HOST: [&str; 2] = ["10.0.0.9", "fd10::9"];
const BEYOND: [&str; 2] = ["198.51.100.1", "2001:db8:100::1"];

fn with(attachment: &str, scenario: &str, body: impl FnOnce(&mut World) -> Result<()>) -> Result<()> {
    play_with("underlay", scenario, Families::Dual, &[("CAIRN_ATTACHMENT", attachment)], body)
}

/// The MAC address of an interface of a node.
fn mac(world: &World, node: &str, interface: &str) -> Result<String> {
    let links: Vec<Value> =
        serde_json::from_str(&world.run(node, &format!("ip -json link show {interface}"))?)?;
    let mac = links.first().and_then(|link| link["address"].as_str());
    Ok(mac.with_context(|| format!("{node}: no MAC of {interface}"))?.to_owned())
}

/// The MAC address that a pod has on the wire, as its runtime was told.
fn pod_mac(pod: &PodOn) -> Result<&str> {
    let interfaces = pod.pod.result["interfaces"].as_array().context("no interfaces")?;
    let eth0 = interfaces.iter().find(|interface| interface["name"] == "eth0").context("no eth0")?;
    eth0["mac"].as_str().context("no MAC")
}

fn answers(world: &World, node: &str, pod: Option<&str>, address: IpAddr) -> Result<()> {
    eventually(SETTLES, || {
        let report = world.ping(node, pod, address, 3)?;
        ensure!(report.lost() == 0, "{pod:?} on {node} does not reach {address}: {report:?}");
        Ok(())
    })
    .map(drop)
}

/// What is on the wire to the plain host: the pod's own source address, in frames from this MAC address.
fn seen_as(world: &World, pod: &PodOn, mac: &str) -> Result<()> {
    let watch = Watch::start(world, "router", "host", "icmp or icmp6")?;
    for address in HOST {
        answers(world, &pod.node, Some(&pod.pod.name), address.parse()?)?;
    }
    for (source, target) in pod.pod.addresses.iter().zip(HOST) {
        let request = format!("{source} > {target}: ICMP");
        let seen =
            watch.frames_until(world, |line| line.contains(&request) && line.contains("echo request"))?;
        let frame = seen.lines().find(|line| line.contains(&request)).context("it was seen")?;
        ensure!(frame.contains(&format!("{mac} > ")), "{source} is not behind {mac}: {frame}");
    }
    Ok(())
}

/// Every one reaches every other: pods of both nodes, the host, what is behind the router, and each pod its own node.
fn all_reach_all(world: &World, pods: &[PodOn]) -> Result<()> {
    world.all_reach_all(pods)?;
    for pod in pods {
        for address in &pod.pod.addresses {
            answers(world, "host", None, *address)?;
            for node in ["node1", "node2"] {
                answers(world, node, None, *address)?;
            }
        }
        let nodes = ["10.0.0.1", "10.0.0.2", "fd10::1", "fd10::2"];
        for address in HOST.into_iter().chain(BEYOND).chain(nodes) {
            answers(world, &pod.node, Some(&pod.pod.name), address.parse()?)?;
        }
    }
    Ok(())
}

/// The blocks of pods are in the other node's routes, or in nobody's.
fn announced(world: &World, wanted: bool) -> Result<()> {
    eventually(SETTLES, || {
        let routes = world.run("node2", "sh -c 'ip route show proto 202; ip -6 route show proto 202'")?;
        let blocks = routes.lines().filter(|line| line.contains(" via ")).count();
        ensure!((blocks > 0) == wanted, "blocks announced: {wanted} expected: {routes}");
        Ok(())
    })
    .map(drop)
}

/// The address that a host has in mind for a neighbour.
fn neighbour(world: &World, node: &str, address: &str) -> Result<String> {
    world.run(node, &format!("ip neighbour show {address}"))
}

/// A pod goes and another one of its address comes on the other node: the host hears of it, and asks nobody.
fn moves(world: &World, address: &str, on_wire: impl Fn(&PodOn) -> Result<String>) -> Result<()> {
    let request = Request { arguments: vec![format!("IP={address}")], ..Request::default() };
    let mut macs = Vec::new();
    for node in ["node1", "node2"] {
        let mut made = None;
        eventually(SETTLES, || {
            made = Some(world.add_pod_with(node, "mover", &request)?);
            Ok(())
        })?;
        let pod = PodOn { node: node.to_owned(), pod: made.context("it was made")? };
        ensure!(pod.pod.addresses == [address.parse::<IpAddr>()?], "{:?}", pod.pod.addresses);
        let mac = on_wire(&pod)?;
        if macs.is_empty() {
            answers(world, "host", None, address.parse()?)?;
        }
        eventually(SETTLES, || {
            let known = neighbour(world, "host", address)?;
            ensure!(known.contains(&mac), "{address} is at {mac} now, and the host knows {known}");
            Ok(())
        })?;
        answers(world, "host", None, address.parse()?)?;
        macs.push(mac);
        world.delete_pod(node, "mover")?;
    }
    ensure!(macs[0] != macs[1], "the host had nothing to hear: {macs:?}");
    Ok(())
}

/// Daemons end and come back while packets are under way.
fn nothing_is_lost(world: &World, pods: &[PodOn], flows: Flows) -> Result<()> {
    for (node, signal) in [("node1", Signal::SIGKILL), ("node2", Signal::SIGTERM)] {
        let old = world.processes(node, "felix-lite")?;
        world.end_process(node, "felix-lite", signal)?;
        eventually(SETTLES, || {
            let now = world.processes(node, "felix-lite")?;
            ensure!(now.len() == 1 && now != old, "felix-lite does not run on {node}: {now:?}");
            Ok(())
        })?;
        // A daemon that has read everything has swept, too.
        world.pod(node, &format!("after-{node}"))?;
        world.delete_pod(node, &format!("after-{node}"))?;
    }
    flows.end_without_loss().with_context(|| places_of_loss(world, pods))
}

/// Where packets may have been lost: neighbours that did not answer, queues that were full, packets without a route.
fn places_of_loss(world: &World, pods: &[PodOn]) -> String {
    let look = "ip -s neighbour; echo queues:; cat /proc/net/softnet_stat; \
                grep -E 'Discards|NoRoutes|Errors' /proc/net/snmp6 | grep -v ' 0$'; ip -s link show eth1";
    let nodes = ["node1", "node2"].map(|node| (node, None));
    let inside = pods.iter().map(|pod| (pod.node.as_str(), Some(pod.pod.name.as_str())));
    let mut text = String::new();
    for (node, pod) in nodes.into_iter().chain(inside) {
        let look = if pod.is_some() { look.replace("eth1", "eth0") } else { look.to_owned() };
        let found = world.exec_in(node, pod, &["sh", "-c", &look]);
        let found = found.map_or_else(|error| format!("{error:#}"), |output| output.text());
        text.push_str(&format!("{node} {pod:?}:\n{found}\n"));
    }
    text
}

/// When the pods are gone, so is all that was made for them.
fn nothing_is_left(world: &World, pods: &[PodOn]) -> Result<()> {
    for pod in pods {
        world.delete_pod(&pod.node, &pod.pod.name)?;
    }
    for node in ["node1", "node2"] {
        eventually(SETTLES, || {
            let links = world.run(node, "ip -o link")?;
            ensure!(!links.contains("crn") && !links.contains("vlan"), "{node}: {links}");
            let routes = world.run(node, "sh -c 'ip route show proto 202; ip -6 route show proto 202'")?;
            ensure!(!routes.contains("crn"), "{node}: {routes}");
            Ok(())
        })?;
    }
    Ok(())
}

fn pods(world: &World) -> Result<Vec<PodOn>> {
    Ok(vec![pod(world, "node1", "a")?, pod(world, "node2", "b")?, pod(world, "node1", "c")?])
}

/// A pod with a way out. Its node's daemon may not have heard of the node's own router yet, and a pod keeps what there was when it was made.
fn pod(world: &World, node: &str, name: &str) -> Result<PodOn> {
    let mut made = None;
    eventually(SETTLES, || {
        let pod = world.pod(node, name)?;
        let show = ["sh", "-c", "ip route show default; ip -6 route show default"];
        let ways = world.exec_in(node, Some(name), &show)?.stdout;
        if ways.matches("default").count() != pod.pod.addresses.len() {
            world.delete_pod(node, name)?;
            bail!("{name} on {node} has no way out: {ways}");
        }
        made = Some(pod);
        Ok(())
    })?;
    made.context("it was made")
}

mod needs_macvlan {
    use super::*;

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn pods_with_macs_of_their_own_are_neighbours_of_hosts() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        with("macvlan", "macvlan", |world| {
            let pods = pods(world)?;
            all_reach_all(world, &pods)?;
            for pod in &pods {
                ensure!(pod_mac(pod)? != mac(world, &pod.node, "eth1")?, "it has the node's MAC");
                seen_as(world, pod, pod_mac(pod)?)?;
            }
            announced(world, false)?;
            for address in ["10.0.0.120", "fd10::1:abc"] {
                moves(world, address, |pod| Ok(pod_mac(pod)?.to_owned()))?;
            }
            an_interface_that_is_not_there_is_named(world)?;
            nothing_is_lost(world, &pods, Flows::start(world, &pods[0], &pods[1])?)?;
            nothing_is_left(world, &pods)
        })
    }

    fn an_interface_that_is_not_there_is_named(world: &World) -> Result<()> {
        let request = Request { arguments: vec!["IP=203.0.113.7".to_owned()], ..Request::default() };
        let words = "no pods by MACVLAN on this node: there is no interface eth9";
        eventually(SETTLES, || {
            let refused = world.add_pod_with("node1", "nowhere", &request);
            let error = refused.err().context("a pod was made on an interface that is not there")?;
            ensure!(format!("{error:#}").contains(words), "{error:#}");
            let report = world.directory().join("volumes/objects/nodestatuses/node1.yaml");
            let report = std::fs::read_to_string(report)?;
            ensure!(report.contains("AttachmentUnavailable") && report.contains(words), "{report}");
            Ok(())
        })
        .map(drop)
    }
}

mod needs_ipvlan {
    use super::*;

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn pods_with_the_nodes_mac_are_neighbours_of_hosts() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        with("ipvlan-l2", "ipvlan-l2", |world| {
            let pods = pods(world)?;
            all_reach_all(world, &pods)?;
            for pod in &pods {
                let mac = mac(world, &pod.node, "eth1")?;
                ensure!(pod_mac(pod)? == mac, "the runtime was told {}", pod_mac(pod)?);
                seen_as(world, pod, &mac)?;
            }
            announced(world, false)?;
            for address in ["10.0.0.120", "fd10::1:abc"] {
                moves(world, address, |pod| mac(world, &pod.node, "eth1"))?;
            }
            nothing_is_lost(world, &pods, Flows::start(world, &pods[0], &pods[1])?)?;
            nothing_is_left(world, &pods)
        })
    }

    /// Router and host know from the nodes, by hand here, where each pod is.
    fn routed_to(attachment: &str) -> Result<()> {
        with(attachment, attachment, |world| {
            let pods = pods(world)?;
            for pod in &pods {
                let gateways =
                    if pod.node == "node1" { ["10.0.0.1", "fd10::1"] } else { ["10.0.0.2", "fd10::2"] };
                for (address, gateway) in pod.pod.addresses.iter().zip(gateways) {
                    for node in ["host", "router"] {
                        world.run(node, &format!("ip route add {address} via {gateway}"))?;
                    }
                }
            }
            announced(world, true)?;
            all_reach_all(world, &pods)?;
            for pod in &pods {
                seen_as(world, pod, &mac(world, &pod.node, "eth1")?)?;
            }
            // Their packets take more of an emulated machine, whose queues are to hold what comes while it does something else.
            nothing_is_lost(world, &pods, Flows::start_sparse(world, &pods[0], &pods[1])?)?;
            nothing_is_left(world, &pods)
        })
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn pods_behind_the_nodes_routes_are_announced() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        routed_to("ipvlan-l3")
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn pods_behind_the_nodes_routes_and_its_netfilter_are_announced() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        routed_to("ipvlan-l3s")
    }
}
