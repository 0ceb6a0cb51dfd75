//! Ports of a node that lead to a pod: from outside, from other nodes and their pods, from the node itself, its pods, and the pod itself.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;
use cairn_lab::pod::Request;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::flow::{Server, words};
use crate::wait::eventually;
use crate::world::{PodOn, SETTLES, World, play};

/// The node's port, and the pod's.
const HOST_PORT: u16 = 8053;
const POD_PORT: u16 = 5353;
/// What other scenarios than that of SCTP ask over.
const USUAL: [&str; 2] = ["tcp", "udp"];
/// From where a client asks that never changes its port, as a resolver may.
const SAME_PORT: u16 = 4000;

/// Addresses on the way to node3, of a family.
struct Way {
    /// node3's own, which the ports are asked at, and another one of it.
    node: &'static str,
    other: &'static str,
    loopback: Option<&'static str>,
    /// tor1's on the link to node3, that of node1 on its link to tor1, and tor1's there.
    tor: &'static str,
    far_node: &'static str,
    far_tor: &'static str,
    outside: &'static str,
}

const IPV4: Way = Way {
    node: "10.1.3.1",
    other: "10.2.3.1",
    loopback: Some("127.0.0.1"),
    tor: "10.1.3.0",
    far_node: "10.1.1.1",
    far_tor: "10.1.1.0",
    outside: "198.51.100.1",
};

/// The kernel lets nothing from `::1` out of the node.
const IPV6: Way = Way {
    node: "fd10:1:3::1",
    other: "fd10:2:3::1",
    loopback: None,
    tor: "fd10:1:3::",
    far_node: "fd10:1:1::1",
    far_tor: "fd10:1:1::",
    outside: "2001:db8:100::1",
};

const fn way(address: IpAddr) -> &'static Way {
    if address.is_ipv6() { &IPV6 } else { &IPV4 }
}

fn mapping(host_ip: &str, protocol: &str) -> Value {
    json!({ "hostPort": HOST_PORT, "containerPort": POD_PORT, "protocol": protocol, "hostIP": host_ip })
}

fn with_ports(mappings: &[Value]) -> Request {
    let capabilities = json!({ "portMappings": mappings });
    let capabilities = capabilities.as_object().cloned().unwrap_or_default();
    Request { capabilities, ..Request::default() }
}

/// Some protocols of one port, at each address.
fn everywhere(protocols: &[&str]) -> Request {
    let mappings: Vec<Value> = protocols.iter().map(|protocol| mapping("", protocol)).collect();
    with_ports(&mappings)
}

/// Asks at an address of node3 by whom it is seen.
fn ask(world: &World, (node, pod): (&str, Option<&str>), address: &str, more: &str) -> Result<IpAddr> {
    let line = format!("cairn-lab probe ask {address} {HOST_PORT} {more}");
    let output = world.exec_in(node, pod, &words(&line))?;
    ensure!(output.success, "{node} {pod:?}: {}", output.text());
    output.stdout.trim().parse().with_context(|| output.stdout.clone())
}

/// Whoever can reach the node gets an answer from the pod, over each protocol. Who is not the pod itself, nor the node's loopback, is seen as who he is.
fn all_are_answered(world: &World, [web, near, far]: [&PodOn; 3], protocols: &[&str]) -> Result<()> {
    let own = |pod: &PodOn, address: &IpAddr| {
        pod.pod.addresses.iter().find(|own| own.is_ipv6() == address.is_ipv6()).map(ToString::to_string)
    };
    for address in &web.pod.addresses {
        let way = way(*address);
        let mut askers = vec![
            (("outside", None), way.node, Some(way.outside.to_owned())),
            (("tor1", None), way.node, Some(way.tor.to_owned())),
            (("node1", None), way.node, Some(way.far_node.to_owned())),
            (("node1", Some("far")), way.node, own(far, address)),
            (("node3", Some("near")), way.node, own(near, address)),
            (("node3", Some("near")), way.other, own(near, address)),
            (("node3", Some("web")), way.node, None),
            (("node3", None), way.node, Some(way.node.to_owned())),
        ];
        askers.extend(way.loopback.map(|loopback| (("node3", None), loopback, None)));
        for (from, at, source) in askers {
            for protocol in protocols {
                let seen = ask(world, from, at, &format!("--over {protocol}"))?;
                if let Some(source) = &source {
                    ensure!(
                        seen == source.parse::<IpAddr>()?,
                        "{from:?} at {at} {protocol} is seen as {seen}"
                    );
                }
            }
        }
    }
    Ok(())
}

/// The ways between node1 and the address of node3 on its link, which nobody announces.
fn connect(world: &World) -> Result<()> {
    for way in [&IPV4, &IPV6] {
        for (node, to, via) in [("node1", way.node, way.far_tor), ("node3", way.far_node, way.tor)] {
            let wanted = world.families.wants(to);
            if wanted {
                world.run(node, &format!("ip route add {to} via {via}"))?;
            }
        }
    }
    Ok(())
}

/// What the node's firewall has of ports.
fn elements(world: &World) -> Result<usize> {
    let table = world.run("node3", "nft list table inet cairn")?;
    Ok(table.matches(&format!(" . {HOST_PORT} : ")).count())
}

fn a_port_of_the_node_leads_to_its_pod_from_everywhere(families: Families) -> Result<()> {
    play("two-racks", "host-ports", families, |world| {
        connect(world)?;
        let (near, far) = (world.pod("node3", "near")?, world.pod("node1", "far")?);
        let web = world.pod_with("node3", "web", &everywhere(&USUAL))?;
        let server = Server::start_probe(world, &web, "tell", POD_PORT)?;
        let pods = [&web, &near, &far];
        world.all_reach_all(&pods.map(Clone::clone))?;
        eventually(SETTLES, || all_are_answered(world, pods, &USUAL))?;
        let mappings = 2 * web.pod.addresses.len();
        ensure!(elements(world)? == mappings, "{} elements, not {mappings}", elements(world)?);

        // Two pods cannot have one port; the second is told who has it, and leaves nothing behind.
        let refused = world.add_pod_with("node3", "second", &everywhere(&USUAL));
        let error = format!("{:#}", refused.err().context("a second pod has the same port")?);
        let words = format!(
            "tcp port {HOST_PORT} of this node is asked for by default/second, and leads to default/web"
        );
        ensure!(error.contains(&words) && error.contains("104"), "{error}");
        all_are_answered(world, pods, &USUAL)?;

        // What is in the kernel stays there while the daemon is away, and is known to the next one.
        world.end_process("node3", "felix-lite", Signal::SIGKILL)?;
        all_are_answered(world, pods, &USUAL)?;
        let other = world.pod("node3", "other")?;
        all_are_answered(world, pods, &USUAL)?;
        world.reaches(&other, &web)?;
        ensure!(elements(world)? == mappings, "{} elements, not {mappings}", elements(world)?);

        // A client that goes on from one port is led to the next pod, too.
        let address = way(*web.pod.addresses.first().context("an address")?).node;
        let steady = format!("--over udp --from {SAME_PORT}");
        ask(world, ("outside", None), address, &steady)?;
        drop(server);
        world.delete_pod("node3", "web")?;
        ensure!(elements(world)? == 0, "{} elements are left", elements(world)?);
        for more in ["", "--over udp", steady.as_str()] {
            ensure!(
                ask(world, ("outside", None), address, more).is_err(),
                "the port of a pod that is gone answers"
            );
        }
        let next = world.pod_with("node3", "next", &everywhere(&USUAL))?;
        let _server = Server::start_probe(world, &next, "tell", POD_PORT)?;
        ask(world, ("outside", None), address, &steady)?;
        Ok(())
    })
}

fn a_port_of_one_address_is_not_one_of_another(families: Families) -> Result<()> {
    play("two-racks", "host-ip", families, |world| {
        let plain = world.pod("node3", "plain")?;
        let ways: Vec<&Way> = plain.pod.addresses.iter().map(|address| way(*address)).collect();
        let mappings: Vec<Value> = ways.iter().map(|way| mapping(way.node, "tcp")).collect();
        let pod = world.pod_with("node3", "web", &with_ports(&mappings))?;
        let _server = Server::start_probe(world, &pod, "tell", POD_PORT)?;
        for way in &ways {
            eventually(SETTLES, || ask(world, ("tor1", None), way.node, "").map(drop))?;
            for wrong in [way.other].into_iter().chain(way.loopback) {
                ensure!(ask(world, ("node3", None), wrong, "").is_err(), "{wrong} leads to the pod");
            }
        }
        // The same port of another address is another pod's.
        let others: Vec<Value> = ways.iter().map(|way| mapping(way.other, "tcp")).collect();
        let other = world.pod_with("node3", "other", &with_ports(&others))?;
        let _server = Server::start_probe(world, &other, "tell", POD_PORT)?;
        for way in &ways {
            eventually(SETTLES, || ask(world, ("node3", Some("plain")), way.other, "").map(drop))?;
        }
        let refused = world.add_pod_with("node3", "third", &everywhere(&USUAL));
        ensure!(refused.is_err(), "all addresses have that port, and two of them lead elsewhere");
        let none = if world.families == Families::Ipv6 { "192.0.2.1" } else { "2001:db8::1" };
        if world.families != Families::Dual {
            let refused = world.add_pod_with("node3", "third", &with_ports(&[mapping(none, "tcp")]));
            let error = format!("{:#}", refused.err().context("a port of a family without a pod")?);
            ensure!(error.contains(&format!("hostIP {none}")), "{error}");
        }
        Ok(())
    })
}

/// An end of SCTP may have several addresses, of which the kernel translates those that packets have: here each end has one.
fn a_port_of_sctp_leads_to_its_pod_from_everywhere(families: Families) -> Result<()> {
    play("two-racks", "host-sctp", families, |world| {
        connect(world)?;
        let (near, far) = (world.pod("node3", "near")?, world.pod("node1", "far")?);
        let web = world.pod_with("node3", "web", &everywhere(&["sctp"]))?;
        let _server = Server::start_probe(world, &web, "tell --sctp", POD_PORT)?;
        eventually(SETTLES, || all_are_answered(world, [&web, &near, &far], &["sctp"]))?;
        // The same port of another protocol is nobody's.
        for address in &web.pod.addresses {
            ensure!(ask(world, ("tor1", None), way(*address).node, "").is_err(), "TCP leads to the pod");
        }
        ensure!(elements(world)? == web.pod.addresses.len(), "{} elements", elements(world)?);
        Ok(())
    })
}

crate::scenario!(needs_sctp, a_port_of_sctp_leads_to_its_pod_from_everywhere: ipv4);
crate::scenario!(a_port_of_the_node_leads_to_its_pod_from_everywhere);
crate::scenario!(a_port_of_one_address_is_not_one_of_another);
