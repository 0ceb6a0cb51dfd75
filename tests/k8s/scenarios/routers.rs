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
