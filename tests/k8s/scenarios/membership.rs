//! Nodes come and go.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::routers;
use crate::traffic::goes_on_while;
use crate::world::World;

/// The machine that becomes a node: in the rack of `node3`.
const NODE: &str = "node4";

const NAMESPACE: &str = "cairn-system";
const CONTROLLER: &str = "deployment/cairn-controller";

/// The controller's command line for those who cannot wait forty minutes.
const HASTY: [&str; 4] = ["--listen=127.0.0.1:9095", "--lease-duration=3s", "--interval=1s", "--grace=2s"];

/// A machine becomes a node, goes for good, and becomes one again under the same name. What it had is given back in between, and pods on the
/// others lose nothing.
pub(crate) fn a_node_joins_goes_and_comes_again_and_others_lose_nothing(world: &World) -> Result<()> {
    let [one, two, three] = world.a_pod_on_each()?;
    let usual = world.cluster.json(&["--namespace", NAMESPACE, "get", CONTROLLER])?;
    let usual = usual["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    ensure!(usual.is_array(), "the controller's arguments are {usual}");
    let tried = hasten(world).and_then(|()| {
        goes_on_while(world, &[(&one, &three), (&two, &one)], || {
            join(world).context("a new node")?;
            routers::tors_have_the_blocks_of_all_nodes(world)?;
            leave(world).context("the node goes")?;
            join(world).context("the same node comes again")?;
            routers::tors_have_the_blocks_of_all_nodes(world)
        })
    });
    // The next scenario finds three nodes and a controller that takes its time, whatever happened.
    let left = leave(world).context("the node goes at the end");
    let calm = set_arguments(world, &usual);
    let rest = world.set_cooldown(None);
    tried?;
    left?;
    calm?;
    rest
}

fn hasten(world: &World) -> Result<()> {
    world.set_cooldown(Some(1))?;
    set_arguments(world, &json!(HASTY))
}

fn set_arguments(world: &World, arguments: &Value) -> Result<()> {
    let path = "/spec/template/spec/containers/0/args";
    let patch = json!([{ "op": "replace", "path": path, "value": arguments }]).to_string();
    let words = ["--namespace", NAMESPACE, "patch", CONTROLLER, "--type", "json", "--patch", &patch];
    world.cluster.kubectl(&words)?;
    world.cluster.await_rollout(NAMESPACE, CONTROLLER)
}

/// The machine starts, and pods on it reach those on the others.
fn join(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    cluster.join(NODE)?;
    cluster.await_that("the new node is ready", || {
        cluster.kubectl(&["get", "node", NODE])?;
        let unready = cluster.unready_nodes()?;
        ensure!(unready.is_empty(), "these are not: {unready:?}");
        Ok(())
    })?;
    let fresh = world.start_pods(&[NODE])?;
    // Routers hear of its block when its sessions are up, which pods do not wait for.
    cluster
        .await_that("pods of the new node and others reach each other", || world.reach_all_others(&fresh))?;
    cluster.await_that("the new node has a block", || {
        let blocks = blocks(world)?;
        ensure!(!blocks.is_empty(), "it has none");
        Ok(())
    })
}

/// The machine loses power, its Node is deleted, and all that it had goes.
fn leave(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    cluster.power_off(NODE)?;
    cluster.kubectl(&["delete", "node", NODE, "--ignore-not-found"])?;
    let field = format!("spec.nodeName={NODE}");
    // Nobody is there who would say that they have ended.
    let words =
        ["delete", "pods", "--all-namespaces", "--field-selector", &field, "--force", "--grace-period=0"];
    cluster.kubectl(&words)?;
    cluster.await_that("what the gone node had is given back", || {
        let blocks = blocks(world)?;
        ensure!(blocks.is_empty(), "it still has the blocks {blocks:?}");
        let all = cluster.json(&["get", "ipamblocks"])?;
        let all = all["items"].as_array().context("a list of blocks")?;
        let entries = all.iter().filter_map(|block| block["spec"]["allocations"].as_array()).flatten();
        let held: Vec<&Value> =
            entries.filter(|entry| entry["node"] == NODE && entry["state"] != "Released").collect();
        ensure!(held.is_empty(), "it still has the addresses {held:?}");
        let status =
            cluster.kubectl(&["get", "nodestatus", NODE, "--ignore-not-found", "--output", "name"])?;
        ensure!(status.trim().is_empty(), "there is still {status}");
        Ok(())
    })
}

/// The blocks that the node has.
fn blocks(world: &World) -> Result<Vec<String>> {
    let list = world.cluster.json(&["get", "blockaffinities"])?;
    let list = list["items"].as_array().context("a list of affinities")?;
    let own = list.iter().filter(|block| block["spec"]["node"] == NODE);
    own.map(|block| Ok(block["spec"]["cidr"].as_str().context("a prefix")?.to_owned())).collect()
}
