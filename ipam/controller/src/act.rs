//! What is done. Every step looks again first, and is a compare-and-swap: what has changed since it was seen stays as it is.

use cairn_api::annotation::{NODE_LABEL, RECLAIMED};
use cairn_api::core::{Node, Pod};
use cairn_api::kinds::{AffinityState, BlockAffinity, EgressMembers, IpamBlock, NodeStatus, WireguardPeer};
use cairn_api::{Object, Timestamp, name};
use cairn_datastore::{Datastore, Key, Precondition, StoreError};
use cairn_ipam::reclaim;
use cairn_net::Prefix;
use tracing::info;

use crate::judge::{Action, Leak, Observation, Report, ReportKind, Why};

/// So often an object is read again that others write meanwhile; the next round comes anyway.
const ATTEMPTS: usize = 5;

/// Does one thing. How many addresses or objects it was done to; 0 where it is no longer to be done.
///
/// # Errors
/// What the store said. The next round sees what is left.
pub async fn perform(
    store: &impl Datastore,
    action: &Action,
    seen: &Observation,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let done = match action {
        Action::Release { block, leaked } => release(store, *block, leaked, seen, now).await,
        Action::Remove { affinity } => remove(store, affinity, seen, now).await,
        Action::Disown { affinity } => disown(store, affinity).await,
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
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut certain = Vec::new();
    for leak in leaked {
        if has_leaked(store, leak).await? {
            certain.push(leak.entry.clone());
        }
    }
    let mut released = 0;
    if !certain.is_empty() {
        released = attempts(async || {
            let mut block: Object<IpamBlock> = store.get(&key_of(cidr)).await?;
            let released = reclaim::release(&mut block.spec, &certain, now);
            if released > 0 {
                store.update(&block).await?;
            }
            Ok(released)
        })
        .await?;
    }
    if released == 0 {
        return Ok(0);
    }
    for leak in leaked.iter().filter(|leak| certain.contains(&leak.entry)) {
        let (address, entry) = (leak.entry.address, &leak.entry);
        info!(%address, node = entry.node, pod = entry.pod, handle = entry.handle, why = ?leak.why, "released");
    }
    let mut told: Vec<&str> =
        leaked.iter().filter(|leak| leak.why == Why::PodGone).map(|leak| leak.entry.node.as_str()).collect();
    told.sort_unstable();
    told.dedup();
    for node in told {
        tell(store, node, seen, now).await?;
    }
    Ok(released)
}

/// A last look: a pod that is there again, or a node, keeps the address.
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

async fn is_gone(store: &impl Datastore, node: &str) -> Result<bool, StoreError> {
    match store.get::<Node>(&Key::named(node)).await {
        Ok(_) => Ok(false),
        Err(StoreError::NotFound { .. }) => Ok(true),
        // One that cannot be read is there.
        Err(error) => Err(error),
    }
}

/// Has a node look at its blocks again: it watches its affinities, and not its blocks.
async fn tell(
    store: &impl Datastore,
    node: &str,
    seen: &Observation,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(affinity) = seen.affinities.iter().find(|affinity| affinity.spec.node == node) else {
        return Ok(());
    };
    attempts(async || {
        let mut affinity: Object<BlockAffinity> = store.get(&Key::from(&affinity.metadata)).await?;
        if affinity.spec.node == node {
            affinity.metadata.annotations.insert(RECLAIMED.to_owned(), now.to_string());
            store.update(&affinity).await?;
        }
        Ok(())
    })
    .await
}

/// As a node gives up a block (`cairn_ipam`): the affinity says so, the block goes, the affinity goes. Whatever it stops at is taken up again.
async fn remove(
    store: &impl Datastore,
    seen_affinity: &Object<BlockAffinity>,
    seen: &Observation,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let (cidr, node) = (seen_affinity.spec.cidr, &seen_affinity.spec.node);
    if !is_gone(store, node).await? {
        return Ok(0);
    }
    let mut affinity = seen_affinity.clone();
    if affinity.spec.state != AffinityState::PendingDeletion {
        affinity.spec.state = AffinityState::PendingDeletion;
        affinity = store.update(&affinity).await?;
    }
    match store.get::<IpamBlock>(&key_of(cidr)).await {
        Ok(block) if !reclaim::is_empty(&block.spec, now, seen.cooldown) => return Ok(0),
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

async fn forget(store: &impl Datastore, report: &Report) -> Result<usize, StoreError> {
    if !is_gone(store, &report.node).await? {
        return Ok(0);
    }
    let key = Key::named(&report.node);
    let unchanged = Precondition { resource_version: Some(report.resource_version.clone()), uid: None };
    match report.kind {
        ReportKind::Status => store.delete::<NodeStatus>(&key, &unchanged).await?,
        ReportKind::EgressMembers => store.delete::<EgressMembers>(&key, &unchanged).await?,
        ReportKind::WireguardPeer => store.delete::<WireguardPeer>(&key, &unchanged).await?,
    }
    info!(kind = ?report.kind, node = report.node, "what a gone node reported is removed");
    Ok(1)
}

fn key_of(cidr: Prefix) -> Key {
    Key::named(name::of_prefix(cidr))
}

/// Does something again while others write what it wrote.
async fn attempts<T>(work: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut last = work().await;
    for _ in 1..ATTEMPTS {
        match last {
            Err(StoreError::Conflict { .. }) => last = work().await,
            done => return done,
        }
    }
    last
}
