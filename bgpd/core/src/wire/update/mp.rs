//! MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4760; next hops of RFC 2545 and RFC 8950).
//!
//! Their faults reset the session: the routes cannot be found, so nothing milder is safe (RFC 7606 sections 5.3
//! and 7.11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cairn_net::Family;

use super::context::DecodeContext;
use super::fault::{Fault, FaultReason};
use super::nlri::{self, Nlri};
use super::structure::RawAttribute;
use crate::wire::AfiSafi;
use crate::wire::attribute::NextHop;
use crate::wire::notification::UpdateError;
use crate::wire::parse::{Overrun, Reader};

/// `[afi: u16][safi: u8][next hop length: u8][next hop][reserved: u8][prefixes]`.
pub(super) struct MpReach<'a> {
    pub(super) family: AfiSafi,
    next_hop: &'a [u8],
    pub(super) nlri: &'a [u8],
}

impl<'a> MpReach<'a> {
    pub(super) fn split(raw: RawAttribute<'a>) -> Result<Self, Fault> {
        let mut reader = Reader::new(raw.value);
        let mut split = || {
            let family = AfiSafi { afi: reader.u16()?, safi: reader.u8()? };
            let next_hop = reader.counted_u8()?.rest();
            let _reserved = reader.u8()?;
            Ok(Self { family, next_hop, nlri: reader.rest() })
        };
        split().map_err(|_: Overrun| reset(raw, FaultReason::Length(raw.value.len())))
    }

    /// The next hop, if its length fits the family.
    pub(super) fn next_hop(
        &self,
        raw: RawAttribute<'_>,
        family: Family,
        context: &DecodeContext,
    ) -> Result<NextHop, Fault> {
        let ipv6 = family == Family::Ipv6 || context.extended_next_hop;
        if family == Family::Ipv4
            && let Ok(addr) = <[u8; 4]>::try_from(self.next_hop)
        {
            return Ok(NextHop::new(Ipv4Addr::from(addr).into()));
        }
        let next_hop = if ipv6 { ipv6_next_hop(self.next_hop) } else { None };
        next_hop.ok_or_else(|| {
            reset(raw, FaultReason::NextHopLength { family: self.family, len: self.next_hop.len() })
        })
    }

    pub(super) fn nlri(
        &self,
        raw: RawAttribute<'_>,
        family: Family,
        context: &DecodeContext,
    ) -> Result<Vec<Nlri>, Fault> {
        prefixes(self.nlri, raw, family, context)
    }
}

/// One address, or a global and a link-local one.
fn ipv6_next_hop(octets: &[u8]) -> Option<NextHop> {
    let (addresses, []) = octets.as_chunks::<16>() else {
        return None;
    };
    match *addresses {
        [addr] => Some(NextHop::new(Ipv6Addr::from(addr).into())),
        [global, link_local] => {
            let (global, link_local) = (Ipv6Addr::from(global), Ipv6Addr::from(link_local));
            // A peer without a global address leaves it out in this way or repeats the link-local one.
            if global.is_unspecified() || global == link_local {
                return Some(NextHop::new(link_local.into()));
            }
            let link_local = Some(link_local).filter(Ipv6Addr::is_unicast_link_local);
            Some(NextHop { addr: IpAddr::V6(global), link_local })
        }
        _ => None,
    }
}

/// `[afi: u16][safi: u8][prefixes]`.
pub(super) struct MpUnreach<'a> {
    pub(super) family: AfiSafi,
    nlri: &'a [u8],
}

impl<'a> MpUnreach<'a> {
    pub(super) fn split(raw: RawAttribute<'a>) -> Result<Self, Fault> {
        let mut reader = Reader::new(raw.value);
        let mut split = || {
            let family = AfiSafi { afi: reader.u16()?, safi: reader.u8()? };
            Ok(Self { family, nlri: reader.rest() })
        };
        split().map_err(|_: Overrun| reset(raw, FaultReason::Length(raw.value.len())))
    }

    pub(super) fn nlri(
        &self,
        raw: RawAttribute<'_>,
        family: Family,
        context: &DecodeContext,
    ) -> Result<Vec<Nlri>, Fault> {
        prefixes(self.nlri, raw, family, context)
    }
}

fn prefixes(
    field: &[u8],
    raw: RawAttribute<'_>,
    family: Family,
    context: &DecodeContext,
) -> Result<Vec<Nlri>, Fault> {
    nlri::decode(field, family, context.add_path.contains(family))
        .map_err(|_| reset(raw, FaultReason::Prefix))
}

fn reset(raw: RawAttribute<'_>, reason: FaultReason) -> Fault {
    Fault::reset(UpdateError::OptionalAttributeError, Some(raw.code), reason, raw.whole)
}
