//! From what is seen to what is done. Pure: the same observations at the same times have the same actions.
//!
//! Nothing is done about what was seen once: a suspicion must have been there in two observations, and for the grace period, without a
//! sign of life in between. Who begins to judge, after a start or as a new leader, suspects nobody.
//!
//! | suspected | sign of life |
//! |---|---|
//! | a node: there is no Node of its name | the Node; another report of its daemon (NodeStatus) |
//! | an address of a node that is there: its pod is not, or is on another node | the pod; another allocation of the address; a node that cannot be reached |
//!
//! What follows: addresses of gone nodes and of gone pods are released, and rest. Blocks of gone nodes in which nothing is in use go, with
//! their affinities; those in which other nodes have borrowed belong to nobody from then on, so that a node that needs one takes it. What
//! gone nodes reported is deleted. An address whose pod exists on its node is never touched.

mod suspicion;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cairn_api::kinds::{Allocation, AllocationState, BlockAffinity, IpamBlock};
use cairn_api::{Object, Timestamp};
use cairn_ipam::reclaim;
use cairn_net::Prefix;

use suspicion::Suspicions;

/// What was seen, at one time. Blocks were read before pods and nodes, so that an address that is in a block has its pod among the pods.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// By name: can its daemon be reached, so that it would tell of addresses that it gives back?
    pub nodes: BTreeMap<String, bool>,
    /// `namespace/name` to the node that the pod is on.
    pub pods: BTreeMap<String, String>,
    /// All blocks.
    pub blocks: Vec<Object<IpamBlock>>,
    /// All affinities.
    pub affinities: Vec<Object<BlockAffinity>>,
    /// What nodes report of themselves.
    pub reports: Vec<Report>,
    /// How long a released address rests.
    pub cooldown: Duration,
}

/// An object that a node's daemon wrote about its node, and that has the node's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    /// Of which kind.
    pub kind: ReportKind,
    /// The node.
    pub node: String,
    /// The version that was seen.
    pub resource_version: String,
}

/// Kinds of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportKind {
    /// NodeStatus.
    Status,
    /// EgressMembers.
    EgressMembers,
    /// WireguardPeer, as a node's daemon writes it: without endpoint and addresses of its own.
    WireguardPeer,
}

/// Something to be done, each only if what it names is still as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// These addresses of a block are free once they have rested.
    Release {
        /// The block.
        block: Prefix,
        /// The entries as they were seen.
        leaked: Vec<Leak>,
    },
    /// A block of a gone node, and its affinity, are to go: nothing is in use in it.
    Remove {
        /// The affinity as it was seen.
        affinity: Object<BlockAffinity>,
    },
    /// A block of a gone node belongs to nobody: others have addresses in it.
    Disown {
        /// The affinity as it was seen.
        affinity: Object<BlockAffinity>,
    },
    /// A report of a gone node is to go.
    Forget(Report),
}

/// An address that leaked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The entry.
    pub entry: Allocation,
    /// Why.
    pub why: Why,
}

/// Why an address leaked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its node is gone.
    NodeGone,
    /// Its pod is gone, or on another node.
    PodGone,
}

/// One and only one allocation: an address that is given again is another one.
type Instance = (IpAddr, String, String, Timestamp);

fn instance(entry: &Allocation) -> Instance {
    (entry.address, entry.node.clone(), entry.handle.clone(), entry.since)
}

/// Whoever judges.
#[derive(Debug)]
pub struct Judge {
    /// Nodes that are not there, with the version of their last report.
    nodes: Suspicions<String, Option<String>>,
    /// Addresses whose pod is not there.
    addresses: Suspicions<Instance, ()>,
}

impl Judge {
    /// Nobody is suspected yet.
    pub const fn new(grace: Duration) -> Self {
        Self { nodes: Suspicions::new(grace), addresses: Suspicions::new(grace) }
    }

    /// How many nodes and how many addresses are suspected.
    pub fn suspects(&self) -> (usize, usize) {
        (self.nodes.len(), self.addresses.len())
    }

    /// Takes in an observation. `now` is of a clock that nobody sets, `wall` the time of day.
    pub fn judge(&mut self, now: Duration, wall: Timestamp, seen: &Observation) -> Vec<Action> {
        let gone = self.gone_nodes(now, seen);
        let mut actions = self.leaks(now, seen, &gone);
        actions.extend(self.blocks(wall, seen, &gone));
        let forgotten = seen.reports.iter().filter(|report| gone.contains(&report.node));
        actions.extend(forgotten.cloned().map(Action::Forget));
        actions
    }

    /// The nodes of which it is certain that they are gone.
    fn gone_nodes(&mut self, now: Duration, seen: &Observation) -> BTreeSet<String> {
        let owners = seen.affinities.iter().map(|affinity| affinity.spec.node.as_str());
        let holders =
            seen.blocks.iter().flat_map(|block| &block.spec.allocations).map(|entry| entry.node.as_str());
        let reporters = seen.reports.iter().map(|report| report.node.as_str());
        let named: BTreeSet<&str> = owners.chain(holders).chain(reporters).collect();
        let missing = named.into_iter().filter(|node| !node.is_empty() && !seen.nodes.contains_key(*node));
        let suspected = missing.map(|node| {
            let own = |report: &&Report| report.node == node && report.kind == ReportKind::Status;
            let report = seen.reports.iter().find(own);
            (node.to_owned(), report.map(|report| report.resource_version.clone()))
        });
        self.nodes.observe(now, suspected)
    }

    /// Addresses that leaked, by block.
    fn leaks(&mut self, now: Duration, seen: &Observation, gone: &BTreeSet<String>) -> Vec<Action> {
        let held = |block: &Object<IpamBlock>| {
            let entries = block.spec.allocations.clone().into_iter();
            entries.filter(|entry| entry.state != AllocationState::Released && !is_live(entry, seen))
        };
        let suspected = seen.blocks.iter().flat_map(held).filter(|entry| {
            let reachable = seen.nodes.get(&entry.node) == Some(&true);
            reachable && entry.state == AllocationState::Assigned && !entry.pod.is_empty()
        });
        let certain = self.addresses.observe(now, suspected.map(|entry| (instance(&entry), ())));
        let mut actions = Vec::new();
        for block in &seen.blocks {
            let leaked: Vec<Leak> = held(block)
                .filter_map(|entry| {
                    let why = if gone.contains(&entry.node) {
                        Why::NodeGone
                    } else if certain.contains(&instance(&entry)) {
                        Why::PodGone
                    } else {
                        return None;
                    };
                    Some(Leak { entry, why })
                })
                .collect();
            if !leaked.is_empty() {
                actions.push(Action::Release { block: block.spec.cidr, leaked });
            }
        }
        actions
    }

    /// What becomes of blocks of gone nodes.
    fn blocks(&self, wall: Timestamp, seen: &Observation, gone: &BTreeSet<String>) -> Vec<Action> {
        let blocks: BTreeMap<Prefix, &IpamBlock> =
            seen.blocks.iter().map(|block| (block.spec.cidr, &block.spec)).collect();
        let lost = seen.affinities.iter().filter(|affinity| gone.contains(&affinity.spec.node));
        lost.filter_map(|affinity| {
            let affinity = affinity.clone();
            let Some(block) = blocks.get(&affinity.spec.cidr) else {
                return Some(Action::Remove { affinity });
            };
            if reclaim::is_empty(block, wall, seen.cooldown) {
                return Some(Action::Remove { affinity });
            }
            let held = |entry: &&Allocation| entry.state != AllocationState::Released;
            let mut in_use = block.allocations.iter().filter(held);
            let of_others =
                in_use.clone().next().is_some() && in_use.all(|entry| !gone.contains(&entry.node));
            of_others.then_some(Action::Disown { affinity })
        })
        .collect()
    }
}

/// Is the pod of an address on the node that holds it?
fn is_live(entry: &Allocation, seen: &Observation) -> bool {
    !entry.pod.is_empty() && seen.pods.get(&entry.pod) == Some(&entry.node)
}
