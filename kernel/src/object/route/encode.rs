//! Routes into messages.

use std::net::IpAddr;

use cairn_net::Family;

use super::wire::{
    DEL, DST, F_ONLINK, GATEWAY, GET, HEADER, MARK, METRIC_MTU, METRICS, MULTIPATH, NEW, NH_ID, OIF, PREFSRC,
    PRIORITY, SCOPE_HOST, SCOPE_LINK, SCOPE_NOWHERE, TABLE, VIA, kind_number,
};
use super::{Hop, Route, RouteKey, RouteKind, RouteTarget, TableId, Verb, af};
use crate::netlink::{Batch, Message};

pub(super) fn route(route: &Route, verb: Verb, batch: &mut Batch) {
    let family = route.prefix.family();
    let onlink = matches!(&route.target, RouteTarget::Hop(hop) if hop.onlink);
    let head = Header {
        family: Some(family),
        len: route.prefix.len(),
        table: Some(route.table),
        protocol: route.protocol,
        scope: scope(route, family),
        kind: kind_number(route.kind),
        flags: if onlink { F_ONLINK } else { 0 },
    };
    let mut message = batch.message(NEW, verb.flags(), &head.bytes());
    message.addr(DST, route.prefix.addr()).u32(TABLE, route.table.0);
    if route.priority != 0 {
        message.u32(PRIORITY, route.priority);
    }
    match &route.target {
        RouteTarget::None => {}
        RouteTarget::Hop(hop) => {
            if let Some(dev) = hop.dev {
                message.u32(OIF, dev.0);
            }
            gateway(&mut message, family, hop);
        }
        RouteTarget::Nexthop(id) => {
            message.u32(NH_ID, id.0);
        }
        RouteTarget::Multipath(hops) => {
            message.nest(MULTIPATH, |message| hops.iter().for_each(|hop| multipath(message, family, hop)));
        }
    }
    if let Some(prefsrc) = route.prefsrc {
        message.addr(PREFSRC, prefsrc);
    }
    if let Some(mtu) = route.mtu {
        message.nest(METRICS, |message| {
            message.u32(METRIC_MTU, mtu);
        });
    }
}

pub(super) fn delete(key: &RouteKey, batch: &mut Batch) {
    let head = Header {
        family: Some(key.prefix.family()),
        len: key.prefix.len(),
        table: Some(key.table),
        protocol: key.protocol,
        scope: SCOPE_NOWHERE, // any scope, and kind 0 is any kind
        kind: 0,
        flags: 0,
    };
    let mut message = batch.message(DEL, 0, &head.bytes());
    message.addr(DST, key.prefix.addr()).u32(TABLE, key.table.0);
    if key.priority != 0 {
        message.u32(PRIORITY, key.priority);
    }
}

pub(super) fn list(
    table: Option<TableId>,
    protocol: u8,
    family: Option<Family>,
    flags: u16,
    batch: &mut Batch,
) {
    let head = Header { family, len: 0, table: None, protocol, scope: 0, kind: 0, flags: 0 };
    let mut message = batch.message(GET, flags, &head.bytes());
    if let Some(table) = table {
        message.u32(TABLE, table.0);
    }
}

pub(super) fn resolve(addr: IpAddr, mark: u32, batch: &mut Batch) {
    let family = Family::of(addr);
    let head = Header {
        family: Some(family),
        len: family.bits(),
        table: None,
        protocol: 0,
        scope: 0,
        kind: 0,
        flags: 0,
    };
    let mut message = batch.message(GET, 0, &head.bytes());
    message.addr(DST, addr);
    if mark != 0 {
        message.u32(MARK, mark);
    }
}

/// `struct rtmsg`.
struct Header {
    family: Option<Family>,
    len: u8,
    table: Option<TableId>,
    protocol: u8,
    scope: u8,
    kind: u8,
    flags: u32,
}

impl Header {
    fn bytes(&self) -> [u8; HEADER] {
        // A table above 255 is only in its attribute (RT_TABLE_UNSPEC in the header).
        let table = self.table.and_then(|table| u8::try_from(table.0).ok()).unwrap_or(0);
        let [a, b, c, d] = self.flags.to_ne_bytes();
        [af(self.family), self.len, 0, 0, table, self.protocol, self.scope, self.kind, a, b, c, d]
    }
}

/// IPv4 needs to know how far the destination is; IPv6 ignores it.
fn scope(route: &Route, family: Family) -> u8 {
    match (family, route.kind, &route.target) {
        (Family::Ipv4, RouteKind::Local, _) => SCOPE_HOST,
        (Family::Ipv4, RouteKind::Unicast, RouteTarget::Hop(hop)) if hop.gateway.is_none() => SCOPE_LINK,
        _ => 0,
    }
}

fn multipath(message: &mut Message<'_>, family: Family, hop: &Hop) {
    let flags = if hop.onlink { 4 } else { 0 };
    let weight = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    let dev = hop.dev.map_or(0, |dev| dev.0);
    let [a, b, c, d] = dev.to_ne_bytes();
    message.structure([flags, weight, a, b, c, d], |message| gateway(message, family, hop));
}

fn gateway(message: &mut Message<'_>, family: Family, hop: &Hop) {
    match hop.gateway {
        Some(IpAddr::V6(v6)) if family == Family::Ipv4 => {
            // `struct rtvia`: the gateway's family, then its address.
            let mut via = u16::from(af(Some(Family::Ipv6))).to_ne_bytes().to_vec();
            via.extend_from_slice(&v6.octets());
            message.bytes(VIA, &via);
        }
        Some(addr) => {
            message.addr(GATEWAY, addr);
        }
        None => {}
    }
}
