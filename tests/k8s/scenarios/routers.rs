//! What routers outside of the cluster know of it.

use anyhow::{Context, Result, ensure};

use crate::world::World;

/// BIRD and FRRouting, and the node of theirs.
const TORS: [&str; 2] = ["tor1", "tor2"];

pub(crate) fn tors_have_the_blocks_of_all_nodes(world: &World) -> Result<()> {
    let list = world.cluster.json(&["get", "blockaffinities"])?;
    let blocks = list["items"].as_array().context("a list of affinities")?;
    for pod in world.pods()? {
        let held = blocks.iter().filter(|block| block["spec"]["node"] == pod.node.as_str()).count();
        ensure!(held >= pod.addresses.len(), "{} has {held} blocks", pod.node);
    }
    for block in blocks {
        let spec = &block["spec"];
        let (cidr, node) =
            (spec["cidr"].as_str().context("a prefix")?, spec["node"].as_str().context("a node")?);
        let via = world.cluster.addresses(node)?;
        let own = via.iter().find(|address| address.is_ipv6() == cidr.contains(':')).context("an address")?;
        for tor in TORS {
            let rack = &world.cluster.lab().topology().nodes.get(node).context("a node")?.labels["rack"];
            // Each knows its own rack's nodes by themselves, and the others by the other ToR.
            let nearest = rack.strip_prefix("rack") == tor.strip_prefix("tor");
            world.cluster.await_that("routers know the block", || {
                let family = if own.is_ipv6() { "-6" } else { "-4" };
                let route = world.cluster.lab().run(tor, &format!("ip {family} route show {cidr}"))?;
                ensure!(!route.trim().is_empty(), "{tor} has no route to {cidr} of {node}");
                ensure!(route.contains(&format!("via {own} ")) == nearest, "{tor}: {route}");
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// `kubectl get bgppeers` shows how many sessions there should be by each, and how many are established: one for each node of the rack, and one
/// less once a ToR refuses a node.
pub(crate) fn peers_tell_how_many_of_their_sessions_are_established(world: &World) -> Result<()> {
    let lab = world.cluster.lab();
    is_shown(world, "rack1", ["2", "2", "True", "True"])?;
    is_shown(world, "rack2", ["1", "1", "True", "True"])?;
    lab.run("tor1", "birdc disable node2")?;
    let told = is_shown(world, "rack1", ["2", "1", "False", "True"]).and_then(|()| names_node2(world));
    lab.run("tor1", "birdc enable node2")?;
    told?;
    world.cluster.kubectl(&["wait", "--for=condition=Established", "bgppeer", "--all", "--timeout=180s"])?;
    is_shown(world, "rack1", ["2", "2", "True", "True"])?;
    tors_have_the_blocks_of_all_nodes(world)
}

/// Waits until the columns of a peer are these: sessions that should be, that are, whether all are, and whether the object makes sense.
fn is_shown(world: &World, peer: &str, wanted: [&str; 4]) -> Result<()> {
    world.cluster.await_that("the sessions of a peer are shown", || {
        let table = world.cluster.kubectl(&["get", "bgppeer", peer, "--no-headers"])?;
        // Columns without a value are blank, and the last one is the age.
        let words: Vec<&str> = table.split_whitespace().rev().skip(1).take(wanted.len()).collect();
        ensure!(words.iter().rev().eq(&wanted), "not {wanted:?}: {table}");
        Ok(())
    })
}

fn names_node2(world: &World) -> Result<()> {
    let peer = world.cluster.json(&["get", "bgppeer", "rack1"])?;
    let conditions = peer["status"]["conditions"].as_array().context("a peer has conditions")?;
    let found = conditions.iter().find(|condition| condition["type"] == "Established");
    let found = found.context("there is no such condition")?;
    let message = found["message"].as_str().context("a message")?;
    let names = message.starts_with("1 of 2 sessions are established; not all of node2 (");
    ensure!(found["reason"] == "SessionDown" && names, "{found}");
    Ok(())
}
