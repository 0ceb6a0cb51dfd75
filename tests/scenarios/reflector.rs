//! Nodes that know each other only through a route reflector.

use anyhow::{Result, ensure};
use cairn_lab::lab::Families;

use crate::world::play;

fn pods_behind_a_route_reflector(families: Families) -> Result<()> {
    play("route-reflector", "reflector", families, |world| {
        let mut pods = Vec::new();
        for (node, name) in [("node1", "a"), ("node2", "b"), ("node3", "c")] {
            pods.push(world.pod(node, name)?);
            world.await_sessions(node, 1)?;
        }
        world.await_sessions("reflector", 3)?;
        world.all_reach_all(&pods)?;
        // The reflector is not in the way of packets: the next hop is the other node.
        let route = world.run("node1", &format!("ip route get {}", pods[1].pod.addresses[0]))?;
        let direct = route.contains("via 10.0.0.2 ") || route.contains("via fd10::2 ");
        ensure!(direct, "node1 sends packets for node2's pod elsewhere: {route}");
        Ok(())
    })
}

crate::scenario!(pods_behind_a_route_reflector);
