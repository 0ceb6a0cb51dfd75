//! Messages into routes.

use std::net::IpAddr;

use cairn_net::Prefix;

use super::wire::{
    DEL, DST, F_ONLINK, GATEWAY, HEADER, KINDS, METRIC_MTU, METRICS, MULTIPATH, NEW, NH_ID, OIF, PREFSRC,
    PRIORITY, TABLE, VIA,
};
use super::{Change, Hop, IfIndex, NexthopId, Route, RouteKind, RouteTarget, TableId};
use crate::netlink::{Attribute, Attributes, Frame, read_addr, read_u16, read_u32};
use crate::object::family_of;

/// `RTM_F_CLONED`: an entry of the IPv6 route cache, not of the table.
const F_CLONED: u32 = 0x200;

pub(super) fn route(frame: Frame<'_>) -> Option<Change<Route>> {
    if !matches!(frame.kind, NEW | DEL) {
        return None;
    }
    if frame.u32(8)? & F_CLONED != 0 {
        return None;
    }
    let route = read(frame)?;
    Some(if frame.kind == NEW { Change::Present(route) } else { Change::Gone(route) })
}

/// The answer to a lookup, which IPv4 marks as a cache entry.
pub(super) fn resolved(frame: Frame<'_>) -> Option<Hop> {
    if frame.kind != NEW {
        return None;
    }
    match read(frame)? {
        Route { kind: RouteKind::Unicast, target: RouteTarget::Hop(hop), .. } => Some(hop),
        _ => None,
    }
}

fn read(frame: Frame<'_>) -> Option<Route> {
    let flags = frame.u32(8)?;
    let family = family_of(frame.byte(0)?)?;
    let number = frame.byte(7)?;
    let kind = KINDS.iter().find(|(n, _)| *n == number).map(|(_, kind)| *kind)?;

    let mut seen = Seen { table: u32::from(frame.byte(4)?), ..Seen::default() };
    for attribute in frame.attributes(HEADER) {
        match attribute.kind {
            DST => seen.dst = attribute.addr(),
            TABLE => seen.table = attribute.u32()?,
            PRIORITY => seen.priority = attribute.u32()?,
            PREFSRC => seen.prefsrc = attribute.addr(),
            NH_ID => seen.nexthop = attribute.u32().map(NexthopId),
            MULTIPATH => seen.hops = multipath(attribute.value),
            METRICS => {
                seen.mtu = attribute.nested().find(METRIC_MTU).and_then(Attribute::u32);
            }
            _ => {}
        }
    }
    let target = match kind {
        RouteKind::Unicast | RouteKind::Local => {
            seen.target(|| hop(frame.attributes(HEADER), flags & F_ONLINK != 0))
        }
        // IPv6 lists the loopback interface for these.
        _ => RouteTarget::None,
    };
    Some(Route {
        prefix: Prefix::containing(seen.dst.unwrap_or(family.unspecified()), frame.byte(1)?)?,
        table: TableId(seen.table),
        priority: seen.priority,
        protocol: frame.byte(5)?,
        kind,
        target,
        prefsrc: seen.prefsrc,
        mtu: seen.mtu,
    })
}

/// What the attributes said.
#[derive(Default)]
struct Seen {
    dst: Option<IpAddr>,
    table: u32,
    priority: u32,
    prefsrc: Option<IpAddr>,
    nexthop: Option<NexthopId>,
    hops: Vec<Hop>,
    mtu: Option<u32>,
}

impl Seen {
    fn target(&mut self, single: impl FnOnce() -> Option<Hop>) -> RouteTarget {
        match (self.nexthop, self.hops.len()) {
            // With a nexthop object the kernel also lists what is in it, for programs that know no objects.
            (Some(id), _) => RouteTarget::Nexthop(id),
            (None, 0) => single().map_or(RouteTarget::None, RouteTarget::Hop),
            (None, 1) => self.hops.pop().map_or(RouteTarget::None, RouteTarget::Hop),
            (None, _) => RouteTarget::Multipath(std::mem::take(&mut self.hops)),
        }
    }
}

fn hop(attributes: Attributes<'_>, onlink: bool) -> Option<Hop> {
    let (mut dev, mut gateway) = (None, None);
    for attribute in attributes {
        match attribute.kind {
            OIF => dev = attribute.u32().map(IfIndex),
            GATEWAY => gateway = attribute.addr(),
            VIA => gateway = attribute.value.get(2..).and_then(read_addr),
            _ => {}
        }
    }
    (dev.is_some() || gateway.is_some()).then_some(Hop { gateway, dev, onlink, weight: 1 })
}

fn multipath(mut bytes: &[u8]) -> Vec<Hop> {
    let mut hops = Vec::new();
    while let Some((next, rest)) = next_hop(bytes) {
        hops.push(next);
        bytes = rest;
    }
    hops
}

/// `struct rtnexthop`: `[len:u16][flags:u8][weight-1:u8][ifindex:i32]`, then attributes.
fn next_hop(bytes: &[u8]) -> Option<(Hop, &[u8])> {
    let len = usize::from(read_u16(bytes, 0)?);
    let this = bytes.get(..len)?;
    let flags = *this.get(2)?;
    let weight = u16::from(*this.get(3)?) + 1;
    let dev = read_u32(this, 4).filter(|dev| *dev != 0).map(IfIndex);
    let inner = hop(Attributes::after(this, 8), u32::from(flags) & F_ONLINK != 0);
    let hop = Hop { gateway: inner.and_then(|hop| hop.gateway), dev, onlink: flags & 4 != 0, weight };
    Some((hop, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}
