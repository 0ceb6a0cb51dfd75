//! Pods across nodes that are iBGP neighbours of each other.

use anyhow::{Result, ensure};
use bgpd_api::route::Table;
use cairn_lab::lab::Families;

use crate::egress::put;
use crate::flow::Flows;
use crate::overlay::await_device;
use crate::pools::set_modes;
use crate::wait::eventually;
use crate::world::{PodOn, SETTLES, World, play};

fn pods_across_a_mesh(families: Families) -> Result<()> {
    play("mesh", "mesh", families, |world| {
        let mut pods = Vec::new();
        for (node, name) in [("node1", "a"), ("node2", "b"), ("node3", "c"), ("node3", "d")] {
            pods.push(world.pod(node, name)?);
        }
        for node in world.cairn_nodes() {
            world.await_sessions(&node, 2)?;
        }
        world.all_reach_all(&pods)?;
        // A node behind a switch that loses power: the others see it only when hold and restart times have run out, and do
        // not suffer meanwhile. When it is back, with an empty disk, its pods are reached again.
        world.kill_node("node3")?;
        world.all_reach_all(&pods[..2])?;
        world.bring_back("node3")?;
        world.run("switch", "ip link set node3 master br0")?;
        let again = world.pod("node3", "e")?;
        world.all_reach_all(&[pods[0].clone(), pods[1].clone(), again])?;
        Ok(())
    })
}

/// Changes the mode of all pools under flows between the pods, and waits until both nodes send by another device. Few packets may be lost.
fn change_mode(world: &World, pods: &[PodOn], mode: &str, device: &str) -> Result<()> {
    let (from, to) = (&pods[0], &pods[1]);
    let flows = Flows::start(world, from, to)?;
    set_modes(world, mode)?;
    for (node, pod) in [(&from.node, to), (&to.node, from)] {
        pod.pod.addresses.iter().try_for_each(|address| await_device(world, node, *address, device))?;
    }
    flows.end_with_at_most(1)?;
    world.all_reach_all(pods).map(drop)
}

/// Switches the mesh on or off, and waits until every node has, or has lost, its sessions.
fn set_mesh(world: &World, enabled: bool) -> Result<()> {
    let text = format!(
        "apiVersion: cairn.network/v1alpha1\nkind: BGPConfiguration\nmetadata: {{name: default}}\n\
         spec: {{nodeToNodeMeshEnabled: {enabled}}}\n"
    );
    put(world, "bgpconfigurations", "default", &text)?;
    let sessions = if enabled { 2 } else { 0 };
    world.cairn_nodes().iter().try_for_each(|node| world.await_sessions(node, sessions))
}

/// Waits until a node has a pod's block by BGP, or nobody's.
fn await_learned(world: &World, node: &str, pod: &PodOn, wanted: bool) -> Result<()> {
    eventually(SETTLES, || {
        let routes = world.table(node, Table::LocRib)?;
        for address in &pod.pod.addresses {
            let learned = routes.iter().any(|route| route.prefix.contains(*address));
            ensure!(learned == wanted, "{node} has {address} by BGP: {learned}");
        }
        Ok(())
    })
    .map(drop)
}

/// A block's route is there by BGP while packets are plain, and by the block's affinity while they are in VXLAN: both owners hand it over under traffic, and
/// the second one does without the first.
fn pools_move_between_bgp_and_vxlan_under_traffic(families: Families) -> Result<()> {
    play("mesh", "mesh-vxlan", families, |world| {
        let pods = [world.pod("node1", "a")?, world.pod("node2", "b")?, world.pod("node3", "c")?];
        world.cairn_nodes().iter().try_for_each(|node| world.await_sessions(node, 2))?;
        world.all_reach_all(&pods)?;
        await_learned(world, "node1", &pods[1], true)?;
        change_mode(world, &pods, "vxlanMode: Always", "cairn-vxlan")?;

        let flows = Flows::start(world, &pods[0], &pods[1])?;
        set_mesh(world, false)?;
        await_learned(world, "node1", &pods[1], false)?;
        world.all_reach_all(&pods)?;
        set_mesh(world, true)?;
        await_learned(world, "node1", &pods[1], true)?;
        await_learned(world, "node2", &pods[0], true)?;
        flows.end_without_loss()?;

        change_mode(world, &pods, "vxlanMode: Never", "eth1")
    })
}

crate::scenario!(pods_across_a_mesh);
crate::scenario!(pools_move_between_bgp_and_vxlan_under_traffic);
