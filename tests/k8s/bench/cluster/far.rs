//! Simulated nodes: their objects and those of their pods, as kubelets and Cairn's daemons would write them, with no machine behind them.

use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use cairn_api::kinds::{
    AffinityState, Allocation, AllocationState, BlockAffinity, IpamBlock, NodeReport, NodeStatus,
    WireguardPeer,
};
use cairn_api::{Metadata, Object, Timestamp, WireguardKey, name};
use cairn_datastore::{Access, Datastore as _, Key, KubeStore, Precondition};
use cairn_k8s::Cluster;
use cairn_k8s::cluster::CONTROL;
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// So many blocks there are behind the first one.
pub(crate) const MOST: u32 = 5000;
/// As many as change their address, at least.
pub(crate) const LEAST: u32 = crate::mesh::CHANGES;
/// Addresses of a block, without the first and the last.
pub(crate) const MOST_PODS: u32 = 62;

/// The pool that simulated nodes have blocks of.
pub(crate) const POOL: &str = "far";
/// Its range.
const RANGE: &str = "10.192.0.0/12";
/// 10.203.0.0: where simulated nodes' blocks begin. Where a node looks for one of its own follows from its name: the real one begins before these.
const FIRST_BLOCK: u32 = 0x0acb_0000;
/// 10.64.0.0: where their own addresses begin.
const FIRST_ADDRESS: u32 = 0x0a40_0000;

/// Requests that are under way at a time.
const WRITERS: u32 = 16;

/// The name of a node.
fn node_name(number: u32) -> String {
    format!("far-{number}")
}

/// The address of a node, another one for each time that it moves.
pub(crate) fn address(number: u32, moved: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_ADDRESS + (moved << 16) + number + 1)
}

/// The block of a node.
pub(crate) fn block(number: u32) -> String {
    format!("{}/26", Ipv4Addr::from_bits(FIRST_BLOCK + (number << 6)))
}

/// The pool.
pub(crate) fn pool() -> String {
    let pool = json!({
        "apiVersion": "cairn.network/v1alpha1",
        "kind": "IPPool",
        "metadata": { "name": POOL },
        "spec": { "cidr": RANGE, "vxlanMode": "Always" },
    });
    pool.to_string()
}

/// Somebody who writes to the API server, from where that can be reached.
#[derive(Clone)]
pub(crate) struct Writer {
    client: Client,
    store: KubeStore,
}

/// Runs something in the network of the control plane's node.
pub(crate) fn at_the_server<T: Send>(
    cluster: &Cluster,
    body: impl AsyncFnOnce(Writer) -> Result<T> + Send,
) -> Result<T> {
    let kubeconfig = cluster.kubeconfig();
    let path = format!("/proc/{}/ns/net", cluster.lab().process(CONTROL)?.pid);
    let space = File::open(&path).with_context(|| path.clone())?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // Of this thread alone.
            setns(space, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {path}"))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let file = Kubeconfig::read_from(&kubeconfig)?;
                let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
                let store = KubeStore::connect(&Access::Kubeconfig(kubeconfig)).await?;
                body(Writer { client: Client::try_from(config)?, store }).await
            })
        });
        thread.join().unwrap_or_else(|_| Err(anyhow!("the thread of the writer panicked")))
    })
}

impl Writer {
    /// Writes all objects of all nodes, whose Nodes have the status of a real one.
    pub(crate) async fn write_all(&self, nodes: u32, pods: u32, status: Value) -> Result<()> {
        let status = Arc::new(status);
        let mut writers = JoinSet::new();
        for first in 0..WRITERS {
            let (writer, status) = (self.clone(), Arc::clone(&status));
            writers.spawn(async move {
                let mut number = first;
                while number < nodes {
                    let written = writer.write(number, pods, &status).await;
                    written.with_context(|| node_name(number))?;
                    number += WRITERS;
                }
                Ok::<_, anyhow::Error>(())
            });
        }
        while let Some(done) = writers.join_next().await {
            done??;
        }
        Ok(())
    }

    async fn write(&self, number: u32, pods: u32, status: &Value) -> Result<()> {
        self.send(Method::POST, "/api/v1/nodes", &node(number, status)).await?;
        let (node, cidr) = (node_name(number), block(number).parse()?);
        let pool = POOL.to_owned();
        let of_block = || Metadata::named(name::of_prefix(cidr));
        let state = AffinityState::Confirmed;
        let affinity = BlockAffinity { cidr, node: node.clone(), pool: pool.clone(), state };
        self.store.create(&Object::new(of_block(), affinity)).await?;
        let allocations = (0..pods).map(|pod| allocation(number, pod)).collect();
        self.store.create(&Object::new(of_block(), IpamBlock { cidr, pool, allocations })).await?;
        let mut status = Object::new(Metadata::named(&node), NodeStatus {});
        let report = NodeReport { blocks: vec![cidr], attachments: u64::from(pods), ..NodeReport::default() };
        status.status = Some(report);
        self.store.create(&status).await?;
        let mut key = [1; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        self.store.create(&Object::new(Metadata::named(&node), WireguardPeer::of(WireguardKey(key)))).await?;
        for pod in 0..pods {
            self.send(Method::POST, "/api/v1/namespaces/default/pods", &pod_of(number, pod)).await?;
        }
        Ok(())
    }

    /// Has a node own a block. Without the label by which its allocator finds its claims, which would give back what it has no use for.
    pub(crate) async fn claim(&self, block: &str, node: &str, pool: &str) -> Result<()> {
        let (cidr, state) = (block.parse()?, AffinityState::Confirmed);
        let metadata = Metadata::named(name::of_prefix(cidr));
        let affinity = BlockAffinity { cidr, node: node.to_owned(), pool: pool.to_owned(), state };
        self.store.create(&Object::new(metadata, affinity)).await?;
        Ok(())
    }

    /// Has nobody own it.
    pub(crate) async fn disclaim(&self, block: &str) -> Result<()> {
        let key = Key::named(name::of_prefix(block.parse()?));
        self.store.delete::<BlockAffinity>(&key, &Precondition::default()).await?;
        Ok(())
    }

    /// Gives a node another address.
    pub(crate) async fn move_node(&self, number: u32, moved: u32) -> Result<()> {
        let path = format!("/api/v1/nodes/{}/status", node_name(number));
        let patch = json!({ "status": { "addresses": addresses(number, moved) } });
        self.send(Method::PATCH, &path, &patch).await
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("Content-Type", kind);
        let answer = self.client.request_text(request.body(body.to_string().into_bytes())?).await;
        answer.with_context(|| path.to_owned()).map(drop)
    }
}

fn addresses(number: u32, moved: u32) -> Value {
    json!([
        { "type": "InternalIP", "address": address(number, moved).to_string() },
        { "type": "Hostname", "address": node_name(number) },
    ])
}

/// With the status of a real one, so that a write of it is told in as many octets; only its addresses are its own.
fn node(number: u32, status: &Value) -> Value {
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node_name(number),
            "labels": { "kubernetes.io/hostname": node_name(number), "kubernetes.io/os": "linux" },
        },
        "status": status,
    });
    node["status"]["addresses"] = addresses(number, 0);
    node
}

fn pod_name(number: u32, pod: u32) -> String {
    format!("far-{number}-{pod}")
}

fn pod_of(number: u32, pod: u32) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": pod_name(number, pod), "labels": { "app": "far" } },
        "spec": { "nodeName": node_name(number), "containers": [{ "name": "c", "image": "localhost/none:dev" }] },
    })
}

fn allocation(number: u32, pod: u32) -> Allocation {
    Allocation {
        address: Ipv4Addr::from_bits(FIRST_BLOCK + (number << 6) + pod + 1).into(),
        node: node_name(number),
        state: AllocationState::Assigned,
        handle: format!("cairn.{number:032x}{pod:032x}.eth0"),
        pod: format!("default/{}", pod_name(number, pod)),
        since: Timestamp::from_unix(1_767_225_600),
    }
}
