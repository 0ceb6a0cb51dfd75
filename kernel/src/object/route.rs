//! Routes.
//!
//! Spec: rtnetlink(7), `linux/rtnetlink.h`.
//! The kernel fills in what was left out, and not alike for both families; [`Route::normalised`] does the same, so that
//! what is read back compares equal to what was written.

use std::fmt;
use std::net::IpAddr;

use cairn_net::{Family, Prefix};

use super::{Change, IfIndex, NexthopId, Object, TableId, Verb, af};
use crate::netlink::{Batch, Frame};

mod decode;
mod encode;
#[cfg(test)]
mod tests;

/// `RTPROT_CAIRN`: marks routes, nexthop objects and neighbours that are ours.
pub const PROTOCOL: u8 = 202;

/// The name of a route's protocol as `ip route` shows it (`/etc/iproute2/rt_protos`), or its number.
pub fn protocol_name(protocol: u8) -> String {
    let known = match protocol {
        PROTOCOL => "cairn",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        9 => "ra",
        11 => "zebra",
        12 => "bird",
        16 => "dhcp",
        80 => "calico",
        186 => "bgp",
        188 => "ospf",
        _ => return protocol.to_string(),
    };
    known.to_owned()
}

/// `IP6_RT_PRIO_USER`: what the kernel takes where no IPv6 priority is given.
const IPV6_DEFAULT_PRIORITY: u32 = 1024;

/// What happens to a packet that takes the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// It is sent where the target says.
    Unicast,
    /// It is delivered here.
    Local,
    /// It is dropped in silence.
    Blackhole,
    /// It is dropped, and the sender is told that there is no way.
    Unreachable,
    /// It is dropped, and the sender is told that it may not.
    Prohibit,
    /// The lookup goes on in the next table.
    Throw,
}

/// One way to forward a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hop {
    /// The router; `None`: the destination itself is on the link. It may be IPv6 in a route of IPv4.
    pub gateway: Option<IpAddr>,
    /// The interface; `None`: the kernel finds it by looking up the gateway.
    pub dev: Option<IfIndex>,
    /// Take the gateway for a neighbour even if no route of the interface covers it.
    pub onlink: bool,
    /// Its share in a multipath route, 1 to 256.
    pub weight: u16,
}

impl Hop {
    /// Through a router behind an interface.
    pub const fn via(gateway: IpAddr, dev: Option<IfIndex>) -> Self {
        Self { gateway: Some(gateway), dev, onlink: false, weight: 1 }
    }

    /// Directly on a link.
    pub const fn dev(dev: IfIndex) -> Self {
        Self { gateway: None, dev: Some(dev), onlink: false, weight: 1 }
    }
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteTarget {
    /// Nowhere: for every kind but unicast.
    None,
    /// One way.
    Hop(Hop),
    /// A nexthop object.
    Nexthop(NexthopId),
    /// Several ways, by a hash of the flow; at least two.
    Multipath(Vec<Hop>),
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The destination.
    pub prefix: Prefix,
    /// The table.
    pub table: TableId,
    /// The metric: of several routes to one prefix the lowest is used. 0 means 1024 for IPv6.
    pub priority: u32,
    /// Who made it: [`PROTOCOL`] for us.
    pub protocol: u8,
    /// What happens to the packet.
    pub kind: RouteKind,
    /// Where it is sent.
    pub target: RouteTarget,
    /// The source address that this host prefers on this route.
    pub prefsrc: Option<IpAddr>,
    /// The MTU of the path, where it is known to be smaller than the link's.
    pub mtu: Option<u32>,
}

/// What names a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// The destination.
    pub prefix: Prefix,
    /// The table.
    pub table: TableId,
    /// The metric.
    pub priority: u32,
    /// Who made it. Deleting never touches a route of another protocol.
    pub protocol: u8,
}

impl Route {
    /// A route of ours in the main table, with the default metric.
    pub const fn new(prefix: Prefix, kind: RouteKind, target: RouteTarget) -> Self {
        let (table, priority, protocol) = (TableId::MAIN, 0, PROTOCOL);
        Self { prefix, table, priority, protocol, kind, target, prefsrc: None, mtu: None }
    }

    /// Directly on a link.
    pub const fn dev(prefix: Prefix, dev: IfIndex) -> Self {
        Self::new(prefix, RouteKind::Unicast, RouteTarget::Hop(Hop::dev(dev)))
    }

    /// Through a router.
    pub const fn via(prefix: Prefix, gateway: IpAddr, dev: Option<IfIndex>) -> Self {
        Self::new(prefix, RouteKind::Unicast, RouteTarget::Hop(Hop::via(gateway, dev)))
    }

    /// Through a nexthop object.
    pub const fn nexthop(prefix: Prefix, id: NexthopId) -> Self {
        Self::new(prefix, RouteKind::Unicast, RouteTarget::Nexthop(id))
    }

    /// Dropped in silence.
    pub const fn blackhole(prefix: Prefix) -> Self {
        Self::new(prefix, RouteKind::Blackhole, RouteTarget::None)
    }

    /// The route as the kernel gives it back.
    #[must_use]
    pub fn normalised(mut self) -> Self {
        self.priority = normal_priority(self.prefix.family(), self.priority);
        if self.kind != RouteKind::Unicast && self.kind != RouteKind::Local {
            self.target = RouteTarget::None;
        }
        self
    }

    /// Appends the message that lists the routes of one protocol in one table; protocol 0 stands for every one.
    pub fn encode_list_of(table: TableId, protocol: u8, family: Family, flags: u16, batch: &mut Batch) {
        encode::list(Some(table), protocol, Some(family), flags, batch);
    }

    /// Appends the message that asks how an address would be reached by a packet with a mark; 0: none.
    pub fn encode_resolve(addr: IpAddr, mark: u32, batch: &mut Batch) {
        encode::resolve(addr, mark, batch);
    }

    /// Reads the answer to [`Route::encode_resolve`]: the way, unless the address is this host's own or unreachable.
    pub fn decode_resolved(frame: Frame<'_>) -> Option<Hop> {
        decode::resolved(frame)
    }
}

const fn normal_priority(family: Family, priority: u32) -> u32 {
    match (family, priority) {
        (Family::Ipv6, 0) => IPV6_DEFAULT_PRIORITY,
        _ => priority,
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {} table {} metric {}", self.prefix, self.table, self.priority)
    }
}

impl Object for Route {
    type Key = RouteKey;

    fn key(&self) -> RouteKey {
        RouteKey {
            prefix: self.prefix,
            table: self.table,
            priority: normal_priority(self.prefix.family(), self.priority),
            protocol: self.protocol,
        }
    }

    fn encode(&self, verb: Verb, batch: &mut Batch) {
        encode::route(self, verb, batch);
    }

    fn encode_delete(key: &RouteKey, batch: &mut Batch) {
        encode::delete(key, batch);
    }

    fn encode_list(family: Option<Family>, flags: u16, batch: &mut Batch) {
        encode::list(None, 0, family, flags, batch);
    }

    fn decode(frame: Frame<'_>) -> Option<Change<Self>> {
        decode::route(frame)
    }
}

/// Numbers of `linux/rtnetlink.h`.
mod wire {
    use super::RouteKind;

    pub(super) const NEW: u16 = 24;
    pub(super) const DEL: u16 = 25;
    pub(super) const GET: u16 = 26;
    /// `struct rtmsg`.
    pub(super) const HEADER: usize = 12;
    pub(super) const DST: u16 = 1;
    pub(super) const OIF: u16 = 4;
    pub(super) const GATEWAY: u16 = 5;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const PREFSRC: u16 = 7;
    pub(super) const METRICS: u16 = 8;
    pub(super) const MULTIPATH: u16 = 9;
    pub(super) const TABLE: u16 = 15;
    pub(super) const MARK: u16 = 16;
    pub(super) const VIA: u16 = 18;
    pub(super) const NH_ID: u16 = 30;
    pub(super) const METRIC_MTU: u16 = 2;
    pub(super) const F_ONLINK: u32 = 4;
    pub(super) const SCOPE_LINK: u8 = 253;
    pub(super) const SCOPE_HOST: u8 = 254;
    pub(super) const SCOPE_NOWHERE: u8 = 255;

    pub(super) const KINDS: [(u8, RouteKind); 6] = [
        (1, RouteKind::Unicast),
        (2, RouteKind::Local),
        (6, RouteKind::Blackhole),
        (7, RouteKind::Unreachable),
        (8, RouteKind::Prohibit),
        (9, RouteKind::Throw),
    ];

    pub(super) fn kind_number(kind: RouteKind) -> u8 {
        KINDS.iter().find(|(_, k)| *k == kind).map_or(0, |(number, _)| *number)
    }
}
