//! Who has addresses of a range that a pool is to leave, and what else is left there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cairn_api::core::{Pod, PodState};
use cairn_api::kinds::{AllocationState, BlockAffinity, IpamBlock};
use cairn_api::{Object, Timestamp};
use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

use super::{Change, Seen};
use crate::Handle;
use crate::block::Claimant;
use crate::clock::Now;

/// Somebody who has an address that the pool is to lose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The node it is on.
    pub node: String,
    /// What has to be started anew, such as `deployment/web`; `tunnel` for the address of the node's own tunnels.
    pub workload: String,
    /// The pod as `namespace/name`; else the handle.
    pub pod: String,
    /// The address.
    pub address: IpAddr,
}

/// The workload of what nodes themselves have.
const TUNNEL: &str = "tunnel";

impl Holder {
    /// Is it the address of a node's tunnels? The node takes another one once the pool is gone.
    pub fn is_tunnel(&self) -> bool {
        self.workload == TUNNEL
    }
}

/// What is left of a range that a pool is to lose, besides what pods have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// Addresses of pods.
    pub in_use: usize,
    /// Addresses that rest.
    pub resting: usize,
    /// Blocks by node; an empty name stands for nobody.
    pub blocks: BTreeMap<String, usize>,
}

impl Left {
    /// Is nothing left?
    pub fn is_empty(&self) -> bool {
        self.in_use == 0 && self.resting == 0 && self.blocks.is_empty()
    }
}

/// Who has addresses that the pool is to lose: as the blocks say, and as the pods themselves say.
pub(super) fn holders(change: &Change, seen: &Seen) -> Vec<Holder> {
    let by_name: BTreeMap<String, &Object<Pod>> = seen
        .pods
        .iter()
        .map(|pod| (format!("{}/{}", pod.metadata.namespace, pod.metadata.name), pod))
        .collect();
    let mut found = BTreeSet::new();
    let mut known = BTreeSet::new();
    let entries = seen.blocks.iter().flat_map(|block| &block.spec.allocations);
    let entries = entries.filter(|entry| entry.state == AllocationState::Assigned);
    for entry in entries.filter(|entry| change.leaves(Prefix::host(entry.address))) {
        known.insert(entry.address);
        let handle = Handle::new(&entry.handle);
        let (workload, pod) = match by_name.get(&entry.pod) {
            _ if handle.is_tunnel() => (TUNNEL.to_owned(), entry.handle.clone()),
            Some(pod) => (workload(pod), entry.pod.clone()),
            None if entry.pod.is_empty() => ("-".to_owned(), entry.handle.clone()),
            None => ("-".to_owned(), entry.pod.clone()),
        };
        found.insert(Holder { node: entry.node.clone(), workload, pod, address: entry.address });
    }
    for (name, pod) in &by_name {
        for address in addresses(pod).filter(|address| change.leaves(Prefix::host(*address))) {
            if !known.contains(&address) {
                let (node, workload) = (pod.spec.node_name.clone(), workload(pod));
                found.insert(Holder { node, workload, pod: name.clone(), address });
            }
        }
    }
    found.into_iter().collect()
}

/// The addresses that a pod says it has. One in the node's own network has none.
pub(super) fn addresses(pod: &Object<Pod>) -> impl Iterator<Item = IpAddr> {
    let status = pod.status.as_ref().filter(|_| !pod.spec.host_network);
    status.into_iter().flat_map(PodState::addresses)
}

/// What has to be started anew for a pod to be another one, as `kubectl rollout restart` names it.
fn workload(pod: &Object<Pod>) -> String {
    let own = |field: &str| {
        let owners = pod.metadata.owner_references.iter();
        let mut controllers = owners.filter(|owner| owner["controller"] == true);
        controllers.next().and_then(|owner| owner[field].as_str())
    };
    let (Some(kind), Some(name)) = (own("kind"), own("name")) else {
        return format!("pod/{}", pod.name());
    };
    // A ReplicaSet of a Deployment has its name, and the hash of its template behind that.
    let hash = pod.metadata.labels.get("pod-template-hash");
    let deployment = hash.and_then(|hash| name.strip_suffix(hash.as_str())?.strip_suffix('-'));
    match deployment.filter(|_| kind == "ReplicaSet") {
        Some(deployment) => format!("deployment/{deployment}"),
        None => format!("{}/{name}", kind.to_lowercase()),
    }
}

/// What is left. Where the pool is to be deleted, the addresses of nodes' tunnels are no obstacle, nor are blocks in which only such are.
pub(super) fn left(
    change: &Change,
    blocks: &[Object<IpamBlock>],
    affinities: &[Object<BlockAffinity>],
    holders: &[Holder],
    cooldown: Duration,
    now: Timestamp,
) -> Left {
    let moves = matches!(change, Change::Move { .. });
    let nothing = BTreeMap::new();
    let now = Now { wall: now, steady: Duration::ZERO };
    let claimant = Claimant { node: "", now, cooldown, resting: &nothing };
    let mut left = Left {
        in_use: holders.iter().filter(|holder| !(moves && holder.is_tunnel())).count(),
        ..Left::default()
    };
    let mut ranges: BTreeMap<Prefix, &str> = BTreeMap::new();
    for affinity in affinities.iter().filter(|affinity| change.leaves(affinity.spec.cidr)) {
        ranges.insert(affinity.spec.cidr, &affinity.spec.node);
    }
    for block in blocks.iter().filter(|block| change.leaves(block.spec.cidr)) {
        let entries = block.spec.allocations.iter();
        left.resting += entries.clone().filter(|entry| claimant.rests(entry)).count();
        let is_tunnels =
            |state, handle: &str| state == AllocationState::Assigned && Handle::new(handle).is_tunnel();
        let tunnels = entries.clone().filter(|entry| is_tunnels(entry.state, &entry.handle)).count();
        let others = entries.filter(|entry| entry.state != AllocationState::Released).count() - tunnels;
        if moves && tunnels > 0 && others == 0 {
            ranges.remove(&block.spec.cidr);
        } else {
            ranges.entry(block.spec.cidr).or_insert("");
        }
    }
    for node in ranges.into_values() {
        *left.blocks.entry(node.to_owned()).or_default() += 1;
    }
    left
}
