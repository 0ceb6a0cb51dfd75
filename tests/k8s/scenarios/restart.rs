//! Daemons and parts of Kubernetes that end and begin again, under traffic.

use anyhow::{Context, Result, ensure};
use cairn_k8s::Cluster;
use cairn_k8s::cluster::{CONTAINERD, CONTROL};
use cairn_k8s::program::Program;
use serde_json::Value;

use crate::option;
use crate::traffic::goes_on_while;
use crate::world::World;

const NAMESPACE: &str = "cairn-system";

/// The pods of the DaemonSet: the controller's are in the same namespace.
const DAEMONS: &str = "app.kubernetes.io/name=cairn-node";

/// Starts a part of Kubernetes on a node.
type Start = fn(&Cluster, &str) -> Result<()>;

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
    let [one, two, three] = world.a_pod_on_each()?;
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
            world.new_pods_work()
        })
        .context(daemon)?;
    }
    Ok(())
}

/// One part after the other is killed, those of nodes on all of them at once, and started again.
pub(crate) fn killed_parts_of_kubernetes_cost_established_flows_nothing(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    let [one, two, three] = world.a_pod_on_each()?;
    let workers = cluster.nodes();
    let parts: [(&str, &[&str], Start); 4] = [
        (Program::Kubelet.name(), &workers, Cluster::start_kubelet),
        (CONTAINERD, &workers, Cluster::start_containerd),
        (Program::KubeApiserver.name(), &[CONTROL], |cluster, _| cluster.start_api_server()),
        (Program::Etcd.name(), &[CONTROL], |cluster, _| cluster.start_etcd()),
    ];
    for (part, places, start) in parts {
        goes_on_while(world, &[(&one, &three), (&two, &one)], || {
            for place in places {
                cluster.kill_program(place, part)?;
            }
            for place in places {
                start(cluster, place)?;
            }
            cluster.await_that("all nodes are ready again", || {
                let unready = cluster.unready_nodes()?;
                ensure!(unready.is_empty(), "these are not: {unready:?}");
                Ok(())
            })?;
            world.new_pods_work()
        })
        .with_context(|| format!("{part} was killed"))?;
    }
    Ok(())
}

/// Updates follow each other; pods that are made meanwhile come up.
pub(crate) fn rolling_updates_cost_established_flows_nothing(world: &World) -> Result<()> {
    let [one, two, three] = world.a_pod_on_each()?;
    let rollouts = option::rollouts()?;
    goes_on_while(world, &[(&one, &three), (&two, &one)], || {
        for number in 1..=rollouts {
            roll_out(world).with_context(|| format!("update {number} of {rollouts}"))?;
        }
        Ok(())
    })
}

/// Every pod of the DaemonSet is another one afterwards.
fn roll_out(world: &World) -> Result<()> {
    let pods = || -> Result<Vec<Value>> {
        let words = ["--namespace", NAMESPACE, "get", "pods", "--selector", DAEMONS];
        let pods = world.cluster.json(&words)?;
        let items = pods["items"].as_array().context("a list of pods")?;
        Ok(items.iter().map(|pod| pod["metadata"]["uid"].clone()).collect())
    };
    let before = pods()?;
    world.cluster.kubectl(&["--namespace", NAMESPACE, "rollout", "restart", "daemonset/cairn-node"])?;
    world.new_pods_work()?;
    world.cluster.await_rollout(NAMESPACE, "daemonset/cairn-node")?;
    let after = pods()?;
    ensure!(
        after.len() == before.len() && after.iter().all(|pod| !before.contains(pod)),
        "{before:?}, {after:?}"
    );
    Ok(())
}
