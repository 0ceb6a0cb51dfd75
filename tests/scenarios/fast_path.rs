//! The fast path of established connections: a flowtable, where the configuration asks for one.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;

use crate::fabric::pods;
use crate::firewall::{nobodys, send_from};
use crate::flow::{Flows, Kept, Server, words};
use crate::overlay::await_device;
use crate::pools::{set_modes, set_modes_of};
use crate::wait::eventually;
use crate::wireguard::configure;
use crate::world::{PodOn, SETTLES, World, play};

const PORT: u16 = 7100;
/// Where a host outside tells by which address it is spoken to.
const TELLS: u16 = 7101;
/// The router itself, which is no node and has no address of a pool.
const OUTSIDE: [&str; 2] = ["10.0.1.254", "fd10:0:1::fe"];
/// Of one connection.
const MESSAGES: u64 = 300;

/// The interfaces in a node's flowtable; none without one.
fn devices(world: &World, node: &str) -> Result<Vec<String>> {
    let text = world.exec(node, &["nft", "list", "flowtables", "inet"])?.stdout;
    let Some((_, list)) = text.split_once("devices = {") else { return Ok(Vec::new()) };
    let list = list.split('}').next().unwrap_or_default();
    Ok(list.split([',', ' ', '"', '\n']).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect())
}

/// The host end of a pod's pair.
fn interface(world: &World, pod: &PodOn) -> Result<String> {
    let address = pod.pod.addresses.first().context("an address")?;
    way_to(world, &pod.node, *address)
}

/// The interface by which a node reaches an address.
fn way_to(world: &World, node: &str, address: IpAddr) -> Result<String> {
    let route = world.run(node, &format!("ip route get {address}"))?;
    let name = route.split_whitespace().skip_while(|word| *word != "dev").nth(1);
    name.map(ToOwned::to_owned).with_context(|| format!("no device: {route}"))
}

/// Waits until the interface of a pod is in its node's flowtable, or not.
fn joins(world: &World, pod: &PodOn, wanted: bool) -> Result<()> {
    let name = interface(world, pod)?;
    eventually(SETTLES, || {
        let devices = devices(world, &pod.node)?;
        ensure!(
            devices.contains(&name) == wanted,
            "{name} in the flowtable: {wanted}; there are {devices:?}"
        );
        Ok(())
    })
    .map(drop)
}

/// Makes a chain that counts the TCP packets that go through the forward hook of a node.
fn count_forwarded(world: &World, node: &str) -> Result<()> {
    for line in [
        "nft add table inet probe",
        "nft add chain inet probe seen { type filter hook forward priority 20 ; }",
        "nft add rule inet probe seen meta l4proto tcp counter",
    ] {
        world.run(node, line)?;
    }
    Ok(())
}

/// How many that were until now.
fn forwarded(world: &World, node: &str) -> Result<u64> {
    let text = world.run(node, "nft list chain inet probe seen")?;
    let count = text.split_whitespace().skip_while(|word| *word != "packets").nth(1);
    count.and_then(|count| count.parse().ok()).with_context(|| format!("no count: {text}"))
}

/// How many packets of a connection with [`MESSAGES`] take the ordinary way through the node of the pod that begins it.
fn ordinary(world: &World, from: &PodOn, to: &[IpAddr]) -> Result<u64> {
    let before = forwarded(world, &from.node)?;
    for address in to {
        let line = format!("cairn-lab probe stream {address} {PORT} --count {MESSAGES} --interval 1");
        let output = world.exec_in(&from.node, Some(&from.pod.name), &words(&line))?;
        ensure!(output.success, "{line}: {}", output.text());
    }
    Ok((forwarded(world, &from.node)? - before) / to.len() as u64)
}

fn established_connections_take_the_fast_path_and_sources_are_checked(families: Families) -> Result<()> {
    play("fabric", "fast-path", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let (near, far) = (&pods[0], &pods[2]);
        count_forwarded(world, &near.node)?;
        let server = Server::start(world, far, PORT)?;
        let slow = ordinary(world, near, &far.pod.addresses)?;
        ensure!(slow >= 2 * MESSAGES, "without the option every packet is seen: {slow}");

        // Switched on under running flows.
        let flows = Flows::start(world, near, far)?;
        configure(world, "flowtable: Software")?;
        for pod in &pods {
            joins(world, pod, true)?;
        }
        let device = if families == Families::Ipv6 { "cairn-vxlan6" } else { "cairn-vxlan" };
        let there = devices(world, &near.node)?;
        ensure!(there.iter().any(|name| name == device), "{device} is not in it: {there:?}");
        let fast = ordinary(world, near, &far.pod.addresses)?;
        ensure!(fast < MESSAGES / 4, "{fast} packets of {MESSAGES} messages take the ordinary way");
        flows.end_without_loss()?;

        // What has another source than the pod's does not get through, neither does what begins anew.
        for address in &near.pod.addresses {
            let version_6 = address.is_ipv6();
            let target = far.pod.addresses.iter().copied().find(|other| other.is_ipv6() == version_6);
            let target = target.context("an address of the same family")?;
            send_from(world, near, nobodys(*address), version_6)?;
            let report = world.ping(&near.node, Some(&near.pod.name), target, 3)?;
            ensure!(report.received == 0, "a forged source was answered: {report:?}");
            send_from(world, near, &address.to_string(), version_6)?;
        }

        // Somebody takes the table away: the connections do not notice, and it comes back.
        let flows = Flows::start(world, near, far)?;
        world.run(&near.node, "nft delete table inet cairn-fastpath")?;
        joins(world, near, true)?;
        flows.end_without_loss()?;
        let fast = ordinary(world, near, &far.pod.addresses)?;
        ensure!(fast < MESSAGES / 4, "{fast} packets of {MESSAGES} messages take the ordinary way");

        // A pod that goes takes its connections along.
        let gone = interface(world, far)?;
        drop(server);
        world.delete_pod(&far.node, &far.pod.name)?;
        ensure!(
            !devices(world, &far.node)?.contains(&gone),
            "the interface of a pod that is gone is still in it"
        );

        let flows = Flows::start(world, near, &pods[1])?;
        configure(world, "flowtable: Disabled")?;
        eventually(SETTLES, || {
            let tables = world.run(&near.node, "nft list tables")?;
            ensure!(!tables.contains("cairn-fastpath"), "{tables}");
            Ok(())
        })?;
        flows.end_without_loss()
    })
}

/// Established connections from a pod to these addresses leave its node by a device, named so or with a 6 behind it, and take the fast path there.
fn are_fast(world: &World, from: &PodOn, to: &[IpAddr], device: &str) -> Result<()> {
    for address in to {
        await_device(world, &from.node, *address, device)?;
        let name = way_to(world, &from.node, *address)?;
        eventually(SETTLES, || {
            let there = devices(world, &from.node)?;
            ensure!(there.contains(&name), "{name} is not in it: {there:?}");
            Ok(())
        })?;
    }
    let seen = ordinary(world, from, to)?;
    println!("{}: by {device}: {seen} packets of {MESSAGES} messages take the ordinary way", world.name());
    // The first ones do, and no packet would be there at all of a connection that takes another way.
    ensure!((1..MESSAGES / 4).contains(&seen), "by {device} to {to:?}: {seen} of {MESSAGES} messages");
    Ok(())
}

/// Servers on the router, once they listen.
fn serve_outside(world: &World) -> Result<[Kept; 2]> {
    let start = |what: &str| Kept::start(world.command("router", None)?, &format!("cairn-lab probe {what}"));
    let servers = [start(&format!("serve {PORT}"))?, start(&format!("tell {TELLS}"))?];
    eventually(SETTLES, || {
        let listen = world.run("router", "ss -Htln")?;
        let all = [PORT, TELLS].iter().all(|port| listen.contains(&format!(":{port} ")));
        ensure!(all, "not both listen: {listen}");
        Ok(())
    })?;
    Ok(servers)
}

/// Waits until a host outside is spoken to by another address than the pod's own.
fn becomes_masqueraded(world: &World, from: &PodOn, host: IpAddr) -> Result<()> {
    let line = format!("cairn-lab probe ask {host} {TELLS}");
    eventually(SETTLES, || {
        let output = world.exec_in(&from.node, Some(&from.pod.name), &words(&line))?;
        let seen = output.stdout.trim().parse::<IpAddr>().with_context(|| output.text())?;
        ensure!(!from.pod.addresses.contains(&seen), "{host} sees {seen}");
        Ok(())
    })
    .map(drop)
}

/// Plainly, translated, and in each kind of tunnel.
fn connections_take_the_fast_path_whatever_carries_them(families: Families) -> Result<()> {
    play("fabric", "fast-ways", families, |world| {
        set_modes(world, "vxlanMode: CrossSubnet")?;
        configure(world, "flowtable: Software")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let (near, beside, far) = (&pods[0], &pods[1], &pods[2]);
        joins(world, near, true)?;
        count_forwarded(world, &near.node)?;
        let _servers = [Server::start(world, beside, PORT)?, Server::start(world, far, PORT)?];
        are_fast(world, near, &far.pod.addresses, "cairn-vxlan")?;
        are_fast(world, near, &beside.pod.addresses, "eth1")?;

        set_modes(world, "natOutgoing: true")?;
        let _outside = serve_outside(world)?;
        let hosts = OUTSIDE.into_iter().filter(|address| families.wants(address));
        let hosts: Vec<IpAddr> = hosts.map(str::parse::<IpAddr>).collect::<Result<_, _>>()?;
        hosts.iter().try_for_each(|host| becomes_masqueraded(world, near, *host))?;
        are_fast(world, near, &hosts, "eth1")?;

        // Pods of IPv6 stay in VXLAN.
        set_modes_of(world, |name| name == "pods-ipv4", "ipipMode: CrossSubnet")?;
        let four: Vec<IpAddr> = far.pod.addresses.iter().copied().filter(IpAddr::is_ipv4).collect();
        are_fast(world, near, &four, "cairn-ipip")?;

        configure(world, "flowtable: Software, wireguardEnabled: true, wireguardEnabledV6: true")?;
        are_fast(world, near, &far.pod.addresses, "cairn-wg")
    })
}

// One family: what happens to the table does not depend on it, and the emulated machine is slow with flows of two.
scenario!(needs_flowtable_vxlan, established_connections_take_the_fast_path_and_sources_are_checked: ipv4);
scenario!(needs_flowtable_vxlan_ipip_wireguard, connections_take_the_fast_path_whatever_carries_them: dual);
