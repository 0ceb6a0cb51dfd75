//! The controller: two of it, with the account of `deploy/controller.yaml`, at a real API server.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_api::annotation::RECLAIMED;
use cairn_api::core::Lease;
use cairn_api::kinds::{
    AffinityState, Allocation, AllocationState, BlockAffinity, EgressMembers, IpPool, IpamBlock,
    IpamConfiguration, NodeStatus, WireguardPeer,
};
use cairn_api::{Kind, Metadata, Object, Timestamp, WireguardKey, name};
use cairn_datastore::{Access, Datastore, Key, KubeStore, Precondition, Query};
use http::Method;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::deploy;

const LEASE: Duration = Duration::from_secs(3);
/// For what takes a few rounds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A controller that does not outlive its value.
pub(crate) struct Controller(Child);

impl Controller {
    pub(crate) fn start(kubeconfig: &Path, identity: &str) -> Result<Self> {
        let programs =
            std::env::var("CAIRN_BIN").context("CAIRN_BIN, the directory of programs, is not set")?;
        let mut command = Command::new(Path::new(&programs).join("cairn-controller"));
        command.arg("--datastore").arg(format!("kubeconfig:{}", kubeconfig.display()));
        command.args([
            "--identity",
            identity,
            "--lease-duration",
            "3s",
            "--interval",
            "1s",
            "--grace",
            "3s",
            "--release-leaked",
            "--log",
            "warn",
        ]);
        Ok(Self(command.stdin(Stdio::null()).spawn().context("cannot run cairn-controller")?))
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes API server"]
async fn what_leaked_is_given_back_what_lives_is_kept_and_another_goes_on_when_the_leader_dies() -> Result<()>
{
    let cluster = Cluster::start().await?;
    for file in ["namespace.yaml", "controller.yaml"] {
        deploy::apply(&cluster, file).await?;
    }
    let kubeconfig = deploy::account(&cluster, "cairn-controller").await?;
    nothing_else_is_allowed(&cluster, &kubeconfig).await?;
    a_cluster_with_leaks(&cluster).await?;

    let mut controllers = Vec::new();
    for identity in ["first", "second"] {
        controllers.push((identity, Controller::start(&kubeconfig, identity)?));
    }
    let store = &cluster.store;
    until("the leak is given back", async || {
        Ok(state(store, "10.0.0.2").await? == Some(AllocationState::Released))
    })
    .await?;
    let answers = Arc::new(AtomicUsize::new(0));
    let daemon = tokio::spawn(answer(store.clone(), Arc::clone(&answers)));
    until("what the gone node left is cleared away", async || {
        let left = store.list::<BlockAffinity>(&Query::all()).await?.objects.len()
            + store.list::<IpamBlock>(&Query::all()).await?.objects.len();
        let reports = reports(store).await?;
        Ok(left == 4
            && reports
                == ["NodeStatus misnamed", "NodeStatus n1", "WireguardPeer n1", "WireguardPeer outside"])
    })
    .await?;
    until("a daemon under another name is asked more than once", async || {
        Ok(answers.load(Ordering::Relaxed) > 1)
    })
    .await?;
    assert_eq!(state(store, "10.0.0.129").await?, Some(AllocationState::Assigned), "it answers");
    daemon.abort();
    assert_eq!(state(store, "10.0.0.1").await?, Some(AllocationState::Assigned), "a live pod's");
    assert_eq!(state(store, "10.0.0.4").await?, Some(AllocationState::Assigned), "a live pod has it");
    let own: Object<BlockAffinity> = store.get(&Key::named(name::of_prefix("10.0.0.0/26".parse()?))).await?;
    assert!(own.metadata.annotations.contains_key(RECLAIMED), "the node is told");

    let leader = holder(store).await?.context("nobody leads")?;
    controllers.retain(|(identity, _)| *identity != leader);
    ensure!(controllers.len() == 1, "{leader} is none of them");
    let died = Instant::now();
    until("the other one leads", async || Ok(holder(store).await?.is_some_and(|holder| holder != leader)))
        .await?;
    ensure!(died.elapsed() < LEASE * 2 + Duration::from_secs(2), "after {:?}", died.elapsed());
    let pod = "/api/v1/namespaces/default/pods/lives?gracePeriodSeconds=0";
    cluster.send(Method::DELETE, pod, &Value::Null).await?;
    until("the other one gives back", async || {
        Ok(state(store, "10.0.0.1").await? == Some(AllocationState::Released))
    })
    .await
}

/// What the daemon of a node does that goes by another name than its Node.
async fn answer(store: KubeStore, answers: Arc<AtomicUsize>) {
    loop {
        let status = Object::new(Metadata::named("misnamed"), NodeStatus::default());
        if store.create(&status).await.is_ok() {
            answers.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !holds().await? {
        if started.elapsed() > PATIENCE {
            bail!("not within {} s: {what}", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

pub(crate) async fn holder(store: &KubeStore) -> Result<Option<String>> {
    let lease: Object<Lease> = store.get(&Key::namespaced("cairn-system", "cairn-controller")).await?;
    Ok(lease.spec.holder().map(str::to_owned))
}

async fn state(store: &KubeStore, address: &str) -> Result<Option<AllocationState>> {
    let address = address.parse::<std::net::IpAddr>()?;
    let blocks = store.list::<IpamBlock>(&Query::all()).await?.objects;
    let mut entries = blocks.iter().flat_map(|block| &block.spec.allocations);
    Ok(entries.find(|entry| entry.address == address).map(|entry| entry.state))
}

/// What nodes reported, in order.
async fn reports(store: &KubeStore) -> Result<Vec<String>> {
    async fn of<K: Kind>(store: &KubeStore, found: &mut Vec<String>) -> Result<()> {
        let objects = store.list::<K>(&Query::all()).await?.objects;
        found.extend(objects.iter().map(|object| format!("{} {}", K::KIND, object.name())));
        Ok(())
    }
    let mut found = Vec::new();
    of::<EgressMembers>(store, &mut found).await?;
    of::<NodeStatus>(store, &mut found).await?;
    of::<WireguardPeer>(store, &mut found).await?;
    Ok(found)
}

/// The node `n1` with a pod, an address of a pod that is gone, and an address that it holds ready; and all that the node `gone` has left.
async fn a_cluster_with_leaks(cluster: &Cluster) -> Result<()> {
    let store = &cluster.store;
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" } });
    cluster.send(Method::POST, "/api/v1/nodes", &node).await?;
    // The server makes it a node that is not ready yet.
    let mut node: Object<cairn_api::core::Node> = store.get(&Key::named("n1")).await?;
    node.spec.taints.clear();
    store.update(&node).await?;
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "lives" },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] },
    });
    let pods = "/api/v1/namespaces/default/pods";
    cluster.send(Method::POST, pods, &pod).await?;
    // Another one has an address that is in the block under a name that no pod has.
    let mut pod = pod;
    pod["metadata"]["name"] = json!("addressed");
    let mut pod = cluster.send(Method::POST, pods, &pod).await?;
    pod["status"]["podIP"] = json!("10.0.0.4");
    pod["status"]["podIPs"] = json!([{ "ip": "10.0.0.4" }]);
    cluster.send(Method::PUT, &format!("{pods}/addressed/status"), &pod).await?;
    let ipam = IpamConfiguration { ip_cooldown_seconds: 1, ..IpamConfiguration::default() };
    store.create(&Object::new(Metadata::named("default"), ipam)).await?;
    store.create(&Object::new(Metadata::named("p"), IpPool::of("10.0.0.0/16".parse()?))).await?;
    let assigned = AllocationState::Assigned;
    block(
        store,
        "10.0.0.0/26",
        "n1",
        &[
            ("10.0.0.1", assigned, "default/lives"),
            ("10.0.0.2", assigned, "default/gone"),
            ("10.0.0.3", AllocationState::Reserved, ""),
            ("10.0.0.4", assigned, "default/unknown"),
        ],
    )
    .await?;
    block(
        store,
        "10.0.0.64/26",
        "gone",
        &[("10.0.0.65", assigned, "default/gone"), ("10.0.0.66", AllocationState::Reserved, "")],
    )
    .await?;
    block(store, "10.0.0.128/26", "misnamed", &[("10.0.0.129", assigned, "default/unseen")]).await?;
    store.create(&Object::new(Metadata::named("misnamed"), NodeStatus::default())).await?;
    for node in ["n1", "gone"] {
        store.create(&Object::new(Metadata::named(node), NodeStatus::default())).await?;
        store.create(&Object::new(Metadata::named(node), WireguardPeer::of(WireguardKey([1; 32])))).await?;
    }
    store.create(&Object::new(Metadata::named("gone"), EgressMembers::default())).await?;
    let mut outside = WireguardPeer::of(WireguardKey([2; 32]));
    outside.allowed_ips = vec!["198.51.100.0/24".parse()?];
    store.create(&Object::new(Metadata::named("outside"), outside)).await?;
    Ok(())
}

async fn block(
    store: &KubeStore,
    cidr: &str,
    node: &str,
    entries: &[(&str, AllocationState, &str)],
) -> Result<()> {
    let cidr = cidr.parse()?;
    let metadata = || Metadata::named(name::of_prefix(cidr));
    let mut allocations = Vec::new();
    for (address, state, pod) in entries {
        allocations.push(Allocation {
            address: address.parse()?,
            node: node.to_owned(),
            state: *state,
            handle: if pod.is_empty() { String::new() } else { format!("net.{address}.eth0") },
            pod: (*pod).to_owned(),
            since: Timestamp::from_unix(1_700_000_000),
        });
    }
    let (node, pool) = (node.to_owned(), "p".to_owned());
    let affinity = BlockAffinity { cidr, node, pool: pool.clone(), state: AffinityState::Confirmed };
    store.create(&Object::new(metadata(), affinity)).await?;
    store.create(&Object::new(metadata(), IpamBlock { cidr, pool, allocations })).await?;
    Ok(())
}

/// What is not on the list of its account; what is on it is shown by the controller's work.
async fn nothing_else_is_allowed(cluster: &Cluster, kubeconfig: &Path) -> Result<()> {
    let own = KubeStore::connect(&Access::Kubeconfig(kubeconfig.to_owned())).await?;
    let pool =
        cluster.store.create(&Object::new(Metadata::named("q"), IpPool::of("10.9.0.0/16".parse()?))).await?;
    let unconditional = Precondition::default();
    let elsewhere = Object::new(Metadata::namespaced("default", "cairn-controller"), Lease::default());
    let another = Object::new(Metadata::namespaced("cairn-system", "another"), Lease::default());
    cluster.store.create(&another).await?;
    let of_others = Query { namespace: Some("default".to_owned()), ..Query::all() };
    let event = Object::new(Metadata::namespaced("kube-system", "e"), cairn_api::core::Event::default());
    let refused = [
        ("writing a pool", own.update(&pool).await.is_err()),
        ("deleting a pool", own.delete::<IpPool>(&Key::from(&pool.metadata), &unconditional).await.is_err()),
        ("all Secrets", own.list::<cairn_api::core::Secret>(&Query::all()).await.is_err()),
        ("Secrets of others", own.list::<cairn_api::core::Secret>(&of_others).await.is_err()),
        ("an Event of objects elsewhere", own.create(&event).await.is_err()),
        ("all Events", own.list::<cairn_api::core::Event>(&Query::all()).await.is_err()),
        (
            "deleting a Node",
            own.delete::<cairn_api::core::Node>(&Key::named("n1"), &unconditional).await.is_err(),
        ),
        (
            "writing a NodeStatus",
            own.create(&Object::new(Metadata::named("n2"), NodeStatus::default())).await.is_err(),
        ),
        ("a lease elsewhere", own.create(&elsewhere).await.is_err()),
        ("another lease", own.get::<Lease>(&Key::from(&another.metadata)).await.is_err()),
    ];
    for (what, refused) in refused {
        ensure!(refused, "{what}: allowed");
    }
    Ok(())
}
