//! From what is seen to what is done. Pure: the same observations at the same times have the same actions.
//!
//! Nothing is done about what was seen once: a suspicion must have been there in two observations, and for the grace period, without a
//! sign of life in between. Who begins to judge, after a start or as a new leader, suspects nobody; nor does who could not look for too long:
//! a node that nobody could reach meanwhile has heard of its pods only now.
//!
//! | suspected | sign of life |
//! |---|---|
//! | a node: there is no Node of its name, and no NodeStatus | the Node; a NodeStatus, also one that comes back |
//! | an address of a node that is there: its pod is not, or is on another node | the pod; a pod anywhere that has the address; another allocation of the address; a node that cannot be reached |
//!
//! A NodeStatus is no heartbeat: a daemon writes it when something changed. But it puts it back when somebody deletes it. So a node that has a
//! NodeStatus and no Node is asked first, by deleting it: whoever lives under another name than its Node's answers by writing it again.
//!
//! What follows: addresses of gone nodes are released, and rest; those of gone pods on nodes that are there too, if that is asked for, and
//! are reported if not: a container can run without a Pod object. Blocks of gone nodes in which nothing is in use go, with their affinities;
//! those in which other nodes have borrowed belong to nobody from then on, so that a node that needs one takes it. What gone nodes reported
//! is deleted. An address whose pod exists on its node, or that any pod has, is never touched, nor is its block.

mod suspicion;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cairn_api::kinds::{AffinityState, Allocation, AllocationState, BlockAffinity, IpamBlock};
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
    /// The addresses that pods have which have not ended, whatever node they name.
    pub addresses: BTreeSet<IpAddr>,
    /// All blocks.
    pub blocks: Vec<Object<IpamBlock>>,
    /// All affinities.
    pub affinities: Vec<Object<BlockAffinity>>,
    /// By node: the version of its NodeStatus.
    pub statuses: BTreeMap<String, String>,
    /// What else nodes report of themselves.
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
    /// NodeStatus, by which a daemon shows that it lives.
    NodeStatus,
    /// EgressMembers.
    EgressMembers,
    /// WireguardPeer, as a node's daemon writes it: without endpoint and addresses of its own.
    WireguardPeer,
}

/// What comes of an observation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// What is to be done.
    pub actions: Vec<Action>,
    /// What looks gone or leaked for long enough, and stays all the same: for people to look at.
    pub kept: Vec<Kept>,
}

/// Something that looks gone or leaked, and stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The pod of this address is gone; nobody asked that such addresses be released.
    NotAsked(Allocation),
    /// The pod of this address is gone, and its node has no affinity by which it could be told that it lost the address.
    Untold(Allocation),
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
    /// A block of a gone node or of nobody, and its affinity, are to go: nothing is in use in it.
    Remove {
        /// The affinity as it was seen.
        affinity: Object<BlockAffinity>,
    },
    /// A block of a gone node belongs to nobody: others have addresses in it.
    Disown {
        /// The affinity as it was seen.
        affinity: Object<BlockAffinity>,
    },
    /// There is no Node of this name, but a NodeStatus, which is to go: a daemon that lives writes it again.
    Ask(Report),
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
    /// Names without a Node, with the version of the NodeStatus where there is one.
    nodes: Suspicions<String, Option<String>>,
    /// Addresses whose pod is not there.
    addresses: Suspicions<Instance, ()>,
    /// Are addresses of nodes that are there released?
    release_leaked: bool,
}

impl Judge {
    /// Nobody is suspected yet, and nobody is any more once more than `gap` has passed between two observations. Addresses of gone pods on
    /// nodes that are there are released only if `release_leaked`.
    pub const fn new(grace: Duration, gap: Duration, release_leaked: bool) -> Self {
        Self { nodes: Suspicions::new(grace, gap), addresses: Suspicions::new(grace, gap), release_leaked }
    }

    /// How many nodes and how many addresses are suspected.
    pub fn suspects(&self) -> (usize, usize) {
        (self.nodes.len(), self.addresses.len())
    }

    /// Takes in an observation. `now` is of a clock that nobody sets, `wall` the time of day.
    pub fn judge(&mut self, now: Duration, wall: Timestamp, seen: &Observation) -> Verdict {
        let mut verdict = Verdict::default();
        let gone = self.gone_nodes(now, seen, &mut verdict.actions);
        self.leaks(now, seen, &gone, &mut verdict);
        verdict.actions.extend(self.blocks(wall, seen, &gone));
        let forgotten = seen.reports.iter().filter(|report| gone.contains(&report.node));
        verdict.actions.extend(forgotten.cloned().map(Action::Forget));
        verdict
    }

    /// The nodes of which it is certain that they are gone. Those that only lack a Node are asked.
    fn gone_nodes(
        &mut self,
        now: Duration,
        seen: &Observation,
        actions: &mut Vec<Action>,
    ) -> BTreeSet<String> {
        let owners = seen.affinities.iter().map(|affinity| affinity.spec.node.as_str());
        let holders =
            seen.blocks.iter().flat_map(|block| &block.spec.allocations).map(|entry| entry.node.as_str());
        let reporters = seen.reports.iter().map(|report| report.node.as_str());
        let speakers = seen.statuses.keys().map(String::as_str);
        let named: BTreeSet<&str> = owners.chain(holders).chain(reporters).chain(speakers).collect();
        let missing = named.into_iter().filter(|node| !node.is_empty() && !seen.nodes.contains_key(*node));
        let suspected = missing.map(|node| (node.to_owned(), seen.statuses.get(node).cloned()));
        let mut gone = self.nodes.observe(now, suspected);
        gone.retain(|node| {
            let Some(version) = seen.statuses.get(node) else { return true };
            let (node, resource_version) = (node.clone(), version.clone());
            actions.push(Action::Ask(Report { kind: ReportKind::NodeStatus, node, resource_version }));
            false
        });
        gone
    }

    /// Addresses that leaked, by block.
    fn leaks(&mut self, now: Duration, seen: &Observation, gone: &BTreeSet<String>, verdict: &mut Verdict) {
        let held = |block: &Object<IpamBlock>| {
            let entries = block.spec.allocations.clone().into_iter();
            entries.filter(|entry| entry.state != AllocationState::Released && !is_live(entry, seen))
        };
        let suspected = seen.blocks.iter().flat_map(held).filter(|entry| {
            let reachable = seen.nodes.get(&entry.node) == Some(&true);
            reachable && entry.state == AllocationState::Assigned && !entry.pod.is_empty()
        });
        let certain = self.addresses.observe(now, suspected.map(|entry| (instance(&entry), ())));
        let owners: BTreeSet<&str> =
            seen.affinities.iter().map(|affinity| affinity.spec.node.as_str()).collect();
        for block in &seen.blocks {
            let mut leaked = Vec::new();
            for entry in held(block) {
                if gone.contains(&entry.node) {
                    leaked.push(Leak { entry, why: Why::NodeGone });
                } else if !certain.contains(&instance(&entry)) {
                    // Not for long enough, if at all.
                } else if !self.release_leaked {
                    verdict.kept.push(Kept::NotAsked(entry));
                } else if !owners.contains(entry.node.as_str()) {
                    verdict.kept.push(Kept::Untold(entry));
                } else {
                    leaked.push(Leak { entry, why: Why::PodGone });
                }
            }
            if !leaked.is_empty() {
                verdict.actions.push(Action::Release { block: block.spec.cidr, leaked });
            }
        }
    }

    /// What becomes of blocks of gone nodes.
    fn blocks(&self, wall: Timestamp, seen: &Observation, gone: &BTreeSet<String>) -> Vec<Action> {
        let blocks: BTreeMap<Prefix, &IpamBlock> =
            seen.blocks.iter().map(|block| (block.spec.cidr, &block.spec)).collect();
        // Nobody's blocks as well: whoever lent from them last may be gone, too.
        let lost = seen
            .affinities
            .iter()
            .filter(|found| found.spec.node.is_empty() || gone.contains(&found.spec.node));
        lost.filter_map(|affinity| {
            let affinity = affinity.clone();
            let nobodys = affinity.spec.node.is_empty();
            // Whatever the block says of them: who takes it next would give them again.
            let has_pods = seen.addresses.iter().any(|address| affinity.spec.cidr.contains(*address));
            let Some(block) = blocks.get(&affinity.spec.cidr) else {
                // One that is just being made has no block yet.
                let goes = !nobodys || affinity.spec.state == AffinityState::PendingDeletion;
                return (goes && !has_pods).then_some(Action::Remove { affinity });
            };
            if reclaim::is_empty(block, wall, seen.cooldown) {
                return (!has_pods).then_some(Action::Remove { affinity });
            }
            if nobodys {
                return None;
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

/// Is the pod of an address on the node that holds it, or has any pod the address?
fn is_live(entry: &Allocation, seen: &Observation) -> bool {
    let on_its_node = !entry.pod.is_empty() && seen.pods.get(&entry.pod) == Some(&entry.node);
    on_its_node || seen.addresses.contains(&entry.address)
}
