//! Cairn goes from a cluster, and comes again.

use anyhow::{Context, Result, ensure};

use crate::world::World;
use crate::{pods, routers};

const NAMESPACE: &str = "cairn-system";

/// The pods of the DaemonSet.
const DAEMONS: &str = "app.kubernetes.io/name=cairn-node";
/// The pods that `kubectl debug` makes.
const DEBUGGERS: &str = "app.kubernetes.io/managed-by=kubectl-debug";

/// What is done here is what the guide says.
const GUIDE: &str = include_str!("../../../docs/guide/kubernetes.md");
/// What comes behind `kubectl debug node/NAME`.
const CLEANUP: &str =
    "--image=cairn-node:dev --profile=sysadmin -- cairnctl cleanup cairn --remove --root /host";
/// What deletes the rest.
const DELETE: &str = "kubectl delete -k deploy --ignore-not-found";

/// Prints what a node has of Cairn in its kernel and on its disk: a line for each thing.
const LEFT: &str = r"
ip -oneline link show | grep -oE ' (crn|cairn-)[^:@ ]*' | sed 's/^/link/'
for family in -4 -6; do ip $family route show table all proto 202 | sed 's/^/route /'; done
ip nexthop show proto 202 | sed 's/^/nexthop /'
nft list tables | grep cairn
find /etc/cni/net.d /opt/cni/bin /run/cairn /var/lib/cairn -mindepth 1 | grep cairn
";

/// What is there while Cairn is: so the lines above do look for it.
const USUAL: [&str; 8] = [
    "link crn",
    "route ",
    "table inet cairn",
    "table netdev cairn",
    "/etc/cni/net.d/10-cairn.conflist",
    "/opt/cni/bin/cairn-cni",
    "/run/cairn/",
    "/var/lib/cairn/",
];

/// Namespace, name, selector of pods and number of them of what runs in the pod network.
const WORKLOADS: [(&str, &str, &str, u32); 2] =
    [("default", "probe", "app=probe", 6), ("kube-system", "coredns", "k8s-app=kube-dns", 1)];

fn left(world: &World, node: &str) -> Result<String> {
    Ok(world.cluster.lab().exec(node, &["sh", "-c", LEFT])?.stdout)
}

fn scale(world: &World, (namespace, name, ..): (&str, &str, &str, u32), replicas: u32) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    world.cluster.kubectl(&["--namespace", namespace, "scale", "deployment", name, &replicas]).map(drop)
}

fn await_end(world: &World, namespace: &str, selector: &str) -> Result<()> {
    let words =
        ["--namespace", namespace, "wait", "--for=delete", "pod", "--selector", selector, "--timeout=180s"];
    world.cluster.kubectl(&words).map(drop)
}

/// As the guide says: the daemons, pods, what nodes have, and the rest.
fn remove(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    cluster.kubectl(&["--namespace", NAMESPACE, "delete", "daemonset", "cairn-node"])?;
    await_end(world, NAMESPACE, DAEMONS)?;
    // They end though nobody is there to be told.
    for workload in WORKLOADS {
        scale(world, workload, 0)?;
    }
    for (namespace, _, selector, _) in WORKLOADS {
        await_end(world, namespace, selector)?;
    }
    clean_up(world)?;
    for node in cluster.nodes() {
        let left = left(world, node)?;
        ensure!(left.is_empty(), "{node} still has\n{left}");
    }
    cluster.delete_cairn()?;
    cluster.await_that("the API server has forgotten Cairn's kinds", || {
        let kinds = cluster.kubectl(&["api-resources", "--api-group=cairn.network", "--output=name"])?;
        ensure!(kinds.trim().is_empty(), "it still has {kinds}");
        Ok(())
    })
}

/// On all nodes at once.
fn clean_up(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    for node in cluster.nodes() {
        let node = format!("node/{node}");
        let words: Vec<&str> = ["debug", &node].into_iter().chain(CLEANUP.split(' ')).collect();
        cluster.kubectl(&words)?;
    }
    let succeeded = "--for=jsonpath={.status.phase}=Succeeded";
    let done = cluster.kubectl(&["wait", succeeded, "pod", "--selector", DEBUGGERS, "--timeout=60s"]);
    let said = cluster.kubectl(&["logs", "--selector", DEBUGGERS, "--prefix", "--tail=-1"]);
    let gone = cluster.kubectl(&["delete", "pods", "--selector", DEBUGGERS, "--timeout=60s"]);
    done.with_context(|| format!("cairnctl cleanup said {said:?}"))?;
    gone.map(drop)
}

/// Installed a second time it gives pods what it gave them before.
fn come_again(world: &World) -> Result<()> {
    for workload in WORKLOADS {
        scale(world, workload, workload.3)?;
    }
    world.cluster.install_cairn()?;
    world.cluster.await_rollout("default", "deployment/probe")?;
    pods::all_reach_all_and_are_seen_by_their_own_address(world)?;
    routers::tors_have_the_blocks_of_all_nodes(world)
}

pub(crate) fn nothing_is_left_on_nodes_and_another_installation_works(world: &World) -> Result<()> {
    for said in [CLEANUP, DELETE] {
        ensure!(GUIDE.contains(said), "the guide does not say `{said}`");
    }
    for node in world.cluster.nodes() {
        let there = left(world, node)?;
        for usual in USUAL {
            ensure!(there.contains(usual), "{node} has no {usual}:\n{there}");
        }
    }
    let removed = remove(world);
    // What comes next needs it, whatever happened.
    let back = come_again(world);
    removed.and(back)
}
