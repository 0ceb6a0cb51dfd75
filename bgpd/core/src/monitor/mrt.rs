//! MRT records of a table.
//!
//! Spec: RFC 6396 section 4.3 (TABLE_DUMP_V2), RFC 8050 section 4 (its records with path identifiers).
//! Shape: `[seconds: u32][type: u16][subtype: u16][length: u32]`, then the record. AS numbers take four octets.
//! Invariant: each function gives one whole record.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use cairn_net::{Asn, Family, Prefix, RouterId};

use crate::rib::RouteAttributes;
use crate::wire::{EXTENDED_MAX_MESSAGE_LEN, EncodeContext, EncodedAttributes};

const TABLE_DUMP_V2: u16 = 13;
const PEER_INDEX_TABLE: u16 = 1;
/// The form of attributes: four-octet AS numbers (RFC 6396 section 4.3.4), as long as need be.
const CONTEXT: EncodeContext = EncodeContext {
    four_octet_as: true,
    add_path: cairn_net::Families::NONE,
    max_message_len: EXTENDED_MAX_MESSAGE_LEN,
};

/// A peer of the index table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedPeer {
    /// Its identifier; `None` while it has no session.
    pub router_id: Option<RouterId>,
    /// Its address.
    pub address: IpAddr,
    /// Its AS.
    pub asn: Asn,
}

/// One path of a prefix.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The peer's place in the index table.
    pub peer: u16,
    /// When the path became what it is, since 1970-01-01 UTC.
    pub since: Duration,
    /// Path identifier (RFC 7911); 0 without.
    pub path_id: u32,
    /// Attributes and next hop.
    pub route: &'a RouteAttributes,
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

fn record(at: Duration, subtype: u16, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(12 + body.len());
    out.put_u32(seconds(at));
    out.put_u16(TABLE_DUMP_V2);
    out.put_u16(subtype);
    out.put_u32(u32::try_from(body.len()).expect("a record holds a bounded number of bounded paths"));
    out.put_slice(body);
    out.freeze()
}

/// The index of peers, which comes before all entries. Place 0 is ourselves: routes of our own refer to it. Peers beyond the
/// 65,535 that can be numbered are left out.
pub fn peer_index(local: RouterId, asn: Asn, peers: &[IndexedPeer], at: Duration) -> Bytes {
    const IPV6: u8 = 1;
    const FOUR_OCTET_AS: u8 = 2;
    let ourselves = IndexedPeer { router_id: Some(local), address: Ipv4Addr::UNSPECIFIED.into(), asn };
    let peers: Vec<&IndexedPeer> =
        std::iter::once(&ourselves).chain(peers).take(usize::from(u16::MAX)).collect();
    let mut body = BytesMut::new();
    body.put_u32(local.get());
    // The view has no name.
    body.put_u16(0);
    body.put_u16(u16::try_from(peers.len()).expect("cut just before"));
    for peer in peers {
        body.put_u8(FOUR_OCTET_AS | if peer.address.is_ipv6() { IPV6 } else { 0 });
        body.put_u32(peer.router_id.map_or(0, RouterId::get));
        match peer.address {
            IpAddr::V4(v4) => body.put_slice(&v4.octets()),
            IpAddr::V6(v6) => body.put_slice(&v6.octets()),
        }
        body.put_u32(peer.asn.0);
    }
    record(at, PEER_INDEX_TABLE, &body)
}

/// All paths of a prefix; with path identifiers if any path has one. `None` if no path can be written.
pub fn rib_entries(sequence: u32, prefix: Prefix, entries: &[Entry<'_>], at: Duration) -> Option<Bytes> {
    let path_ids = entries.iter().any(|entry| entry.path_id != 0);
    let family = prefix.family();
    let mut paths = BytesMut::new();
    let mut count: u16 = 0;
    for entry in entries {
        let route = entry.route;
        let Ok(encoded) = EncodedAttributes::new(&route.attributes, family, route.next_hop, &CONTEXT) else {
            continue;
        };
        let attributes = encoded.for_table_dump();
        let (Ok(len), Some(next)) = (u16::try_from(attributes.len()), count.checked_add(1)) else { continue };
        count = next;
        paths.put_u16(entry.peer);
        paths.put_u32(seconds(entry.since));
        if path_ids {
            paths.put_u32(entry.path_id);
        }
        paths.put_u16(len);
        paths.put_slice(&attributes);
    }
    if count == 0 {
        return None;
    }
    let mut body = BytesMut::with_capacity(24 + paths.len());
    body.put_u32(sequence);
    body.put_u8(prefix.len());
    let octets = usize::from(prefix.len()).div_ceil(8);
    match prefix.addr() {
        IpAddr::V4(v4) => body.put_slice(&v4.octets()[..octets]),
        IpAddr::V6(v6) => body.put_slice(&v6.octets()[..octets]),
    }
    body.put_u16(count);
    body.put_slice(&paths);
    let subtype = match (family, path_ids) {
        (Family::Ipv4, false) => 2,
        (Family::Ipv6, false) => 4,
        (Family::Ipv4, true) => 8,
        (Family::Ipv6, true) => 10,
    };
    Some(record(at, subtype, &body))
}
