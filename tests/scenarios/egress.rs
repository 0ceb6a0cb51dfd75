//! An address that pods have outside, wherever they run: who has it, who gets it, and what becomes of it when its node dies.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bgpd_api::bfd::BfdState;
use cairn_lab::lab::Families;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::firewall::{masquerade_pools, outside};
use crate::pools::set_modes;
use crate::racks::{SILENCE, ask_for_bfd, await_bfd, with_tor};
use crate::wait::eventually;
use crate::wire::Watch;
use crate::world::{PodOn, SETTLES, World, play_with};

/// How long it may take from a node's silence until packets leave by another one: four intervals of 300 ms until BFD tells of it, what the nodes and a look at
/// the packets take, and as much again. The hold time is 90 s.
const FAILS_OVER: Duration = Duration::from_secs(3);
/// The ToRs, with their AS numbers.
const TORS: [(&str, u32); 2] = [("tor1", 65001), ("tor2", 65002)];

/// The address of the gateway, of no node and no pool.
pub(crate) fn egress(version_6: bool) -> &'static str {
    if version_6 { "2001:db8:203::10" } else { "203.0.113.10" }
}

/// The file of an object.
pub(crate) fn object_path(world: &World, plural: &str, name: &str) -> PathBuf {
    world.directory().join("volumes/objects").join(plural).join(format!("{name}.yaml"))
}

/// Writes an object, in one step.
pub(crate) fn put(world: &World, plural: &str, name: &str, text: &str) -> Result<()> {
    let path = object_path(world, plural, name);
    std::fs::create_dir_all(path.parent().context("a file lies in a directory")?)?;
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, &path).with_context(|| path.display().to_string())
}

/// A pod's object, as Kubernetes would have it.
fn put_pod(world: &World, node: &str, name: &str, app: &str) -> Result<()> {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default, labels: {{app: {app}}}}}\nspec: {{nodeName: {node}}}\n"
    );
    put(world, "pods/default", name, &text)
}

/// The gateway: for pods that bill, on node1 or node2.
pub(crate) fn put_gateway(world: &World) -> Result<()> {
    let addresses = match world.families {
        Families::Ipv4 => egress(false).to_owned(),
        Families::Ipv6 => format!("'{}'", egress(true)),
        Families::Dual => format!("{}, '{}'", egress(false), egress(true)),
    };
    let text = format!(
        "apiVersion: cairn.network/v1alpha1\nkind: EgressGateway\nmetadata: {{name: partner}}\nspec:\n  egressIPs: [{addresses}]\n  \
         podSelector: app == 'bill'\n  nodeSelector: topology.kubernetes.io/zone == 'rack-a'\n"
    );
    put(world, "egressgateways", "partner", &text)
}

/// Makes the nodes' addresses known to each other, by way of these ToRs alike, for the tunnels between them.
pub(crate) fn join_nodes(world: &World, tors: &[u8]) -> Result<()> {
    for (family, host, net) in [("-4", "10.0.0.", "10.0.0.0/24"), ("-6", "fd10::", "fd10::/112")] {
        let wanted = match world.families {
            Families::Ipv4 => family == "-4",
            Families::Ipv6 => family == "-6",
            Families::Dual => true,
        };
        for number in (1..=3).filter(|_| wanted) {
            let link = |tor: &u8| match family {
                "-4" => (format!("10.{tor}.{number}.0"), format!("10.{tor}.{number}.1")),
                _ => (format!("fd10:{tor}:{number}::"), format!("fd10:{tor}:{number}::1")),
            };
            let way = if tors.len() > 1 { "nexthop via" } else { "via" };
            let mut ways = String::new();
            for tor in tors {
                let (gateway, node) = link(tor);
                world.run(
                    &format!("tor{tor}"),
                    &format!("ip {family} route replace {host}{number} via {node}"),
                )?;
                ways.push_str(&format!(" {way} {gateway}"));
            }
            world.run(&format!("node{number}"), &format!("ip {family} route replace {net}{ways}"))?;
        }
    }
    Ok(())
}

/// The node that has the addresses.
pub(crate) fn holder(world: &World) -> Result<String> {
    let text = std::fs::read_to_string(object_path(world, "egressgateways", "partner"))?;
    let object: Value = serde_yaml::from_str(&text)?;
    Ok(object["status"]["node"].as_str().with_context(|| format!("nobody has them: {text}"))?.to_owned())
}

/// Sends from the pod, and gives the source that arrives outside. Nothing is answered; each message is told from all others by its port.
fn source(world: &World, watch: &Watch, pod: &PodOn, to: IpAddr, port: u16) -> Result<IpAddr> {
    let script = format!("for i in 1 2 3; do echo x > /dev/udp/{to}/{port}; sleep 0.05; done; true");
    world.exec_in(&pod.node, Some(&pod.pod.name), &["bash", "-c", &script])?;
    let target = format!("> {to}.{port}: ");
    let text = watch.now(world)?;
    let line = text.lines().find(|line| line.contains(&target));
    let line = line.with_context(|| format!("nothing arrives for {target}"))?;
    let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("IP")).skip(1);
    let (address, _) = words.next().and_then(|source| source.rsplit_once('.')).context("no source")?;
    Ok(address.parse()?)
}

struct Ports(u16);

impl Ports {
    fn next(&mut self) -> u16 {
        self.0 += 1;
        self.0
    }
}

/// All that comes from the pod has the source that it should: the gateway's address, or another.
fn comes_from(world: &World, watch: &Watch, ports: &mut Ports, pod: &PodOn, wanted: bool) -> Result<()> {
    for address in &pod.pod.addresses {
        let (to, gateway) = (outside(*address)?, egress(address.is_ipv6()));
        eventually(SETTLES, || {
            let found = source(world, watch, pod, to, ports.next())?;
            let is_gateway = found.to_string() == gateway;
            ensure!(is_gateway == wanted, "{} on {} comes from {found}", pod.pod.name, pod.node);
            Ok(())
        })?;
        // Answers come back: to the node that has the address, and from there to the pod.
        let report = world.ping(&pod.node, Some(&pod.pod.name), to, 3)?;
        ensure!(report.lost() == 0, "{report:?}");
    }
    Ok(())
}

/// Fails unless what the pod sends has the gateway's address, which this node has.
fn leaves_by(world: &World, watch: &Watch, ports: &mut Ports, pod: &PodOn, node: &str) -> Result<()> {
    for address in &pod.pod.addresses {
        let (to, gateway) = (outside(*address)?, egress(address.is_ipv6()));
        let found = source(world, watch, pod, to, ports.next())?;
        ensure!(found.to_string() == gateway, "{found}");
    }
    let found = holder(world)?;
    ensure!(found == node, "{found} has the address");
    Ok(())
}

/// The node that has the address falls silent and all of its links stay up: BFD finds out, its announcement goes, the other candidate takes the address.
/// Heard again, it takes nothing away.
fn a_silent_node_is_replaced_by_bfd(
    world: &World,
    watch: &Watch,
    ports: &mut Ports,
    pod: &PodOn,
    [silent, other]: [&str; 2],
) -> Result<()> {
    let mut downs = Vec::new();
    for (_, asn) in TORS {
        let (peer, bfd) = with_tor(world, silent, asn)?;
        ensure!(peer.hold_time.as_secs() == 90, "the hold time could be it: {peer:?}");
        downs.push(bfd.down_count);
    }
    world.run(silent, SILENCE)?;
    let time = eventually(FAILS_OVER, || leaves_by(world, watch, ports, pod, other))?;
    println!("{}: {silent} silent, packets by {other} after {time:?}", world.name());
    for ((tor, asn), before) in TORS.into_iter().zip(downs) {
        let (_, bfd) = with_tor(world, silent, asn)?;
        ensure!(bfd.local.state == BfdState::Down && bfd.down_count > before, "not by BFD: {bfd:#?}");
        let link = world.run(tor, &format!("ip link show {silent}"))?;
        ensure!(link.contains("state UP"), "{tor} has seen a link go: {link}");
    }
    world.run(silent, "nft delete table inet silence")?;
    await_bfd(world, silent)?;
    comes_from(world, watch, ports, pod, true)?;
    ensure!(holder(world)? == other, "the address has moved back");
    Ok(())
}

fn pods_leave_with_the_address_of_their_gateway(families: Families) -> Result<()> {
    play_with("two-racks", "egress", families, &[("TORS", "-bfd")], |world| {
        join_nodes(world, &[1])?;
        set_modes(world, "vxlanMode: Always")?;
        masquerade_pools(world)?;
        ask_for_bfd(world, "bfd: {multiplier: 4}")?;
        let nodes = world.cairn_nodes();
        nodes.iter().try_for_each(|node| await_bfd(world, node))?;
        for (node, name, app) in [
            ("node3", "bill3", "bill"),
            ("node3", "shop3", "shop"),
            ("node1", "bill1", "bill"),
            ("node2", "bill2", "bill"),
        ] {
            put_pod(world, node, name, app)?;
        }
        let far = world.pod("node3", "bill3")?;
        let other = world.pod("node3", "shop3")?;
        let near = [world.pod("node1", "bill1")?, world.pod("node2", "bill2")?];
        world.all_reach_all(&[far.clone(), other.clone(), near[0].clone(), near[1].clone()])?;
        let watch = Watch::start(world, "outside", "eth1", "udp")?;
        let mut ports = Ports(20000);
        comes_from(world, &watch, &mut ports, &far, false)?;

        put_gateway(world)?;
        eventually(SETTLES, || holder(world).map(drop))?;
        for pod in [&far, &near[0], &near[1]] {
            comes_from(world, &watch, &mut ports, pod, true)?;
        }
        comes_from(world, &watch, &mut ports, &other, false)?;
        // Inside nothing is translated, and a pod that others speak to answers as itself.
        world.all_reach_all(&[far.clone(), other.clone(), near[0].clone(), near[1].clone()])?;
        for address in &far.pod.addresses {
            let report = world.ping("outside", None, *address, 3)?;
            ensure!(report.lost() == 0, "what begins outside: {report:?}");
        }

        // The daemon of the node that has the address, and that of the pod, are away for a moment.
        let first = holder(world)?;
        for node in [first.as_str(), "node3"] {
            world.end_process(node, "felix-lite", Signal::SIGKILL)?;
            comes_from(world, &watch, &mut ports, &far, true)?;
        }
        ensure!(holder(world)? == first, "the address has moved");

        let second = if first == "node1" { "node2" } else { "node1" };
        a_silent_node_is_replaced_by_bfd(world, &watch, &mut ports, &far, [first.as_str(), second])?;

        // The other one dies. It comes back with nothing, and takes nothing away either.
        world.kill_node(second)?;
        eventually(SETTLES, || leaves_by(world, &watch, &mut ports, &far, &first))?;
        world.bring_back(second)?;
        await_bfd(world, second)?;
        comes_from(world, &watch, &mut ports, &far, true)?;
        ensure!(holder(world)? == first, "the address has moved back");

        // Without the gateway there is nothing of it left.
        std::fs::remove_file(object_path(world, "egressgateways", "partner"))?;
        comes_from(world, &watch, &mut ports, &far, false)?;
        for node in ["node3", first.as_str()] {
            eventually(SETTLES, || {
                let left =
                    world.run(node, "sh -c 'ip rule list; ip -6 rule list; nft list table inet cairn'")?;
                ensure!(!left.contains("proto 202"), "{left}");
                ensure!(!left.contains("chain egress"), "{left}");
                Ok(())
            })?;
        }
        Ok(())
    })
}

crate::scenario!(pods_leave_with_the_address_of_their_gateway);
