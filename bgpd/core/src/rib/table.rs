//! The routing table: every prefix with all its paths.
//!
//! One table holds what RFC 4271 section 3.2 calls Adj-RIBs-In and Loc-RIB: a path belongs to a prefix (the list that
//! selection walks) and to a source (the list that a lost session walks). So no prefix is stored twice, the loss of a peer costs
//! what the peer had announced, and an Adj-RIB-In is a view.
//! Invariants: every path is in exactly two lists; a prefix without paths lives only until the next selection, after which
//! [`Table::forget`] takes it away; whoever changes what selection sees calls [`Table::touch`] first.
//! Not here: which path is best (`decision`), who is told (`group`).

mod change;
mod path;

use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::{Family, Prefix};

use super::attrs::RouteAttributes;
use super::hop::Hops;
use super::index::Index;
use super::ranked::Ranked;
use super::slab::{Slab, slab_id};
use super::source::{Source, SourceId};
pub(crate) use change::{Entered, MAX_PATHS};
pub(crate) use path::{NewPath, Path, PathId, Verdict};

slab_id! {
    /// Names a prefix of the table.
    NetId
}

/// Places that the list of changed prefixes keeps once it is empty.
const REUSED: usize = 1 << 13;

/// A prefix and where its paths begin.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    pub(crate) prefix: Prefix,
    /// In the list of prefixes to be selected anew.
    dirty: bool,
    /// In the list of changes not yet reported.
    pub(crate) reported: bool,
    first: PathId,
    /// The path that [`Table::select`] chose last; none while that one is gone.
    pub(crate) best: PathId,
}

/// The route that the table's readers know for a prefix.
#[derive(Debug, Clone)]
pub(crate) struct Best {
    pub(crate) attributes: Arc<RouteAttributes>,
    pub(crate) source: SourceId,
}

/// A prefix whose selection is due, with what was selected before.
#[derive(Debug, Clone)]
pub(crate) struct Dirty {
    pub(crate) net: NetId,
    pub(crate) old: Option<Best>,
    /// What else matters, where multipath or ADD-PATH is on.
    pub(crate) more: Option<Box<Before>>,
}

/// What more than the best path was selected before a change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    /// The next hops of equal cost, as [`Table::shared_next_hops`] gives them.
    pub(crate) next_hops: Vec<IpAddr>,
    /// The eligible paths; empty unless ADD-PATH is on.
    pub(crate) ranked: Vec<Ranked>,
}

/// The table. See the module.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) nets: Slab<NetId, Net>,
    pub(crate) paths: Slab<PathId, Path>,
    pub(crate) sources: Slab<SourceId, Source>,
    pub(crate) hops: Hops,
    index: Index,
    /// Prefixes by family.
    sizes: [usize; 2],
    dirty: [Vec<Dirty>; 2],
    /// More than one path may be selected, so that the old next hops matter.
    pub(crate) multipath: bool,
    /// How many of a prefix's paths are put in order, because a peer is told several (RFC 7911); 0: no peer is, and nothing is done
    /// for it.
    pub(super) ranked: u8,
}

impl Best {
    /// Are both the same route from the same source?
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.source == other.source && Arc::ptr_eq(&self.attributes, &other.attributes)
    }
}

impl Net {
    pub(super) const fn new(prefix: Prefix) -> Self {
        Self { prefix, dirty: false, reported: false, first: PathId::NONE, best: PathId::NONE }
    }

    /// The first of its paths.
    pub(super) fn first(&self) -> PathId {
        self.first
    }

    /// Is its selection due?
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }
}

impl Table {
    /// The number of a prefix.
    pub(crate) fn find(&self, prefix: Prefix) -> Option<NetId> {
        self.index.find(&self.nets, prefix)
    }

    /// How many prefixes there are.
    pub(crate) fn len(&self) -> usize {
        self.nets.len()
    }

    /// How many prefixes of a family there are.
    pub(crate) fn prefixes_of(&self, family: Family) -> usize {
        self.sizes[family as usize]
    }

    fn find_or_add(&mut self, prefix: Prefix) -> NetId {
        let (net, new) = self.index.find_or_add(&mut self.nets, prefix);
        if new {
            self.sizes[prefix.family() as usize] += 1;
        }
        net
    }

    /// The paths of a prefix.
    pub(crate) fn paths_of(&self, net: NetId) -> impl Iterator<Item = (PathId, &Path)> {
        std::iter::successors(self.nets[net].first.some(), |id| self.paths[*id].next_of_net.some())
            .map(|id| (id, &self.paths[id]))
    }

    /// The path after this one in its source's list; from the head with `PathId::NONE`.
    pub(crate) fn next_of_source(&self, source: SourceId, after: PathId) -> Option<PathId> {
        match after.some() {
            None => self.sources[source].first.some(),
            Some(path) => self.paths[path].next_of_source.some(),
        }
    }

    /// The path with this identifier that the source announced.
    pub(crate) fn path_of(&self, net: NetId, source: SourceId, path_id: u32) -> Option<PathId> {
        self.paths_of(net)
            .find(|(_, path)| path.source == source && path.path_id == path_id)
            .map(|(id, _)| id)
    }

    /// The selected route of a prefix.
    pub(crate) fn best(&self, net: NetId) -> Option<Best> {
        let path = &self.paths[self.nets[net].best.some()?];
        Some(Best { attributes: Arc::clone(path.accepted()?), source: path.source })
    }

    /// The next hops of the selected paths, the best one's first, each once.
    pub(crate) fn next_hops(&self, net: NetId) -> Vec<IpAddr> {
        let mut hops = Vec::new();
        let best = self.nets[net].best;
        let first = best.some().map(|id| &self.paths[id]);
        let selected =
            self.paths_of(net).filter(|(id, path)| path.selected && *id != best).map(|(_, path)| path);
        for path in first.into_iter().chain(selected) {
            let Some(attributes) = path.accepted() else { continue };
            let hop = attributes.next_hop.addr;
            if !hop.is_unspecified() && !hops.contains(&hop) {
                hops.push(hop);
            }
        }
        hops
    }

    /// The next hops, if there are several: a single one is known from the best path.
    ///
    /// Most prefixes have one path; for them nothing is allocated.
    pub(crate) fn shared_next_hops(&self, net: NetId) -> Vec<IpAddr> {
        if !self.multipath || self.has_single_path(net) {
            return Vec::new();
        }
        Some(self.next_hops(net)).filter(|hops| hops.len() > 1).unwrap_or_default()
    }

    /// Is there exactly one path to it?
    pub(crate) fn has_single_path(&self, net: NetId) -> bool {
        let first = self.nets[net].first.some();
        first.is_some_and(|first| self.paths[first].next_of_net == PathId::NONE)
    }

    /// Notes that selection is due, and what was selected before the change that is about to be made.
    pub(crate) fn touch(&mut self, net: NetId) {
        if self.nets[net].dirty {
            return;
        }
        let next_hops = self.shared_next_hops(net);
        let more = (!next_hops.is_empty() || self.ranked > 0)
            .then(|| Box::new(Before { next_hops, ranked: self.ranked_paths(net) }));
        let old = self.best(net);
        let entry = &mut self.nets[net];
        entry.dirty = true;
        self.dirty[entry.prefix.family() as usize].push(Dirty { net, old, more });
    }

    /// Is selection due for any prefix of the family?
    pub(crate) fn is_dirty(&self, family: Family) -> bool {
        !self.dirty[family as usize].is_empty()
    }

    /// How many prefixes of the family wait for their selection.
    pub(crate) fn dirty_of(&self, family: Family) -> usize {
        self.dirty[family as usize].len()
    }

    /// Takes the prefixes of a family whose selection is due. Each must be given to [`Table::select`].
    pub(crate) fn take_dirty(&mut self, family: Family) -> Vec<Dirty> {
        std::mem::take(&mut self.dirty[family as usize])
    }

    /// Gives back the memory of the list that [`Table::take_dirty`] gave.
    pub(crate) fn reuse_dirty(&mut self, family: Family, mut list: Vec<Dirty>) {
        list.clear();
        if list.capacity() <= REUSED {
            self.dirty[family as usize] = list;
        }
    }

    /// Enters the result of a selection.
    pub(super) fn settle(&mut self, net: NetId, best: PathId) {
        let entry = &mut self.nets[net];
        entry.dirty = false;
        entry.best = best;
    }

    /// Has the prefix no path left?
    pub(crate) fn is_deserted(&self, net: NetId) -> bool {
        self.nets[net].first == PathId::NONE
    }

    /// Forgets prefixes without paths, after their selection. All at a time: see [`Table::withdraw_all`].
    pub(crate) fn forget(&mut self, deserted: &[NetId]) {
        for net in deserted {
            let gone = self.nets.remove(*net);
            self.index.remove(gone.prefix, *net);
            self.sizes[gone.prefix.family() as usize] -= 1;
        }
    }
}
