//! Daemons that end and begin again, under traffic.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::traffic::goes_on_while;
use crate::world::World;

const NAMESPACE: &str = "cairn-system";

/// The pods of the DaemonSet: the controller's are in the same namespace.
const DAEMONS: &str = "app.kubernetes.io/name=cairn-node";

/// How often a container of a node's pod was started again; `None` while it is not ready.
fn restarts(world: &World, node: &str, container: &str) -> Result<Option<u64>> {
    let field = format!("spec.nodeName={node}");
    let words = ["--namespace", NAMESPACE, "get", "pods", "--selector", DAEMONS, "--field-selector", &field];
    let pods = world.cluster.json(&words)?;
    let statuses = pods["items"][0]["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
    let status = statuses.iter().find(|status| status["name"] == container);
    let status = status.with_context(|| format!("{node} has no container {container}"))?;
    let count = status["restartCount"].as_u64();
    Ok(count.filter(|_| status["ready"] == true))
}

/// Of each node the daemons are killed, one after the other, and kubelet starts them again.
pub(crate) fn killed_daemons_cost_established_flows_nothing(world: &World) -> Result<()> {
    let [one, two, three] = ["node1", "node2", "node3"].map(|node| world.pod_on(node));
    let (one, two, three) = (one?, two?, three?);
    for daemon in ["felix-lite", "bgpd"] {
        goes_on_while(world, &[(&one, &three), (&two, &one)], || {
            let before: Vec<Option<u64>> = world
                .cluster
                .nodes()
                .iter()
                .map(|node| restarts(world, node, daemon))
                .collect::<Result<_>>()?;
            for node in world.cluster.nodes() {
                world.cluster.kill_daemon(node, daemon)?;
            }
            for (node, before) in world.cluster.nodes().iter().zip(before) {
                world.cluster.await_that("the killed daemon is back and ready", || {
                    let now = restarts(world, node, daemon)?;
                    ensure!(now > before, "{node}: {daemon} was started {now:?} times, {before:?} before");
                    let felix = restarts(world, node, "felix-lite")?;
                    ensure!(felix.is_some(), "{node}: felix-lite is not ready");
                    Ok(())
                })?;
            }
            Ok(())
        })
        .context(daemon)?;
    }
    Ok(())
}

/// Every pod of the DaemonSet is another one afterwards.
pub(crate) fn a_rolling_update_costs_established_flows_nothing(world: &World) -> Result<()> {
    let [one, two, three] = ["node1", "node2", "node3"].map(|node| world.pod_on(node));
    let (one, two, three) = (one?, two?, three?);
    let pods = || -> Result<Vec<Value>> {
        let words = ["--namespace", NAMESPACE, "get", "pods", "--selector", DAEMONS];
        let pods = world.cluster.json(&words)?;
        let items = pods["items"].as_array().context("a list of pods")?;
        Ok(items.iter().map(|pod| pod["metadata"]["uid"].clone()).collect())
    };
    let before = pods()?;
    goes_on_while(world, &[(&one, &three), (&two, &one)], || {
        world.cluster.kubectl(&["--namespace", NAMESPACE, "rollout", "restart", "daemonset/cairn-node"])?;
        world.cluster.await_rollout(NAMESPACE, "daemonset/cairn-node")
    })?;
    let after = pods()?;
    ensure!(
        after.len() == before.len() && after.iter().all(|pod| !before.contains(pod)),
        "{before:?}, {after:?}"
    );
    Ok(())
}
