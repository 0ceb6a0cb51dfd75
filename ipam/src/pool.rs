//! Which pools a request may take from, which blocks of a pool a node may have, and in which order it tries them. Pure.

use std::fmt;
use std::net::IpAddr;

use cairn_api::Object;
use cairn_api::kinds::{AllowedUse, AssignmentMode, BlockSource, IpPool};
use cairn_net::{Family, Prefix};

use crate::journal::fnv1a;
use crate::{Request, Settings};

/// Why no node takes new addresses from a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unallocatable {
    /// It is being deleted.
    Terminating,
    /// `spec.disabled`.
    Disabled,
    /// It overlaps with a pool whose name comes first.
    Overlap {
        /// The name of the other pool.
        with: String,
        /// Its range.
        cidr: Prefix,
    },
}

impl Unallocatable {
    /// The reason of the pool's condition `Allocatable`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Terminating => "Terminating",
            Self::Disabled => "PoolDisabled",
            Self::Overlap { .. } => "CIDROverlap",
        }
    }
}

impl fmt::Display for Unallocatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminating => f.write_str("is being deleted"),
            Self::Disabled => f.write_str("is disabled"),
            Self::Overlap { with, cidr } => write!(f, "overlaps with {with} ({cidr})"),
        }
    }
}

/// What speaks against new addresses from a pool on any node; `None` if nothing does.
pub fn unallocatable<'a>(
    pool: &Object<IpPool>,
    all: impl IntoIterator<Item = &'a Object<IpPool>>,
) -> Option<Unallocatable> {
    if pool.spec.disabled {
        return Some(Unallocatable::Disabled);
    }
    if pool.metadata.deletion_timestamp.is_some() {
        return Some(Unallocatable::Terminating);
    }
    let mut elders = all
        .into_iter()
        .filter(|other| other.metadata.name < pool.metadata.name && other.spec.cidr.overlaps(pool.spec.cidr));
    elders
        .next()
        .map(|other| Unallocatable::Overlap { with: other.metadata.name.clone(), cidr: other.spec.cidr })
}

impl Settings {
    /// Is the address inside a reservation?
    pub(crate) fn is_reserved(&self, address: IpAddr) -> bool {
        self.reserved.iter().any(|range| range.contains(address))
    }

    /// A pool by its name.
    pub(crate) fn pool(&self, name: &str) -> Option<&Object<IpPool>> {
        self.pools.iter().find(|pool| pool.metadata.name == name)
    }

    /// What speaks against any new address from the pool on this node; `None` if nothing does.
    pub(crate) fn objection(&self, pool: &Object<IpPool>) -> Option<String> {
        if let Some(objection) = unallocatable(pool, &self.pools) {
            return Some(objection.to_string());
        }
        if !pool
            .spec
            .allowed_uses
            .iter()
            .any(|used| matches!(used, AllowedUse::Workload | AllowedUse::Tunnel))
        {
            return Some("is neither for workloads nor for tunnels".to_owned());
        }
        if !pool.spec.node_selector.matches(&self.node_labels) {
            return Some(format!("does not select this node: nodeSelector {}", pool.spec.node_selector));
        }
        match pool.spec.block_source {
            BlockSource::Pool => None,
            BlockSource::PodCidr => pool.spec.pod_blocks(&self.pod_cidrs).err().map(|why| why.to_string()),
        }
    }

    /// May the node take addresses of this block of a pool? Not of one that is outside since the pool was narrowed, and of a pod CIDR only
    /// while it is the node's.
    pub(crate) fn takes_from(&self, pool: &IpPool, block: Prefix) -> bool {
        pool.cidr.covers(block) && (pool.block_source == BlockSource::Pool || self.pod_cidrs.contains(&block))
    }

    /// Is the node confined to its own blocks, and by what?
    pub(crate) fn confined(&self, pool: &IpPool) -> Option<&'static str> {
        match pool.block_source {
            BlockSource::PodCidr => Some("blockSource PodCIDR"),
            BlockSource::Pool => self.ipam.strict_affinity.then_some("strictAffinity"),
        }
    }

    /// The block of a pool that an address is in; none where it cannot be one of this node's.
    pub(crate) fn block_of(&self, pool: &IpPool, address: IpAddr) -> Option<Prefix> {
        match pool.block_source {
            BlockSource::Pool => {
                Prefix::containing(address, pool.block_len()).filter(|block| pool.cidr.covers(*block))
            }
            BlockSource::PodCidr => {
                let own = pool.pod_blocks(&self.pod_cidrs).unwrap_or_default();
                own.into_iter().find(|block| block.contains(address))
            }
        }
    }

    /// The blocks of a pool in the order in which a node tries them.
    pub(crate) fn blocks_for(&self, pool: &IpPool, node: &str) -> impl Iterator<Item = Prefix> + use<> {
        let (own, cut) = match pool.block_source {
            BlockSource::Pool => (Vec::new(), Some(cut(pool, node))),
            BlockSource::PodCidr => (pool.pod_blocks(&self.pod_cidrs).unwrap_or_default(), None),
        };
        own.into_iter().chain(cut.into_iter().flatten())
    }

    /// The pools of a family that a request may take from, in order; or what speaks against each.
    pub(crate) fn candidates(
        &self,
        family: Family,
        request: &Request,
    ) -> Result<Vec<&Object<IpPool>>, String> {
        let of_family = || self.pools.iter().filter(|pool| pool.spec.cidr.family() == family);
        let is = |pool: &Object<IpPool>, name: &str| {
            pool.metadata.name == name || name.parse() == Ok(pool.spec.cidr)
        };
        // A name that is no pool's is a mistake: to take from any pool instead would hide it.
        if let Some(name) = request.pools.iter().find(|name| !self.pools.iter().any(|pool| is(pool, name))) {
            return Err(format!("there is no pool {name:?}"));
        }
        let named: Vec<_> =
            request.pools.iter().filter_map(|name| of_family().find(|pool| is(pool, name))).collect();
        let by_name = !named.is_empty();
        let mut tried = if by_name { named } else { of_family().collect() };
        if !by_name {
            tried.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        }
        let mut reasons = Vec::new();
        tried.retain(|pool| {
            let objection = self.objection(pool).or_else(|| against_request(pool, request, by_name));
            reasons.extend(objection.as_ref().map(|reason| format!("{} {reason}", pool.metadata.name)));
            objection.is_none()
        });
        match (tried.is_empty(), reasons.is_empty()) {
            (false, _) => Ok(tried),
            (true, true) => Err("there is none".to_owned()),
            (true, false) => Err(reasons.join("; ")),
        }
    }

    /// How many addresses of a pool to hold ready: never more than a quarter of a block, so that a small pool is not
    /// emptied by nodes that need nothing.
    pub(crate) fn warm_target(&self, pool: &IpPool) -> usize {
        let len = match pool.block_source {
            BlockSource::Pool => pool.block_len(),
            BlockSource::PodCidr => {
                let own = pool.pod_blocks(&self.pod_cidrs).unwrap_or_default();
                own.into_iter().map(Prefix::len).max().unwrap_or(pool.cidr.family().bits())
            }
        };
        let block = 1usize << (pool.cidr.family().bits() - len).min(12);
        usize::try_from(self.warm_addresses).unwrap_or(usize::MAX).min((block / 4).max(1))
    }
}

fn against_request(pool: &Object<IpPool>, request: &Request, by_name: bool) -> Option<String> {
    if !pool.spec.allowed_uses.contains(&request.purpose) {
        return Some(format!("is not for {:?}: allowedUses {:?}", request.purpose, pool.spec.allowed_uses));
    }
    if !by_name && pool.spec.assignment_mode == AssignmentMode::Manual {
        return Some("must be asked for by name".to_owned());
    }
    let workload = request.purpose == AllowedUse::Workload;
    if workload && !pool.spec.namespace_selector.matches(&request.namespace_labels) {
        let selector = &pool.spec.namespace_selector;
        return Some(format!("does not select the namespace: namespaceSelector {selector}"));
    }
    None
}

/// The blocks that a pool is cut into: all of them, from a start that depends on the node's name, so that nodes that start together do not fight
/// for the same ones.
fn cut(pool: &IpPool, node: &str) -> impl Iterator<Item = Prefix> + use<> {
    let (cidr, len) = (pool.cidr, pool.block_len());
    let count = 1u128.checked_shl(u32::from(len.saturating_sub(cidr.len()))).unwrap_or(u128::MAX);
    // FNV mixes its last bytes little into the high bits, and names differ in the last bytes.
    let seed = fnv1a(node.as_bytes());
    let start = u128::from((seed ^ seed >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)) % count;
    let numbers = (start..count).chain(0..start);
    numbers.filter_map(move |number| cidr.subnet(len, number))
}
