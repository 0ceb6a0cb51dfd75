//! What is done. Every step looks again first, and is a compare-and-swap: what has changed since it was seen stays as it is.
//!
//! What cannot be read is there: it keeps what is its own, and nothing else.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cairn_api::annotation::{NODE_LABEL, RECLAIMED};
use cairn_api::core::{Node, Pod, PodState};
use cairn_api::kinds::{AffinityState, BlockAffinity, EgressMembers, IpamBlock, NodeStatus, WireguardPeer};
use cairn_api::{Kind, Object, Timestamp, name};
use cairn_datastore::{Datastore, Key, Precondition, Query, StoreError, attempts};
use cairn_ipam::reclaim;
use cairn_net::Prefix;
use tracing::{info, warn};

use crate::judge::{Action, Leak, Observation, Report, ReportKind, Why};

/// Does one thing. How many addresses or objects it was done to; 0 where it is no longer to be done.
///
/// `clock` tells the time of day. It is asked after everything slow, for each attempt anew: an address rests from its release on, and not from
/// when somebody began to think of it.
///
/// # Errors
/// What the store said. The next round sees what is left.
pub async fn perform(
    store: &impl Datastore,
    action: &Action,
    seen: &Observation,
    clock: &impl Fn() -> Timestamp,
) -> Result<usize, StoreError> {
    let done = match action {
        Action::Release { block, leaked } => release(store, *block, leaked, seen, clock).await,
        Action::Remove { affinity } => remove(store, affinity, seen, clock).await,
        Action::Disown { affinity } => disown(store, affinity).await,
        Action::Ask(report) => ask(store, report).await,
        Action::Forget(report) => forget(store, report).await,
    };
    match done {
        // Somebody else was faster: it is looked at anew.
        Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(0),
        done => done,
    }
}

async fn release(
    store: &impl Datastore,
    cidr: Prefix,
    leaked: &[Leak],
    seen: &Observation,
    clock: &impl Fn() -> Timestamp,
) -> Result<usize, StoreError> {
    let certain = still_leaked(store, leaked).await?;
    if certain.is_empty() {
        return Ok(0);
    }
    let entries: Vec<_> = certain.iter().map(|leak| leak.entry.clone()).collect();
    let released = attempts(async || {
        let mut block: Object<IpamBlock> = store.get(&key_of(cidr)).await?;
        let released = reclaim::release(&mut block.spec, &entries, clock());
        if released > 0 {
            store.update(&block).await?;
        }
        Ok(released)
    })
    .await?;
    if released == 0 {
        return Ok(0);
    }
    for leak in &certain {
        let (address, entry) = (leak.entry.address, &leak.entry);
        info!(%address, node = entry.node, pod = entry.pod, handle = entry.handle, why = ?leak.why, "released");
    }
    let on_nodes_there = certain.iter().filter(|leak| leak.why == Why::PodGone);
    let told: BTreeSet<&str> = on_nodes_there.map(|leak| leak.entry.node.as_str()).collect();
    for node in told {
        // The addresses are released all the same: a node that is not told finds out when it next looks at its blocks.
        match tell(store, node, seen, clock).await {
            Ok(true) => {}
            Ok(false) => warn!(node, "has no block of its own any more: not told of released addresses"),
            Err(error) => warn!(node, %error, "not told of released addresses"),
        }
    }
    Ok(released)
}

/// A last look at each: those of which nothing is there again.
async fn still_leaked<'a>(store: &impl Datastore, leaked: &'a [Leak]) -> Result<Vec<&'a Leak>, StoreError> {
    let mut certain = Vec::new();
    for leak in leaked {
        match has_leaked(store, leak).await {
            Ok(true) => certain.push(leak),
            Ok(false) => {}
            // What cannot be read is there. That is no reason to keep the others.
            Err(error @ StoreError::Invalid { .. }) => {
                warn!(address = %leak.entry.address, %error, "not released");
            }
            Err(error) => return Err(error),
        }
    }
    if !certain.is_empty() {
        let in_use = addresses_of_pods(store).await?;
        certain.retain(|leak| !in_use.contains(&leak.entry.address));
    }
    Ok(certain)
}

/// A pod that is there again, or a node, keeps the address.
async fn has_leaked(store: &impl Datastore, leak: &Leak) -> Result<bool, StoreError> {
    let entry = &leak.entry;
    if leak.why == Why::NodeGone && !is_gone(store, &entry.node).await? {
        return Ok(false);
    }
    let Some((namespace, name)) = entry.pod.split_once('/') else { return Ok(leak.why == Why::NodeGone) };
    match store.get::<Pod>(&Key::namespaced(namespace, name)).await {
        Ok(pod) => Ok(pod.spec.node_name != entry.node),
        Err(StoreError::NotFound { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The addresses of all pods that have not ended. No server finds pods by every address of theirs, so all are read.
async fn addresses_of_pods(store: &impl Datastore) -> Result<BTreeSet<IpAddr>, StoreError> {
    let pods = store.list::<Pod>(&Query::all()).await?.objects;
    Ok(pods.iter().filter_map(|pod| pod.status.as_ref()).flat_map(PodState::addresses).collect())
}

/// Has a node neither a Node nor a NodeStatus?
async fn is_gone(store: &impl Datastore, node: &str) -> Result<bool, StoreError> {
    Ok(is_absent::<Node>(store, node).await? && is_absent::<NodeStatus>(store, node).await?)
}

async fn is_absent<K: Kind>(store: &impl Datastore, name: &str) -> Result<bool, StoreError> {
    match store.get::<K>(&Key::named(name)).await {
        Ok(_) => Ok(false),
        Err(StoreError::NotFound { .. }) => Ok(true),
        // One that cannot be read is there.
        Err(error) => Err(error),
    }
}

/// Has a node look at its blocks again: it watches its affinities, and not its blocks. False where it has none any more.
async fn tell(
    store: &impl Datastore,
    node: &str,
    seen: &Observation,
    clock: &impl Fn() -> Timestamp,
) -> Result<bool, StoreError> {
    for known in seen.affinities.iter().filter(|affinity| affinity.spec.node == node) {
        let key = Key::from(&known.metadata);
        let marked = attempts(async || {
            let mut affinity: Object<BlockAffinity> = store.get(&key).await?;
            let is_own = affinity.spec.node == node;
            if is_own {
                affinity.metadata.annotations.insert(RECLAIMED.to_owned(), clock().to_string());
                store.update(&affinity).await?;
            }
            Ok(is_own)
        })
        .await;
        match marked {
            Ok(true) => return Ok(true),
            // Given up meanwhile: any other one does as well.
            Ok(false) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// As a node gives up a block (`cairn_ipam`): the affinity says so, the block goes, the affinity goes. Whatever it stops at is taken up again.
async fn remove(
    store: &impl Datastore,
    seen_affinity: &Object<BlockAffinity>,
    seen: &Observation,
    clock: &impl Fn() -> Timestamp,
) -> Result<usize, StoreError> {
    let (cidr, node) = (seen_affinity.spec.cidr, &seen_affinity.spec.node);
    if (!node.is_empty() && !is_gone(store, node).await?)
        || addresses_of_pods(store).await?.iter().any(|address| cidr.contains(*address))
    {
        return Ok(0);
    }
    let mut affinity = seen_affinity.clone();
    if affinity.spec.state != AffinityState::PendingDeletion {
        affinity.spec.state = AffinityState::PendingDeletion;
        affinity = store.update(&affinity).await?;
    }
    match store.get::<IpamBlock>(&key_of(cidr)).await {
        Ok(block) if !reclaim::is_empty(&block.spec, clock(), seen.cooldown) => return Ok(0),
        Ok(block) => {
            store.delete::<IpamBlock>(&key_of(cidr), &Precondition::unchanged(&block.metadata)).await?;
        }
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    store.delete::<BlockAffinity>(&key_of(cidr), &Precondition::unchanged(&affinity.metadata)).await?;
    info!(%cidr, node, "the block of a gone node is removed");
    Ok(1)
}

async fn disown(store: &impl Datastore, seen: &Object<BlockAffinity>) -> Result<usize, StoreError> {
    let (cidr, node) = (seen.spec.cidr, &seen.spec.node);
    if !is_gone(store, node).await? {
        return Ok(0);
    }
    let mut affinity = seen.clone();
    affinity.spec.node.clear();
    affinity.spec.state = AffinityState::Confirmed;
    affinity.metadata.labels.remove(NODE_LABEL);
    store.update(&affinity).await?;
    info!(%cidr, node, "the block of a gone node is nobody's: others have addresses in it");
    Ok(1)
}

async fn ask(store: &impl Datastore, report: &Report) -> Result<usize, StoreError> {
    if !is_absent::<Node>(store, &report.node).await? {
        return Ok(0);
    }
    delete(store, report).await?;
    info!(
        node = report.node,
        "there is a NodeStatus but no Node: deleted, and written again by a daemon that lives (is its --node-name that of its Node?)"
    );
    Ok(1)
}

async fn forget(store: &impl Datastore, report: &Report) -> Result<usize, StoreError> {
    if !is_gone(store, &report.node).await? {
        return Ok(0);
    }
    delete(store, report).await?;
    info!(kind = ?report.kind, node = report.node, "what a gone node reported is removed");
    Ok(1)
}

/// Deletes a report as it was seen.
async fn delete(store: &impl Datastore, report: &Report) -> Result<(), StoreError> {
    let key = Key::named(&report.node);
    let unchanged = Precondition { resource_version: Some(report.resource_version.clone()), uid: None };
    match report.kind {
        ReportKind::NodeStatus => store.delete::<NodeStatus>(&key, &unchanged).await,
        ReportKind::EgressMembers => store.delete::<EgressMembers>(&key, &unchanged).await,
        ReportKind::WireguardPeer => store.delete::<WireguardPeer>(&key, &unchanged).await,
    }
}

fn key_of(cidr: Prefix) -> Key {
    Key::named(name::of_prefix(cidr))
}

#[cfg(test)]
mod tests;
