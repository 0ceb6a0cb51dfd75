//! What leaves a pod: only with the pod's own source, and masqueraded where the pool says so.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;

use crate::flow::words;
use crate::pools::set_modes;
use crate::wait::eventually;
use crate::world::{PodOn, SETTLES, World, play};

/// An address of the pools that no pod has.
pub(crate) fn nobodys(address: IpAddr) -> &'static str {
    if address.is_ipv6() { "fd00:10:244:ffff::1" } else { "10.244.255.1" }
}

pub(crate) fn outside(address: IpAddr) -> Result<IpAddr> {
    let text = if address.is_ipv6() { "2001:db8:100::1" } else { "198.51.100.1" };
    text.parse().context("an address")
}

/// Echo requests that a node has captured so far.
fn requests(world: &World, node: &str, filter: &str, version_6: bool) -> Result<usize> {
    let kind = if version_6 { "icmp6 and ip6[40] == 128" } else { "icmp[icmptype] == icmp-echo" };
    let words = ["tcpdump", "-Z", "root", "-nr", "/run/lab/capture.pcap", &format!("{kind}{filter}")];
    Ok(world.exec(node, &words)?.stdout.lines().count())
}

/// Those of them that came from a source.
fn requests_from(world: &World, node: &str, source: &str, version_6: bool) -> Result<usize> {
    requests(world, node, &format!(" and src host {source}"), version_6)
}

/// Gives the pod's default route another source, or its own again.
pub(crate) fn send_from(world: &World, pod: &PodOn, source: &str, version_6: bool) -> Result<()> {
    let (family, gateway) =
        if version_6 { ("-6", "fe80::ecee:eeff:feee:eeee") } else { ("-4", "169.254.1.1") };
    let change = |line: &str| {
        let output = world.exec_in(&pod.node, Some(&pod.pod.name), &words(line))?;
        ensure!(output.success, "{line}: {}", output.stderr);
        Ok(())
    };
    if !pod.pod.addresses.iter().any(|address| address.to_string() == source) {
        let rest = if version_6 { "128 dev eth0 nodad" } else { "32 dev eth0" };
        change(&format!("ip address add {source}/{rest}"))?;
    }
    change(&format!("ip {family} route replace default via {gateway} dev eth0 src {source}"))
}

/// Makes every pool one whose pods get another source outside.
pub(crate) fn masquerade_pools(world: &World) -> Result<()> {
    set_modes(world, "natOutgoing: true")
}

fn pods_send_from_their_own_addresses(families: Families) -> Result<()> {
    play("two-racks", "source-check", families, |world| {
        let pod = world.pod("node3", "web")?;
        for address in &pod.pod.addresses {
            let (host, version_6) = (outside(*address)?, address.is_ipv6());
            eventually(SETTLES, || {
                let report = world.ping("node3", Some("web"), host, 3)?;
                ensure!(report.lost() == 0, "{report:?}");
                Ok(())
            })?;
            ensure!(
                requests_from(world, "outside", &address.to_string(), version_6)? >= 3,
                "the own source is kept"
            );
            let forged = nobodys(*address);
            send_from(world, &pod, forged, version_6)?;
            let report = world.ping("node3", Some("web"), host, 10)?;
            ensure!(report.received == 0, "a forged source was answered: {report:?}");
            ensure!(
                requests_from(world, "outside", forged, version_6)? == 0,
                "a forged source has left the node"
            );
            send_from(world, &pod, &address.to_string(), version_6)?;
            let report = world.ping("node3", Some("web"), host, 3)?;
            ensure!(report.lost() == 0, "the own source no longer works: {report:?}");
        }
        Ok(())
    })
}

fn a_pool_is_masqueraded_outside_and_never_inside(families: Families) -> Result<()> {
    play("two-racks", "masquerade", families, |world| {
        let (near, far) = (world.pod("node3", "near")?, world.pod("node1", "far")?);
        world.all_reach_all(&[near.clone(), far])?;
        masquerade_pools(world)?;
        for address in &near.pod.addresses {
            let (host, version_6) = (outside(*address)?, address.is_ipv6());
            let source = address.to_string();
            eventually(SETTLES, || {
                let before = requests_from(world, "outside", &source, version_6)?;
                let all_before = requests(world, "outside", "", version_6)?;
                let report = world.ping("node3", Some("near"), host, 5)?;
                ensure!(report.lost() == 0, "{report:?}");
                ensure!(
                    requests_from(world, "outside", &source, version_6)? == before,
                    "{source} still leaves as it is"
                );
                let arrived = requests(world, "outside", "", version_6)? - all_before;
                ensure!(arrived >= 5, "outside saw only {arrived} of 5 requests");
                Ok(())
            })?;
        }
        // Between pods the sources stay: whom a pod hears of must be who it was.
        let server = world.pod("node1", "server")?;
        for address in &near.pod.addresses {
            let heard = || requests_from(world, "node1", &address.to_string(), address.is_ipv6());
            let before = heard()?;
            world.reaches(&near, &server)?;
            ensure!(heard()? > before, "node1 no longer sees {address} as a source");
        }
        Ok(())
    })
}

crate::scenario!(pods_send_from_their_own_addresses);
crate::scenario!(a_pool_is_masqueraded_outside_and_never_inside);
