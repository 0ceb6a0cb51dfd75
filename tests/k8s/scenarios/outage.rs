//! The API server is away.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_k8s::cluster::CONTROL;
use cairn_k8s::program::Program;
use serde_json::{Value, json};

use crate::option;
use crate::traffic::goes_on_while;
use crate::world::{Pod, WEB, World, url, web};

/// What kubelet itself says of its pods: the addresses of one.
fn addresses(world: &World, node: &str, name: &str) -> Result<Vec<IpAddr>> {
    let own = world.cluster.addresses(node)?;
    let url = format!("https://{}:10250/pods", own.first().context("the node has an address")?);
    let pki = "/etc/kubernetes/pki/apiserver-kubelet";
    // kubelet signs its own certificate.
    let line =
        format!("curl --silent --show-error --insecure --max-time 5 --cert {pki}.crt --key {pki}.key {url}");
    let pods: Value = serde_json::from_str(&world.cluster.lab().run(CONTROL, &line)?)?;
    let pods = pods["items"].as_array().context("a list of pods")?;
    let pod = pods.iter().find(|pod| pod["metadata"]["name"] == format!("{name}-{node}"));
    let pod = pod.with_context(|| format!("kubelet of {node} does not know {name} yet"))?;
    let addresses = pod["status"]["podIPs"].as_array();
    let addresses = addresses.with_context(|| format!("{name} on {node} has no address yet"))?;
    let parse = |entry: &Value| -> Result<IpAddr> { Ok(entry["ip"].as_str().unwrap_or_default().parse()?) };
    addresses.iter().map(parse).collect()
}

/// A pod that a node's kubelet runs because of a file, without being told by the API server.
fn manifest(name: &str) -> String {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": web() }).to_string()
}

/// Waits for such a pod on a node, and has pods of every node ask it. Returns its addresses.
fn lives(world: &World, pods: &[Pod], node: &str, name: &str) -> Result<Vec<IpAddr>> {
    let mut to = Pod { name: name.to_owned(), node: node.to_owned(), addresses: Vec::new() };
    world.cluster.await_that("a pod starts without the API server", || {
        to.addresses = addresses(world, node, name)?;
        let first = to.addresses.first().context("the pod has an address")?;
        world.fetch(&format!("{}/hostname", url(first, WEB))).map(drop)
    })?;
    for pod in pods {
        world.keeps_its_address(pod, &to)?;
    }
    Ok(to.addresses)
}

/// A pod starts on each node, is reached, and ends. Returns the addresses that they had.
fn start_and_end(world: &World, pods: &[Pod], name: &str) -> Result<Vec<IpAddr>> {
    let nodes = world.cluster.nodes();
    for node in &nodes {
        world.cluster.write_static_pod(node, name, &manifest(name))?;
    }
    let found: Result<Vec<Vec<IpAddr>>> = nodes.iter().map(|node| lives(world, pods, node, name)).collect();
    for node in &nodes {
        world.cluster.remove_static_pod(node, name)?;
    }
    let found = found?;
    for (node, addresses) in nodes.iter().zip(&found) {
        for address in addresses {
            let family = if address.is_ipv6() { "-6" } else { "-4" };
            world.cluster.await_that("the pod's route goes without the API server", || {
                let route = world.cluster.lab().run(node, &format!("ip {family} route show {address}"))?;
                ensure!(route.trim().is_empty(), "{node}: {route}");
                Ok(())
            })?;
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// The store says of none of these addresses that a pod has it.
fn given_back(world: &World, addresses: &[IpAddr]) -> Result<()> {
    world.cluster.await_that("the store learns which pods ended", || {
        let blocks = world.cluster.json(&["get", "ipamblocks"])?;
        let blocks = blocks["items"].as_array().context("a list of blocks")?;
        let entries = blocks.iter().filter_map(|block| block["spec"]["allocations"].as_array()).flatten();
        let held: Vec<&Value> = entries
            .filter(|entry| entry["state"] == "Assigned")
            .filter(|entry| addresses.iter().any(|address| entry["address"] == address.to_string()))
            .collect();
        ensure!(held.is_empty(), "it says that these are held: {held:?}");
        Ok(())
    })
}

pub(crate) fn pods_start_and_end_while_the_api_server_is_away(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    let outage = Duration::from_secs(option::outage_seconds()?);
    let pods = world.pods()?;
    let [one, two, three] = world.a_pod_on_each()?;
    let mut ended = Vec::new();
    let during = goes_on_while(world, &[(&one, &three), (&two, &one)], || {
        cluster.kill_program(CONTROL, Program::KubeApiserver.name())?;
        let began = Instant::now();
        let mut rounds = 0;
        while rounds == 0 || began.elapsed() < outage {
            rounds += 1;
            ended.extend(start_and_end(world, &pods, &format!("static-{rounds}"))?);
        }
        ensure!(cluster.kubectl(&["get", "nodes"]).is_err(), "the API server still answers");
        let count = rounds * cluster.nodes().len();
        println!("  {count} pods started and ended in {:.0} s", began.elapsed().as_secs_f64());
        Ok(())
    });
    // What comes next needs it, whatever happened.
    let back = cluster.start_api_server();
    during?;
    back?;
    cluster.await_that("all nodes are ready again", || {
        let unready = cluster.unready_nodes()?;
        ensure!(unready.is_empty(), "these are not: {unready:?}");
        Ok(())
    })?;
    cluster.await_rollout("default", "deployment/probe")?;
    given_back(world, &ended)
}
