//! Next hops: whether and how this machine reaches them.
//!
//! Spec: RFC 4271 sections 5.1.3 (recursive lookup), 9.1.2.1 (resolvability) and 9.1.2.2 e (interior cost).
//! Shape: [`KernelTable`] holds the kernel's routes as far as BGP did not put them there, `resolve` looks an address up in these
//! and in the Loc-RIB. Which next hops there are, and who uses them, is the `rib`'s.
//! Invariants: a pure function of the two tables and our addresses; whatever they hold, a lookup ends.
//! Not here: reading the kernel's tables (the shell), writing them (the shell, felix-lite).

mod resolve;
mod table;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::Prefix;

pub(crate) use resolve::{Found, Learned, Lookup, Lookups, Passed};
pub use table::{KernelRoute, KernelTable, KernelTarget};

/// What is to be done about next hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHopTracking {
    /// The default route is a way to a next hop. Default: true.
    pub resolve_via_default: bool,
}

impl Default for NextHopTracking {
    fn default() -> Self {
        Self { resolve_via_default: true }
    }
}

/// Where the kernel sends a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gateway {
    /// The router; `None`: the destination itself is on the link.
    pub address: Option<IpAddr>,
    /// The number of the interface; 0: not known.
    pub interface: u32,
    /// The router is taken for a neighbour although no network of the interface covers it.
    pub onlink: bool,
}

/// What selection needs to know of a next hop that is reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Interior cost; 0 on a connected network.
    pub metric: u32,
    /// It is on a network of one of our interfaces.
    pub connected: bool,
    /// It is an address of this machine: of use only to a path whose import policy says so.
    pub own: bool,
}

impl Reach {
    /// What is taken for granted where nothing is tracked.
    pub const ASSUMED: Self = Self { metric: 0, connected: true, own: false };
}

/// By what a next hop was resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolvedBy {
    /// A route of the kernel, with the number of the protocol that made it (`rtm_protocol`).
    Kernel(u8),
    /// A route of the Loc-RIB, whose own next hop was resolved in turn.
    Bgp,
    /// Its address is link-local: it is on the link of the session.
    Link,
    /// It is an address of this machine.
    Own,
}

/// The way to a next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Metric, and whether it is connected.
    pub reach: Reach,
    /// The prefix of the longest route that leads there.
    pub prefix: Prefix,
    /// What kind of route that is.
    pub by: ResolvedBy,
    /// Where packets to it go, ascending and each once: routers on links of ours, or itself where it is connected. Empty only for an
    /// address of our own, a link-local one whose interface is not known, and where they are discarded.
    pub gateways: Arc<[Gateway]>,
    /// Packets to it are dropped: it is behind a blackhole, and that is where whatever goes by way of it is meant to end.
    pub discards: bool,
}

/// Where packets go that are sent by way of a next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forwarding {
    /// To the next hop itself: it is connected, or nothing is known of it.
    Direct,
    /// To these routers, which lead there.
    Through(Arc<[Gateway]>),
    /// Nowhere: they are dropped.
    Discard,
    /// To this machine, which is the next hop: there is nobody to send them to.
    Own,
}

/// Why there is no way to a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// No route leads there.
    NoRoute,
    /// Only the default route does, which is not to be used for it.
    OnlyDefault,
    /// The kernel refuses what is sent to this prefix.
    Refused(Prefix),
    /// Only routes lead there whose own next hops lead back, or through too many others.
    Loop,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoute => f.pad("no route leads there"),
            Self::OnlyDefault => f.pad("only the default route leads there"),
            Self::Refused(prefix) => write!(f, "the kernel refuses what is sent to {prefix}"),
            Self::Loop => f.pad("only routes through itself lead there"),
        }
    }
}

/// Why a path that the import side accepted is not eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ineligible {
    /// Its next hop is not reachable (RFC 4271 section 9.1.2.1).
    NextHopUnreachable,
    /// It came from an external peer that is one hop away, and its next hop is not on a connected network.
    NextHopNotConnected,
    /// Its next hop came as an address of this machine (RFC 4271 section 5.1.3).
    OwnNextHop,
}

impl fmt::Display for Ineligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NextHopUnreachable => "its next hop is not reachable",
            Self::NextHopNotConnected => {
                "its next hop is not on a connected network, as a single-hop eBGP neighbor's has to be"
            }
            Self::OwnNextHop => "its next hop is an address of this machine",
        })
    }
}

#[cfg(test)]
mod tests;
