//! Path attributes as values.
//!
//! Spec: RFC 4271 section 5, and the RFC named at each attribute.
//! Invariant: lists and paths are kept in wire form with four-octet AS numbers, so that comparing, hashing and
//! encoding them touches bytes only; every value that exists is well-formed. Copies share them.
//! Not here: the next hop and the prefixes (see [`super::Update`]); reading and writing (see `super::update`).

mod aggregator;
mod as_path;
mod community;
mod list;
mod next_hop;
mod octets;
mod origin;
mod unknown;

use std::net::Ipv4Addr;

pub use aggregator::Aggregator;
pub use as_path::{AsPath, AsPathError, Segment, SegmentKind};
use cairn_net::Asn;
pub use community::{
    Communities, Community, ExtendedCommunities, ExtendedCommunity, Ipv6ExtendedCommunities,
    Ipv6ExtendedCommunity, LargeCommunities, LargeCommunity,
};
pub use list::{ElementIter, WireElement, WireList};
pub use next_hop::NextHop;
pub use origin::Origin;
pub use unknown::{UnknownAttribute, UnknownAttributes};

/// Type codes of the attributes that we speak.
pub(super) mod code {
    pub(crate) const ORIGIN: u8 = 1;
    pub(crate) const AS_PATH: u8 = 2;
    pub(crate) const NEXT_HOP: u8 = 3;
    pub(crate) const MULTI_EXIT_DISC: u8 = 4;
    pub(crate) const LOCAL_PREF: u8 = 5;
    pub(crate) const ATOMIC_AGGREGATE: u8 = 6;
    pub(crate) const AGGREGATOR: u8 = 7;
    pub(crate) const COMMUNITIES: u8 = 8;
    pub(crate) const ORIGINATOR_ID: u8 = 9;
    pub(crate) const CLUSTER_LIST: u8 = 10;
    pub(crate) const MP_REACH_NLRI: u8 = 14;
    pub(crate) const MP_UNREACH_NLRI: u8 = 15;
    pub(crate) const EXTENDED_COMMUNITIES: u8 = 16;
    pub(crate) const AS4_PATH: u8 = 17;
    pub(crate) const AS4_AGGREGATOR: u8 = 18;
    pub(crate) const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
    pub(crate) const LARGE_COMMUNITIES: u8 = 32;
    pub(crate) const ONLY_TO_CUSTOMER: u8 = 35;
}

/// The standard's name of an attribute type; `None` for one that we do not speak.
pub const fn attribute_name(code: u8) -> Option<&'static str> {
    Some(match code {
        code::ORIGIN => "ORIGIN",
        code::AS_PATH => "AS_PATH",
        code::NEXT_HOP => "NEXT_HOP",
        code::MULTI_EXIT_DISC => "MULTI_EXIT_DISC",
        code::LOCAL_PREF => "LOCAL_PREF",
        code::ATOMIC_AGGREGATE => "ATOMIC_AGGREGATE",
        code::AGGREGATOR => "AGGREGATOR",
        code::COMMUNITIES => "COMMUNITIES",
        code::ORIGINATOR_ID => "ORIGINATOR_ID",
        code::CLUSTER_LIST => "CLUSTER_LIST",
        code::MP_REACH_NLRI => "MP_REACH_NLRI",
        code::MP_UNREACH_NLRI => "MP_UNREACH_NLRI",
        code::EXTENDED_COMMUNITIES => "EXTENDED COMMUNITIES",
        code::AS4_PATH => "AS4_PATH",
        code::AS4_AGGREGATOR => "AS4_AGGREGATOR",
        code::IPV6_EXTENDED_COMMUNITIES => "IPv6 EXTENDED COMMUNITIES",
        code::LARGE_COMMUNITIES => "LARGE COMMUNITIES",
        code::ONLY_TO_CUSTOMER => "OTC",
        _ => return None,
    })
}

/// What is said about a route, but for its prefix and its next hop: equal for all prefixes of an UPDATE.
///
/// An absent list attribute and an empty list are the same: none of them may be empty on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Attributes {
    /// ORIGIN (RFC 4271 section 5.1.1).
    pub origin: Origin,
    /// AS_PATH, with AS4_PATH merged in (RFC 4271 section 5.1.2, RFC 6793).
    pub as_path: AsPath,
    /// MULTI_EXIT_DISC (RFC 4271 section 5.1.4): lower is better.
    pub med: Option<u32>,
    /// LOCAL_PREF (RFC 4271 section 5.1.5): higher is better. Never present from an external peer.
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE (RFC 4271 section 5.1.6).
    pub atomic_aggregate: bool,
    /// AGGREGATOR, with AS4_AGGREGATOR merged in (RFC 4271 section 5.1.7).
    pub aggregator: Option<Aggregator>,
    /// ORIGINATOR_ID (RFC 4456 section 8). Never present from an external peer.
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST (RFC 4456 section 8), the nearest reflector first. Never present from an external peer.
    pub cluster_list: WireList<Ipv4Addr>,
    /// COMMUNITIES (RFC 1997), in the order in which they came.
    pub communities: Communities,
    /// EXTENDED COMMUNITIES (RFC 4360).
    pub extended_communities: ExtendedCommunities,
    /// IPv6 address specific extended communities (RFC 5701).
    pub ipv6_extended_communities: Ipv6ExtendedCommunities,
    /// LARGE COMMUNITIES (RFC 8092).
    pub large_communities: LargeCommunities,
    /// Only to Customer (RFC 9234 section 5): the AS that added the mark.
    pub only_to_customer: Option<Asn>,
    /// Optional transitive attributes that we do not speak, to be passed on (RFC 4271 section 5).
    pub unknown: UnknownAttributes,
    /// What the policy noted about the route; never on the wire.
    pub marks: Marks,
}

/// What only this speaker knows of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Marks {
    /// The first step of best-path selection: higher is better. Default: 0.
    pub weight: u32,
    /// A number by which one policy tells another about the route. Default: 0.
    pub tag: u32,
}
