//! Daemons restart and are killed, and no established flow loses a packet.

use std::time::Duration;

use anyhow::{Result, ensure};
use cairn_lab::lab::Families;
use nix::sys::signal::Signal;

use crate::flow::Flows;
use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// The time that a fault has to show in the flows before the next one.
const EFFECT: Duration = Duration::from_secs(3);

fn await_restart(world: &World, node: &str, daemon: &str, sessions: usize) -> Result<()> {
    eventually(SETTLES, || {
        ensure!(world.processes(node, daemon)?.len() == 1, "{daemon} does not run on {node}");
        Ok(())
    })?;
    world.await_sessions(node, sessions)?;
    std::thread::sleep(EFFECT);
    Ok(())
}

/// Ends daemons on both sides of the flows, one after the other.
fn survive(world: &mut World, sessions: usize) -> Result<()> {
    let pods = [world.pod("node1", "a")?, world.pod("node3", "b")?];
    for node in ["node1", "node3"] {
        world.await_sessions(node, sessions)?;
    }
    world.all_reach_all(&pods)?;
    let flows = Flows::start(world, &pods[0], &pods[1])?;
    for (node, daemon, signal) in [
        ("node1", "bgpd", Signal::SIGKILL),
        ("node1", "felix-lite", Signal::SIGKILL),
        ("node3", "bgpd", Signal::SIGTERM),
        ("node3", "felix-lite", Signal::SIGTERM),
    ] {
        world.end_process(node, daemon, signal)?;
        await_restart(world, node, daemon, sessions)?;
    }
    flows.end_without_loss()?;
    // What was adopted is not only left alone but kept up.
    let new = world.pod("node1", "c")?;
    world.all_reach_all(&[new, pods[1].clone()])?;
    world.delete_pod("node1", "a")?;
    Ok(())
}

fn a_mesh_survives_its_daemons(families: Families) -> Result<()> {
    play("mesh", "mesh-restart", families, |world| survive(world, 2))
}

fn racks_survive_their_nodes_daemons(families: Families) -> Result<()> {
    play("two-racks", "racks-restart", families, |world| survive(world, World::SESSIONS_WITH_TORS))
}

crate::scenario!(a_mesh_survives_its_daemons);
crate::scenario!(racks_survive_their_nodes_daemons);
