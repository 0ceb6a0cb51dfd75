//! Links: network interfaces.
//!
//! Spec: rtnetlink(7), `linux/if_link.h`.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use cairn_net::{Family, Mac};

use super::{Change, IfIndex, LinkName, Object, Verb};
use crate::netlink::{Batch, Frame};
use crate::sysctl::Conf;

mod decode;
mod encode;
mod stacked;
mod tunnel;

pub(crate) use encode::{encode_delete, encode_delete_group, encode_get, encode_trial};
pub use stacked::{IpvlanMode, Stacked, StackedKind};
pub use tunnel::{Ipip, Vxlan};

/// What drives an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// One end of a virtual cable.
    Veth,
    /// A VXLAN tunnel device.
    Vxlan(Vxlan),
    /// An IP-in-IP tunnel device.
    Ipip(Ipip),
    /// On top of another interface, whose number is the link's `peer`.
    Stacked(StackedKind),
    /// Another kind, as the kernel calls it: `bridge`, `wireguard` ... Empty for hardware and loopback.
    Other(String),
}

/// The state of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkFlags {
    /// `IFF_UP`: it was switched on.
    pub up: bool,
    /// `IFF_LOWER_UP`: the other end is there.
    pub carrier: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
}

/// An interface as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The number.
    pub index: IfIndex,
    /// The name.
    pub name: String,
    /// Ethernet address, where it has one.
    pub mac: Option<Mac>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// The state.
    pub flags: LinkFlags,
    /// What drives it.
    pub kind: Kind,
    /// The bridge, bond or VRF that it belongs to.
    pub master: Option<IfIndex>,
    /// The number of a veth's other end, in that end's namespace; of a tunnel's outer interface; of the one below, in its namespace.
    pub peer: Option<IfIndex>,
    /// The group that it is in; 0 unless somebody said otherwise.
    pub group: u32,
    /// A free text that an operator or we gave it; the kernel takes none with a new interface, only as a change.
    pub alias: Option<String>,
}

/// One end of a new veth pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VethEnd {
    /// The name.
    pub name: LinkName,
    /// Ethernet address; `None`: the kernel takes a random one.
    pub mac: Option<Mac>,
}

/// A new veth pair, made by one message.
///
/// Only our end can be switched on by that message: the kernel refuses to open the other before its peer is known.
#[derive(Debug, Clone)]
pub struct Veth<'a> {
    /// The end in our namespace.
    pub host: VethEnd,
    /// The other end.
    pub peer: VethEnd,
    /// The namespace of the other end; `None`: ours.
    pub peer_netns: Option<BorrowedFd<'a>>,
    /// MTU of both ends.
    pub mtu: u32,
    /// Switch our end on.
    pub up: bool,
}

/// A change of an existing interface: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct LinkChange<'a> {
    /// On or off.
    pub up: Option<bool>,
    /// MTU.
    pub mtu: Option<u32>,
    /// Ethernet address.
    pub mac: Option<Mac>,
    /// A new name, for an interface that is meant by number.
    pub name: Option<&'a LinkName>,
    /// Into a bridge or VRF, or out of it.
    pub master: Option<Option<IfIndex>>,
    /// Into a group, all of whose members one request can delete.
    pub group: Option<u32>,
    /// Into another namespace.
    pub netns: Option<BorrowedFd<'a>>,
    /// A text.
    pub alias: Option<&'a str>,
    /// IPv4 settings, in the same step. The kernel takes no IPv6 settings here: see [`crate::sysctl`].
    pub ipv4: &'a [(Conf, u32)],
    /// Whether the kernel makes an IPv6 link-local address from the MAC when the interface comes up.
    pub link_local: Option<bool>,
}

/// How an interface is meant in a request. A name lets a request follow the one that makes the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRef<'a> {
    /// By number.
    Index(IfIndex),
    /// By name.
    Name(&'a LinkName),
}

impl fmt::Display for LinkRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "link {index}"),
            Self::Name(name) => write!(f, "link {name}"),
        }
    }
}

impl From<IfIndex> for LinkRef<'_> {
    fn from(index: IfIndex) -> Self {
        Self::Index(index)
    }
}

impl<'a> From<&'a LinkName> for LinkRef<'a> {
    fn from(name: &'a LinkName) -> Self {
        Self::Name(name)
    }
}

impl Veth<'_> {
    /// Appends the message that makes the pair.
    pub fn encode(&self, batch: &mut Batch) {
        encode::veth(self, batch);
    }
}

impl LinkChange<'_> {
    /// Appends the message that carries out the change.
    pub fn encode(&self, link: LinkRef<'_>, batch: &mut Batch) {
        encode::change(self, link, batch);
    }
}

impl Object for Link {
    type Key = IfIndex;

    fn key(&self) -> IfIndex {
        self.index
    }

    /// A new interface of a kind that needs no more than its settings. For veth pairs see [`Veth`].
    fn encode(&self, verb: Verb, batch: &mut Batch) {
        encode::link(self, verb, batch);
    }

    fn encode_delete(key: &IfIndex, batch: &mut Batch) {
        encode::delete(LinkRef::Index(*key), batch);
    }

    fn encode_list(_: Option<Family>, flags: u16, batch: &mut Batch) {
        encode::list(flags, batch);
    }

    fn decode(frame: Frame<'_>) -> Option<Change<Self>> {
        decode::link(frame)
    }
}

/// Numbers of `linux/if_link.h`.
mod wire {
    pub(super) const NEW: u16 = 16;
    pub(super) const DEL: u16 = 17;
    pub(super) const GET: u16 = 18;
    pub(super) const SET: u16 = 19;
    /// `struct ifinfomsg`.
    pub(super) const HEADER: usize = 16;
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const LINK: u16 = 5;
    pub(super) const MASTER: u16 = 10;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const IFALIAS: u16 = 20;
    pub(super) const AF_SPEC: u16 = 26;
    pub(super) const GROUP: u16 = 27;
    pub(super) const NET_NS_FD: u16 = 28;
    pub(super) const EXT_MASK: u16 = 29;
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const VETH_PEER: u16 = 1;
    pub(super) const AF_INET: u16 = 2;
    pub(super) const AF_INET6: u16 = 10;
    pub(super) const INET_CONF: u16 = 1;
    pub(super) const INET6_ADDR_GEN_MODE: u16 = 8;
    /// `IN6_ADDR_GEN_MODE_EUI64`, `IN6_ADDR_GEN_MODE_NONE`.
    pub(super) const GEN_EUI64: u8 = 0;
    pub(super) const GEN_NONE: u8 = 1;
    pub(super) const IFF_UP: u32 = 1;
    pub(super) const IFF_LOOPBACK: u32 = 8;
    pub(super) const IFF_LOWER_UP: u32 = 0x1_0000;
}

fn raw_fd(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}
