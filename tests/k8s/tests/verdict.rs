//! Objects that pass the schema and make no sense: condition, event, and that the rest stays in force. By a controller with the account of
//! `deploy/controller.yaml`, at a real API server.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cairn_api::core::{Event, EventType};
use cairn_api::kinds::{BgpFilter, BgpPeer, IpPool, NodeReport, NodeStatus, PeerDemand, SessionReport};
use cairn_api::{Condition, ConditionStatus, GROUP_VERSION, Metadata, Object, Timestamp};
use cairn_datastore::{Datastore, Key, Precondition, Query};
use http::Method;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::controller::{Controller, holder, until};
use crate::deploy;

/// Plural, kind, name, spec, and the reason of the condition; empty where nothing is wrong.
fn objects() -> Vec<(&'static str, &'static str, &'static str, Value, &'static str)> {
    let peer = |address: &str, more: Value| {
        let mut spec = json!({ "peerIP": address, "asNumber": 65001 });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        spec
    };
    let secret =
        |name: &str, key: &str| json!({ "password": { "secretKeyRef": { "name": name, "key": key } } });
    let prepends = json!([{ "prependASPath": { "prefix": [65001, 65002] } }]);
    let rule = json!({ "action": "Accept", "asPathPrefix": [65001], "operations": prepends });
    vec![
        ("ippools", "IPPool", "good", json!({ "cidr": "10.0.0.0/16" }), ""),
        (
            "ippools",
            "IPPool",
            "selector",
            json!({ "cidr": "10.1.0.0/16", "nodeSelector": "rack = 'a'" }),
            "Invalid",
        ),
        ("bgppeers", "BGPPeer", "good", peer("192.0.2.254", secret("bgp", "key")), ""),
        (
            "bgppeers",
            "BGPPeer",
            "selector",
            peer("192.0.2.240", json!({ "nodeSelector": "has(" })),
            "Invalid",
        ),
        ("bgppeers", "BGPPeer", "itself", peer("192.0.2.1", json!({ "node": "n1" })), "OwnAddress"),
        ("bgppeers", "BGPPeer", "nowhere", peer("192.0.2.241", json!({ "node": "n9" })), "NodeUnknown"),
        ("bgppeers", "BGPPeer", "twice", peer("192.0.2.254", json!({})), "Ambiguous"),
        (
            "bgppeers",
            "BGPPeer",
            "filtered",
            peer("192.0.2.242", json!({ "filters": ["to-tor"] })),
            "FilterMissing",
        ),
        ("bgppeers", "BGPPeer", "secret", peer("192.0.2.243", secret("none", "key")), "SecretMissing"),
        ("bgppeers", "BGPPeer", "key", peer("192.0.2.244", secret("bgp", "none")), "SecretMissing"),
        ("bgpfilters", "BGPFilter", "good", json!({ "exportV4": [{ "action": "Reject" }] }), ""),
        ("bgpfilters", "BGPFilter", "paths", json!({ "exportV4": [rule] }), "Unsupported"),
        (
            "bgpconfigurations",
            "BGPConfiguration",
            "default",
            json!({ "nodeMeshPassword": { "secretKeyRef": { "name": "none", "key": "key" } } }),
            "SecretMissing",
        ),
        ("ipreservations", "IPReservation", "good", json!({ "reservedCIDRs": ["10.0.0.0/24"] }), ""),
        // In the range of a pool that cannot be read.
        ("ipreservations", "IPReservation", "unread", json!({ "reservedCIDRs": ["10.1.0.0/24"] }), ""),
        (
            "ipreservations",
            "IPReservation",
            "outside",
            json!({ "reservedCIDRs": ["10.9.0.0/24"] }),
            "OutsideOfPools",
        ),
        ("nodeconfigurations", "NodeConfiguration", "default", json!({ "mtu": 1400 }), ""),
        (
            "nodeconfigurations",
            "NodeConfiguration",
            "rack",
            json!({ "nodeSelector": "rack == 'z'" }),
            "NoNode",
        ),
        ("egressgateways", "EgressGateway", "good", json!({ "egressIPs": ["192.0.2.7"] }), ""),
        ("egressgateways", "EgressGateway", "pool", json!({ "egressIPs": ["10.0.0.7"] }), "CIDROverlap"),
        ("egressgateways", "EgressGateway", "node", json!({ "egressIPs": ["192.0.2.1"] }), "Ambiguous"),
        ("egressgateways", "EgressGateway", "other", json!({ "egressIPs": ["192.0.2.7"] }), "Ambiguous"),
        (
            "egressgateways",
            "EgressGateway",
            "rack",
            json!({ "egressIPs": ["192.0.2.8"], "nodeSelector": "rack == 'z'" }),
            "NoNode",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes API server"]
async fn what_makes_no_sense_has_a_condition_and_an_event_and_the_rest_stays_in_force() -> Result<()> {
    let cluster = Cluster::start().await?;
    for file in ["namespace.yaml", "controller.yaml"] {
        deploy::apply(&cluster, file).await?;
    }
    a_cluster(&cluster).await?;
    for (plural, kind, name, spec, _) in objects() {
        let metadata = json!({ "name": name });
        let object = json!({ "apiVersion": GROUP_VERSION, "kind": kind, "metadata": metadata, "spec": spec });
        let path = format!("/apis/{GROUP_VERSION}/{plural}");
        cluster.send(Method::POST, &path, &object).await.with_context(|| format!("{kind} {name}"))?;
    }
    let account = deploy::account(&cluster, "cairn-controller").await?;
    let controller = Controller::start(&account, "first")?;
    for (plural, kind, name, _, reason) in objects() {
        until(&format!("{kind} {name} is {reason:?}"), async || {
            is_said(&cluster, plural, name, reason).await
        })
        .await?;
    }
    for (plural, kind, name, _, reason) in objects() {
        if reason.is_empty() {
            continue;
        }
        until(&format!("an event of {kind} {name}"), async || {
            Ok(described(&cluster, plural, kind, name).await?.iter().any(|told| told == reason))
        })
        .await?;
    }
    let told = events(&cluster).await?;
    let good: Vec<_> = told.iter().filter(|event| event.spec.regarding.name == "good").collect();
    ensure!(good.is_empty(), "{good:?}");
    the_rest_stays_in_force(&cluster).await?;
    what_is_mended_and_broken_again_is_one_event_told_again(&cluster).await?;
    what_nodes_say_is_told_of_pools_and_nodes(&cluster).await?;
    drop(controller);
    a_new_leader_says_nothing_twice(&cluster, &account).await
}

/// A Node, and the Secret of a password.
async fn a_cluster(cluster: &Cluster) -> Result<()> {
    let annotations = json!({ cairn_api::annotation::IPV4_ADDRESS: "192.0.2.1/24" });
    let metadata = json!({ "name": "n1", "annotations": annotations });
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata });
    cluster.send(Method::POST, "/api/v1/nodes", &node).await?;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "bgp" },
        "stringData": { "key": "word" },
    });
    cluster.send(Method::POST, "/api/v1/namespaces/cairn-system/secrets", &secret).await?;
    Ok(())
}

async fn get(cluster: &Cluster, plural: &str, name: &str) -> Result<Value> {
    let root = if plural == "nodes" { "/api/v1".to_owned() } else { format!("/apis/{GROUP_VERSION}") };
    cluster.send(Method::GET, &format!("{root}/{plural}/{name}"), &Value::Null).await
}

/// Is the condition as it should be, with a message that names a field where something is wrong?
async fn is_said(cluster: &Cluster, plural: &str, name: &str, reason: &str) -> Result<bool> {
    let object = get(cluster, plural, name).await?;
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let Some(found) = conditions.iter().find(|condition| condition["type"] == "Accepted") else {
        return Ok(false);
    };
    ensure!(found["observedGeneration"] == object["metadata"]["generation"], "{found}");
    if reason.is_empty() {
        return Ok(found["status"] == "True" && found["reason"] == "OK");
    }
    let message = found["message"].as_str().unwrap_or_default();
    Ok(found["status"] == "False" && found["reason"] == reason && message.starts_with("spec."))
}

/// The reasons of what is shown to whoever describes an object: he asks for the events of its uid in the older form.
async fn described(cluster: &Cluster, plural: &str, kind: &str, name: &str) -> Result<Vec<String>> {
    let object = get(cluster, plural, name).await?;
    let uid = object["metadata"]["uid"].as_str().context("a uid")?;
    let selector =
        format!("involvedObject.kind%3D{kind},involvedObject.name%3D{name},involvedObject.uid%3D{uid}");
    let found =
        cluster.send(Method::GET, &format!("/api/v1/events?fieldSelector={selector}"), &Value::Null).await?;
    let items = found["items"].as_array().cloned().unwrap_or_default();
    Ok(items.iter().filter_map(|item| item["reason"].as_str().map(str::to_owned)).collect())
}

async fn events(cluster: &Cluster) -> Result<Vec<Object<Event>>> {
    let query = Query { namespace: Some("default".to_owned()), ..Query::all() };
    Ok(cluster.store.list::<Event>(&query).await?.objects)
}

/// How often an event of an object was told, with this reason.
async fn count(cluster: &Cluster, name: &str, reason: &str) -> Result<u32> {
    let of = |event: &&Object<Event>| event.spec.regarding.name == name && event.spec.reason == reason;
    let found = events(cluster).await?;
    Ok(found.iter().filter(of).map(|event| event.spec.series.as_ref().map_or(1, |series| series.count)).sum())
}

/// Whoever reads the objects as the daemons do gets those that make sense, with their specs as they were.
async fn the_rest_stays_in_force(cluster: &Cluster) -> Result<()> {
    let pools = cluster.store.list::<IpPool>(&Query::all()).await?.objects;
    let names: Vec<&str> = pools.iter().map(Object::name).collect();
    assert_eq!(names, ["good"]);
    assert_eq!(pools[0].spec, IpPool::of("10.0.0.0/16".parse()?));
    let peers = cluster.store.list::<BgpPeer>(&Query::all()).await?.objects;
    ensure!(peers.iter().any(|peer| peer.name() == "good") && peers.len() == 7, "{peers:?}");
    Ok(())
}

async fn what_is_mended_and_broken_again_is_one_event_told_again(cluster: &Cluster) -> Result<()> {
    let filter = Object::new(Metadata::named("to-tor"), BgpFilter::default());
    cluster.store.create(&filter).await?;
    until("the peer is accepted", async || is_said(cluster, "bgppeers", "filtered", "").await).await?;
    until("that is told", async || Ok(count(cluster, "filtered", "Resolved").await? == 1)).await?;
    cluster.store.delete::<BgpFilter>(&Key::named("to-tor"), &Precondition::default()).await?;
    until("it is told again", async || Ok(count(cluster, "filtered", "FilterMissing").await? == 2)).await?;
    let of = |event: &&Object<Event>| event.spec.regarding.name == "filtered";
    let found = events(cluster).await?;
    let found: Vec<_> = found.iter().filter(of).map(|event| (&event.spec.reason, event.spec.kind)).collect();
    ensure!(found.len() == 2, "one event of each reason: {found:?}");
    ensure!(
        found.iter().all(|(reason, kind)| (*reason == "Resolved") == (*kind == EventType::Normal)),
        "{found:?}"
    );
    Ok(())
}

fn condition(kind: &str, status: ConditionStatus, reason: &str, message: &str) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: Timestamp::from_unix(1_700_000_000),
        observed_generation: None,
    }
}

async fn what_nodes_say_is_told_of_pools_and_nodes(cluster: &Cluster) -> Result<()> {
    let overlap = "no new addresses: the pool overlaps with another";
    let mut pool: Object<IpPool> = cluster.store.get(&Key::named("good")).await?;
    let conditions = &mut pool.status.get_or_insert_default().conditions;
    conditions.push(condition("Allocatable", ConditionStatus::False, "CIDROverlap", overlap));
    cluster.store.update_status(&pool).await?;

    let node = Object::new(Metadata::named("n1"), NodeStatus::default());
    let mut node = cluster.store.create(&node).await?;
    let problem = "Node/n1: no interface of this node has its address 192.0.2.1";
    let session: SessionReport = serde_json::from_value(json!({
        "peerIP": "192.0.2.254",
        "bgpPeer": "good",
        "asNumber": 65001,
        "state": "Active",
        "lastError": "connection refused",
    }))?;
    node.status = Some(NodeReport {
        conditions: vec![condition("AddressUnknown", ConditionStatus::True, "AddressUnknown", problem)],
        sessions: vec![session],
        bgp_peers: vec![PeerDemand { name: "good".to_owned(), sessions: 1 }],
        ..NodeReport::default()
    });
    cluster.store.update_status(&node).await?;
    for (plural, kind, name, reason) in [
        ("ippools", "IPPool", "good", "CIDROverlap"),
        ("nodes", "Node", "n1", "AddressUnknown"),
        ("nodes", "Node", "n1", "SessionDown"),
    ] {
        until(&format!("{reason} of {kind} {name}"), async || {
            Ok(described(cluster, plural, kind, name).await?.iter().any(|told| told == reason))
        })
        .await?;
    }
    let down = events(cluster).await?;
    let down = down.iter().find(|event| event.spec.reason == "SessionDown").context("an event")?;
    assert_eq!(down.spec.note, "no BGP session with 192.0.2.254 (AS 65001): connection refused");
    sessions_are_counted(cluster).await?;
    a_report_with_two_conditions_of_a_type_is_refused(cluster).await
}

/// What is said of a peer's sessions, beside what is said of the peer: status and reason, how many there should be, and how many are established.
async fn is_counted(cluster: &Cluster, name: &str, said: [&str; 2], counts: [u64; 2]) -> Result<bool> {
    let object = get(cluster, "bgppeers", name).await?;
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let accepted = conditions.iter().filter(|condition| condition["type"] == "Accepted").count();
    ensure!(accepted == 1, "{object}");
    let Some(found) = conditions.iter().find(|condition| condition["type"] == "Established") else {
        return Ok(false);
    };
    let counts = json!({ "wanted": counts[0], "established": counts[1] });
    let is_said = found["status"] == said[0] && found["reason"] == said[1];
    Ok(is_said && object["status"]["sessions"] == counts)
}

/// In the status of the object that they are by, as they change; and of others that nobody reports one.
async fn sessions_are_counted(cluster: &Cluster) -> Result<()> {
    until("no session by an object for another node", async || {
        is_counted(cluster, "nowhere", ["Unknown", "NotReported"], [0, 0]).await
    })
    .await?;
    until("a session that is down is counted", async || {
        is_counted(cluster, "good", ["False", "SessionDown"], [1, 0]).await
    })
    .await?;
    let mut node: Object<NodeStatus> = cluster.store.get(&Key::named("n1")).await?;
    for session in &mut node.status.get_or_insert_default().sessions {
        session.state = "Established".to_owned();
    }
    cluster.store.update_status(&node).await?;
    until("a session that is up is counted", async || {
        is_counted(cluster, "good", ["True", "OK"], [1, 1]).await
    })
    .await
}

/// A type names a condition.
async fn a_report_with_two_conditions_of_a_type_is_refused(cluster: &Cluster) -> Result<()> {
    let mut node: Object<NodeStatus> = cluster.store.get(&Key::named("n1")).await?;
    let conditions = &mut node.status.get_or_insert_default().conditions;
    let again = conditions.clone();
    conditions.extend(again);
    let refused = cluster.store.update_status(&node).await.err().context("both are taken")?;
    ensure!(!refused.is_temporary() && refused.to_string().contains("Duplicate value"), "{refused}");
    Ok(())
}

async fn a_new_leader_says_nothing_twice(cluster: &Cluster, account: &Path) -> Result<()> {
    let before = events(cluster).await?;
    let _controller = Controller::start(account, "second")?;
    until("the other one leads", async || Ok(holder(&cluster.store).await?.as_deref() == Some("second")))
        .await?;
    let spec = json!({ "peerIP": "192.0.2.245", "asNumber": 65001, "filters": ["to-tor"] });
    let metadata = json!({ "name": "late" });
    let peer = json!({ "apiVersion": GROUP_VERSION, "kind": "BGPPeer", "metadata": metadata, "spec": spec });
    cluster.send(Method::POST, &format!("/apis/{GROUP_VERSION}/bgppeers"), &peer).await?;
    until("it tells", async || Ok(count(cluster, "late", "FilterMissing").await? == 1)).await?;
    let after = events(cluster).await?;
    let is_known = |event: &&Object<Event>| {
        before.iter().any(|known| known.name() == event.name() && known.spec == event.spec)
    };
    let news: Vec<_> = after.iter().filter(|event| !is_known(event)).map(|event| &event.spec).collect();
    ensure!(news.len() == 1 && news[0].regarding.name == "late", "{news:?}");
    Ok(())
}
