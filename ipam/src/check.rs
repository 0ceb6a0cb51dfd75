//! Usage and consistency of all that a store holds, for people. Pure: see [`report`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use cairn_api::kinds::{AffinityState, AllocationState, BlockAffinity, IpPool, IpamBlock, IpamConfiguration};
use cairn_api::{Object, Timestamp};
use cairn_net::Prefix;
use serde::Serialize;

use crate::block::Claimant;
use crate::clock::Now;

/// All that is looked at.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    /// All pools.
    pub pools: Vec<Object<IpPool>>,
    /// All blocks.
    pub blocks: Vec<Object<IpamBlock>>,
    /// All affinities.
    pub affinities: Vec<Object<BlockAffinity>>,
    /// `IPAMConfiguration` named `default`, or its defaults.
    pub ipam: IpamConfiguration,
    /// Names of the nodes there are; empty if nobody knows.
    pub nodes: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// By pool, in order of name.
    pub pools: Vec<Usage>,
    /// By block, in order of address.
    pub blocks: Vec<BlockUsage>,
    /// By node, in order of name.
    pub nodes: Vec<Usage>,
    /// What should not be.
    pub problems: Vec<Problem>,
}

/// Addresses by what they are used for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The pool or the node.
    pub name: String,
    /// All there are; 0 for a node. More than `u64::MAX` counts as that.
    pub size: u64,
    /// Blocks.
    pub blocks: u64,
    /// Pods have them.
    pub assigned: u64,
    /// Nodes hold them ready.
    pub reserved: u64,
    /// They rest.
    pub resting: u64,
    /// Assigned in blocks of another node.
    pub borrowed: u64,
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockUsage {
    /// The range.
    pub cidr: Prefix,
    /// The owner; empty for nobody's.
    pub node: String,
    /// How far its claim has got; `None` where there is no claim.
    pub state: Option<AffinityState>,
    /// Its addresses; `name` is the pool's.
    pub usage: Usage,
}

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The object.
    pub object: String,
    /// What is wrong with it, and what follows from that.
    pub what: String,
}

/// Counts and checks.
pub fn report(holdings: &Holdings, now: Timestamp) -> Report {
    let mut report = Report::default();
    let mut pools: BTreeMap<&str, Usage> = BTreeMap::new();
    let mut nodes: BTreeMap<String, Usage> = BTreeMap::new();
    for pool in &holdings.pools {
        let size = u64::try_from(pool.spec.cidr.size()).unwrap_or(u64::MAX);
        pools.insert(pool.name(), Usage { name: pool.name().to_owned(), size, ..Usage::default() });
    }
    for node in &holdings.nodes {
        nodes.insert(node.clone(), named(node));
    }
    let owners: BTreeMap<Prefix, &BlockAffinity> =
        holdings.affinities.iter().map(|object| (object.spec.cidr, &object.spec)).collect();
    let cooldown = Duration::from_secs(holdings.ipam.ip_cooldown_seconds.into());
    let nothing = BTreeMap::new();
    let now = Now { wall: now, steady: Duration::ZERO };
    let claimant = Claimant { node: "", now, cooldown, resting: &nothing };
    for object in &holdings.blocks {
        let owner = owners.get(&object.spec.cidr).copied();
        let block = count(&object.spec, owner, &claimant, &mut nodes);
        let pool = pools.entry(&object.spec.pool).or_insert_with(|| named(&object.spec.pool));
        add(pool, &block.usage);
        if !block.node.is_empty() {
            let node = nodes.entry(block.node.clone()).or_insert_with(|| named(&block.node));
            node.blocks += 1;
        }
        report.blocks.push(block);
    }
    report.blocks.sort_by_key(|block| block.cidr);
    report.pools = pools.into_values().collect();
    report.nodes = nodes.into_values().collect();
    report.problems = problems(holdings, &owners);
    report
}

fn named(name: &str) -> Usage {
    Usage { name: name.to_owned(), ..Usage::default() }
}

fn add(sum: &mut Usage, part: &Usage) {
    sum.blocks += 1;
    sum.assigned += part.assigned;
    sum.reserved += part.reserved;
    sum.resting += part.resting;
    sum.borrowed += part.borrowed;
}

fn count(
    block: &IpamBlock,
    owner: Option<&BlockAffinity>,
    claimant: &Claimant<'_>,
    nodes: &mut BTreeMap<String, Usage>,
) -> BlockUsage {
    let node = owner.map(|owner| owner.node.clone()).unwrap_or_default();
    let mut usage = named(&block.pool);
    usage.size = u64::try_from(block.cidr.size()).unwrap_or(u64::MAX);
    for entry in &block.allocations {
        let holder = nodes.entry(entry.node.clone()).or_insert_with(|| named(&entry.node));
        match entry.state {
            AllocationState::Reserved => {
                usage.reserved += 1;
                holder.reserved += 1;
            }
            AllocationState::Assigned => {
                usage.assigned += 1;
                holder.assigned += 1;
                if entry.node != node {
                    usage.borrowed += 1;
                    holder.borrowed += 1;
                }
            }
            AllocationState::Released => usage.resting += u64::from(claimant.rests(entry)),
        }
    }
    BlockUsage { cidr: block.cidr, node, state: owner.map(|owner| owner.state), usage }
}

fn problems(holdings: &Holdings, owners: &BTreeMap<Prefix, &BlockAffinity>) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut say = |object: String, what: String| found.push(Problem { object, what });
    let known = |node: &str| holdings.nodes.is_empty() || holdings.nodes.iter().any(|name| name == node);
    overlaps(holdings, &mut say);
    for object in &holdings.affinities {
        let (name, spec) = (format!("BlockAffinity {}", object.name()), &object.spec);
        if spec.state == AffinityState::Confirmed && !holdings.blocks.iter().any(|b| b.spec.cidr == spec.cidr)
        {
            say(name.clone(), "confirmed, and its block does not exist: its owner makes it again".to_owned());
        }
        if !spec.node.is_empty() && !known(&spec.node) {
            say(name, format!("its owner {} is no node: the block is lost until it is freed", spec.node));
        }
    }
    let mut handles: BTreeMap<(&str, &str, bool), IpAddr> = BTreeMap::new();
    for object in &holdings.blocks {
        let (name, spec) = (format!("IPAMBlock {}", object.name()), &object.spec);
        if !owners.contains_key(&spec.cidr) {
            say(name.clone(), "no affinity names it: another node may claim its range".to_owned());
        }
        if !holdings.pools.iter().any(|pool| pool.name() == spec.pool && pool.spec.cidr.covers(spec.cidr)) {
            say(name.clone(), format!("its pool {} does not exist or does not contain it", spec.pool));
        }
        for entry in spec.allocations.iter().filter(|entry| entry.state != AllocationState::Released) {
            if !known(&entry.node) {
                say(
                    name.clone(),
                    format!("{} is held by {}, which is no node: leaked", entry.address, entry.node),
                );
            }
            if entry.state == AllocationState::Assigned {
                let key = (entry.node.as_str(), entry.handle.as_str(), entry.address.is_ipv4());
                if let Some(other) = handles.insert(key, entry.address) {
                    say(
                        name.clone(),
                        format!("{} has {} and {other}: one of them leaked", entry.handle, entry.address),
                    );
                }
            }
        }
    }
    found
}

/// Pools, and blocks, that share addresses.
fn overlaps(holdings: &Holdings, say: &mut impl FnMut(String, String)) {
    let pools = holdings.pools.iter().map(|pool| (pool.spec.cidr, format!("IPPool {}", pool.name())));
    let blocks = holdings.blocks.iter().map(|block| (block.spec.cidr, format!("IPAMBlock {}", block.name())));
    for mut ranges in [pools.collect::<Vec<_>>(), blocks.collect()] {
        // A covering prefix sorts before what it covers, so the widest one so far tells.
        ranges.sort();
        let mut widest: Option<(Prefix, String)> = None;
        for (cidr, name) in ranges {
            match &widest {
                Some((wide, other)) if wide.overlaps(cidr) => say(name, format!("overlaps with {other}")),
                _ => widest = Some((cidr, name)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_api::kinds::Allocation;
    use cairn_api::{Metadata, name};

    fn holdings() -> Holdings {
        let cidr: Prefix = "10.0.0.0/26".parse().unwrap();
        let entry = |last: u8, node: &str, state, handle: &str| Allocation {
            address: [10, 0, 0, last].into(),
            node: node.to_owned(),
            state,
            handle: handle.to_owned(),
            pod: String::new(),
            since: Timestamp::from_unix(100),
        };
        let allocations = vec![
            entry(0, "n1", AllocationState::Assigned, "a"),
            entry(1, "n1", AllocationState::Reserved, ""),
            entry(2, "n2", AllocationState::Assigned, "b"),
            entry(3, "n1", AllocationState::Released, "c"),
        ];
        let block = IpamBlock { cidr, pool: "p".to_owned(), allocations };
        let (node, pool, state) = ("n1".to_owned(), "p".to_owned(), AffinityState::Confirmed);
        Holdings {
            pools: vec![Object::new(Metadata::named("p"), IpPool::of("10.0.0.0/24".parse().unwrap()))],
            blocks: vec![Object::new(Metadata::named(name::of_prefix(cidr)), block)],
            affinities: vec![Object::new(
                Metadata::named(name::of_prefix(cidr)),
                BlockAffinity { cidr, node, pool, state },
            )],
            ipam: IpamConfiguration::default(),
            nodes: vec!["n1".to_owned(), "n2".to_owned()],
        }
    }

    #[test]
    fn usage_is_counted_by_pool_block_and_node() {
        let report = report(&holdings(), Timestamp::from_unix(110));
        assert_eq!(report.problems, []);
        let Usage { size, blocks, assigned, reserved, resting, borrowed, .. } = report.pools[0];
        assert_eq!((size, blocks, assigned, reserved, resting, borrowed), (256, 1, 2, 1, 1, 1));
        let by_node: Vec<_> = report.nodes.iter().map(|n| (n.blocks, n.assigned, n.borrowed)).collect();
        assert_eq!(by_node, [(1, 1, 0), (0, 1, 1)]);
    }

    #[test]
    fn each_inconsistency_is_named() {
        let say = |change: fn(&mut Holdings)| {
            let mut holdings = holdings();
            change(&mut holdings);
            let problems = report(&holdings, Timestamp::from_unix(110)).problems;
            problems.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>().join("; ")
        };
        assert!(say(|h| h.affinities.clear()).contains("no affinity names it"));
        assert!(say(|h| h.blocks.clear()).contains("its block does not exist"));
        assert!(say(|h| h.pools.clear()).contains("its pool p does not exist"));
        assert!(say(|h| drop(h.nodes.remove(1))).contains("10.0.0.2 is held by n2, which is no node"));
        assert!(say(|h| drop(h.nodes.remove(0))).contains("its owner n1 is no node"));
        assert!(say(|h| h.blocks[0].spec.allocations[2].node = "n1".to_owned()).is_empty());
        let twice = say(|h| {
            h.blocks[0].spec.allocations[2].node = "n1".to_owned();
            h.blocks[0].spec.allocations[2].handle = "a".to_owned();
        });
        assert!(twice.contains("a has 10.0.0.2 and 10.0.0.0"));
        let overlap = say(|h| {
            h.pools.push(Object::new(Metadata::named("q"), IpPool::of("10.0.0.128/25".parse().unwrap())));
        });
        assert!(overlap.contains("overlaps with IPPool p"));
    }
}
