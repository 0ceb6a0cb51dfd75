//! Two racks behind two ToRs, BIRD 2 and FRRouting, with eBGP: both ways are used, and either may fail.

use anyhow::{Result, ensure};
use cairn_lab::lab::Families;

use crate::route::learned;
use crate::wait::eventually;
use crate::world::{PodOn, SETTLES, World, play};

/// Waits until a node's route to another's pod has so many next hops.
fn await_hops(world: &World, node: &str, to: &PodOn, hops: usize) -> Result<()> {
    eventually(SETTLES, || {
        for address in &to.pod.addresses {
            let found = learned(world, node, *address)?;
            ensure!(found == hops, "{node} has {found} next hops to {address}, not {hops}");
        }
        Ok(())
    })
    .map(|_| ())
}

fn pods(world: &World) -> Result<Vec<PodOn>> {
    [("node1", "a"), ("node2", "b"), ("node3", "c")]
        .into_iter()
        .map(|(node, name)| world.pod(node, name))
        .collect()
}

fn both_tors_carry_traffic_and_either_may_fail(families: Families) -> Result<()> {
    play("two-racks", "tor-loss", families, |world| {
        let pods = pods(world)?;
        for node in world.cairn_nodes() {
            world.await_sessions(&node, World::SESSIONS_WITH_TORS)?;
        }
        world.all_reach_all(&pods)?;
        for tor in ["tor1", "tor2"] {
            await_hops(world, "node1", &pods[2], 2)?;
            await_hops(world, "node1", &pods[1], 2)?;
            world.kill_node(tor)?;
            await_hops(world, "node1", &pods[2], 1)?;
            let time = world.all_reach_all(&pods)?;
            println!("{}: {tor} lost, all pods reach each other after {time:?}", world.name());
            world.bring_back(tor)?;
        }
        await_hops(world, "node1", &pods[2], 2)?;
        world.all_reach_all(&pods)?;
        Ok(())
    })
}

fn a_lost_node_takes_only_its_own_routes(families: Families) -> Result<()> {
    play("two-racks", "node-loss", families, |world| {
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        world.kill_node("node2")?;
        await_hops(world, "node1", &pods[1], 0)?;
        await_hops(world, "node1", &pods[2], 2)?;
        world.all_reach_all(&[pods[0].clone(), pods[2].clone()])?;
        world.bring_back("node2")?;
        let again = world.pod("node2", "d")?;
        world.all_reach_all(&[pods[0].clone(), pods[2].clone(), again])?;
        Ok(())
    })
}

crate::scenario!(both_tors_carry_traffic_and_either_may_fail);
crate::scenario!(a_lost_node_takes_only_its_own_routes);
