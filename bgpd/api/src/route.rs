//! Routes as other programs see them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use cairn_net::{Asn, Families, Prefix};
use prost::bytes::Bytes;
use serde::Serialize;

use crate::config::{Community, Origin};

/// A piece of the stream that [`crate::Client::watch_routes`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteUpdate {
    /// Changes of the Loc-RIB. At the stream's begin: what is there.
    pub changes: Vec<RouteChange>,
    /// Families of which the whole Loc-RIB has been sent now. Each comes once.
    pub end_of_rib: Families,
}

/// A prefix of the Loc-RIB has another route now, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteChange {
    /// The prefix.
    pub prefix: Prefix,
    /// Its route; `None`: it is gone.
    pub best: Option<BestRoute>,
}

/// The route to a prefix in the Loc-RIB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BestRoute {
    /// All next hops of equal cost, the best path's first. Empty: the route is originated by the daemon itself.
    pub next_hops: Vec<IpAddr>,
    /// Where any of them is link-local: the number of each one's interface, 0 where the kernel's routes tell it. Else empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<u32>,
    /// Whom the best path comes from.
    pub source: RouteSource,
    /// Traffic to it is to be discarded: the neighbour's `blackhole` option accepts its BLACKHOLE (RFC 7999).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blackhole: bool,
}

impl BestRoute {
    /// Each next hop with the number of its interface, if it is link-local.
    pub fn hops(&self) -> impl Iterator<Item = (IpAddr, Option<u32>)> {
        let interface = |index: usize| self.interfaces.get(index).copied().filter(|index| *index != 0);
        self.next_hops.iter().enumerate().map(move |(index, hop)| (*hop, interface(index)))
    }
}

/// Where a route comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RouteSource {
    /// From this neighbour.
    Peer(IpAddr),
    /// Originated by the daemon itself, in the name of an owner.
    Local(String),
}

/// Which table a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// What a neighbour sent, before the import filter.
    AdjRibIn(IpAddr),
    /// The routes in use.
    LocRib,
    /// Every path of every prefix, used or not.
    AllPaths,
    /// What is sent to a neighbour, after the export filter.
    AdjRibOut(IpAddr),
}

/// A piece of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePage(pub Vec<Route>);

/// A piece of a table dump: whole MRT records (RFC 6396).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDump(pub Bytes);

/// A prefix of a table with all its paths, the best one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The prefix.
    pub prefix: Prefix,
    /// The paths.
    pub paths: Vec<Path>,
}

/// One way to a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Path {
    /// The best path of the prefix.
    pub best: bool,
    /// Used beside the best path.
    pub multipath: bool,
    /// Kept for a neighbour that restarts.
    pub stale: bool,
    /// Adj-RIB-In: why the path is not used. Empty: it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub refused: String,
    /// Whom it comes from.
    pub source: RouteSource,
    /// What set the best path apart from the second best, or what the others lost by. Empty: there was no choice.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub decided_by: String,
    /// For how long it has been as it is.
    #[serde(rename = "ageSeconds", serialize_with = "crate::peer::seconds")]
    pub age: Duration,
    /// The path identifier (RFC 7911) that it came with, in an Adj-RIB-Out the one that it is sent with. 0: none.
    #[serde(skip_serializing_if = "is_zero")]
    pub path_id: u32,
    /// Interior cost to the next hop. `None`: it cannot be reached, or next hops are not tracked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop_metric: Option<u32>,
    /// Its attributes.
    pub attributes: Attributes,
}

/// Path attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH, the nearest AS first.
    pub as_path: Vec<AsSegment>,
    /// NEXT_HOP, or the one of MP_REACH_NLRI. `None`: the daemon itself.
    pub next_hop: Option<IpAddr>,
    /// MULTI_EXIT_DISC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// LOCAL_PREF.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_preference: Option<u32>,
    /// ATOMIC_AGGREGATE.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub atomic_aggregate: bool,
    /// AGGREGATOR: AS and identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<(Asn, IpAddr)>,
    /// COMMUNITIES and LARGE_COMMUNITY.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<Community>,
    /// EXTENDED COMMUNITIES, as the eight octets of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extended_communities: Vec<u64>,
    /// ORIGINATOR_ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub originator_id: Option<IpAddr>,
    /// CLUSTER_LIST.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster_list: Vec<IpAddr>,
}

/// A segment of an AS_PATH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AsSegment {
    /// In the order of travel, the latest first.
    Sequence(Vec<Asn>),
    /// Without order (AS_SET).
    Set(Vec<Asn>),
    /// Member ASes of the local confederation in the order of travel (AS_CONFED_SEQUENCE, RFC 5065).
    ConfedSequence(Vec<Asn>),
    /// The same without order (AS_CONFED_SET).
    ConfedSet(Vec<Asn>),
}

impl fmt::Display for AsSegment {
    /// As routers write it: `1 2`, `{1,2}`, `(1 2)`, `[1,2]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, asns, between, close) = match self {
            Self::Sequence(asns) => ("", asns, " ", ""),
            Self::Set(asns) => ("{", asns, ",", "}"),
            Self::ConfedSequence(asns) => ("(", asns, " ", ")"),
            Self::ConfedSet(asns) => ("[", asns, ",", "]"),
        };
        let asns: Vec<String> = asns.iter().map(ToString::to_string).collect();
        write!(f, "{open}{}{close}", asns.join(between))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
