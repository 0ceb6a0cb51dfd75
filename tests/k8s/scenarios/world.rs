//! A cluster with Cairn and some pods in it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use cairn_k8s::Cluster;
use cairn_k8s::cluster::{CONTROL, manifests};
use cairn_lab::lab::Families;
use serde_json::{Value, json};

/// Pods that `probe.yaml` asks for.
const PODS: usize = 6;

/// The port of the container `web`.
pub(crate) const WEB: u16 = 8080;

/// The labels of pods that a scenario makes for itself.
const OWN: &str = "app=fresh";

/// Prints the namespace of each pod of a node with each of its addresses, whatever its image has.
const SPACES: &str = "for space in /run/netns/*; do nsenter --net=$space ip -oneline address show dev eth0 scope global \
                      | while read -r number name family address rest; do echo $space ${address%/*}; done; done";

/// What scenarios work with.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    /// Nodes that were not ready before Cairn came, and why.
    pub(crate) before: Vec<(String, String)>,
}

/// A pod that answers as those of `probe.yaml` do.
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
        self.pods_of("app=probe", PODS)
    }

    /// The pods with a label, of which there must be so many, at least one on each node.
    pub(crate) fn pods_of(&self, label: &str, number: usize) -> Result<Vec<Pod>> {
        let pods = self.pods_in("default", label)?;
        ensure!(pods.len() == number, "there are {} pods with {label}, not {number}", pods.len());
        for node in self.cluster.nodes() {
            ensure!(pods.iter().any(|pod| pod.node == node), "no pod with {label} is on {node}");
        }
        Ok(pods)
    }

    /// Starts a pod on each of some nodes, and waits until they are ready.
    pub(crate) fn start_pods(&self, nodes: &[&str]) -> Result<Vec<Pod>> {
        let names: Vec<String> = nodes.iter().map(|node| format!("fresh-{node}")).collect();
        let items: Vec<Value> = nodes.iter().zip(&names).map(|(node, name)| fresh(name, node)).collect();
        self.cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string())?;
        let mut words = vec!["wait", "--for=condition=Ready", "pod", "--timeout=180s"];
        words.extend(names.iter().map(String::as_str));
        self.cluster.kubectl(&words)?;
        names.iter().map(|name| Pod::read(&self.cluster.json(&["get", "pod", name])?)).collect()
    }

    /// Ends all pods that [`World::start_pods`] started, and waits until they are gone.
    pub(crate) fn end_pods(&self) -> Result<()> {
        self.cluster.kubectl(&["delete", "pods", "--selector", OWN, "--timeout=180s"]).map(drop)
    }

    /// Pods that are made now come up on every node, and they and those that were there before reach each other.
    pub(crate) fn new_pods_work(&self) -> Result<()> {
        let tried = self.start_pods(&self.cluster.nodes()).and_then(|fresh| self.reach_all_others(&fresh));
        let ended = self.end_pods();
        tried.context("new pods")?;
        ended
    }

    /// Some pods and those of `probe.yaml` on other nodes reach each other, and are seen by their own addresses.
    pub(crate) fn reach_all_others(&self, some: &[Pod]) -> Result<()> {
        let others = self.pods()?;
        for one in some {
            for other in others.iter().filter(|other| other.node != one.node) {
                self.keeps_its_address(one, other)?;
                self.keeps_its_address(other, one)?;
            }
        }
        Ok(())
    }

    /// A pod that asks another one is seen by its own address, in each family.
    pub(crate) fn keeps_its_address(&self, from: &Pod, to: &Pod) -> Result<()> {
        ensure!(from.addresses.len() == to.addresses.len(), "{from:?} and {to:?}");
        for (own, address) in from.addresses.iter().zip(&to.addresses) {
            let seen: SocketAddr = self.ask(from, &address.to_string(), WEB, "clientip")?.parse()?;
            ensure!(seen.ip() == *own, "{from:?} is seen as {seen} by {to:?}");
        }
        Ok(())
    }

    /// The network namespaces of a node's pods, by each of their addresses: paths on the node.
    pub(crate) fn spaces(&self, node: &str) -> Result<BTreeMap<IpAddr, String>> {
        // A namespace that is being made or removed has no such interface, which is no failure.
        let output = self.cluster.lab().exec(node, &["sh", "-c", SPACES])?;
        let line = |line: &str| -> Result<(IpAddr, String)> {
            let (space, address) = line.split_once(' ').with_context(|| format!("{node}: {line}"))?;
            Ok((address.parse().with_context(|| format!("{node}: {line}"))?, space.to_owned()))
        };
        output.stdout.lines().map(line).collect()
    }

    /// The pods of a namespace that a selector selects.
    pub(crate) fn pods_in(&self, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
        let list = self.cluster.json(&["--namespace", namespace, "get", "pods", "--selector", selector])?;
        let items = list["items"].as_array().context("a list of pods")?;
        let alive = items.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        alive.map(Pod::read).collect()
    }

    /// A pod on a node.
    pub(crate) fn pod_on(&self, node: &str) -> Result<Pod> {
        self.pods()?.into_iter().find(|pod| pod.node == node).context("each node has a pod")
    }

    /// A pod on each of the three nodes.
    pub(crate) fn a_pod_on_each(&self) -> Result<[Pod; 3]> {
        Ok([self.pod_on("node1")?, self.pod_on("node2")?, self.pod_on("node3")?])
    }

    /// Fetches something over HTTP, from the control plane's node.
    pub(crate) fn fetch(&self, url: &str) -> Result<String> {
        let words = ["curl", "--silent", "--show-error", "--fail", "--globoff", "--max-time", "10", url];
        let output = self.cluster.lab().exec(CONTROL, &words)?;
        ensure!(output.success, "{url}: {}", output.text());
        Ok(output.stdout)
    }

    /// Has addresses rest for so many seconds before another pod may have them; `None`: as usual.
    pub(crate) fn set_cooldown(&self, seconds: Option<u32>) -> Result<()> {
        let Some(seconds) = seconds else {
            let delete = ["delete", "ipamconfiguration", "default", "--ignore-not-found"];
            return self.cluster.kubectl(&delete).map(drop);
        };
        let ipam = json!({
            "apiVersion": "cairn.network/v1alpha1",
            "kind": "IPAMConfiguration",
            "metadata": { "name": "default" },
            "spec": { "ipCooldownSeconds": seconds },
        });
        self.cluster.apply(&ipam.to_string())
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
    format!("http://{}", SocketAddr::new(*address, port))
}

/// The spec of a pod that answers as those of `probe.yaml` do.
pub(crate) fn web() -> Value {
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "web",
            "image": "localhost/probe:dev",
            "args": ["netexec", format!("--http-port={WEB}"), "--udp-port=8081"],
            "readinessProbe": { "httpGet": { "path": "/hostname", "port": WEB }, "periodSeconds": 1 },
        }],
    })
}

fn fresh(name: &str, node: &str) -> Value {
    let mut spec = web();
    spec["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
    let metadata = json!({ "name": name, "labels": { "app": "fresh" } });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec })
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
