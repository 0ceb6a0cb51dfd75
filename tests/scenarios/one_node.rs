//! Pods on one node reach each other and the node itself.

use anyhow::{Result, ensure};
use cairn_lab::lab::Families;

use crate::world::play;

fn pods_on_one_node(families: Families) -> Result<()> {
    play("mesh", "one-node", families, |world| {
        let pods = [world.pod("node1", "a")?, world.pod("node1", "b")?, world.pod("node1", "c")?];
        world.all_reach_all(&pods)?;
        for address in &pods[0].pod.addresses {
            let report = world.ping("node1", None, *address, 3)?;
            ensure!(report.lost() == 0, "the node does not reach its own pod {address}: {report:?}");
        }
        world.delete_pod("node1", "b")?;
        world.reaches(&pods[0], &pods[2])?;
        let links = world.run("node1", "ip -oneline link show")?;
        ensure!(links.matches("crn").count() == 2, "two pods are left, and these links: {links}");
        Ok(())
    })
}

crate::scenario!(pods_on_one_node);
