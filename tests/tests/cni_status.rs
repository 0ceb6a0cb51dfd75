//! What STATUS says of a node: ready for pods, or what it lacks.

use std::process::Command;

use anyhow::{Result, ensure};
use cairn_lab::cni::node::{Node, eventually, run};
use cairn_lab::lab::programs;
use cairn_net::Family;
use serde_json::{Value, json};

/// Why the node is not ready; `None` if it is, or where the answer is not CNI's for that (specification 1.1.0, error 50).
fn lacks(node: &Node) -> Result<Option<String>> {
    let Err(error) = node.status()? else { return Ok(None) };
    ensure!(error["code"] == 50 && error["msg"] == "the node is not ready for pods", "{error}");
    Ok(error["details"].as_str().map(ToOwned::to_owned))
}

fn becomes_ready(node: &Node) -> bool {
    eventually(|| node.status().is_ok_and(|answer| answer.is_ok()))
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_node_is_ready_once_there_is_a_pool_and_stays_so_while_bgpd_starts_again() -> Result<()> {
    let mut node = Node::without_daemon("status", &[])?;
    node.spawn_daemon()?;
    let no_pool = Some("ipam: no IPPool is known".to_owned());
    ensure!(eventually(|| lacks(&node).is_ok_and(|lacks| lacks == no_pool)), "{:?}", node.status()?);
    node.put("ippools/pods.yaml", &json!({
        "apiVersion": "cairn.network/v1alpha1", "kind": "IPPool", "metadata": { "name": "pods" }, "spec": { "cidr": "10.244.0.0/16" }
    }))?;
    ensure!(becomes_ready(&node), "{:?}", node.status()?);
    let pod = node.pod()?;
    node.add(&pod)?;

    node.kill_bgpd()?;
    for _ in 0..20 {
        let answer = node.status()?;
        ensure!(answer.is_ok(), "without bgpd for a moment: {answer:?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    node.del(&pod)
}

/// The AS number that bgpd has.
fn as_number(node: &Node) -> Result<Value> {
    let mut cairnctl = Command::new(programs()?.join("cairnctl"));
    cairnctl.args(["-o", "json", "bgp", "--socket"]).arg(node.path("run/bgpd.sock")).arg("summary");
    let summary: Value = serde_json::from_str(&run(&mut cairnctl)?)?;
    Ok(summary["speaker"]["localAs"].clone())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_configuration_that_cannot_be_read_after_a_restart_changes_nothing_and_is_named() -> Result<()> {
    const AS: u32 = 64_999;
    let configuration = |advertisements: Value| {
        json!({
            "apiVersion": "cairn.network/v1alpha1",
            "kind": "BGPConfiguration",
            "metadata": { "name": "default" },
            "spec": { "asNumber": AS, "prefixAdvertisements": advertisements },
        })
    };
    let (good, bad) = (json!([]), json!([{ "cidr": "10.244.0.0/16", "communities": ["nobody"] }]));
    let path = "bgpconfigurations/default.yaml";
    let mut node = Node::without_daemon("unread", &Family::ALL)?;
    node.put(path, &configuration(good.clone()))?;
    node.start_daemon()?;
    let pod = node.pod()?;
    let addresses = node.add(&pod)?;
    ensure!(as_number(&node)? == AS);

    // While it runs the last good form stays in force.
    node.put(path, &configuration(bad))?;
    let refused = || {
        let log = std::fs::read_to_string(node.path("felix-lite.log")).unwrap_or_default();
        log.contains("prefixAdvertisements[0].communities[0]")
    };
    ensure!(eventually(refused), "the object is not refused");
    ensure!(node.status()?.is_ok() && as_number(&node)? == AS);

    node.kill_daemon()?;
    node.spawn_daemon()?;
    let named = |why: &str| {
        ["BGPConfiguration/default", "spec.prefixAdvertisements[0].communities[0]", "nobody"]
            .iter()
            .all(|word| why.contains(word))
    };
    let is_named = || lacks(&node).is_ok_and(|why| why.is_some_and(|why| named(&why)));
    ensure!(eventually(is_named), "{:?}", node.status()?);
    ensure!(as_number(&node)? == AS, "bgpd was given defaults");
    ensure!(addresses.iter().all(|address| node.netns.pings(address)), "{addresses:?}");

    node.put(path, &configuration(good))?;
    ensure!(becomes_ready(&node), "{:?}", node.status()?);
    ensure!(as_number(&node)? == AS);
    node.del(&pod)
}
