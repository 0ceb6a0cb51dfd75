//! `cairnctl doctor`: what it says of networks between nodes that lose some of what pods send.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use cairn_lab::lab::Families;

use crate::fabric::{await_mtu, configure, pods};
use crate::pools::set_modes;
use crate::wait::eventually;
use crate::world::{SETTLES, play};

/// `cairnctl doctor mtu` is quiet while all that pods send gets through, and tells of a path that drops the largest of it.
fn the_doctor_finds_a_black_hole(families: Families) -> Result<()> {
    play("fabric", "doctor", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        let overhead = if families == Families::Ipv4 { 50 } else { 70 };
        await_mtu(world, &pods[0], 1500 - overhead)?;
        let doctor = || world.exec("node1", &["cairnctl", "doctor", "mtu", "--node-name", "node1"]);
        let healthy = |words: &str| -> Result<()> {
            let found = doctor()?;
            ensure!(found.success && !found.stdout.contains("narrower"), "{words}: {}", found.text());
            let lines = found.stdout.lines().filter(|line| line.ends_with(" ok")).count();
            ensure!(lines == 2 * pods[0].pod.addresses.len(), "{words}: not every path: {}", found.text());
            Ok(())
        };
        healthy("as it is")?;

        // In the middle of the way to node3, which no link and no route of a node tells of. What is bridged to node2 comes by here, too.
        for line in [
            "add table inet hole",
            "add chain inet hole forward { type filter hook forward priority 0; }",
            "add rule inet hole forward oifname node3 ip length > 1400 drop",
            "add rule inet hole forward oifname node3 ip6 length > 1360 drop",
        ] {
            let done = world.exec("router", &["nft", line])?;
            ensure!(done.success, "{}", done.text());
        }
        let found = doctor()?;
        let of = |node: &str| found.stdout.lines().filter(|line| line.starts_with(node)).collect::<Vec<_>>();
        ensure!(!found.success, "{}", found.text());
        ensure!(of("node2").iter().all(|line| line.ends_with(" ok")), "{}", found.text());
        ensure!(
            of("node3").iter().all(|line| line.contains(" 1400 ") && line.contains("narrower")),
            "{}",
            found.text()
        );

        // What it advises helps, and it sees that.
        let advised = format!("set `mtu` of the NodeConfiguration to {}", 1400 - overhead);
        ensure!(found.text().contains(&advised), "{}", found.text());
        configure(world, &format!("mtu: {}", 1400 - overhead))?;
        await_mtu(world, &pods[0], 1400 - overhead)?;
        healthy("with the MTU that was advised")?;

        // A node that cannot be reached at all hides nothing of the others.
        let gone: IpAddr = if families == Families::Ipv6 { "fd10:0:2::3" } else { "10.0.2.3" }.parse()?;
        world.run("node1", &format!("ip route add unreachable {gone}"))?;
        let found = doctor()?;
        ensure!(
            found.stdout.lines().any(|line| line.starts_with("node2") && line.ends_with(" ok")),
            "{}",
            found.text()
        );
        ensure!(
            found.stdout.lines().any(|line| line.contains(&gone.to_string()) && line.contains("no route")),
            "{}",
            found.text()
        );
        Ok(())
    })
}

/// A cloud that knows its machines' addresses alone: plainly, pods do not get through it, in VXLAN they do. The doctor tells one from the other.
fn a_network_that_drops_addresses_of_pods_is_named(families: Families) -> Result<()> {
    play("fabric", "doctor-pods", families, |world| {
        // Sessions between all nodes, so that each has a route to each block: what is lost is lost on the way.
        let mesh = world.directory().join("volumes/objects/bgpconfigurations/default.yaml");
        let text = std::fs::read_to_string(&mesh)?.replace("MeshEnabled: false", "MeshEnabled: true");
        std::fs::write(mesh.with_extension("draft"), text)?;
        std::fs::rename(mesh.with_extension("draft"), &mesh)?;
        let pods = pods(world)?;
        for node in world.cairn_nodes() {
            world.await_sessions(&node, 2)?;
        }
        let count = pods[0].pod.addresses.len();
        let doctor = || world.exec("node1", &["cairnctl", "doctor", "pods", "--node-name", "node1"]);
        let lines = |text: &str, node: &str, words: &str| {
            text.lines().filter(|line| line.starts_with(node) && line.contains(words)).count()
        };
        eventually(SETTLES, || {
            let found = doctor()?;
            let near = lines(&found.stdout, "node2", " ok");
            let far = lines(&found.stdout, "node3", "its node answers: packets with addresses of pods");
            ensure!(near == count && far == count && !found.success, "{}", found.text());
            let advice = "the network between drops packets with addresses of pods";
            ensure!(
                found.text().contains(advice) && found.text().contains("vxlanMode: Always"),
                "{}",
                found.text()
            );
            Ok(())
        })?;

        set_modes(world, "vxlanMode: CrossSubnet")?;
        world.all_reach_all(&pods)?;
        let found = doctor()?;
        let fine = lines(&found.stdout, "node", " ok");
        ensure!(found.success && fine == 2 * count, "{}", found.text());

        // The same network, once it drops VXLAN, too.
        for line in [
            "add table inet hole",
            "add chain inet hole forward { type filter hook forward priority 0; }",
            "add rule inet hole forward oifname node3 udp dport 4789 drop",
        ] {
            let done = world.exec("router", &["nft", line])?;
            ensure!(done.success, "{}", done.text());
        }
        let found = doctor()?;
        let far = lines(&found.stdout, "node3", "UDP to port 4789 lost on the way");
        ensure!(far == count && !found.success, "{}", found.text());
        Ok(())
    })
}

crate::scenario!(the_doctor_finds_a_black_hole);
crate::scenario!(a_network_that_drops_addresses_of_pods_is_named);
