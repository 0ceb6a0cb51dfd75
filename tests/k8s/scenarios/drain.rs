//! A node that Kubernetes empties.

use anyhow::{Context, Result, ensure};
use cairn_api::kinds::BlockAffinity;
use serde_json::Value;

use crate::traffic::goes_on_while;
use crate::world::World;

/// In the rack of BIRD.
const NODE: &str = "node2";
/// What the cluster autoscaler puts onto a node that it takes away.
const TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// The blocks of the node that have an address of one of its pods.
fn used_blocks(world: &World) -> Result<Vec<String>> {
    let list = world.cluster.json(&["get", "blockaffinities"])?;
    let pods: Vec<_> = world.pods()?.into_iter().filter(|pod| pod.node == NODE).collect();
    let mut used = Vec::new();
    for affinity in list["items"].as_array().context("a list of affinities")? {
        let spec: BlockAffinity = serde_json::from_value(affinity["spec"].clone())?;
        let mut addresses = pods.iter().flat_map(|pod| &pod.addresses);
        if spec.node == NODE && addresses.any(|address| spec.cidr.contains(*address)) {
            used.push(spec.cidr.to_string());
        }
    }
    ensure!(!used.is_empty(), "no block of {NODE} has a pod's address");
    Ok(used)
}

/// Waits until BIRD has the blocks, all marked as leaving, or none of them.
fn await_mark(world: &World, blocks: &[String], wanted: bool) -> Result<()> {
    world.cluster.await_that("routers know whether the node is leaving", || {
        for block in blocks {
            let text = world.cluster.lab().run("tor1", &format!("birdc show route all {block}"))?;
            ensure!(text.contains("BGP.next_hop"), "tor1 has no {block}: {text}");
            ensure!(text.contains("(65535,0)") == wanted, "tor1, {block}: {text}");
        }
        Ok(())
    })
}

/// Waits until the node's report has the condition with this reason, or has it not.
fn await_condition(world: &World, kind: &str, reason: Option<&str>) -> Result<()> {
    world.cluster.await_that("the node tells of its emptying", || {
        let report = world.cluster.json(&["get", "nodestatus", NODE])?;
        let conditions = report["status"]["conditions"].as_array().context("a report has conditions")?;
        let found = conditions.iter().find(|condition| condition["type"] == kind);
        let found = found.and_then(|found| found["reason"].as_str());
        ensure!(found == reason, "{kind} has the reason {found:?}, not {reason:?}");
        Ok(())
    })
}

fn set_wait(world: &World, drain: &Value) -> Result<()> {
    let patch = serde_json::json!({ "spec": { "drain": drain } }).to_string();
    let words = ["patch", "bgpconfiguration", "default", "--type", "merge", "--patch", &patch];
    world.cluster.kubectl(&words).map(drop)
}

/// By `kubectl cordon`, and by a taint: its pods are reached all the time, while routers are told that it is about to go.
pub(crate) fn a_cordoned_or_tainted_node_is_told_as_leaving_and_loses_nothing(world: &World) -> Result<()> {
    let [one, two, three] = ["node1", NODE, "node3"].map(|node| world.pod_on(node));
    let (one, two, three) = (one?, two?, three?);
    let blocks = used_blocks(world)?;
    await_mark(world, &blocks, false)?;
    set_wait(world, &serde_json::json!({ "wait": "2s" }))?;
    let taint = format!("{TAINT}=now:NoSchedule");
    let untaint = format!("{TAINT}-");
    let turns = [
        (["cordon", NODE].to_vec(), ["uncordon", NODE].to_vec(), "Cordoned"),
        (["taint", "node", NODE, &taint].to_vec(), ["taint", "node", NODE, &untaint].to_vec(), "Tainted"),
    ];
    let played = goes_on_while(world, &[(&three, &two), (&two, &one)], || {
        for (begin, end, reason) in &turns {
            world.cluster.kubectl(begin)?;
            let told = await_mark(world, &blocks, true)
                .and_then(|()| await_condition(world, "Draining", Some(reason)))
                .and_then(|()| await_condition(world, "Drained", Some("InUse")))
                .and_then(|()| await_mark(world, &blocks, true));
            world.cluster.kubectl(end)?;
            told?;
            await_mark(world, &blocks, false)?;
            await_condition(world, "Draining", None)?;
        }
        Ok(())
    });
    set_wait(world, &Value::Null)?;
    played
}
