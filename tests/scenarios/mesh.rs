//! Pods across nodes that are iBGP neighbours of each other.

use anyhow::Result;
use cairn_lab::lab::Families;

use crate::world::play;

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

crate::scenario!(pods_across_a_mesh);
