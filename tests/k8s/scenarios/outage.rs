//! The API server is away.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cairn_k8s::cluster::CONTROL;
use serde_json::{Value, json};

use crate::world::{WEB, World, url};

/// A pod that a node's kubelet runs because of a file, without being told by the API server.
const NAME: &str = "static-probe";
const NODE: &str = "node2";

/// What kubelet itself says of its pods.
fn address(world: &World) -> Result<IpAddr> {
    let own = world.cluster.addresses(NODE)?;
    let url = format!("https://{}:10250/pods", own.first().context("the node has an address")?);
    let pki = "/etc/kubernetes/pki/apiserver-kubelet";
    // kubelet signs its own certificate.
    let line =
        format!("curl --silent --show-error --insecure --max-time 5 --cert {pki}.crt --key {pki}.key {url}");
    let pods: Value = serde_json::from_str(&world.cluster.lab().run(CONTROL, &line)?)?;
    let pods = pods["items"].as_array().context("a list of pods")?;
    let pod = pods.iter().find(|pod| pod["metadata"]["name"] == format!("{NAME}-{NODE}"));
    let pod = pod.context("kubelet does not know the pod yet")?;
    Ok(pod["status"]["podIP"].as_str().context("the pod has no address yet")?.parse()?)
}

pub(crate) fn pods_start_and_end_while_the_api_server_is_away(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    let pods = world.pods()?;
    cluster.kill_api_server()?;
    ensure!(cluster.kubectl(&["get", "nodes"]).is_err(), "the API server still answers");
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": NAME },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "web",
                "image": "localhost/probe:dev",
                "args": ["netexec", format!("--http-port={WEB}")],
            }],
        },
    });
    cluster.write_static_pod(NODE, NAME, &manifest.to_string())?;
    let mut found = None;
    cluster.await_that("a pod starts without the API server", || {
        let address = address(world)?;
        world.fetch(&format!("{}/hostname", url(&address, WEB)))?;
        found = Some(address);
        Ok(())
    })?;
    let found = found.context("the pod has an address")?;
    // From pods on every node.
    for pod in &pods {
        let seen = world.ask(pod, &found.to_string(), WEB, "clientip")?;
        ensure!(
            pod.addresses.iter().any(|own| seen.starts_with(&own.to_string())),
            "{pod:?} is seen as {seen}"
        );
    }
    cluster.remove_static_pod(NODE, NAME)?;
    cluster.await_that("the pod's route goes without the API server", || {
        let route = cluster.lab().run(NODE, &format!("ip route show {found}"))?;
        ensure!(route.trim().is_empty(), "{route}");
        Ok(())
    })?;
    cluster.start_api_server()?;
    cluster.await_that("all nodes are ready again", || {
        let unready = cluster.unready_nodes()?;
        ensure!(unready.is_empty(), "these are not: {unready:?}");
        Ok(())
    })
}
