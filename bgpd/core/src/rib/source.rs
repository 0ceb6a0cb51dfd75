use std::net::IpAddr;

use cairn_net::{Asn, Family};

use super::slab::slab_id;
use super::table::PathId;
use crate::policy::{PeerType, RouteSource};
use crate::wire::PeerKind;

slab_id! {
    /// Names a source of routes: a peer, or an owner of routes of our own.
    SourceId
}

/// What kind of source a route has: decides preference, and to whom it may be announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// We originate it.
    Local,
    /// An external peer.
    External,
    /// An internal peer.
    Internal,
    /// An internal peer for which we reflect (RFC 4456).
    Client,
    /// A peer in another member AS of our confederation (RFC 5065).
    Confederation,
}

impl SourceKind {
    /// What a peer of an AS is to us: our AS, in a confederation the member AS; the other members, if any; whether we reflect for it.
    pub fn of_peer(own: Asn, is_member: impl FnOnce(Asn) -> bool, peer: Asn, reflects: bool) -> Self {
        match (peer == own, reflects) {
            (true, false) => Self::Internal,
            (true, true) => Self::Client,
            (false, _) if is_member(peer) => Self::Confederation,
            (false, _) => Self::External,
        }
    }

    /// Is it an iBGP peer?
    pub const fn is_internal(self) -> bool {
        matches!(self, Self::Internal | Self::Client)
    }

    /// What policies call a peer of this kind.
    pub(crate) const fn peer_type(self) -> PeerType {
        match self {
            Self::External => PeerType::External,
            Self::Client => PeerType::Client,
            Self::Confederation => PeerType::Confederation,
            Self::Local | Self::Internal => PeerType::Internal,
        }
    }

    /// Is it outside of our AS, and of our confederation if we are in one?
    pub const fn is_external(self) -> bool {
        matches!(self, Self::External)
    }

    /// Is it a peer inside of our AS or confederation? Selection prefers routes from outside (RFC 5065 section 5.3).
    pub(super) const fn is_inside(self) -> bool {
        matches!(self, Self::Internal | Self::Client | Self::Confederation)
    }

    /// The relation to a peer of this kind.
    pub(crate) const fn peer_kind(self) -> PeerKind {
        match self {
            Self::External => PeerKind::External,
            Self::Confederation => PeerKind::Confederation,
            Self::Local | Self::Internal | Self::Client => PeerKind::Internal,
        }
    }
}

impl From<SourceKind> for RouteSource {
    fn from(kind: SourceKind) -> Self {
        match kind {
            SourceKind::Local => Self::Local,
            SourceKind::External | SourceKind::Internal | SourceKind::Client | SourceKind::Confederation => {
                Self::Peer(kind.peer_type())
            }
        }
    }
}

/// A source of routes, as best-path selection sees it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Its kind.
    pub(crate) kind: SourceKind,
    /// Preference of its routes on this router alone: higher is better, before anything else.
    pub(crate) weight: u16,
    /// Its routes may be blackholes (RFC 7999).
    pub(crate) blackhole: bool,
    /// Next hops of its routes have to be on a connected network.
    pub(crate) connected_check: bool,
    /// The peer is bound to an interface or a VRF, whose table says how its next hops are reached: that is taken for granted.
    pub(crate) bound: bool,
    /// The peer's identifier; zero for our own.
    pub(crate) router_id: u32,
    /// Of the owners of routes of our own, the place of this one's name; zero for a peer.
    pub(crate) owner: u32,
    /// The peer's address; unspecified for our own.
    pub(crate) address: IpAddr,
    /// The peer's AS.
    pub(crate) asn: Asn,
    /// First of its paths: they are linked, so that they can be walked without walking the table.
    pub(super) first: PathId,
    /// Paths by family.
    pub(super) counts: [SourceCounts; 2],
}

/// How many paths a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceCounts {
    /// In the Adj-RIB-In.
    pub received: u32,
    /// Of these, how many passed the checks and the import policy.
    pub accepted: u32,
    /// Of these, how many are stale.
    pub stale: u32,
}

impl Source {
    pub(crate) fn new(kind: SourceKind, address: IpAddr, asn: Asn, router_id: u32) -> Self {
        Self {
            kind,
            weight: 0,
            blackhole: false,
            connected_check: false,
            bound: false,
            router_id,
            owner: 0,
            address,
            asn,
            first: PathId::NONE,
            counts: [SourceCounts::default(); 2],
        }
    }

    /// Are the next hops of its routes looked up, where any are?
    pub(crate) fn has_next_hops(&self) -> bool {
        self.kind != SourceKind::Local && !self.bound
    }

    pub(crate) fn counts(&self, family: Family) -> SourceCounts {
        self.counts[family as usize]
    }
}
