//! A node: when it is ready, and what is on its disk.

use anyhow::{Result, ensure};

use crate::world::World;

/// The container runtime finds no pod network before the installer ran.
pub(crate) fn is_ready_with_cairn_and_not_before(world: &World) -> Result<()> {
    ensure!(world.before.len() == world.cluster.nodes().len(), "{:?}", world.before);
    for (node, reason) in &world.before {
        ensure!(reason.contains("cni plugin not initialized"), "{node}: {reason}");
    }
    let after = world.cluster.unready_nodes()?;
    ensure!(after.is_empty(), "with Cairn these are not ready: {after:?}");
    Ok(())
}

pub(crate) fn has_the_plugin_beside_others_and_no_secret(world: &World) -> Result<()> {
    let lab = world.cluster.lab();
    for node in world.cluster.nodes() {
        let plugins = lab.run(node, "ls -A /opt/cni/bin")?;
        ensure!(plugins.split_whitespace().eq(["cairn-cni", "loopback"]), "{node}: {plugins}");
        let lists = lab.run(node, "ls -A /etc/cni/net.d")?;
        ensure!(lists.trim() == "10-cairn.conflist", "{node}: {lists}");
        let list = lab.run(node, "stat --format %a:%U /etc/cni/net.d/10-cairn.conflist")?;
        ensure!(list.trim() == "600:root", "{node}: {list}");
        // Neither a token nor a client's key came onto the node with it.
        let found = lab
            .exec(node, &["grep", "-rlE", "token|client-key", "/etc/cni", "/var/lib/cairn", "/run/cairn"])?;
        ensure!(found.stdout.is_empty(), "{node}: {}", found.stdout);
    }
    Ok(())
}

/// Thousands of nodes with a connection for each watch are more than a server bears.
pub(crate) fn has_one_connection_to_the_api_server(world: &World) -> Result<()> {
    // To the Service, whose port is 443.
    let line = "ss --oneline --numeric --tcp --processes --no-header state established dport = :443";
    for node in world.cluster.nodes() {
        // At a start several may be made at once, of which one stays.
        world.cluster.await_that("one connection", || {
            let all = world.cluster.lab().run(node, line)?;
            let own: Vec<&str> = all.lines().filter(|line| line.contains("((\"felix-lite\",")).collect();
            ensure!(own.len() == 1, "{node}: {own:?}");
            Ok(())
        })?;
    }
    Ok(())
}
