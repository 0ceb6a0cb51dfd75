//! What keeps this node from having addresses of pools whose blocks are the nodes' pod CIDRs.
//!
//! Not here: which addresses are taken, which the allocator decides by the same rule ([`IpPool::pod_blocks`]).

use std::collections::{BTreeMap, BTreeSet};

use cairn_api::kinds::{BlockSource, IpPool};
use cairn_api::{Object, name};
use cairn_net::Prefix;

use crate::condition::{Condition, Reason};
use crate::speaker::Member;

/// So many blocks that are in the way of one are named; of the rest that there are others.
const NAMED: usize = 3;

/// The confirmed blocks of all nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks<'a> {
    /// Those of this node.
    pub(crate) own: &'a BTreeSet<Prefix>,
    /// Those of the others.
    pub(crate) others: &'a BTreeSet<Prefix>,
    /// The same with their owners, by the name of their affinity.
    pub(crate) owners: &'a BTreeMap<String, (Prefix, String)>,
}

/// What is wrong on a node, whatever it is for others.
pub(crate) fn conditions(
    pools: &BTreeMap<String, Box<Object<IpPool>>>,
    me: &Member,
    blocks: Blocks<'_>,
) -> Vec<Condition> {
    let mut found = Vec::new();
    let mut say = |pool: &Object<IpPool>, message: String| {
        let subject = format!("IPPool/{}", pool.name());
        found.push(Condition { subject, reason: Reason::PodCidrUnavailable, message });
    };
    for pool in pools.values().filter(|pool| is_for(pool, me)) {
        match pool.spec.pod_blocks(&me.pod_cidrs) {
            Err(why) => say(pool, format!("no addresses of it on this node: the pool {why}")),
            Ok(wanted) => {
                for (block, why) in
                    wanted.into_iter().filter_map(|block| Some((block, blocks.against(block)?)))
                {
                    say(pool, format!("no addresses of {block} on this node, whose pod CIDR it is: {why}"));
                }
            }
        }
    }
    found
}

impl Blocks<'_> {
    /// Why the node cannot have this one: which blocks share addresses with it, and whose they are. `None` where it has it, or nobody has any.
    fn against(self, block: Prefix) -> Option<String> {
        if self.own.contains(&block) {
            return None;
        }
        let others = overlapping(self.others, block).filter_map(|found| {
            let (_, owner) = self.owners.get(&name::of_prefix(found))?;
            Some(match found == block {
                true => format!("node {owner} still has it"),
                false => format!("node {owner} has {found}, which overlaps with it"),
            })
        });
        // Of a pod CIDR that it had before.
        let own = overlapping(self.own, block)
            .map(|found| format!("this node still has {found}, which overlaps with it"));
        let mut told: Vec<String> = others.chain(own).take(NAMED + 1).collect();
        let more = if told.len() > NAMED { "; and others" } else { "" };
        told.truncate(NAMED);
        (!told.is_empty()).then(|| format!("{}{more}", told.join("; ")))
    }
}

/// Those that share addresses with a block: those around it, itself, those inside of it. Costs what these are, however many others there are.
fn overlapping(all: &BTreeSet<Prefix>, block: Prefix) -> impl Iterator<Item = Prefix> {
    let around = (0..block.len()).filter_map(move |len| Prefix::containing(block.addr(), len));
    let inside = all.range(block..=Prefix::host(block.last())).copied();
    around.filter(move |wider| all.contains(wider)).chain(inside)
}

/// Would the node take addresses of the pool, and only of its pod CIDRs?
fn is_for(pool: &Object<IpPool>, me: &Member) -> bool {
    let spec = &pool.spec;
    spec.block_source == BlockSource::PodCidr
        && !spec.disabled
        && pool.metadata.deletion_timestamp.is_none()
        && spec.node_selector.matches(&me.labels)
}
