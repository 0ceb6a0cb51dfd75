//! What the service account of a node may do: what felix-lite does, and no more.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_api::core::{Namespace, Node, Pod, Secret};
use cairn_api::kinds::{
    AffinityState, BgpConfiguration, BgpFilter, BgpPeer, BlockAffinity, EgressGateway, EgressGatewayStatus,
    EgressMembers, IpPool, IpPoolStatus, IpReservation, IpamBlock, IpamConfiguration, NodeConfiguration,
    NodeReport, NodeStatus, WireguardPeer,
};
use cairn_api::{Kind, Metadata, Object, WireguardKey};
use cairn_datastore::contract::next;
use cairn_datastore::{Access, Datastore, Key, KubeStore, Precondition, Query, StoreError};

use crate::cluster::Cluster;
use crate::deploy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes API server"]
async fn a_node_may_do_what_it_does_and_no_more() -> Result<()> {
    let cluster = Cluster::start().await?;
    for file in ["namespace.yaml", "access.yaml"] {
        deploy::apply(&cluster, file).await?;
    }
    let node =
        KubeStore::connect(&Access::Kubeconfig(deploy::account(&cluster, "cairn-node").await?)).await?;
    everything_that_is_watched(&node).await;
    everything_that_is_written(&cluster, &node).await?;
    nothing_else(&cluster, &node).await?;
    the_command_line_reads_the_cluster(cluster.server.kubeconfig())
}

/// The program as it is shipped: static, without the system's TLS and resolver.
fn the_command_line_reads_the_cluster(kubeconfig: &Path) -> Result<()> {
    let programs = std::env::var("CAIRN_BIN").context("CAIRN_BIN, the directory of programs, is not set")?;
    let mut command = Command::new(Path::new(&programs).join("cairnctl"));
    command.args(["-o", "json", "ipam", "show", "--store"]);
    command.arg(format!("kubeconfig:{}", kubeconfig.display()));
    let output = command.output().context("cannot run cairnctl")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(text.contains(r#"{"name":"p","size":65536,"#), "{text}");
    Ok(())
}

async fn watched<K: Kind>(node: &KubeStore, query: Query) {
    let told = next(&mut node.watch::<K>(query)).await;
    assert!(told.starts_with('['), "{}: {told}", K::KIND);
}

async fn everything_that_is_watched(node: &KubeStore) {
    watched::<Node>(node, Query::all()).await;
    watched::<Namespace>(node, Query::all()).await;
    watched::<Pod>(node, Query::all().with_field("spec.nodeName", "n1")).await;
    watched::<Secret>(node, Query { namespace: Some("cairn-system".to_owned()), ..Query::all() }).await;
    watched::<BgpConfiguration>(node, Query::all()).await;
    watched::<BgpFilter>(node, Query::all()).await;
    watched::<BgpPeer>(node, Query::all()).await;
    watched::<BlockAffinity>(node, Query::all()).await;
    watched::<EgressGateway>(node, Query::all()).await;
    watched::<EgressMembers>(node, Query::all()).await;
    watched::<IpPool>(node, Query::all()).await;
    watched::<IpReservation>(node, Query::all()).await;
    watched::<IpamConfiguration>(node, Query::all()).await;
    watched::<NodeConfiguration>(node, Query::all()).await;
    watched::<WireguardPeer>(node, Query::all()).await;
}

/// Makes, changes and deletes an object.
async fn written<K: Kind>(node: &KubeStore, object: Object<K>) -> Result<()> {
    let made = node.create(&object).await?;
    let mut changed = made;
    changed.metadata.labels.insert("cairn.network/node".to_owned(), "n1".to_owned());
    let changed = node.update(&changed).await?;
    node.delete::<K>(&Key::from(&object.metadata), &Precondition::unchanged(&changed.metadata)).await?;
    Ok(())
}

async fn everything_that_is_written(cluster: &Cluster, node: &KubeStore) -> Result<()> {
    let pool = Object::new(Metadata::named("p"), IpPool::of("10.0.0.0/16".parse()?));
    let mut pool = cluster.store.create(&pool).await?;
    pool.status = Some(IpPoolStatus::default());
    node.update_status(&pool).await?;

    let gateway = r#"{"egressIPs": ["192.0.2.7"]}"#;
    let gateway = Object::new(Metadata::named("g"), serde_json::from_str::<EgressGateway>(gateway)?);
    let mut gateway = cluster.store.create(&gateway).await?;
    gateway.status = Some(EgressGatewayStatus { node: Some("n1".to_owned()), conditions: Vec::new() });
    node.update_status(&gateway).await?;
    written(node, Object::new(Metadata::named("n1"), EgressMembers::default())).await?;

    let cidr = "10.0.0.64/26".parse()?;
    let named = || Metadata::named(cairn_api::name::of_prefix(cidr));
    let affinity =
        BlockAffinity { cidr, node: "n1".to_owned(), pool: "p".to_owned(), state: AffinityState::Pending };
    written(node, Object::new(named(), affinity)).await?;
    let block = Object::new(named(), IpamBlock { cidr, pool: "p".to_owned(), allocations: Vec::new() });
    written(node, block.clone()).await?;
    let gone = node.get::<IpamBlock>(&Key::from(&block.metadata)).await;
    ensure!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    ensure!(node.list::<IpamBlock>(&Query::all()).await?.objects.is_empty());
    written(node, Object::new(Metadata::named("n1"), WireguardPeer::of(WireguardKey([1; 32])))).await?;

    let mut status = node.create(&Object::new(Metadata::named("n1"), NodeStatus::default())).await?;
    status.status = Some(NodeReport::default());
    node.update_status(&status).await?;
    node.get::<NodeStatus>(&Key::named("n1")).await?;
    Ok(())
}

/// What is refused is no fault of the object: it may be allowed later.
fn refused<T: std::fmt::Debug>(what: &str, result: Result<T, StoreError>) -> Result<()> {
    let error = result.err().with_context(|| format!("{what} is allowed"))?;
    ensure!(error.is_temporary() && error.to_string().contains("does not allow"), "{what}: {error}");
    Ok(())
}

async fn nothing_else(cluster: &Cluster, node: &KubeStore) -> Result<()> {
    let pool: Object<IpPool> = cluster.store.get(&Key::named("p")).await?;
    refused("changing a pool", node.update(&pool).await)?;
    refused("deleting a pool", node.delete::<IpPool>(&Key::named("p"), &Precondition::default()).await)?;
    refused(
        "making a peer",
        node.create(&Object::new(Metadata::named("r"), IpReservation::default())).await,
    )?;
    refused(
        "Secrets of others",
        node.list::<Secret>(&Query { namespace: Some("default".to_owned()), ..Query::all() }).await,
    )?;
    refused("all Secrets", node.list::<Secret>(&Query::all()).await)?;
    refused(
        "deleting a report",
        node.delete::<NodeStatus>(&Key::named("n1"), &Precondition::default()).await,
    )?;
    Ok(())
}
