//! The settings of tunnel devices.
//!
//! Spec: `linux/if_link.h`, `linux/if_tunnel.h`; RFC 7348 (VXLAN), RFC 2003 (IP in IP).

use std::net::IpAddr;

use super::IfIndex;
use crate::netlink::{Attribute, Attributes, Message};

/// The settings of a VXLAN device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vxlan {
    /// VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// UDP port of both ends; 4789 is IANA's.
    pub port: u16,
    /// Where outer packets come from.
    pub local: Option<IpAddr>,
    /// The interface that outer packets leave by.
    pub dev: Option<IfIndex>,
    /// Learn remote MACs from packets; off where the entries are set by us.
    pub learning: bool,
}

/// The settings of an IP-in-IP device: IPv4 in IPv4.
///
/// Without a remote end it serves many: the gateway of the inner packet's route is the destination of the outer one. The outer header
/// forbids fragments (RFC 2003 section 5.1), so that the path's MTU is told to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipip {
    /// Where outer packets come from, and the only address they are taken at. `None`: any.
    pub local: Option<IpAddr>,
    /// The other end. `None`: the gateway of each route.
    pub remote: Option<IpAddr>,
    /// Hop limit of outer packets; 0: that of the inner one.
    pub ttl: u8,
}

/// `IFLA_VXLAN_*`.
mod vxlan {
    pub(super) const ID: u16 = 1;
    pub(super) const LINK: u16 = 3;
    pub(super) const LOCAL: u16 = 4;
    pub(super) const LEARNING: u16 = 7;
    pub(super) const PORT: u16 = 15;
    pub(super) const LOCAL6: u16 = 17;
}

/// `IFLA_IPTUN_*`.
mod iptun {
    pub(super) const LOCAL: u16 = 2;
    pub(super) const REMOTE: u16 = 3;
    pub(super) const TTL: u16 = 4;
    pub(super) const PMTUDISC: u16 = 10;
}

impl Vxlan {
    pub(super) fn encode(&self, message: &mut Message<'_>) {
        message
            .u32(vxlan::ID, self.vni)
            .be16(vxlan::PORT, self.port)
            .u8(vxlan::LEARNING, u8::from(self.learning));
        match self.local {
            Some(local @ IpAddr::V4(_)) => {
                message.addr(vxlan::LOCAL, local);
            }
            Some(local @ IpAddr::V6(_)) => {
                message.addr(vxlan::LOCAL6, local);
            }
            None => {}
        }
        if let Some(dev) = self.dev {
            message.u32(vxlan::LINK, dev.0);
        }
    }

    pub(super) fn decode(data: Attributes<'_>) -> Option<Self> {
        let dev = data.find(vxlan::LINK).and_then(Attribute::u32);
        Some(Self {
            vni: data.find(vxlan::ID)?.u32()?,
            port: data.find(vxlan::PORT)?.be16()?,
            local: data.find(vxlan::LOCAL).or_else(|| data.find(vxlan::LOCAL6)).and_then(Attribute::addr),
            dev: dev.filter(|index| *index != 0).map(IfIndex),
            learning: data.find(vxlan::LEARNING)?.u8()? != 0,
        })
    }
}

impl Ipip {
    pub(super) fn encode(&self, message: &mut Message<'_>) {
        for (number, addr) in [(iptun::LOCAL, self.local), (iptun::REMOTE, self.remote)] {
            if let Some(addr @ IpAddr::V4(_)) = addr {
                message.addr(number, addr);
            }
        }
        message.u8(iptun::TTL, self.ttl).u8(iptun::PMTUDISC, 1);
    }

    pub(super) fn decode(data: Attributes<'_>) -> Option<Self> {
        let end = |number| {
            let addr = data.find(number).and_then(Attribute::addr);
            addr.filter(|addr| !addr.is_unspecified())
        };
        Some(Self { local: end(iptun::LOCAL), remote: end(iptun::REMOTE), ttl: data.find(iptun::TTL)?.u8()? })
    }
}

#[cfg(test)]
mod tests {
    use cairn_net::Mac;

    use super::super::{Kind, Link, LinkFlags};
    use super::*;
    use crate::netlink::{Batch, Frames};
    use crate::object::{Change, Object, Verb};

    fn devices() -> Vec<Link> {
        let device = |name: &str, mac, kind| Link {
            index: IfIndex(0),
            name: name.to_owned(),
            mac,
            mtu: 1450,
            flags: LinkFlags { up: true, ..LinkFlags::default() },
            kind,
            master: None,
            peer: None,
            group: 7,
            alias: None,
        };
        let vxlan = |local: &str| Vxlan {
            vni: 4096,
            port: 4789,
            local: Some(local.parse().unwrap()),
            dev: Some(IfIndex(3)),
            learning: false,
        };
        let ipip = |local: Option<&str>| Ipip {
            local: local.map(|local| local.parse().unwrap()),
            remote: None,
            ttl: 64,
        };
        let mac = Some(Mac([0x66, 0, 0, 0, 0, 1]));
        vec![
            device("v4", mac, Kind::Vxlan(vxlan("192.0.2.1"))),
            device("v6", mac, Kind::Vxlan(vxlan("2001:db8::1"))),
            device("one", None, Kind::Ipip(ipip(Some("192.0.2.1")))),
            device("any", None, Kind::Ipip(ipip(None))),
        ]
    }

    #[test]
    fn a_tunnel_survives_its_message() {
        for device in devices() {
            let mut batch = Batch::new();
            device.encode(Verb::Create, &mut batch);
            let frame = Frames::new(batch.as_bytes()).next().unwrap();
            assert_eq!(Link::decode(frame), Some(Change::Present(device)));
        }
    }

    #[test]
    fn torn_and_flipped_messages_never_panic() {
        for device in devices() {
            let mut batch = Batch::new();
            device.encode(Verb::Create, &mut batch);
            let whole = batch.as_bytes();
            for at in 0..whole.len() {
                let mut bytes = whole.to_vec();
                bytes[at] ^= 0xff;
                Frames::new(&bytes).for_each(|frame| drop(Link::decode(frame)));
                Frames::new(&bytes[..at]).for_each(|frame| drop(Link::decode(frame)));
            }
        }
    }
}
