//! Kernel objects as plain values: what is in the kernel, not how it got there.
//!
//! Each module has one kind: its value, its key, its encoding and its decoding. A key names an object uniquely within
//! a namespace, and is all that is needed to delete it. IPv4 and IPv6 are the same types.
//! Not here: which objects there should be (see [`crate::reconciler`]).

mod address;
mod forwarding;
mod link;
mod name;
mod ndmsg;
mod neighbour;
mod nexthop;
mod route;
mod rule;

use std::fmt;
use std::hash::Hash;

use cairn_net::Family;

pub use address::{Address, AddressKey};
pub use forwarding::{Forwarding, ForwardingKey};
pub use link::{
    Ipip, IpvlanMode, Kind, Link, LinkChange, LinkFlags, LinkRef, Stacked, StackedKind, Veth, VethEnd, Vxlan,
};
pub(crate) use link::{
    encode_delete as encode_link_delete, encode_delete_group as encode_link_delete_group,
    encode_get as encode_link_get, encode_trial as encode_link_trial,
};
pub use name::{IfIndex, LinkName, TableId};
pub use neighbour::{Neighbour, NeighbourKey, NeighbourState};
pub use nexthop::{Nexthop, NexthopId, NexthopTarget};
pub use route::{Hop, PROTOCOL, Route, RouteKey, RouteKind, RouteTarget, protocol_name};
pub use rule::{Rule, RuleAction};

use crate::netlink::{Batch, Frame};

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It must not be there yet: whatever has its key is left alone (`EEXIST`).
    Create,
    /// It takes the place of whatever has its key, in one step.
    Replace,
}

impl Verb {
    /// The header's flags: `NLM_F_CREATE` with `NLM_F_EXCL` or `NLM_F_REPLACE`.
    const fn flags(self) -> u16 {
        match self {
            Self::Create => 0x400 | 0x200,
            Self::Replace => 0x400 | 0x100,
        }
    }

    /// The verb as an error says it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
        }
    }
}

/// A change as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// The object is there, in this form.
    Present(T),
    /// The object is gone.
    Gone(T),
}

impl<T> Change<T> {
    /// The object, there or gone.
    pub const fn object(&self) -> &T {
        match self {
            Self::Present(object) | Self::Gone(object) => object,
        }
    }
}

/// An object that can be written, deleted and listed.
pub trait Object: Sized + Clone + PartialEq + fmt::Debug {
    /// What names it. Its `Display` is how errors name it.
    type Key: Clone + Eq + Ord + Hash + fmt::Debug + fmt::Display;

    /// The key.
    fn key(&self) -> Self::Key;

    /// Appends the message that writes it.
    fn encode(&self, verb: Verb, batch: &mut Batch);

    /// Appends the message that deletes the object with a key.
    fn encode_delete(key: &Self::Key, batch: &mut Batch);

    /// Appends the message that lists the objects of a family; `None` is every family.
    fn encode_list(family: Option<Family>, flags: u16, batch: &mut Batch);

    /// Reads a message; `None` if it is about something else, or malformed.
    fn decode(frame: Frame<'_>) -> Option<Change<Self>>;
}

/// `AF_UNSPEC`, `AF_INET`, `AF_INET6`.
#[allow(clippy::cast_possible_truncation)] // address families are small numbers
const fn af(family: Option<Family>) -> u8 {
    match family {
        None => libc::AF_UNSPEC as u8,
        Some(Family::Ipv4) => libc::AF_INET as u8,
        Some(Family::Ipv6) => libc::AF_INET6 as u8,
    }
}

/// The family of a header's first byte.
fn family_of(af: u8) -> Option<Family> {
    Family::ALL.into_iter().find(|family| self::af(Some(*family)) == af)
}
