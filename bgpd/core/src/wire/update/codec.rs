//! Reading the values of single attributes (RFC 7606 section 7).

use std::net::Ipv4Addr;

use cairn_net::Asn;

use super::context::{DecodeContext, PeerKind};
use super::fault::{Fault, FaultReason};
use crate::wire::attribute::{Aggregator, AsPath, NextHop, Origin, SegmentKind, WireElement, WireList, code};

pub(super) fn origin(value: &[u8]) -> Result<Origin, Fault> {
    let &[origin] = value else {
        return Err(Fault::withdraw(code::ORIGIN, FaultReason::Length(value.len())));
    };
    Origin::from_wire(origin)
        .ok_or_else(|| Fault::withdraw(code::ORIGIN, FaultReason::UndefinedOrigin(origin)))
}

pub(super) fn as_path(value: &[u8], context: &DecodeContext) -> Result<AsPath, Fault> {
    let withdraw = |reason| Fault::withdraw(code::AS_PATH, reason);
    let path =
        if context.four_octet_as { AsPath::from_wire(value) } else { AsPath::from_two_octet_wire(value) };
    let path = path.map_err(|error| withdraw(error.into()))?;
    match context.peer {
        PeerKind::Internal => {}
        PeerKind::External => {
            if path.segments().any(|segment| segment.kind.is_confederation()) {
                return Err(withdraw(FaultReason::Confederation(
                    "segments of one from a peer outside of it",
                )));
            }
        }
        PeerKind::Confederation => {
            let first = path.segments().next().map(|segment| segment.kind);
            if first != Some(SegmentKind::ConfedSequence) {
                return Err(withdraw(FaultReason::Confederation("the path does not begin with a sequence")));
            }
        }
    }
    Ok(path)
}

/// An external peer must have put its AS in front, where that is asked for (RFC 4271 section 6.3). Of the merged path:
/// a two-octet AS_PATH may say AS_TRANS, and AS4_PATH anything.
pub(super) fn first_as(path: &AsPath, context: &DecodeContext) -> Result<(), Fault> {
    match context.first_as {
        Some(first_as) if context.peer != PeerKind::Internal && path.first_as() != Some(first_as) => {
            Err(Fault::withdraw(code::AS_PATH, FaultReason::FirstAs(first_as)))
        }
        _ => Ok(()),
    }
}

/// AS4_PATH: a malformed one is left out, and so are its confederation segments (RFC 6793 section 6).
pub(super) fn as4_path(value: &[u8]) -> Result<AsPath, Fault> {
    let discard = |reason| Fault::discard(code::AS4_PATH, reason);
    if value.len() < 6 {
        return Err(discard(FaultReason::Length(value.len())));
    }
    let path = AsPath::from_wire(value).map_err(|error| discard(error.into()))?;
    Ok(path.without_confederation())
}

pub(super) fn next_hop(value: &[u8]) -> Result<NextHop, Fault> {
    let addr = number(code::NEXT_HOP, value)?;
    Ok(NextHop::new(Ipv4Addr::from(addr).into()))
}

/// An attribute of exactly four octets.
pub(super) fn number(code: u8, value: &[u8]) -> Result<u32, Fault> {
    let value: &[u8; 4] =
        value.try_into().map_err(|_| Fault::withdraw(code, FaultReason::Length(value.len())))?;
    Ok(u32::from_be_bytes(*value))
}

pub(super) fn atomic_aggregate(value: &[u8]) -> Result<bool, Fault> {
    if value.is_empty() {
        return Ok(true);
    }
    Err(Fault::discard(code::ATOMIC_AGGREGATE, FaultReason::Length(value.len())))
}

/// AGGREGATOR and AS4_AGGREGATOR, in which AS 0 counts as malformed, too (RFC 7607).
pub(super) fn aggregator(code: u8, value: &[u8], four_octet_as: bool) -> Result<Aggregator, Fault> {
    let (asn, id) = match (four_octet_as, value) {
        (true, &[a, b, c, d, ref id @ ..]) if id.len() == 4 => (u32::from_be_bytes([a, b, c, d]), id),
        (false, &[a, b, ref id @ ..]) if id.len() == 4 => (u16::from_be_bytes([a, b]).into(), id),
        _ => return Err(Fault::discard(code, FaultReason::Length(value.len()))),
    };
    if asn == 0 {
        return Err(Fault::discard(code, FaultReason::ZeroAs));
    }
    Ok(Aggregator { asn: Asn(asn), router_id: Ipv4Addr::from_wire(id) })
}

/// A list attribute: whole elements, at least one.
pub(super) fn list<T: WireElement>(code: u8, value: &[u8]) -> Result<WireList<T>, Fault> {
    WireList::from_wire(value)
        .filter(|list| !list.is_empty())
        .ok_or_else(|| Fault::withdraw(code, FaultReason::Length(value.len())))
}
