//! Pools whose blocks are the ranges that the controller manager gave to the nodes.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use cairn_api::core::Node;
use cairn_api::kinds::{BlockAffinity, IpPool};
use cairn_api::{Kind, Object, annotation};
use cairn_k8s::cluster::NODES;
use serde_json::{Value, json};

use crate::routers;
use crate::world::{Pod, WEB, World, web};

/// Where the pods are. Its pools are for it alone, and it names them: of several that would do a pod takes what is held ready.
const NAMESPACE: &str = "by-node";

/// A pod there that names the pools of all others.
const OTHER: &str = "other";

/// Each family's pool, by name, with its range.
fn pools(world: &World) -> Vec<(&'static str, &'static str)> {
    let pools = [("by-node-ipv4", NODES[0]), ("by-node-ipv6", NODES[1])];
    pools.into_iter().filter(|(_, cidr)| world.cluster.families().wants(cidr)).collect()
}

/// The annotations of a namespace or a pod that name pools, whose names end with their family.
fn naming<'a>(pools: impl Iterator<Item = &'a str>) -> Value {
    let named = pools.map(|name| {
        let key = if name.ends_with("ipv6") { annotation::IPV6_POOLS } else { annotation::IPV4_POOLS };
        (key.to_owned(), Value::from(json!([name]).to_string()))
    });
    Value::Object(named.collect())
}

/// The namespace, its pools, a pod on each node, and one that is not to have their addresses.
fn manifests(world: &World) -> Vec<Value> {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": { "addresses": "by-node" },
            "annotations": naming(pools(world).into_iter().map(|(name, _)| name)),
        },
    });
    let pools = pools(world).into_iter().map(|(name, cidr)| {
        json!({
            "apiVersion": "cairn.network/v1alpha1",
            "kind": "IPPool",
            "metadata": { "name": name },
            "spec": { "cidr": cidr, "blockSource": "PodCIDR", "namespaceSelector": "addresses == 'by-node'" },
        })
    });
    let pods = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": "by-node", "namespace": NAMESPACE },
        "spec": {
            "selector": { "matchLabels": { "app": "by-node" } },
            "template": { "metadata": { "labels": { "app": "by-node" } }, "spec": web() },
        },
    });
    [namespace].into_iter().chain(pools).chain([pods, other(world)]).collect()
}

/// The pod that names the pools itself.
fn other(world: &World) -> Value {
    let names: Vec<String> =
        pools(world).into_iter().map(|(name, _)| name.replace(NAMESPACE, "pods")).collect();
    let annotations = naming(names.iter().map(String::as_str));
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": OTHER, "namespace": NAMESPACE, "labels": { "app": OTHER }, "annotations": annotations },
        "spec": web(),
    })
}

pub(crate) fn pods_have_addresses_of_their_nodes_range(world: &World) -> Result<()> {
    let made = manifests(world).iter().try_for_each(|manifest| world.cluster.apply(&manifest.to_string()));
    let held = made.and_then(|()| look(world));
    world.cluster.kubectl(&["delete", "namespace", NAMESPACE])?;
    let names: Vec<&str> = pools(world).into_iter().map(|(name, _)| name).collect();
    world.cluster.kubectl(&[&["delete", "ippools"], &names[..]].concat())?;
    held?;
    world.cluster.await_that("nodes have given the ranges back", || {
        let left = of_nodes(read::<BlockAffinity>(world)?)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

fn look(world: &World) -> Result<()> {
    world.cluster.await_rollout(NAMESPACE, "daemonset/by-node")?;
    let nodes: Vec<Object<Node>> = read(world)?;
    let nodes: Vec<_> =
        nodes.into_iter().filter(|node| world.cluster.nodes().contains(&node.name())).collect();
    let pods = world.pods_in(NAMESPACE, "app=by-node")?;
    ensure!(pods.len() == nodes.len(), "{pods:?}");
    let blocks = of_nodes(read::<BlockAffinity>(world)?)?;
    for node in &nodes {
        let own = &node.spec.pod_cidrs;
        let pod = pods.iter().find(|pod| pod.node == node.name()).context("a pod is on each node")?;
        ensure!(!own.is_empty() && pod.addresses.len() == own.len(), "{pod:?} {own:?}");
        for address in &pod.addresses {
            ensure!(own.iter().any(|cidr| cidr.contains(*address)), "{pod:?}: {own:?}");
        }
        for cidr in own {
            let claim = blocks.iter().find(|block| block.spec.cidr == *cidr);
            ensure!(claim.is_some_and(|claim| claim.spec.node == node.name()), "{cidr}: {claim:?}");
        }
    }
    who_names_other_pools_has_theirs(world)?;
    let all: usize = nodes.iter().map(|node| node.spec.pod_cidrs.len()).sum();
    ensure!(blocks.len() == all, "no other blocks: {blocks:?}");
    all_reach_all(world, &pods)?;
    routers::tors_have_the_blocks_of_all_nodes(world)
}

fn who_names_other_pools_has_theirs(world: &World) -> Result<()> {
    let words = ["wait", "--namespace", NAMESPACE, "--for=condition=Ready", "pod", OTHER, "--timeout=180s"];
    world.cluster.kubectl(&words)?;
    let pods = world.pods_in(NAMESPACE, &format!("app={OTHER}"))?;
    let pod = pods.first().context("there is one")?;
    ensure!(pod.addresses.len() == pools(world).len(), "{pod:?}");
    let ranges = ranges()?;
    let is_of_nodes = |address: &IpAddr| ranges.iter().any(|range| range.cidr.contains(*address));
    ensure!(!pod.addresses.iter().any(is_of_nodes), "{pod:?}");
    Ok(())
}

fn all_reach_all(world: &World, pods: &[Pod]) -> Result<()> {
    for from in pods {
        for to in pods {
            for (own, address) in from.addresses.iter().zip(&to.addresses) {
                let seen: SocketAddr = world.ask(from, &address.to_string(), WEB, "clientip")?.parse()?;
                ensure!(seen.ip() == *own, "{from:?} is seen as {seen} by {to:?}");
            }
        }
    }
    Ok(())
}

/// All objects of a kind.
fn read<K: Kind>(world: &World) -> Result<Vec<Object<K>>> {
    let list = world.cluster.json(&["get", K::PLURAL])?;
    let items = list["items"].as_array().context("a list")?;
    items.iter().map(|item| Ok(serde_json::from_value(item.clone())?)).collect()
}

/// Those of the ranges that the controller manager gives from.
fn of_nodes(blocks: Vec<Object<BlockAffinity>>) -> Result<Vec<Object<BlockAffinity>>> {
    let ranges = ranges()?;
    let is_inside =
        |block: &Object<BlockAffinity>| ranges.iter().any(|range| range.cidr.covers(block.spec.cidr));
    Ok(blocks.into_iter().filter(is_inside).collect())
}

/// What the controller manager gives nodes their ranges from.
fn ranges() -> Result<Vec<IpPool>> {
    NODES.into_iter().map(|range| Ok(IpPool::of(range.parse()?))).collect()
}
