//! Pods and each other.

use anyhow::{Context, Result, ensure};

use crate::world::World;

pub(crate) fn all_reach_all_and_are_seen_by_their_own_address(world: &World) -> Result<()> {
    let pods = world.pods()?;
    let families = if world.cluster.families().wants("::") { 2 } else { 1 };
    for from in &pods {
        ensure!(from.addresses.len() == families, "{from:?}");
        for to in &pods {
            world.keeps_its_address(from, to)?;
        }
    }
    Ok(())
}

/// Prints the interface of each pod of a node, whatever its image has.
const INTERFACES: &str =
    "sh -c 'for space in /run/netns/*; do nsenter --net=$space ip -oneline link show eth0; done'";

fn await_mtu(world: &World, wanted: &str) -> Result<()> {
    for node in world.cluster.nodes() {
        world.cluster.await_that("all pods have the MTU", || {
            let found = world.cluster.lab().run(node, INTERFACES)?;
            let all =
                !found.is_empty() && found.lines().all(|line| line.contains(&format!(" mtu {wanted} ")));
            ensure!(all, "{node}: not {wanted}: {found:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// A daemon that was started again reaches namespaces of pods that another one made.
pub(crate) fn have_another_mtu_after_their_daemon_began_again(world: &World) -> Result<()> {
    let namespace = ["--namespace", "cairn-system"];
    let restart = [&namespace[..], &["rollout", "restart", "daemonset/cairn-node"]].concat();
    world.cluster.kubectl(&restart)?;
    world.cluster.await_rollout("cairn-system", "daemonset/cairn-node")?;
    await_mtu(world, "1500")?;
    let configuration = serde_json::json!({
        "apiVersion": "cairn.network/v1alpha1",
        "kind": "NodeConfiguration",
        "metadata": { "name": "smaller" },
        "spec": { "mtu": 1400 },
    });
    world.cluster.apply(&configuration.to_string())?;
    let smaller = await_mtu(world, "1400");
    world.cluster.kubectl(&["delete", "nodeconfiguration", "smaller"])?;
    smaller.context("mtu: 1400")?;
    await_mtu(world, "1500")
}
