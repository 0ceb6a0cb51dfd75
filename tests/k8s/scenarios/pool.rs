//! Pools that get another range while pods have addresses of them.

use anyhow::{Context, Result, ensure};
use cairn_api::annotation::IPV4_POOLS;
use cairn_api::kinds::IpPool;
use cairn_k8s::cluster::CONTROL;
use cairn_lab::lab::Output;
use serde_json::{Value, json};

use crate::routers;
use crate::traffic::goes_on_while;
use crate::world::{Pod, World, web};

/// A pool and what takes its place, each with its range. Only pods that name it have addresses of it.
const OLD: (&str, &str) = ("moving-old", "10.246.0.0/24");
const NEW: (&str, &str) = ("moving-new", "10.247.0.0/24");

/// The Deployment whose pods are made again first, and the one whose pod stays for a while; how many pods each has.
const MOVES: (&str, usize) = ("moves", 2);
const STAYS: (&str, usize) = ("stays", 1);

/// Where the plan is, on the control plane's node.
const PLAN: &str = "/tmp/move.json";

/// What the plan has to say.
const SAID: [&str; 6] = [
    "create IPPool moving-new",
    "disable IPPool moving-old",
    "delete IPPool moving-old",
    "names moving-old: let it name moving-new",
    "deployment/moves",
    "deployment/stays",
];

/// A Deployment whose pods have addresses of a pool.
fn deployment((name, replicas): (&str, usize), pool: &str) -> Value {
    let annotations = json!({ IPV4_POOLS: json!([pool]).to_string() });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name }, "annotations": annotations }, "spec": web() },
        },
    })
}

/// Makes the pool and its pods. Addresses do not rest meanwhile: the move would wait for that.
fn begin(world: &World) -> Result<()> {
    world.set_cooldown(Some(0))?;
    let pool = json!({
        "apiVersion": "cairn.network/v1alpha1",
        "kind": "IPPool",
        "metadata": { "name": OLD.0 },
        "spec": { "cidr": OLD.1, "assignmentMode": "Manual" },
    });
    let items = [pool, deployment(MOVES, OLD.0), deployment(STAYS, OLD.0)];
    world.cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string())
}

/// The pods of a Deployment, once all are as they should be; they have addresses of a range.
fn settled(world: &World, (name, number): (&str, usize), range: &str) -> Result<Vec<Pod>> {
    world.cluster.await_rollout("default", &format!("deployment/{name}"))?;
    let pods = world.pods_in("default", &format!("app={name}"))?;
    let range = IpPool::of(range.parse()?).cidr;
    let addresses = pods.iter().flat_map(|pod| &pod.addresses);
    let inside = addresses.filter(|address| range.contains(**address)).count();
    ensure!(
        pods.len() == number && inside == number,
        "not {number} pods with addresses of {range}: {pods:?}"
    );
    Ok(pods)
}

/// Some pods and those on other nodes reach each other. Routers hear of a new block a moment after its first pod is there.
fn await_reached(world: &World, pods: &[Pod]) -> Result<()> {
    world.cluster.await_that("pods with other addresses are reached", || world.reach_all_others(pods))
}

/// What an operator types, on the control plane's node.
fn cairnctl(world: &World, words: &[&str]) -> Result<Output> {
    let store = "kubeconfig:/etc/kubernetes/pki/admin.kubeconfig";
    let words = [&["cairnctl", "pool"], words, &["--store", store]].concat();
    world.cluster.lab().exec(CONTROL, &words)
}

fn moves(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    settled(world, MOVES, OLD.1)?;
    let stays = settled(world, STAYS, OLD.1)?.pop().context("one pod stays")?;
    let other =
        world.pods()?.into_iter().find(|pod| pod.node != stays.node).context("a pod is on each node")?;

    let plan = cairnctl(world, &["plan", OLD.0, "--cidr", NEW.1, "--to", NEW.0, "--save", PLAN])?;
    for said in SAID {
        ensure!(plan.success && plan.stdout.contains(said), "no {said:?}: {}", plan.text());
    }
    goes_on_while(world, &[(&stays, &other)], || {
        let waits = cairnctl(world, &["apply", PLAN, "--wait", "0"])?;
        let why = waits.text();
        ensure!(!waits.success && why.contains("not all is given back yet"), "{why}");
        cluster.apply(&deployment(MOVES, NEW.0).to_string())?;
        await_reached(world, &settled(world, MOVES, NEW.1)?)?;
        let now = settled(world, STAYS, OLD.1)?;
        ensure!(now.iter().all(|pod| pod.name == stays.name), "{stays:?} was made again: {now:?}");
        Ok(())
    })?;
    cluster.apply(&deployment(STAYS, NEW.0).to_string())?;
    let last = settled(world, STAYS, NEW.1)?;
    let done = cairnctl(world, &["apply", PLAN, "--wait", "150"])?;
    ensure!(done.success && done.stdout.contains("delete IPPool moving-old: done"), "{}", done.text());
    let pools = cluster.kubectl(&["get", "ippools", "--output", "name"])?;
    ensure!(!pools.contains(OLD.0) && pools.contains(NEW.0), "{pools}");
    await_reached(world, &last)?;
    routers::tors_have_the_blocks_of_all_nodes(world)
}

/// Nothing is left of pools, pods and plan.
fn end(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    cluster.lab().run(CONTROL, &format!("rm -f {PLAN}"))?;
    let deployments =
        ["delete", "deployments", MOVES.0, STAYS.0, "--cascade=foreground", "--ignore-not-found"];
    cluster.kubectl(&deployments)?;
    cluster.kubectl(&["delete", "ippools", OLD.0, NEW.0, "--ignore-not-found"])?;
    cluster.await_that("nodes have given all blocks back", || {
        let list = cluster.json(&["get", "blockaffinities"])?;
        let list = list["items"].as_array().context("a list of affinities")?;
        let left: Vec<&Value> = list
            .iter()
            .map(|block| &block["spec"])
            .filter(|spec| spec["pool"] == OLD.0 || spec["pool"] == NEW.0)
            .collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

/// Shown by a plan, and done by it: who is made again has an address of the other pool, who is not keeps his and loses nothing, and the pool that was goes
/// with the last.
pub(crate) fn pods_move_to_another_range_as_they_are_made_again(world: &World) -> Result<()> {
    let moved = begin(world).and_then(|()| moves(world));
    let ended = end(world);
    let usual = world.set_cooldown(None);
    moved.and(ended).and(usual)
}
