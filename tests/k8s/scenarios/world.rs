//! A cluster with Cairn and some pods in it.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use cairn_k8s::Cluster;
use cairn_k8s::cluster::{CONTROL, manifests};
use cairn_lab::lab::Families;
use serde_json::Value;

/// Pods that `probe.yaml` asks for.
const PODS: usize = 6;

/// The port of the container `web`.
pub(crate) const WEB: u16 = 8080;

/// What scenarios work with.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    /// Nodes that were not ready before Cairn came, and why.
    pub(crate) before: Vec<(String, String)>,
}

/// A pod of `probe.yaml`.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) addresses: Vec<IpAddr>,
}

impl World {
    /// Brings a cluster up, looks at it without Cairn, installs Cairn, and waits for pods on all nodes.
    pub(crate) fn up(families: Families) -> Result<Self> {
        let cluster = Cluster::up(&format!("kubernetes-{}", families.name()), families)?;
        let prepare = || -> Result<Vec<(String, String)>> {
            let mut before = Vec::new();
            cluster.await_that("all nodes tell of themselves", || {
                before = cluster.unready_nodes()?;
                let told = before.iter().filter(|(_, reason)| reason.contains("network")).count();
                ensure!(told == cluster.nodes().len(), "{told} do: {before:?}");
                Ok(())
            })?;
            cluster.install_cairn()?;
            cluster.apply_file(&manifests().join("probe.yaml"))?;
            cluster.await_rollout("default", "deployment/probe")?;
            Ok(before)
        };
        match prepare() {
            Ok(before) => Ok(Self { cluster, before }),
            Err(error) => {
                let place = cluster.keep_traces();
                Err(error.context(format!("traces: {}", place.display())))
            }
        }
    }

    /// The pods there are, at least one on each node.
    pub(crate) fn pods(&self) -> Result<Vec<Pod>> {
        let pods = self.pods_of("default", "app=probe")?;
        ensure!(pods.len() == PODS, "there are {} pods, not {PODS}", pods.len());
        for node in self.cluster.nodes() {
            ensure!(pods.iter().any(|pod| pod.node == node), "no pod is on {node}");
        }
        Ok(pods)
    }

    /// The pods of a namespace that a selector selects.
    pub(crate) fn pods_of(&self, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
        let list = self.cluster.json(&["--namespace", namespace, "get", "pods", "--selector", selector])?;
        let items = list["items"].as_array().context("a list of pods")?;
        let alive = items.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        alive.map(Pod::read).collect()
    }

    /// A pod on a node.
    pub(crate) fn pod_on(&self, node: &str) -> Result<Pod> {
        self.pods()?.into_iter().find(|pod| pod.node == node).context("each node has a pod")
    }

    /// Fetches something over HTTP, from the control plane's node.
    pub(crate) fn fetch(&self, url: &str) -> Result<String> {
        let words = ["curl", "--silent", "--show-error", "--fail", "--globoff", "--max-time", "10", url];
        let output = self.cluster.lab().exec(CONTROL, &words)?;
        ensure!(output.success, "{url}: {}", output.text());
        Ok(output.stdout)
    }

    /// Has a pod ask `host` (an address or name) something over HTTP: `hostname`, or `clientip`, the address that it is seen by.
    pub(crate) fn ask(&self, from: &Pod, host: &str, port: u16, request: &str) -> Result<String> {
        let own = from.addresses.first().context("the pod has an address")?;
        let web = url(own, WEB);
        let url = format!("{web}/dial?request={request}&protocol=http&host={host}&port={port}&tries=1");
        let answer: Value = serde_json::from_str(&self.fetch(&url)?)?;
        match answer["responses"].as_array().map(Vec::as_slice) {
            Some([Value::String(answer)]) => Ok(answer.clone()),
            _ => bail!("{} on {} asked {host}: {answer}", from.name, from.node),
        }
    }
}

/// The URL of a server at an address.
pub(crate) fn url(address: &IpAddr, port: u16) -> String {
    format!("http://{}", std::net::SocketAddr::new(*address, port))
}

impl Pod {
    fn read(pod: &Value) -> Result<Self> {
        let name = pod["metadata"]["name"].as_str().context("a pod has a name")?.to_owned();
        let node = pod["spec"]["nodeName"].as_str().with_context(|| format!("pod {name} has no node"))?;
        let addresses =
            pod["status"]["podIPs"].as_array().with_context(|| format!("pod {name} has no address"))?;
        let parse = |entry: &Value| entry["ip"].as_str().unwrap_or_default().parse::<IpAddr>();
        let addresses = addresses.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { name, node: node.to_owned(), addresses })
    }
}
