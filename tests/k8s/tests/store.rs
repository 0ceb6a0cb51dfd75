//! The store: what every store does, and what only this one has to.

use anyhow::{Context, Result};
use cairn_api::core::{Namespace, Node, Pod, Secret};
use cairn_api::kinds::IpReservation;
use cairn_api::{Metadata, Object};
use cairn_datastore::contract::{self, next};
use cairn_datastore::{Datastore, Key, Query};
use http::Method;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// More than two pages of a list.
const MANY: usize = 1100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes API server"]
async fn an_api_server_is_a_store_like_any_other() -> Result<()> {
    let cluster = Cluster::start().await?;
    contract::hold(&cluster.store).await;
    pages_are_one_list(&cluster).await?;
    foreign_objects_are_trimmed_and_lose_nothing(&cluster).await
}

async fn pages_are_one_list(cluster: &Cluster) -> Result<()> {
    let mut writers = tokio::task::JoinSet::new();
    for first in 0..8 {
        let store = cluster.store.clone();
        writers.spawn(async move {
            for number in (first..MANY).step_by(8) {
                let name = Metadata::named(format!("r{number}"));
                store.create(&Object::new(name, IpReservation::default())).await?;
            }
            Ok::<_, cairn_datastore::StoreError>(())
        });
    }
    for written in writers.join_all().await {
        written?;
    }
    let list = cluster.store.list::<IpReservation>(&Query::all()).await?;
    let names: Vec<&str> = list.objects.iter().map(Object::name).collect();
    assert!(names.len() == MANY && names.is_sorted(), "{}", names.len());
    Ok(())
}

/// Objects that others write, with fields that nobody here knows.
async fn foreign_objects_are_trimmed_and_lose_nothing(cluster: &Cluster) -> Result<()> {
    let store = &cluster.store;
    for node in ["n1", "n2"] {
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": node, "labels": { "rack": "a" } },
            "spec": { "providerID": "lab://1", "taints": [{ "key": "k", "value": "v", "effect": "NoSchedule" }] },
        });
        cluster.send(Method::POST, "/api/v1/nodes", &node).await?;
    }
    let mut node: Object<Node> = store.get(&Key::named("n1")).await?;
    node.metadata.annotations.insert("cairn.network/as-number".to_owned(), "65001".to_owned());
    node.metadata.labels.remove("rack");
    let written = store.update(&node).await?;
    let (identity, _) = written.claims()?.identity(&[]);
    assert_eq!(identity.asn.map(|asn| asn.0), Some(65001));
    let whole = cluster.send(Method::GET, "/api/v1/nodes/n1", &Value::Null).await?;
    assert_eq!(
        (&whole["spec"]["providerID"], whole["metadata"]["labels"].get("rack")),
        (&json!("lab://1"), None)
    );

    let mut pods = store.watch::<Pod>(Query::all().with_field("spec.nodeName", "n1"));
    assert_eq!(next(&mut pods).await, "[]");
    for (pod, node) in [("one", "n1"), ("two", "n2"), ("three", "n1")] {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": pod },
            "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "i" }] },
        });
        cluster.send(Method::POST, "/api/v1/namespaces/default/pods", &pod).await?;
    }
    assert_eq!(next(&mut pods).await, "+default/one");
    assert_eq!(next(&mut pods).await, "+default/three");

    let namespace: Object<Namespace> = store.get(&Key::named("default")).await?;
    assert_eq!(namespace.metadata.labels["kubernetes.io/metadata.name"], "default");
    let listed = store.list::<Namespace>(&Query::all()).await?;
    assert!(listed.objects.contains(&namespace));

    let secrets = Query { namespace: Some("default".to_owned()), ..Query::all() };
    let mut watch = store.watch::<Secret>(secrets);
    assert_eq!(next(&mut watch).await, "[]");
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "bgp" },
        "stringData": { "rack1": "not-a-good-one" },
        "immutable": false,
    });
    cluster.send(Method::POST, "/api/v1/namespaces/default/secrets", &secret).await?;
    assert_eq!(next(&mut watch).await, "+default/bgp");
    let secret: Object<Secret> = store.get(&Key::namespaced("default", "bgp")).await?;
    assert_eq!(secret.spec.get("rack1").context("the password")?, b"not-a-good-one");
    Ok(())
}
