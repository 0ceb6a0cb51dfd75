//! Attribute sets, each kept once.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use cairn_net::Asn;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::hop::{HopId, HopNumbers};
use crate::wire::{Attributes, Community, NextHop, Origin};

/// LOCAL_PREF where none came and none is configured (RFC 4271 leaves the number to us; everybody uses this one).
pub const DEFAULT_LOCAL_PREF: u32 = 100;

/// What is said about a route apart from its prefix, with what selection needs of it read out once.
#[derive(Debug)]
pub struct RouteAttributes {
    /// The attributes.
    pub attributes: Attributes,
    /// The next hop; unspecified: ourselves.
    pub next_hop: NextHop,
    /// The number of the next hop's address; none in a set that is not shared.
    pub(crate) hop: HopId,
    /// AS hops, as selection counts them. What else it compares is read off the attributes.
    path_len: u16,
    /// AS 0: the path begins with none.
    neighbor_as: Asn,
    /// Kept beyond any restart time (RFC 9494 section 4.3).
    pub(crate) long_lived_stale: bool,
    pub(crate) scope: Scope,
    /// It has BLACKHOLE (RFC 7999).
    pub(crate) is_blackhole: bool,
    /// It has GRACEFUL_SHUTDOWN (RFC 8326).
    pub(super) is_shutting_down: bool,
    hash: u64,
}

/// What best-path selection compares of the attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rank {
    pub(crate) long_lived_stale: bool,
    pub(crate) weight: u32,
    pub(crate) local_pref: u32,
    pub(crate) path_len: u32,
    pub(crate) origin: Origin,
    pub(crate) med: u32,
    pub(crate) neighbor_as: Option<Asn>,
    pub(crate) cluster_list_len: u32,
    pub(crate) originator: Option<u32>,
}

/// How far the well-known communities let a route go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Anywhere.
    Any,
    /// Not out of the AS, or of the confederation if we are in one: NO_EXPORT.
    Confederation,
    /// Not out of the member AS: NO_EXPORT_SUBCONFED.
    MemberAs,
    /// To nobody: NO_ADVERTISE.
    Nobody,
}

impl RouteAttributes {
    /// A set that is not shared, for a list.
    pub fn detached(attributes: Attributes, next_hop: NextHop) -> Self {
        Self::new(attributes, (next_hop, HopId::NONE), 0)
    }

    fn new(attributes: Attributes, (next_hop, hop): (NextHop, HopId), hash: u64) -> Self {
        let path_len = u16::try_from(attributes.as_path.hop_count()).unwrap_or(u16::MAX);
        let neighbor_as = attributes.as_path.neighbor_as().unwrap_or(Asn::ZERO);
        let long_lived_stale = attributes.communities.contains(Community::LLGR_STALE);
        let scope = scope(&attributes);
        let is_blackhole = attributes.communities.contains(Community::BLACKHOLE);
        let is_shutting_down = attributes.communities.contains(Community::GRACEFUL_SHUTDOWN);
        Self {
            attributes,
            next_hop,
            hop,
            path_len,
            neighbor_as,
            long_lived_stale,
            scope,
            is_blackhole,
            is_shutting_down,
            hash,
        }
    }

    /// What selection compares.
    pub(crate) fn rank(&self) -> Rank {
        let attributes = &self.attributes;
        Rank {
            long_lived_stale: self.long_lived_stale,
            weight: attributes.marks.weight,
            local_pref: attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF),
            path_len: self.path_len.into(),
            origin: attributes.origin,
            med: attributes.med.unwrap_or(0),
            neighbor_as: Some(self.neighbor_as).filter(|asn| *asn != Asn::ZERO),
            cluster_list_len: u32::try_from(attributes.cluster_list.len()).unwrap_or(u32::MAX),
            originator: attributes.originator_id.map(u32::from),
        }
    }
}

impl PartialEq for RouteAttributes {
    fn eq(&self, other: &Self) -> bool {
        self.next_hop == other.next_hop && self.attributes == other.attributes
    }
}

impl Eq for RouteAttributes {}

fn scope(attributes: &Attributes) -> Scope {
    let mut scope = Scope::Any;
    for community in attributes.communities.iter() {
        match community {
            Community::NO_ADVERTISE => return Scope::Nobody,
            Community::NO_EXPORT_SUBCONFED => scope = Scope::MemberAs,
            Community::NO_EXPORT if scope == Scope::Any => scope = Scope::Confederation,
            _ => {}
        }
    }
    scope
}

/// The attributes of a blackhole that is accepted: no further than the AS, unless something keeps it nearer already (RFC 7999
/// section 3.2).
#[must_use]
pub fn confined(mut attributes: Attributes) -> Attributes {
    if scope(&attributes) == Scope::Any {
        attributes.communities = attributes.communities.iter().chain([Community::NO_EXPORT]).collect();
    }
    attributes
}

/// The attributes as a neighbour is sent them before a session ends for maintenance (RFC 8326 section 4.1): marked, and inside of the
/// AS with the lowest LOCAL_PREF.
#[must_use]
pub fn leaving(mut attributes: Attributes, external: bool) -> Attributes {
    if !attributes.communities.contains(Community::GRACEFUL_SHUTDOWN) {
        let all = attributes.communities.iter().chain([Community::GRACEFUL_SHUTDOWN]);
        attributes.communities = all.collect();
    }
    if !external {
        attributes.local_pref = Some(0);
    }
    attributes
}

/// The attribute sets in use, each once: equal sets are the same `Arc`.
///
/// Sets that nobody uses any more are swept when the table has doubled since the last time, so that the cost of sweeping is
/// a constant per set, and when most paths are gone ([`Interner::tidy`]), so that a peer which leaves takes its sets along.
#[derive(Debug)]
pub(crate) struct Interner {
    table: HashTable<Arc<RouteAttributes>>,
    hops: HopNumbers,
    /// Seeded at random, as neighbours choose what is hashed.
    hasher: RandomState,
    sweep_at: usize,
    /// How many paths there were when [`Interner::tidy`] swept last; `usize::MAX`: the table has grown since.
    tidied_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
            hops: HopNumbers::default(),
            hasher: RandomState::default(),
            sweep_at: Self::SMALLEST_SWEEP,
            tidied_at: usize::MAX,
        }
    }
}

impl Interner {
    const SMALLEST_SWEEP: usize = 1024;

    /// The one copy of this set.
    pub(crate) fn intern(&mut self, attributes: Attributes, next_hop: NextHop) -> Arc<RouteAttributes> {
        let hash = self.hasher.hash_one(HashKey(&attributes, next_hop));
        let same = |known: &Arc<RouteAttributes>| {
            known.hash == hash && known.next_hop == next_hop && known.attributes == attributes
        };
        if let Some(known) = self.table.find(hash, same) {
            return Arc::clone(known);
        }
        if self.table.len() >= self.sweep_at {
            self.sweep();
            self.tidied_at = usize::MAX;
        }
        let hop = self.hops.acquire(next_hop.addr);
        let set = Arc::new(RouteAttributes::new(attributes, (next_hop, hop), hash));
        self.table.insert_unique(hash, Arc::clone(&set), |known| known.hash);
        set
    }

    /// How many sets are kept.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Sweeps if there are far more sets than this many paths can use, each of which has two at most.
    ///
    /// Between two such sweeps the paths have halved, or the table has doubled: what is kept elsewhere for a moment does not make it
    /// look through the same sets again and again.
    pub(crate) fn tidy(&mut self, paths: usize) {
        let sets = self.table.len();
        if sets > Self::SMALLEST_SWEEP && sets / 4 > paths && paths < self.tidied_at / 2 {
            self.sweep();
            self.tidied_at = paths;
        }
    }

    fn sweep(&mut self) {
        let hops = &mut self.hops;
        self.table.retain(|set| {
            let used = Arc::strong_count(set) > 1;
            if !used {
                hops.release(set.hop, set.next_hop.addr);
            }
            used
        });
        self.sweep_at = (2 * self.table.len()).max(Self::SMALLEST_SWEEP);
        if self.table.capacity() > 4 * self.sweep_at {
            self.table.shrink_to(self.sweep_at, |known| known.hash);
        }
    }
}

#[derive(Hash)]
struct HashKey<'a>(&'a Attributes, NextHop);
