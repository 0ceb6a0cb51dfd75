//! What keeps this node from having addresses of pools whose blocks are the nodes' pod CIDRs.
//!
//! Not here: which addresses are taken, which the allocator decides by the same rule ([`IpPool::pod_blocks`]).

use std::collections::BTreeMap;

use cairn_api::kinds::{BlockSource, IpPool};
use cairn_api::{Object, name};
use cairn_net::Prefix;

use crate::condition::{Condition, Reason};
use crate::speaker::Member;

/// What is wrong on a node, whatever it is for others. `claims`: blocks of other nodes with their owners, by the name of their affinity.
pub(crate) fn conditions(
    pools: &BTreeMap<String, Box<Object<IpPool>>>,
    me: &Member,
    claims: &BTreeMap<String, (Prefix, String)>,
) -> Vec<Condition> {
    let mut found = Vec::new();
    let mut say = |pool: &Object<IpPool>, message: String| {
        let subject = format!("IPPool/{}", pool.name());
        found.push(Condition { subject, reason: Reason::PodCidrUnavailable, message });
    };
    for pool in pools.values().filter(|pool| is_for(pool, me)) {
        match pool.spec.pod_blocks(&me.pod_cidrs) {
            Err(why) => say(pool, format!("no addresses of it on this node: the pool {why}")),
            Ok(blocks) => {
                let held = blocks.iter().filter_map(|block| claims.get(&name::of_prefix(*block)));
                for (block, owner) in held {
                    say(
                        pool,
                        format!(
                            "no addresses of {block} on this node, whose pod CIDR it is: node {owner} still has it"
                        ),
                    );
                }
            }
        }
    }
    found
}

/// Would the node take addresses of the pool, and only of its pod CIDRs?
fn is_for(pool: &Object<IpPool>, me: &Member) -> bool {
    let spec = &pool.spec;
    spec.block_source == BlockSource::PodCidr
        && !spec.disabled
        && pool.metadata.deletion_timestamp.is_none()
        && spec.node_selector.matches(&me.labels)
}
