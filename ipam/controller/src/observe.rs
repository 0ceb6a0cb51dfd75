//! What is seen: lists of the store, in the order that the judge relies on.

use std::time::Duration;

use cairn_api::core::{Node, Pod, PodState};
use cairn_api::kinds::{EgressMembers, IpamConfiguration, NodeStatus, WireguardPeer};
use cairn_api::{Kind, Object};
use cairn_datastore::{Datastore, Key, Query, StoreError};

use crate::judge::{Observation, Report, ReportKind};

/// Reads everything once.
///
/// # Errors
/// The store cannot be read: nothing is known then, not even in part.
pub async fn observe(store: &impl Datastore) -> Result<Observation, StoreError> {
    let held = held(store).await?;
    with_cluster(store, held).await
}

/// What nodes have and what they said: read first. A block before its affinity, which goes after it.
pub(crate) async fn held(store: &impl Datastore) -> Result<Observation, StoreError> {
    let blocks = all(store).await?;
    let affinities = all(store).await?;
    let statuses = all::<NodeStatus>(store).await?.into_iter().map(|object| object.metadata);
    let statuses = statuses.map(|metadata| (metadata.name, metadata.resource_version)).collect();
    let mut reports: Vec<Report> = Vec::new();
    let members = all::<EgressMembers>(store).await?;
    reports.extend(members.iter().map(|object| report(ReportKind::EgressMembers, object)));
    // What has more than a key was written by an operator, for a host outside.
    let peers = all::<WireguardPeer>(store).await?;
    let of_nodes = peers.iter().filter(|peer| is_of_node(&peer.spec));
    reports.extend(of_nodes.map(|object| report(ReportKind::WireguardPeer, object)));
    let cooldown = cooldown(store).await?;
    Ok(Observation { blocks, affinities, statuses, reports, cooldown, ..Observation::default() })
}

/// How long released addresses rest. One that cannot be read is no reason to let them rest for less.
async fn cooldown(store: &impl Datastore) -> Result<Duration, StoreError> {
    let ipam = match store.get::<IpamConfiguration>(&Key::named("default")).await {
        Ok(found) => found.spec,
        Err(StoreError::NotFound { .. }) => IpamConfiguration::default(),
        Err(error) => return Err(error),
    };
    Ok(Duration::from_secs(ipam.ip_cooldown_seconds.into()))
}

/// The nodes and pods for which they have it.
pub(crate) async fn with_cluster(
    store: &impl Datastore,
    held: Observation,
) -> Result<Observation, StoreError> {
    let nodes = all::<Node>(store).await?;
    let pods = all::<Pod>(store).await?;
    Ok(Observation {
        nodes: nodes.into_iter().map(|node| (node.name().to_owned(), !node.spec.is_out_of_reach())).collect(),
        addresses: pods.iter().filter_map(|pod| pod.status.as_ref()).flat_map(PodState::addresses).collect(),
        pods: pods.into_iter().map(|pod| (pod.full_name(), pod.spec.node_name)).collect(),
        ..held
    })
}

async fn all<K: Kind>(store: &impl Datastore) -> Result<Vec<Object<K>>, StoreError> {
    store.list(&Query::all()).await.map(|list| list.objects)
}

fn report<K: Kind>(kind: ReportKind, object: &Object<K>) -> Report {
    let resource_version = object.metadata.resource_version.clone();
    Report { kind, node: object.name().to_owned(), resource_version }
}

fn is_of_node(peer: &WireguardPeer) -> bool {
    *peer == WireguardPeer::of(peer.public_key)
}

#[cfg(test)]
mod tests {
    use cairn_api::Metadata;
    use cairn_datastore::{Fault, MemoryStore};

    use super::*;

    #[tokio::test]
    async fn addresses_rest_as_configured_and_nothing_is_known_where_that_cannot_be_read() {
        let store = MemoryStore::new();
        let default = IpamConfiguration::default().ip_cooldown_seconds;
        assert_eq!(observe(&store).await.unwrap().cooldown, Duration::from_secs(default.into()));
        let ipam = IpamConfiguration { ip_cooldown_seconds: 77, ..IpamConfiguration::default() };
        store.create(&Object::new(Metadata::named("default"), ipam)).await.unwrap();
        assert_eq!(observe(&store).await.unwrap().cooldown, Duration::from_secs(77));
        store.set_hook(
            |operation| {
                if operation.kind == IpamConfiguration::KIND { Fault::Lost } else { Fault::None }
            },
        );
        assert!(observe(&store).await.is_err());
    }
}
