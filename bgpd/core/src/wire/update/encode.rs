//! Writing UPDATEs: the attributes once, then as many messages as the prefixes need.
//!
//! IPv4 routes with an IPv4 next hop go into the fields of RFC 4271, all others into MP_REACH_NLRI, which comes
//! first among the attributes (RFC 7606 section 5.1).

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use cairn_net::Family;
use thiserror::Error;

use super::context::EncodeContext;
use super::nlri::Nlri;
use super::structure::{EXTENDED_LENGTH, OPTIONAL, PARTIAL, TRANSITIVE};
use crate::wire::AfiSafi;
use crate::wire::attribute::{Attributes, NextHop, WireElement, WireList, code};
use crate::wire::header::{self, HEADER_LEN, MessageType};

/// Octets of an UPDATE without attributes and prefixes: header and two lengths.
const EMPTY_UPDATE_LEN: usize = HEADER_LEN + 4;
/// Octets of a multiprotocol attribute's head: flags, type, two octets of length.
const MP_HEAD_LEN: usize = 4;
/// More octets than all attributes take apart from their lists: 19 heads of four octets, values of fixed size, MP_REACH_NLRI up
/// to the prefixes.
const MOST_FIXED_LEN: usize = 256;

/// Why attributes cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// No room is left for a single prefix: the routes must be withdrawn instead (RFC 8654 section 4).
    #[error(
        "the attributes take {len} octets, which leaves no room for a prefix in a message of at most {max}"
    )]
    TooLong {
        /// Octets of the attributes.
        len: usize,
        /// Longest message.
        max: usize,
    },
    /// An IPv6 route cannot have an IPv4 next hop.
    #[error("a route of family {family} cannot have the next hop {next_hop}")]
    NextHop {
        /// The routes' family.
        family: Family,
        /// The next hop.
        next_hop: NextHop,
    },
}

/// The attributes of routes in wire form, to be used for any number of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedAttributes {
    /// Everything but MP_REACH_NLRI.
    block: Vec<u8>,
    /// MP_REACH_NLRI's value up to the prefixes; `None` for the fields of RFC 4271.
    mp: Option<Bytes>,
    family: Family,
    context: EncodeContext,
}

impl EncodedAttributes {
    /// Encodes what all routes of a family with this next hop share.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn new(
        attributes: &Attributes,
        family: Family,
        next_hop: NextHop,
        context: &EncodeContext,
    ) -> Result<Self, EncodeError> {
        let old_style = match (family, next_hop.addr) {
            (Family::Ipv4, IpAddr::V4(addr)) => Some(addr),
            (Family::Ipv6, IpAddr::V4(_)) => return Err(EncodeError::NextHop { family, next_hop }),
            (_, IpAddr::V6(_)) => None,
        };
        let mut block = Vec::with_capacity(128);
        put_attributes(attributes, old_style.map(|addr| addr.octets()), context.four_octet_as, &mut block);
        let mp = old_style.is_none().then(|| mp_value(family, next_hop));
        let head = mp.as_ref().map_or(0, |mp| MP_HEAD_LEN + mp.len());
        let len = block.len() + head;
        if EMPTY_UPDATE_LEN + len + Nlri::max_len(family) > context.max_message_len {
            return Err(EncodeError::TooLong { len, max: context.max_message_len });
        }
        Ok(Self { block, mp, family, context: *context })
    }

    /// Can routes with these attributes be sent at all, that is, does [`EncodedAttributes::new`] succeed? Costs next to nothing
    /// unless the lists come near to a whole message.
    pub fn fits(attributes: &Attributes, family: Family, next_hop: NextHop, context: &EncodeContext) -> bool {
        // A path may be written twice: AS_PATH and AS4_PATH.
        let lists = 2 * attributes.as_path.as_wire().len()
            + attributes.communities.as_wire().len()
            + attributes.cluster_list.as_wire().len()
            + attributes.extended_communities.as_wire().len()
            + attributes.ipv6_extended_communities.as_wire().len()
            + attributes.large_communities.as_wire().len()
            + attributes.unknown.as_wire().len();
        let possible = family == Family::Ipv4 || next_hop.family() == Family::Ipv6;
        let surely = possible
            && EMPTY_UPDATE_LEN + MOST_FIXED_LEN + lists + Nlri::max_len(family) <= context.max_message_len;
        surely || Self::new(attributes, family, next_hop, context).is_ok()
    }

    /// Octets that the attributes take in each message.
    #[allow(clippy::len_without_is_empty)] // never empty: ORIGIN is always there
    pub fn len(&self) -> usize {
        self.block.len() + self.mp.as_ref().map_or(0, |mp| MP_HEAD_LEN + mp.len())
    }

    /// The attributes for an entry of a table dump: of MP_REACH_NLRI only the next hop with its length (RFC 6396 section 4.3.4).
    pub(crate) fn for_table_dump(self) -> Bytes {
        /// Octets of AFI and SAFI before the next hop, and of the reserved one behind it.
        const BEFORE: usize = 3;
        let next_hop = self.mp.as_ref().and_then(|mp| mp.get(BEFORE..mp.len().checked_sub(1)?));
        let Some(next_hop) = next_hop else { return self.block.into() };
        let mut out = BytesMut::with_capacity(self.block.len() + 3 + next_hop.len());
        out.put_u8(OPTIONAL);
        out.put_u8(code::MP_REACH_NLRI);
        out.put_u8(u8::try_from(next_hop.len()).expect("at most two addresses"));
        out.put_slice(next_hop);
        out.put_slice(&self.block);
        out.freeze()
    }

    /// Appends the messages that announce these prefixes, header and all; returns how many. No prefix, no message.
    pub fn reach(&self, nlri: impl IntoIterator<Item = Nlri>, out: &mut BytesMut) -> usize {
        let path_ids = self.context.path_ids(self.family);
        let mut nlri = nlri.into_iter().peekable();
        let mut messages = 0;
        while nlri.peek().is_some() {
            let start = header::begin(out, MessageType::Update);
            out.put_u16(0);
            match &self.mp {
                None => {
                    out.put_u16(length(self.block.len()));
                    out.put_slice(&self.block);
                    put_prefixes(&mut nlri, path_ids, start + self.context.max_message_len, out);
                }
                Some(mp) => {
                    let limit = start + self.context.max_message_len - self.block.len();
                    put_mp(code::MP_REACH_NLRI, mp, &mut nlri, path_ids, limit, out);
                    out.put_slice(&self.block);
                    patch(out, start + HEADER_LEN + 2, start + EMPTY_UPDATE_LEN);
                }
            }
            header::finish(out, start);
            messages += 1;
        }
        messages
    }
}

/// Appends the messages that withdraw these prefixes, all of the family; returns how many.
pub fn encode_unreach(
    family: Family,
    nlri: impl IntoIterator<Item = Nlri>,
    context: &EncodeContext,
    out: &mut BytesMut,
) -> usize {
    let path_ids = context.path_ids(family);
    let mut nlri = nlri.into_iter().peekable();
    let mut messages = 0;
    while nlri.peek().is_some() {
        let start = header::begin(out, MessageType::Update);
        match family {
            Family::Ipv4 => {
                out.put_u16(0);
                let field = out.len();
                put_prefixes(&mut nlri, path_ids, start + context.max_message_len - 2, out);
                patch(out, field - 2, field);
                out.put_u16(0);
            }
            Family::Ipv6 => {
                out.put_u16(0);
                let limit = start + context.max_message_len;
                put_mp(code::MP_UNREACH_NLRI, &afi_safi(family), &mut nlri, path_ids, limit, out);
                patch(out, start + HEADER_LEN + 2, start + EMPTY_UPDATE_LEN);
            }
        }
        header::finish(out, start);
        messages += 1;
    }
    messages
}

/// The End-of-RIB of a family, header and all (RFC 4724 section 2).
pub fn encode_end_of_rib(family: Family) -> Bytes {
    let mut out = BytesMut::with_capacity(32);
    let start = header::begin(&mut out, MessageType::Update);
    out.put_u16(0);
    match family {
        Family::Ipv4 => out.put_u16(0),
        Family::Ipv6 => {
            out.put_u16(6);
            out.put_slice(&[OPTIONAL, code::MP_UNREACH_NLRI, 3]);
            out.put_slice(&afi_safi(family));
        }
    }
    header::finish(&mut out, start);
    out.freeze()
}

/// Appends a multiprotocol attribute with as many prefixes as fit below `limit`, and in front of it the room for
/// the attributes' total length.
fn put_mp(
    code: u8,
    value: &[u8],
    nlri: &mut std::iter::Peekable<impl Iterator<Item = Nlri>>,
    path_ids: bool,
    limit: usize,
    out: &mut BytesMut,
) {
    out.put_u16(0);
    out.put_slice(&[OPTIONAL | EXTENDED_LENGTH, code]);
    out.put_u16(0);
    let start = out.len();
    out.put_slice(value);
    put_prefixes(nlri, path_ids, limit, out);
    patch(out, start - 2, start);
}

/// Appends prefixes as long as the message stays within `limit`.
fn put_prefixes(
    nlri: &mut std::iter::Peekable<impl Iterator<Item = Nlri>>,
    path_ids: bool,
    limit: usize,
    out: &mut BytesMut,
) {
    while let Some(next) = nlri.next_if(|next| out.len() + next.wire_len(path_ids) <= limit) {
        next.put(path_ids, out);
    }
}

/// Writes at `at` how many octets follow `from`.
fn patch(out: &mut BytesMut, at: usize, from: usize) {
    let len = length(out.len() - from);
    out[at..at + 2].copy_from_slice(&len.to_be_bytes());
}

fn length(len: usize) -> u16 {
    u16::try_from(len).expect("a part of a message is not longer than the longest message")
}

fn afi_safi(family: Family) -> [u8; 3] {
    let AfiSafi { afi, safi } = AfiSafi::unicast(family);
    let [high, low] = afi.to_be_bytes();
    [high, low, safi]
}

/// MP_REACH_NLRI's value up to the prefixes.
fn mp_value(family: Family, next_hop: NextHop) -> Bytes {
    let mut value = Vec::with_capacity(40);
    value.extend_from_slice(&afi_safi(family));
    let IpAddr::V6(addr) = next_hop.addr else { unreachable!("IPv4 next hops have no MP_REACH_NLRI") };
    value.push(if next_hop.link_local.is_some() { 32 } else { 16 });
    value.extend_from_slice(&addr.octets());
    value.extend(next_hop.link_local.iter().flat_map(std::net::Ipv6Addr::octets));
    value.push(0);
    value.into()
}

/// Appends all attributes in the order of their type codes, as RFC 4271 section 5 advises.
fn put_attributes(
    attributes: &Attributes,
    next_hop: Option<[u8; 4]>,
    four_octet_as: bool,
    out: &mut Vec<u8>,
) {
    put(TRANSITIVE, code::ORIGIN, &[attributes.origin.to_wire()], out);
    put_as_path(attributes, four_octet_as, out);
    if let Some(next_hop) = next_hop {
        put(TRANSITIVE, code::NEXT_HOP, &next_hop, out);
    }
    if let Some(med) = attributes.med {
        put(OPTIONAL, code::MULTI_EXIT_DISC, &med.to_be_bytes(), out);
    }
    if let Some(local_pref) = attributes.local_pref {
        put(TRANSITIVE, code::LOCAL_PREF, &local_pref.to_be_bytes(), out);
    }
    if attributes.atomic_aggregate {
        put(TRANSITIVE, code::ATOMIC_AGGREGATE, &[], out);
    }
    put_aggregator(attributes, four_octet_as, out);
    put_list(OPTIONAL | TRANSITIVE, code::COMMUNITIES, &attributes.communities, out);
    if let Some(originator) = attributes.originator_id {
        put(OPTIONAL, code::ORIGINATOR_ID, &originator.octets(), out);
    }
    put_list(OPTIONAL, code::CLUSTER_LIST, &attributes.cluster_list, out);
    put_list(OPTIONAL | TRANSITIVE, code::EXTENDED_COMMUNITIES, &attributes.extended_communities, out);
    if !four_octet_as {
        put_four_octet(attributes, out);
    }
    let ipv6 = &attributes.ipv6_extended_communities;
    put_list(OPTIONAL | TRANSITIVE, code::IPV6_EXTENDED_COMMUNITIES, ipv6, out);
    put_list(OPTIONAL | TRANSITIVE, code::LARGE_COMMUNITIES, &attributes.large_communities, out);
    if let Some(asn) = attributes.only_to_customer {
        put(OPTIONAL | TRANSITIVE, code::ONLY_TO_CUSTOMER, &asn.0.to_be_bytes(), out);
    }
    for unknown in attributes.unknown.iter() {
        // Whoever passes on what it does not know says so (RFC 4271 section 5).
        put(unknown.flags | PARTIAL, unknown.code, unknown.value, out);
    }
}

fn put_as_path(attributes: &Attributes, four_octet_as: bool, out: &mut Vec<u8>) {
    if four_octet_as {
        put(TRANSITIVE, code::AS_PATH, attributes.as_path.as_wire(), out);
        return;
    }
    let mut narrow = Vec::with_capacity(attributes.as_path.as_wire().len());
    attributes.as_path.put_two_octet(&mut narrow);
    put(TRANSITIVE, code::AS_PATH, &narrow, out);
}

fn put_aggregator(attributes: &Attributes, four_octet_as: bool, out: &mut Vec<u8>) {
    let Some(aggregator) = attributes.aggregator else {
        return;
    };
    let mut value = Vec::with_capacity(8);
    if four_octet_as {
        value.extend_from_slice(&aggregator.asn.0.to_be_bytes());
    } else {
        value.extend_from_slice(&aggregator.asn.two_octet().to_be_bytes());
    }
    value.extend_from_slice(&aggregator.router_id.octets());
    put(OPTIONAL | TRANSITIVE, code::AGGREGATOR, &value, out);
}

/// AS4_PATH and AS4_AGGREGATOR, where the old ones cannot say it (RFC 6793 section 4.2.2).
fn put_four_octet(attributes: &Attributes, out: &mut Vec<u8>) {
    // Confederation segments must not be in it.
    let path = attributes.as_path.without_confederation();
    if path.needs_four_octets() {
        put(OPTIONAL | TRANSITIVE, code::AS4_PATH, path.as_wire(), out);
    }
    if let Some(aggregator) = attributes.aggregator.filter(|aggregator| aggregator.asn.0 > u16::MAX.into()) {
        let mut value = Vec::with_capacity(8);
        value.extend_from_slice(&aggregator.asn.0.to_be_bytes());
        value.extend_from_slice(&aggregator.router_id.octets());
        put(OPTIONAL | TRANSITIVE, code::AS4_AGGREGATOR, &value, out);
    }
}

fn put_list<T: WireElement>(flags: u8, code: u8, list: &WireList<T>, out: &mut Vec<u8>) {
    if !list.is_empty() {
        put(flags, code, list.as_wire(), out);
    }
}

/// Appends one attribute. One beyond 65535 octets gets a wrong length here, but the block is refused for its own.
fn put(flags: u8, code: u8, value: &[u8], out: &mut Vec<u8>) {
    match u8::try_from(value.len()) {
        Ok(len) => out.extend_from_slice(&[flags, code, len]),
        Err(_) => {
            let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&[flags | EXTENDED_LENGTH, code]);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
    out.extend_from_slice(value);
}
