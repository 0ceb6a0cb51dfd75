//! The source that packets get when they leave the pools: which address, which ports, and where they keep their own.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;
use nix::sys::signal::Signal;

use crate::fabric::configure;
use crate::firewall::{masquerade_pools, outside};
use crate::wait::eventually;
use crate::wire::Watch;
use crate::world::{PodOn, SETTLES, World, play};

/// Ports that connections may get: more than all of a scenario together need, for each stays taken for half a minute.
const PORTS: std::ops::RangeInclusive<u16> = 40000..=40999;
/// What is sent to on the host outside, which listens nowhere.
const PORT: u16 = 9;

/// The address of node3 that packets are to have: on its loopback, known to tor1.
fn fixed(version_6: bool) -> &'static str {
    if version_6 { "2001:db8:3::3" } else { "203.0.113.3" }
}

fn give_fixed_addresses(world: &World) -> Result<()> {
    for (version, length, gateway) in [(false, 32, "10.1.3.1"), (true, 128, "fd10:1:3::1")] {
        let address = fixed(version);
        let nodad = if version { " nodad" } else { "" };
        world.run("node3", &format!("ip address add {address}/{length} dev lo{nodad}"))?;
        // Where the families are fewer, there is no such gateway, and no packet that would need it.
        let _ = world.run("tor1", &format!("ip route add {address} via {gateway}"));
    }
    Ok(())
}

/// Sends from the pod over UDP and TCP, a connection each, and gives the sources that arrive outside, by protocol.
fn sources(world: &World, pod: &PodOn, to: IpAddr) -> Result<BTreeSet<(bool, IpAddr, u16)>> {
    let watch = Watch::start(world, "outside", "eth1", &format!("dst host {to} and dst port {PORT}"))?;
    let last = "last";
    let script = format!(
        "for i in $(seq 20); do echo x > /dev/udp/{to}/{PORT}; (echo > /dev/tcp/{to}/{PORT}) 2>/dev/null; done; echo {last} > /dev/udp/{to}/{PORT}; true"
    );
    world.exec_in(&pod.node, Some(&pod.pod.name), &["bash", "-c", &script])?;
    let end = format!("length {}", last.len() + 1);
    let text = watch.until(world, |line| line.contains("UDP") && line.ends_with(&end))?;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("IP")).skip(1);
        let source = words.next().with_context(|| format!("no source: {line}"))?;
        let (address, port) = source.rsplit_once('.').with_context(|| format!("no port: {line}"))?;
        found.insert((line.contains("UDP"), address.parse()?, port.parse()?));
    }
    Ok(found)
}

/// Every connection arrives with one address, and with ports of a range, several of each protocol.
fn all_are(world: &World, pod: &PodOn, to: IpAddr, address: &str, in_range: bool) -> Result<()> {
    let found = sources(world, pod, to)?;
    let wrong: Vec<_> = found
        .iter()
        .filter(|(_, source, port)| source.to_string() != address || (in_range && !PORTS.contains(port)))
        .collect();
    ensure!(wrong.is_empty(), "not from {address}, ports {PORTS:?}: {wrong:?}");
    for udp in [false, true] {
        let ports = found.iter().filter(|(protocol, ..)| *protocol == udp).count();
        ensure!(ports >= 5, "{ports} ports only: {found:?}");
    }
    Ok(())
}

fn what_leaves_the_pools_gets_the_source_that_is_said(families: Families) -> Result<()> {
    play("two-racks", "nat", families, |world| {
        give_fixed_addresses(world)?;
        masquerade_pools(world)?;
        let pod = world.pod("node3", "web")?;
        let far = world.pod("node1", "far")?;
        let range = format!("natPortRange: '{}:{}'", PORTS.start(), PORTS.end());
        let addresses =
            format!("natOutgoingAddress: {}, natOutgoingAddressV6: '{}'", fixed(false), fixed(true));
        configure(world, &format!("{addresses}, {range}"))?;
        for address in &pod.pod.addresses {
            let (to, source) = (outside(*address)?, fixed(address.is_ipv6()));
            eventually(SETTLES, || all_are(world, &pod, to, source, true))?;
            // Echo requests have no ports, and are answered: the address is the node's for others, too.
            let report = world.ping("node3", Some("web"), to, 5)?;
            ensure!(report.lost() == 0, "{report:?}");
        }
        world.all_reach_all(&[pod.clone(), far])?;

        // What an earlier run wrote holds until all is read: no connection gets another source meanwhile.
        world.end_process("node3", "felix-lite", Signal::SIGKILL)?;
        for _ in 0..5 {
            for address in &pod.pod.addresses {
                all_are(world, &pod, outside(*address)?, fixed(address.is_ipv6()), true)?;
            }
        }

        configure(
            world,
            &format!("{addresses}, natOutgoingExcludedCIDRs: [198.51.100.0/31, '2001:db8:100::/127']"),
        )?;
        for address in &pod.pod.addresses {
            let own = address.to_string();
            eventually(SETTLES, || all_are(world, &pod, outside(*address)?, &own, false))?;
        }

        // An address of nobody would never see an answer.
        configure(world, "natOutgoingAddress: 203.0.113.99, natOutgoingAddressV6: '2001:db8:3::99'")?;
        for address in &pod.pod.addresses {
            let interface = if address.is_ipv6() { "fd10:1:3::1" } else { "10.1.3.1" };
            eventually(SETTLES, || all_are(world, &pod, outside(*address)?, interface, false))?;
        }
        eventually(SETTLES, || {
            let status = world.directory().join("volumes/objects/nodestatuses/node3.yaml");
            let status = std::fs::read_to_string(status)?;
            ensure!(status.contains("natOutgoingAddress 203.0.113.99 of the NodeConfiguration"), "{status}");
            Ok(())
        })
        .map(drop)
    })
}

crate::scenario!(what_leaves_the_pools_gets_the_source_that_is_said);
