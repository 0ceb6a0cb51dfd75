//! The controller: two pods on two nodes, of which one acts.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::world::World;

const NAMESPACE: &str = "cairn-system";

/// The Deployment's pods: name, and node.
fn pods(world: &World) -> Result<Vec<(String, String)>> {
    let selector = "app.kubernetes.io/name=cairn-controller";
    let list = world.cluster.json(&["--namespace", NAMESPACE, "get", "pods", "--selector", selector])?;
    let items = list["items"].as_array().context("a list of pods")?;
    let alive = items.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a pod has a name and a node");
    alive.map(|pod| Ok((text(&pod["metadata"]["name"])?, text(&pod["spec"]["nodeName"])?))).collect()
}

/// The Lease names one of them, and that one alone says that it acts.
pub(crate) fn runs_twice_and_one_acts(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    cluster.await_rollout(NAMESPACE, "deployment/cairn-controller")?;
    cluster.await_that("one of two controllers acts", || {
        let pods = pods(world)?;
        ensure!(pods.len() == 2, "there are {pods:?}");
        let lease = cluster.json(&["--namespace", NAMESPACE, "get", "lease", "cairn-controller"])?;
        let holder = lease["spec"]["holderIdentity"].as_str().context("the Lease has no holder")?;
        let mut acting = Vec::new();
        for (name, node) in &pods {
            // On the node's own loopback: nobody else reads it.
            let metrics = cluster.lab().run(node, "curl --silent --fail http://127.0.0.1:9095/metrics")?;
            if metrics.lines().any(|line| line == "cairn_controller_leader 1") {
                acting.push(name.as_str());
            }
        }
        ensure!(acting == [holder], "the Lease names {holder}, {acting:?} act");
        Ok(())
    })
}
