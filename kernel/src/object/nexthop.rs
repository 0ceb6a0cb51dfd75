//! Nexthop objects and groups: where routes point to, shared by many routes and changed in one step.
//!
//! Spec: `Documentation/networking/nexthop-group-resilient.rst` and `linux/nexthop.h`.

use std::fmt;
use std::net::IpAddr;

use cairn_net::Family;

use super::{Change, IfIndex, Object, PROTOCOL, Verb, af, family_of};
use crate::netlink::{Attribute, Batch, Frame};

const NEW: u16 = 104;
const DEL: u16 = 105;
const GET: u16 = 106;
/// `struct nhmsg`.
const HEADER: usize = 8;
const ID: u16 = 1;
const GROUP: u16 = 2;
const GROUP_TYPE: u16 = 3;
const BLACKHOLE: u16 = 4;
const OIF: u16 = 5;
const GATEWAY: u16 = 6;
const RES_GROUP: u16 = 12;
const RES_BUCKETS: u16 = 1;
const TYPE_RESILIENT: u16 = 1;
const F_ONLINK: u32 = 4;

/// The number of a nexthop object; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NexthopId(pub u32);

impl NexthopId {
    /// The first of ours: everything from here on is Cairn's.
    pub const FIRST: Self = Self(0xCA00_0000);
    /// The last of ours.
    pub const LAST: Self = Self(0xCAFF_FFFF);

    /// Is the number in our range?
    pub const fn is_ours(self) -> bool {
        self.0 >= Self::FIRST.0 && self.0 <= Self::LAST.0
    }
}

impl fmt::Display for NexthopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nexthop {:#x}", self.0)
    }
}

/// Where a nexthop object leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NexthopTarget {
    /// Through a router. An IPv4 route may use an IPv6 gateway (RFC 8950), not the other way round.
    Gateway {
        /// The router's address.
        gateway: IpAddr,
        /// The interface it is behind.
        dev: IfIndex,
        /// Take it for a neighbour even if no route of the interface covers it.
        onlink: bool,
    },
    /// Directly on a link.
    Dev {
        /// The interface.
        dev: IfIndex,
        /// The family of routes that may use it.
        family: Family,
    },
    /// Dropped in silence.
    Blackhole(Family),
    /// One of several, by a hash of the flow. The members are objects that are no groups, sorted by number.
    Group {
        /// Number and weight (1 to 256) of each member.
        members: Vec<(NexthopId, u16)>,
        /// Buckets of a resilient group, which moves only the flows of the member that left; `None`: a plain one.
        buckets: Option<u16>,
    },
}

/// A nexthop object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nexthop {
    /// The number.
    pub id: NexthopId,
    /// Where it leads.
    pub target: NexthopTarget,
    /// Who made it, as a routing protocol number.
    pub protocol: u8,
}

impl Nexthop {
    /// A nexthop of Cairn.
    pub const fn new(id: NexthopId, target: NexthopTarget) -> Self {
        Self { id, target, protocol: PROTOCOL }
    }
}

fn header(family: Option<Family>, protocol: u8, flags: u32) -> [u8; HEADER] {
    let [a, b, c, d] = flags.to_ne_bytes();
    [af(family), 0, protocol, 0, a, b, c, d]
}

impl Object for Nexthop {
    type Key = NexthopId;

    fn key(&self) -> NexthopId {
        self.id
    }

    fn encode(&self, verb: Verb, batch: &mut Batch) {
        let (family, flags) = match &self.target {
            NexthopTarget::Gateway { gateway, onlink, .. } => {
                (Some(Family::of(*gateway)), if *onlink { F_ONLINK } else { 0 })
            }
            NexthopTarget::Dev { family, .. } | NexthopTarget::Blackhole(family) => (Some(*family), 0),
            NexthopTarget::Group { .. } => (None, 0),
        };
        let mut message = batch.message(NEW, verb.flags(), &header(family, self.protocol, flags));
        message.u32(ID, self.id.0);
        match &self.target {
            NexthopTarget::Gateway { gateway, dev, .. } => {
                message.addr(GATEWAY, *gateway).u32(OIF, dev.0);
            }
            NexthopTarget::Dev { dev, .. } => {
                message.u32(OIF, dev.0);
            }
            NexthopTarget::Blackhole(_) => {
                message.flag(BLACKHOLE);
            }
            NexthopTarget::Group { members, buckets } => {
                let mut bytes = Vec::with_capacity(members.len() * 8);
                for (id, weight) in members {
                    // `struct nexthop_grp`: the kernel keeps weight - 1, its high byte only since Linux 6.12.
                    let weight = u8::try_from(weight.saturating_sub(1)).unwrap_or(u8::MAX);
                    bytes.extend_from_slice(&id.0.to_ne_bytes());
                    bytes.extend_from_slice(&[weight, 0, 0, 0]);
                }
                message.bytes(GROUP, &bytes);
                if let Some(buckets) = buckets {
                    message.u16(GROUP_TYPE, TYPE_RESILIENT).nest(RES_GROUP, |inner| {
                        inner.u16(RES_BUCKETS, *buckets);
                    });
                }
            }
        }
    }

    fn encode_delete(key: &NexthopId, batch: &mut Batch) {
        batch.message(DEL, 0, &header(None, 0, 0)).u32(ID, key.0);
    }

    fn encode_list(family: Option<Family>, flags: u16, batch: &mut Batch) {
        batch.message(GET, flags, &header(family, 0, 0));
    }

    fn decode(frame: Frame<'_>) -> Option<Change<Self>> {
        if !matches!(frame.kind, NEW | DEL) {
            return None;
        }
        let (mut id, mut group, mut kind, mut buckets) = (None, None, 0, None);
        let (mut blackhole, mut dev, mut gateway) = (false, None, None);
        for attribute in frame.attributes(HEADER) {
            match attribute.kind {
                ID => id = attribute.u32().map(NexthopId),
                GROUP => group = Some(members(attribute.value)),
                GROUP_TYPE => kind = attribute.u16()?,
                BLACKHOLE => blackhole = true,
                OIF => dev = attribute.u32().map(IfIndex),
                GATEWAY => gateway = attribute.addr(),
                RES_GROUP => buckets = attribute.nested().find(RES_BUCKETS).and_then(Attribute::u16),
                _ => {}
            }
        }
        let family = family_of(frame.byte(0)?);
        let target = match (group, gateway) {
            (Some(members), _) => {
                NexthopTarget::Group { members, buckets: buckets.filter(|_| kind == TYPE_RESILIENT) }
            }
            _ if blackhole => NexthopTarget::Blackhole(family?),
            (None, Some(gateway)) => {
                NexthopTarget::Gateway { gateway, dev: dev?, onlink: frame.u32(4)? & F_ONLINK != 0 }
            }
            (None, None) => NexthopTarget::Dev { dev: dev?, family: family? },
        };
        let nexthop = Self { id: id?, target, protocol: frame.byte(2)? };
        Some(if frame.kind == NEW { Change::Present(nexthop) } else { Change::Gone(nexthop) })
    }
}

fn members(bytes: &[u8]) -> Vec<(NexthopId, u16)> {
    let mut members: Vec<_> = bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|&[a, b, c, d, weight, ..]| (NexthopId(u32::from_ne_bytes([a, b, c, d])), u16::from(weight) + 1))
        .collect();
    members.sort_unstable();
    members
}
