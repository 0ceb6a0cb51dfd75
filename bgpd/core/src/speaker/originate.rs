use std::net::IpAddr;

use cairn_net::Prefix;

use crate::wire::{Attributes, Community, ExtendedCommunity, LargeCommunity, NextHop};

/// A route of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginatedRoute {
    /// What can be reached.
    pub prefix: Prefix,
    /// Through whom; `None`: ourselves, by the address of each session.
    pub next_hop: Option<IpAddr>,
    /// LOCAL_PREF; `None`: 100.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC; `None`: none.
    pub med: Option<u32>,
    /// COMMUNITIES.
    pub communities: Vec<Community>,
    /// LARGE COMMUNITIES.
    pub large_communities: Vec<LargeCommunity>,
    /// EXTENDED COMMUNITIES.
    pub extended_communities: Vec<ExtendedCommunity>,
}

impl OriginatedRoute {
    /// A route through ourselves, with nothing else to say about it.
    pub const fn new(prefix: Prefix) -> Self {
        Self {
            prefix,
            next_hop: None,
            local_pref: None,
            med: None,
            communities: Vec::new(),
            large_communities: Vec::new(),
            extended_communities: Vec::new(),
        }
    }

    /// As attributes; an unspecified next hop stands for ourselves.
    pub(crate) fn attributes(&self) -> (Attributes, NextHop) {
        let attributes = Attributes {
            local_pref: self.local_pref,
            med: self.med,
            communities: self.communities.iter().copied().collect(),
            large_communities: self.large_communities.iter().copied().collect(),
            extended_communities: self.extended_communities.iter().copied().collect(),
            ..Attributes::default()
        };
        let next_hop = self.next_hop.unwrap_or_else(|| self.prefix.family().unspecified());
        (attributes, NextHop::new(next_hop))
    }
}
