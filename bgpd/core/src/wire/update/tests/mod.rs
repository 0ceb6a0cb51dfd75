//! UPDATE messages put together octet by octet, right and wrong.

mod encoding;
mod known_failures;
mod rfc7606;
mod round_trip;
mod well_formed;

use cairn_net::{Asn, Families, Family, Prefix};

use super::*;

pub(super) const WELL_KNOWN: u8 = 0x40;
pub(super) const OPTIONAL: u8 = 0x80;
pub(super) const OPTIONAL_TRANSITIVE: u8 = 0xc0;

/// An external session with four-octet AS numbers and both families.
pub(super) const EXTERNAL: DecodeContext = DecodeContext {
    peer: PeerKind::External,
    four_octet_as: true,
    families: Families::ALL,
    add_path: Families::NONE,
    extended_next_hop: false,
    first_as: None,
};

pub(super) const INTERNAL: DecodeContext = DecodeContext { peer: PeerKind::Internal, ..EXTERNAL };

/// One attribute with a length of one octet.
pub(super) fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut octets = vec![flags, code, u8::try_from(value.len()).unwrap()];
    octets.extend_from_slice(value);
    octets
}

/// A message body.
pub(super) fn body(withdrawn: &[u8], attributes: &[Vec<u8>], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut body = u16::try_from(withdrawn.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(withdrawn);
    body.extend_from_slice(&u16::try_from(attributes.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&attributes);
    body.extend_from_slice(nlri);
    body
}

pub(super) fn origin() -> Vec<u8> {
    attribute(WELL_KNOWN, 1, &[0])
}

pub(super) fn as_path() -> Vec<u8> {
    attribute(WELL_KNOWN, 2, &[2, 1, 0, 0, 0xfd, 0xe9])
}

pub(super) fn next_hop() -> Vec<u8> {
    attribute(WELL_KNOWN, 3, &[192, 0, 2, 1])
}

pub(super) const NET_10: &[u8] = &[8, 10];

/// Announces 10.0.0.0/8 with the mandatory attributes and these.
pub(super) fn announce(more: &[Vec<u8>]) -> Vec<u8> {
    body(&[], &[&[origin(), as_path(), next_hop()], more].concat(), NET_10)
}

/// Announces 10.0.0.0/8 with exactly these attributes.
pub(super) fn announce_with(attributes: &[Vec<u8>]) -> Vec<u8> {
    body(&[], attributes, NET_10)
}

/// MP_REACH_NLRI for fd00::/8 over fe80::1 or whatever next hop is given.
pub(super) fn mp_reach(next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut value = vec![0, 2, 1, u8::try_from(next_hop.len()).unwrap()];
    value.extend_from_slice(next_hop);
    value.push(0);
    value.extend_from_slice(nlri);
    attribute(OPTIONAL, 14, &value)
}

pub(super) const GLOBAL: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

pub(super) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(super) fn nlri(texts: &[&str]) -> Vec<Nlri> {
    texts.iter().map(|text| prefix(text).into()).collect()
}

/// Decodes a body that must not reset the session.
pub(super) fn decode(body: &[u8], context: &DecodeContext) -> Update {
    Update::decode(body, context).unwrap_or_else(|fault| panic!("{fault}"))
}

pub(super) fn asns(path: &[u32]) -> crate::wire::AsPath {
    crate::wire::AsPath::sequence(path.iter().copied().map(Asn))
}

pub(super) fn unreach(family: Family, texts: &[&str]) -> Unreach {
    Unreach { family, nlri: nlri(texts) }
}
