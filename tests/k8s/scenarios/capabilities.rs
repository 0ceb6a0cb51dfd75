//! What pods ask for and a runtime hands to the plugin: ports of the node, limits of traffic.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::world::{WEB, World, url, web};

const HOST_PORT: u16 = 18080;

fn pod(name: &str, node: &str, annotations: &serde_json::Value, host_port: Option<u16>) -> String {
    let mut spec = web();
    spec["nodeName"] = node.into();
    let mut port = json!({ "containerPort": WEB });
    if let Some(host_port) = host_port {
        port["hostPort"] = host_port.into();
    }
    spec["containers"][0]["ports"] = json!([port]);
    let metadata = json!({ "name": name, "namespace": "default", "annotations": annotations });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
    pod.to_string()
}

/// Makes a pod, looks at it, and removes it, whatever was found.
fn with_pod(world: &World, (name, manifest): (&str, &str), body: impl FnOnce() -> Result<()>) -> Result<()> {
    world.cluster.apply(manifest)?;
    let waited =
        world.cluster.kubectl(&["wait", "--for=condition=Ready", "--timeout=120s", &format!("pod/{name}")]);
    let found = waited.map(drop).and_then(|()| body());
    world.cluster.kubectl(&["delete", "pod", name, "--wait=true"])?;
    found
}

pub(crate) fn a_host_port_leads_to_its_pod(world: &World) -> Result<()> {
    let nodes = world.cluster.nodes();
    let node = nodes.last().context("there are nodes")?;
    let mut addresses = world.cluster.addresses(node)?;
    addresses.retain(|address| world.cluster.families().wants(&address.to_string()));
    let manifest = pod("host-port", node, &json!({}), Some(HOST_PORT));
    with_pod(world, ("host-port", &manifest), || {
        for address in &addresses {
            world.cluster.await_that("the port leads to the pod", || {
                let answer = world.fetch(&format!("{}/hostname", url(address, HOST_PORT)))?;
                ensure!(answer.trim() == "host-port", "{address}: {answer}");
                Ok(())
            })?;
            for from in world.pods()? {
                let answer = world.ask(&from, &address.to_string(), HOST_PORT, "hostname")?;
                ensure!(answer == "host-port", "{from:?} asked {address}: {answer}");
            }
        }
        Ok(())
    })?;
    for address in &addresses {
        let answer = world.fetch(&format!("{}/hostname", url(address, HOST_PORT)));
        ensure!(answer.is_err(), "the port of a pod that is gone answers: {answer:?}");
    }
    Ok(())
}

pub(crate) fn annotations_limit_the_traffic_of_a_pod(world: &World) -> Result<()> {
    let nodes = world.cluster.nodes();
    let node = nodes.last().context("there are nodes")?;
    let annotations = json!({
        "kubernetes.io/ingress-bandwidth": "20M", "kubernetes.io/egress-bandwidth": "8M",
    });
    let sets = || -> Result<(String, String)> {
        let set =
            |direction| world.cluster.lab().run(node, &format!("nft list set inet cairn {direction}-limits"));
        Ok((set("ingress")?, set("egress")?))
    };
    let manifest = pod("slow", node, &annotations, None);
    with_pod(world, ("slow", &manifest), || {
        let (ingress, egress) = sets()?;
        ensure!(ingress.contains("limit rate over 2500000 bytes/second"), "{ingress}");
        ensure!(egress.contains("limit rate over 1000000 bytes/second"), "{egress}");
        Ok(())
    })?;
    let (ingress, egress) = sets()?;
    ensure!(!ingress.contains("crn") && !egress.contains("crn"), "{ingress}{egress}");
    Ok(())
}
