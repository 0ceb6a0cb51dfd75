//! The fast path of established connections: a flowtable, where the configuration asks for one.

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;

use crate::fabric::pods;
use crate::firewall::{nobodys, send_from};
use crate::flow::{Flows, Server, words};
use crate::pools::set_modes;
use crate::wait::eventually;
use crate::wireguard::configure;
use crate::world::{PodOn, SETTLES, World, play};

const PORT: u16 = 7100;

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
    let route = world.run(&pod.node, &format!("ip route get {address}"))?;
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

/// TCP packets that went through the forward hook of a node until now, for which a chain is made that counts them.
fn forwarded(world: &World, node: &str) -> Result<u64> {
    let text = world.run(node, "nft list chain inet probe seen")?;
    let count = text.split_whitespace().skip_while(|word| *word != "packets").nth(1);
    count.and_then(|count| count.parse().ok()).with_context(|| format!("no count: {text}"))
}

/// How many packets of a connection with so many messages take the ordinary way through the node of the pod that begins it.
fn ordinary(world: &World, from: &PodOn, to: &PodOn, messages: u64) -> Result<u64> {
    let before = forwarded(world, &from.node)?;
    for address in &to.pod.addresses {
        let line = format!("cairn-lab probe stream {address} {PORT} --count {messages} --interval 1");
        let output = world.exec_in(&from.node, Some(&from.pod.name), &words(&line))?;
        ensure!(output.success, "{line}: {}", output.text());
    }
    Ok((forwarded(world, &from.node)? - before) / to.pod.addresses.len() as u64)
}

fn established_connections_take_the_fast_path_and_sources_are_checked(families: Families) -> Result<()> {
    const MESSAGES: u64 = 300;
    play("fabric", "fast-path", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let (near, far) = (&pods[0], &pods[2]);
        for line in [
            "nft add table inet probe",
            "nft add chain inet probe seen { type filter hook forward priority 20 ; }",
            "nft add rule inet probe seen meta l4proto tcp counter",
        ] {
            world.run(&near.node, line)?;
        }
        let server = Server::start(world, far, PORT)?;
        let slow = ordinary(world, near, far, MESSAGES)?;
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
        let fast = ordinary(world, near, far, MESSAGES)?;
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
        let fast = ordinary(world, near, far, MESSAGES)?;
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

// One family: the flowtable of both is the same, and the emulated machine is slow with two.
scenario!(needs_flowtable_vxlan, established_connections_take_the_fast_path_and_sources_are_checked: ipv4);
