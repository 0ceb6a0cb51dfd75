//! What this node announces: its confirmed blocks, the addresses that its pods borrow from others' blocks, and those of egress gateways that
//! it has.
//!
//! Invariant I3: a block is announced only while its affinity is `Confirmed` for this node; an address outside
//! such a block only while a pod of this node has it, which the allocator gave it by compare-and-swap.
//! A node that is being emptied announces all of it as leaving, and after a while no block that nothing uses (docs/adr/0043).
//! Prefixes inside a pool with `disableBGPExport`, or one whose pods are found on the link, are not announced at all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgpd_api::config::{Community, OriginatedRoute};
use cairn_api::Object;
use cairn_api::kinds::{BgpConfiguration, IpPool};
use cairn_net::{Family, Prefix};

use crate::drain::Leaving;
use crate::speaker::community;

/// RFC 8326 section 5.
const GRACEFUL_SHUTDOWN: Community = Community::Standard(0xffff_0000);

/// What decides about an announcement besides its prefix.
#[derive(Debug)]
pub(crate) struct Policy<'a> {
    pub(crate) blocks: &'a BTreeSet<Prefix>,
    pub(crate) pools: &'a BTreeMap<String, Box<Object<IpPool>>>,
    /// Ranges whose pods are found on the link.
    pub(crate) on_link: &'a [Prefix],
    pub(crate) bgp: &'a BgpConfiguration,
    pub(crate) next_hop: [Option<IpAddr>; 2],
    /// Of a node that is being emptied.
    pub(crate) leaving: Option<Leaving>,
}

impl Policy<'_> {
    /// The announcement of an own block.
    pub(crate) fn block(&self, block: Prefix) -> Option<OriginatedRoute> {
        let withheld = self.leaving.as_ref().is_some_and(|leaving| leaving.withheld.contains(&block));
        (self.blocks.contains(&block) && !withheld).then(|| self.route(block)).flatten()
    }

    /// The announcement of a local pod's address; none where an own block covers it.
    pub(crate) fn address(&self, address: IpAddr) -> Option<OriginatedRoute> {
        let covered = covering(self.blocks, address).is_some();
        (!covered).then(|| self.route(Prefix::host(address))).flatten()
    }

    /// The announcement of an address of an egress gateway that this node has.
    pub(crate) fn egress(&self, prefix: Prefix) -> Option<OriginatedRoute> {
        self.route(prefix)
    }

    fn route(&self, prefix: Prefix) -> Option<OriginatedRoute> {
        if self.pools.values().any(|pool| pool.spec.disable_bgp_export && pool.spec.cidr.covers(prefix)) {
            return None;
        }
        if self.on_link.iter().any(|cidr| cidr.covers(prefix)) {
            return None;
        }
        let advertisements = self.bgp.prefix_advertisements.iter().filter(|entry| entry.cidr.covers(prefix));
        let named = advertisements.flat_map(|entry| &entry.communities);
        let mut communities: BTreeSet<_> =
            named.filter_map(|reference| self.bgp.community(reference)).map(community).collect();
        communities.extend(self.leaving.as_ref().map(|_| GRACEFUL_SHUTDOWN));
        Some(OriginatedRoute {
            next_hop: self.next_hop[usize::from(prefix.family() == Family::Ipv6)],
            communities: communities.into_iter().collect(),
            ..OriginatedRoute::new(prefix)
        })
    }
}

/// The block that an address is in.
pub(crate) fn covering(blocks: &BTreeSet<Prefix>, address: IpAddr) -> Option<Prefix> {
    // Blocks do not overlap, so only the last one that starts at or before the address can cover it.
    blocks.range(..=Prefix::host(address)).next_back().copied().filter(|block| block.contains(address))
}
