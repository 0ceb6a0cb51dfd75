//! Routes.

use std::net::IpAddr;
use std::time::Duration;

use cairn_net::Asn;

use super::{FieldError, address, address_bytes, all, each, family_numbers, optional_address, prefix};
use crate::config::{Community, Origin, OriginatedRoute};
use crate::proto;
use crate::route::{
    AsSegment, Attributes, BestRoute, Path, Route, RouteChange, RoutePage, RouteSource, RouteUpdate, Table,
    TableDump,
};

pub(super) fn source_parts(source: RouteSource) -> (prost::bytes::Bytes, String) {
    match source {
        RouteSource::Peer(peer) => (address_bytes(peer), String::new()),
        RouteSource::Local(owner) => (prost::bytes::Bytes::new(), owner),
    }
}

pub(super) fn source(peer: &[u8], owner: &str) -> Result<RouteSource, FieldError> {
    Ok(match optional_address("peer", peer)? {
        Some(peer) => RouteSource::Peer(peer),
        None => RouteSource::Local(owner.to_owned()),
    })
}

impl From<RouteUpdate> for proto::WatchRoutesResponse {
    fn from(update: RouteUpdate) -> Self {
        Self { changes: each(update.changes), end_of_rib: family_numbers(update.end_of_rib) }
    }
}

impl TryFrom<proto::WatchRoutesResponse> for RouteUpdate {
    type Error = FieldError;

    fn try_from(message: proto::WatchRoutesResponse) -> Result<Self, FieldError> {
        Ok(Self {
            changes: message.changes.iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            end_of_rib: super::families(&message.end_of_rib)?,
        })
    }
}

impl From<RouteChange> for proto::RouteChange {
    fn from(change: RouteChange) -> Self {
        let prefix = Some(change.prefix.into());
        let Some(best) = change.best else {
            return Self { prefix, withdrawn: true, ..Self::default() };
        };
        let next_hops = best.next_hops.into_iter().map(address_bytes).collect();
        let (peer, owner) = match best.source {
            RouteSource::Peer(peer) => (address_bytes(peer), String::new()),
            RouteSource::Local(owner) => (prost::bytes::Bytes::new(), owner),
        };
        let next_hop_interfaces = best.interfaces;
        Self {
            prefix,
            withdrawn: false,
            next_hops,
            peer,
            owner,
            blackhole: best.blackhole,
            next_hop_interfaces,
        }
    }
}

impl TryFrom<&proto::RouteChange> for RouteChange {
    type Error = FieldError;

    fn try_from(message: &proto::RouteChange) -> Result<Self, FieldError> {
        let prefix = prefix(message.prefix.as_ref())?;
        if message.withdrawn {
            return Ok(Self { prefix, best: None });
        }
        let next_hops =
            message.next_hops.iter().map(|hop| address("next_hops", hop)).collect::<Result<_, _>>()?;
        let source = source(&message.peer, &message.owner)?;
        let interfaces = message.next_hop_interfaces.clone();
        let best = BestRoute { next_hops, interfaces, source, blackhole: message.blackhole };
        Ok(Self { prefix, best: Some(best) })
    }
}

impl From<Table> for proto::Table {
    fn from(table: Table) -> Self {
        match table {
            Table::AdjRibIn(_) => Self::AdjRibIn,
            Table::LocRib => Self::LocRib,
            Table::AllPaths => Self::AllPaths,
            Table::AdjRibOut(_) => Self::AdjRibOut,
        }
    }
}

impl Table {
    /// The neighbour whose table it is.
    pub const fn peer(self) -> Option<IpAddr> {
        match self {
            Self::AdjRibIn(peer) | Self::AdjRibOut(peer) => Some(peer),
            Self::LocRib | Self::AllPaths => None,
        }
    }

    /// From the fields of a request.
    ///
    /// # Errors
    /// If the table is not known, or a neighbour is missing or too much.
    pub fn from_request(table: i32, peer: &[u8]) -> Result<Self, FieldError> {
        match (proto::Table::try_from(table), optional_address("peer", peer)?) {
            (Ok(proto::Table::AdjRibIn), Some(peer)) => Ok(Self::AdjRibIn(peer)),
            (Ok(proto::Table::AdjRibOut), Some(peer)) => Ok(Self::AdjRibOut(peer)),
            (Ok(proto::Table::LocRib), None) => Ok(Self::LocRib),
            (Ok(proto::Table::AllPaths), None) => Ok(Self::AllPaths),
            (Ok(proto::Table::LocRib | proto::Table::AllPaths), Some(peer)) => {
                Err(FieldError::new("peer", peer, "must be empty for the Loc-RIB and all paths"))
            }
            (Ok(proto::Table::AdjRibIn | proto::Table::AdjRibOut), None) => {
                Err(FieldError::new("peer", "", "is required for Adj-RIB-In and Adj-RIB-Out"))
            }
            (Ok(proto::Table::Unspecified) | Err(_), _) => {
                Err(FieldError::new("table", table, "must be Adj-RIB-In, Loc-RIB, Adj-RIB-Out or all paths"))
            }
        }
    }
}

impl TryFrom<proto::DumpTableResponse> for TableDump {
    type Error = FieldError;

    fn try_from(message: proto::DumpTableResponse) -> Result<Self, FieldError> {
        Ok(Self(message.records))
    }
}

impl From<Route> for proto::Route {
    fn from(route: Route) -> Self {
        Self { prefix: Some(route.prefix.into()), paths: each(route.paths) }
    }
}

impl TryFrom<proto::Route> for Route {
    type Error = FieldError;

    fn try_from(message: proto::Route) -> Result<Self, FieldError> {
        Ok(Self { prefix: prefix(message.prefix.as_ref())?, paths: all(message.paths)? })
    }
}

impl TryFrom<proto::ListRoutesResponse> for RoutePage {
    type Error = FieldError;

    fn try_from(message: proto::ListRoutesResponse) -> Result<Self, FieldError> {
        all(message.routes).map(Self)
    }
}

impl From<Path> for proto::Path {
    fn from(path: Path) -> Self {
        let (peer, owner) = source_parts(path.source);
        Self {
            best: path.best,
            multipath: path.multipath,
            stale: path.stale,
            refused: path.refused,
            peer,
            owner,
            attributes: Some(path.attributes.into()),
            decided_by: path.decided_by,
            age_seconds: path.age.as_secs(),
            path_id: path.path_id,
            next_hop_metric: path.next_hop_metric,
        }
    }
}

impl TryFrom<proto::Path> for Path {
    type Error = FieldError;

    fn try_from(message: proto::Path) -> Result<Self, FieldError> {
        Ok(Self {
            best: message.best,
            multipath: message.multipath,
            stale: message.stale,
            source: source(&message.peer, &message.owner)?,
            refused: message.refused,
            decided_by: message.decided_by,
            age: Duration::from_secs(message.age_seconds),
            path_id: message.path_id,
            next_hop_metric: message.next_hop_metric,
            attributes: message.attributes.unwrap_or_default().try_into()?,
        })
    }
}

impl From<Origin> for proto::attributes::Origin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Igp => Self::Igp,
            Origin::Egp => Self::Egp,
            Origin::Incomplete => Self::Incomplete,
        }
    }
}

fn origin(number: i32) -> Result<Origin, FieldError> {
    match proto::attributes::Origin::try_from(number) {
        Ok(proto::attributes::Origin::Igp) => Ok(Origin::Igp),
        Ok(proto::attributes::Origin::Egp) => Ok(Origin::Egp),
        Ok(proto::attributes::Origin::Incomplete) => Ok(Origin::Incomplete),
        Err(_) => Err(FieldError::new("origin", number, "is not a known origin")),
    }
}

/// Communities of all kinds lie in one list here, each kind in one of its own in a message.
#[derive(Default)]
struct ByKind {
    standard: Vec<u32>,
    large: Vec<proto::LargeCommunity>,
    extended: Vec<u64>,
}

fn split_communities(communities: &[Community]) -> ByKind {
    let mut parts = ByKind::default();
    for community in communities {
        match *community {
            Community::Standard(value) => parts.standard.push(value),
            Community::Large(global, local1, local2) => {
                parts.large.push(proto::LargeCommunity { global, local1, local2 });
            }
            Community::Extended(value) => parts.extended.push(value),
        }
    }
    parts
}

fn join_communities(standard: &[u32], large: &[proto::LargeCommunity], extended: &[u64]) -> Vec<Community> {
    let large = large.iter().map(|large| Community::Large(large.global, large.local1, large.local2));
    let extended = extended.iter().map(|value| Community::Extended(*value));
    standard.iter().map(|value| Community::Standard(*value)).chain(large).chain(extended).collect()
}

impl From<Attributes> for proto::Attributes {
    fn from(attributes: Attributes) -> Self {
        let mut by_kind = split_communities(&attributes.communities);
        by_kind.extended.extend(attributes.extended_communities);
        Self {
            origin: proto::attributes::Origin::from(attributes.origin).into(),
            as_path: each(attributes.as_path),
            next_hop: attributes.next_hop.map(address_bytes).unwrap_or_default(),
            med: attributes.med,
            local_preference: attributes.local_preference,
            atomic_aggregate: attributes.atomic_aggregate,
            aggregator: attributes
                .aggregator
                .map(|(asn, addr)| proto::Aggregator { asn: asn.0, address: address_bytes(addr) }),
            communities: by_kind.standard,
            large_communities: by_kind.large,
            extended_communities: by_kind.extended,
            originator_id: attributes.originator_id.map(address_bytes).unwrap_or_default(),
            cluster_list: attributes.cluster_list.into_iter().map(address_bytes).collect(),
        }
    }
}

impl TryFrom<proto::Attributes> for Attributes {
    type Error = FieldError;

    fn try_from(message: proto::Attributes) -> Result<Self, FieldError> {
        Ok(Self {
            origin: origin(message.origin)?,
            as_path: each(message.as_path),
            next_hop: optional_address("next_hop", &message.next_hop)?,
            med: message.med,
            local_preference: message.local_preference,
            atomic_aggregate: message.atomic_aggregate,
            aggregator: message
                .aggregator
                .map(|part| Ok((Asn(part.asn), address("aggregator.address", &part.address)?)))
                .transpose()?,
            communities: join_communities(&message.communities, &message.large_communities, &[]),
            extended_communities: message.extended_communities,
            originator_id: optional_address("originator_id", &message.originator_id)?,
            cluster_list: message
                .cluster_list
                .iter()
                .map(|id| address("cluster_list", id))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<AsSegment> for proto::AsSegment {
    fn from(segment: AsSegment) -> Self {
        let (set, confederation, asns) = match segment {
            AsSegment::Sequence(asns) => (false, false, asns),
            AsSegment::Set(asns) => (true, false, asns),
            AsSegment::ConfedSequence(asns) => (false, true, asns),
            AsSegment::ConfedSet(asns) => (true, true, asns),
        };
        Self { set, confederation, asns: asns.into_iter().map(|asn| asn.0).collect() }
    }
}

impl From<proto::AsSegment> for AsSegment {
    fn from(message: proto::AsSegment) -> Self {
        let asns = message.asns.into_iter().map(Asn).collect();
        match (message.set, message.confederation) {
            (false, false) => Self::Sequence(asns),
            (true, false) => Self::Set(asns),
            (false, true) => Self::ConfedSequence(asns),
            (true, true) => Self::ConfedSet(asns),
        }
    }
}

impl From<OriginatedRoute> for proto::OriginatedRoute {
    fn from(route: OriginatedRoute) -> Self {
        let by_kind = split_communities(&route.communities);
        Self {
            prefix: Some(route.prefix.into()),
            next_hop: route.next_hop.map(address_bytes).unwrap_or_default(),
            med: route.med,
            local_preference: route.local_preference,
            communities: by_kind.standard,
            large_communities: by_kind.large,
            extended_communities: by_kind.extended,
        }
    }
}

impl TryFrom<&proto::OriginatedRoute> for OriginatedRoute {
    type Error = FieldError;

    fn try_from(message: &proto::OriginatedRoute) -> Result<Self, FieldError> {
        Ok(Self {
            prefix: prefix(message.prefix.as_ref())?,
            next_hop: optional_address("next_hop", &message.next_hop)?,
            med: message.med,
            local_preference: message.local_preference,
            communities: join_communities(
                &message.communities,
                &message.large_communities,
                &message.extended_communities,
            ),
        })
    }
}
