//! Interfaces on top of another one, which share its wire: macvlan and ipvlan.
//!
//! Spec: `linux/if_link.h`; the kernel's Documentation/networking/ipvlan.rst.

use std::os::fd::BorrowedFd;

use cairn_net::Mac;

use super::wire::{INFO_DATA, INFO_KIND};
use super::{IfIndex, LinkName, encode};
use crate::netlink::{Attribute, Attributes, Batch, Message};

/// `IFLA_MACVLAN_MODE`, `IFLA_IPVLAN_MODE`.
const MODE: u16 = 1;
/// `MACVLAN_MODE_BRIDGE`.
const BRIDGE: u32 = 4;

/// How an interface shares the one below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StackedKind {
    /// With a MAC address of its own. Those on one interface reach each other; the host that has them reaches none of them.
    Macvlan,
    /// With the MAC address of the interface below. All on one interface have one mode: the kernel gives them that of the last one made.
    Ipvlan(IpvlanMode),
}

/// How far up an ipvlan interface goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpvlanMode {
    /// It resolves neighbours itself, and hears broadcasts.
    L2,
    /// Its host's routes are used for what it sends.
    L3,
    /// As L3, and its packets pass the hooks of its host's netfilter.
    L3s,
}

/// A new interface on top of another one, made by one message.
#[derive(Debug, Clone)]
pub struct Stacked<'a> {
    /// The name.
    pub name: LinkName,
    /// The interface below, in our namespace.
    pub parent: IfIndex,
    /// How it shares that.
    pub kind: StackedKind,
    /// Ethernet address; `None`: the kernel takes a random one, or that of the interface below.
    pub mac: Option<Mac>,
    /// MTU, not larger than that of the interface below, which is what `None` means.
    pub mtu: Option<u32>,
    /// The namespace that it is for; `None`: ours.
    pub netns: Option<BorrowedFd<'a>>,
}

impl Stacked<'_> {
    /// Appends the message that makes it.
    pub fn encode(&self, batch: &mut Batch) {
        encode::stacked(self, batch);
    }
}

impl StackedKind {
    /// The driver's name, that of its module.
    pub const fn driver(self) -> &'static str {
        match self {
            Self::Macvlan => "macvlan",
            Self::Ipvlan(_) => "ipvlan",
        }
    }

    pub(super) fn encode(self, message: &mut Message<'_>) {
        message.text(INFO_KIND, self.driver()).nest(INFO_DATA, |message| match self {
            Self::Macvlan => {
                message.u32(MODE, BRIDGE);
            }
            Self::Ipvlan(mode) => {
                message.u16(MODE, mode.number());
            }
        });
    }

    /// `None` if it is of another kind, or in a mode that is not made here.
    pub(super) fn decode(driver: &str, data: Attributes<'_>) -> Option<Self> {
        let mode = data.find(MODE)?;
        match driver {
            "macvlan" => (mode.u32()? == BRIDGE).then_some(Self::Macvlan),
            "ipvlan" => IpvlanMode::decode(mode).map(Self::Ipvlan),
            _ => None,
        }
    }
}

impl IpvlanMode {
    /// `IPVLAN_MODE_*`.
    const fn number(self) -> u16 {
        match self {
            Self::L2 => 0,
            Self::L3 => 1,
            Self::L3s => 2,
        }
    }

    fn decode(mode: Attribute<'_>) -> Option<Self> {
        let number = mode.u16()?;
        [Self::L2, Self::L3, Self::L3s].into_iter().find(|mode| mode.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Link};
    use super::*;
    use crate::netlink::Frames;
    use crate::object::{Change, Object};

    const KINDS: [StackedKind; 4] = [
        StackedKind::Macvlan,
        StackedKind::Ipvlan(IpvlanMode::L2),
        StackedKind::Ipvlan(IpvlanMode::L3),
        StackedKind::Ipvlan(IpvlanMode::L3s),
    ];

    fn message(kind: StackedKind) -> Batch {
        let stacked = Stacked {
            name: "eth0".parse().unwrap(),
            parent: IfIndex(7),
            kind,
            mac: Some(Mac([2, 0, 0, 0, 0, 9])),
            mtu: Some(1400),
            netns: None,
        };
        let mut batch = Batch::new();
        stacked.encode(&mut batch);
        batch
    }

    #[test]
    fn what_is_stacked_survives_its_message() {
        for kind in KINDS {
            let batch = message(kind);
            let Some(Change::Present(link)) = Link::decode(Frames::new(batch.as_bytes()).next().unwrap())
            else {
                panic!("{kind:?} is not read back");
            };
            assert_eq!((link.kind, link.peer, link.mtu), (Kind::Stacked(kind), Some(IfIndex(7)), 1400));
        }
    }

    #[test]
    fn torn_and_flipped_messages_never_panic() {
        for kind in KINDS {
            let batch = message(kind);
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
