//! The routing table: every prefix with all its paths.
//!
//! One table holds what RFC 4271 section 3.2 calls Adj-RIBs-In and Loc-RIB: a path belongs to a prefix (the list that
//! selection walks) and to a source (the list that a lost session walks). So no prefix is stored twice, the loss of a peer costs
//! what the peer had announced, and an Adj-RIB-In is a view.
//! Invariants: every path is in exactly two lists; a prefix without paths lives only until the next selection, after which
//! [`Table::forget`] takes it away; whoever changes what selection sees calls [`Table::touch`] first.
//! Not here: which path is best (`decision`), who is told (`group`).

use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::{Family, Prefix};
use smallvec::SmallVec;

use super::attrs::RouteAttributes;
use super::hop::{HopId, Hops};
use super::import::Rejection;
use super::index::Index;
use super::ranked::Ranked;
use super::slab::{Slab, slab_id};
use super::source::{Source, SourceId};
use crate::wire::Nlri;

/// Paths of one prefix that a source may have: bounds what each further one costs, which is a look at all of them.
pub(crate) const MAX_PATHS: u32 = 256;

/// Prefixes that are looked up together.
const TOGETHER: usize = 64;

slab_id! {
    /// Names a prefix of the table.
    NetId
}
slab_id! {
    /// Names a path.
    PathId
}

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

/// A path to a prefix.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) net: NetId,
    pub(crate) source: SourceId,
    /// The sender's path identifier (RFC 7911); 0 without.
    pub(crate) path_id: u32,
    next_of_net: PathId,
    previous_of_source: PathId,
    next_of_source: PathId,
    /// Seconds since the speaker's start.
    pub(crate) learned: u32,
    /// Kept over a restart of the peer, not yet refreshed (RFC 4724 section 4.2).
    pub(crate) stale: bool,
    /// Chosen by the last selection: the best path, or one of equal cost.
    pub(crate) selected: bool,
    /// Its place among the eligible paths of the prefix, where [`Table::ranked`] asks for it; [`Path::UNRANKED`]: none.
    pub(super) place: u8,
    /// Why it is not used; `None` where `accepted` says how it is.
    rejection: Option<Rejection>,
    /// As it came.
    pub(crate) received: Arc<RouteAttributes>,
    /// As it is used. Beside `rejection` and not in a [`Verdict`], which would take twice the room in each path.
    accepted: Option<Arc<RouteAttributes>>,
}

/// What the import side made of a path.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// Eligible for selection, with these attributes.
    Accepted(Arc<RouteAttributes>),
    /// Kept in the Adj-RIB-In only.
    Rejected(Rejection),
}

impl Verdict {
    /// The attributes as used; `None` if it was rejected.
    pub(crate) fn accepted(&self) -> Option<&Arc<RouteAttributes>> {
        match self {
            Self::Accepted(attributes) => Some(attributes),
            Self::Rejected(_) => None,
        }
    }

    fn into_parts(self) -> (Option<Arc<RouteAttributes>>, Option<Rejection>) {
        match self {
            Self::Accepted(attributes) => (Some(attributes), None),
            Self::Rejected(rejection) => (None, Some(rejection)),
        }
    }
}

impl Path {
    /// The place of a path that is not eligible, or was not asked about.
    pub(super) const UNRANKED: u8 = u8::MAX;

    /// The attributes as used; `None` if it was rejected.
    pub(crate) fn accepted(&self) -> Option<&Arc<RouteAttributes>> {
        self.accepted.as_ref()
    }

    /// Why it is not used; `None` if it is.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        self.rejection
    }

    /// Is it what was decided? Sets are interned: equal ones are the same one, and need not be read.
    fn has(&self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Accepted(new) => self.accepted().is_some_and(|old| Arc::ptr_eq(old, new)),
            Verdict::Rejected(rejection) => self.rejection == Some(*rejection),
        }
    }

    fn set(&mut self, verdict: Verdict) {
        (self.accepted, self.rejection) = verdict.into_parts();
    }
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

/// What became of an announced path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It is new, or replaces the one with the same identifier.
    Yes,
    /// It would be one too many: the source has [`MAX_PATHS`] to this prefix.
    TooMany,
}

/// A path to be entered.
#[derive(Debug, Clone)]
pub(crate) struct NewPath {
    pub(crate) received: Arc<RouteAttributes>,
    pub(crate) verdict: Verdict,
    pub(crate) learned: u32,
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
    pub(super) fn has_single_path(&self, net: NetId) -> bool {
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

    /// Takes the prefixes of a family whose selection is due. Each must be given to [`Table::select`].
    pub(crate) fn take_dirty(&mut self, family: Family) -> Vec<Dirty> {
        std::mem::take(&mut self.dirty[family as usize])
    }

    /// Gives back the memory of the list that [`Table::take_dirty`] gave.
    pub(crate) fn reuse_dirty(&mut self, family: Family, mut list: Vec<Dirty>) {
        list.clear();
        if list.capacity() <= 1 << 16 {
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

    /// Enters a path, or replaces the one with the same identifier.
    pub(crate) fn announce(&mut self, source: SourceId, nlri: Nlri, new: NewPath) -> Entered {
        let net = self.find_or_add(nlri.prefix);
        let mut others = 0;
        let same = self.paths_of(net).filter(|(_, path)| path.source == source).find(|(_, path)| {
            others += 1;
            path.path_id == nlri.path_id
        });
        match same.map(|(id, _)| id) {
            Some(path) => self.replace(path, new),
            None if others < MAX_PATHS => self.insert(net, source, nlri.path_id, new, None),
            None => return Entered::TooMany,
        }
        Entered::Yes
    }

    /// Enters a path under the number that it has had in another table. False, and nothing is entered: the source has one with this
    /// identifier or has too many, or the number is in use or not below `most`. [`Table::end_restore`] comes after the last one.
    pub(crate) fn restore(
        &mut self,
        source: SourceId,
        nlri: Nlri,
        new: NewPath,
        (id, most): (PathId, usize),
    ) -> bool {
        if !self.paths.is_vacant(id, most) {
            return false;
        }
        if let Some(net) = self.find(nlri.prefix) {
            let of_source = || self.paths_of(net).filter(|(_, path)| path.source == source);
            if self.path_of(net, source, nlri.path_id).is_some() || of_source().count() >= MAX_PATHS as usize
            {
                return false;
            }
        }
        let net = self.find_or_add(nlri.prefix);
        self.insert(net, source, nlri.path_id, new, Some(id));
        true
    }

    /// From here on numbers that no restored path has are given to others.
    pub(crate) fn end_restore(&mut self) {
        self.paths.find_free();
    }

    fn insert(&mut self, net: NetId, source: SourceId, path_id: u32, new: NewPath, at: Option<PathId>) {
        if matches!(new.verdict, Verdict::Accepted(_)) {
            self.touch(net);
        }
        let next_of_source = self.sources[source].first;
        let (accepted, rejection) = new.verdict.into_parts();
        let path = Path {
            net,
            source,
            path_id,
            next_of_net: self.nets[net].first,
            previous_of_source: PathId::NONE,
            next_of_source,
            learned: new.learned,
            stale: false,
            selected: false,
            place: Path::UNRANKED,
            rejection,
            received: new.received,
            accepted,
        };
        let id = match at {
            Some(id) => {
                self.paths.put(id, path);
                id
            }
            None => self.paths.insert(path),
        };
        if let Some(next) = next_of_source.some() {
            self.paths[next].previous_of_source = id;
        }
        self.sources[source].first = id;
        self.nets[net].first = id;
        self.count(id, true);
        self.covering_changed([self.covered(id), None]);
    }

    fn replace(&mut self, id: PathId, new: NewPath) {
        let before = self.covered(id);
        self.count(id, false);
        let path = &self.paths[id];
        if !path.has(&new.verdict) {
            let net = path.net;
            self.touch(net);
            self.paths[id].learned = new.learned;
        }
        let path = &mut self.paths[id];
        path.received = new.received;
        path.set(new.verdict);
        path.stale = false;
        self.count(id, true);
        self.covering_changed([before, self.covered(id)]);
    }

    /// Changes a path's verdict, for instance after a change of the import policy. True if it is another one.
    pub(crate) fn judge(&mut self, id: PathId, verdict: Verdict) -> bool {
        if self.paths[id].has(&verdict) {
            return false;
        }
        let net = self.paths[id].net;
        self.touch(net);
        let before = self.covered(id);
        self.count(id, false);
        self.paths[id].set(verdict);
        self.count(id, true);
        self.covering_changed([before, self.covered(id)]);
        true
    }

    /// Removes a path that the source announced; false if there is none.
    pub(crate) fn withdraw(&mut self, source: SourceId, nlri: Nlri) -> bool {
        let found = self.find(nlri.prefix).and_then(|net| self.path_of(net, source, nlri.path_id));
        found.is_some_and(|path| {
            self.remove(path);
            true
        })
    }

    /// Withdraws paths that the source announced; those that it did not are passed over.
    ///
    /// A look-up waits for memory. Look-ups that follow each other at once wait together: without this, a full table takes
    /// half as long again to go.
    pub(crate) fn withdraw_all(&mut self, source: SourceId, nlri: &[Nlri]) {
        for some in nlri.chunks(TOGETHER) {
            let nets: SmallVec<[Option<NetId>; TOGETHER]> =
                some.iter().map(|nlri| self.find(nlri.prefix)).collect();
            for (nlri, net) in some.iter().zip(nets) {
                if let Some(path) = net.and_then(|net| self.path_of(net, source, nlri.path_id)) {
                    self.remove(path);
                }
            }
        }
    }

    /// Removes a path.
    pub(crate) fn remove(&mut self, id: PathId) {
        let net = self.paths[id].net;
        // A rejected path is not touched for selection's sake, but it may be the prefix's last.
        self.touch(net);
        self.covering_changed([self.covered(id), None]);
        self.count(id, false);
        let path = self.paths.remove(id);
        self.unlink_from_net(net, id, path.next_of_net);
        match path.previous_of_source.some() {
            Some(previous) => self.paths[previous].next_of_source = path.next_of_source,
            None => self.sources[path.source].first = path.next_of_source,
        }
        if let Some(next) = path.next_of_source.some() {
            self.paths[next].previous_of_source = path.previous_of_source;
        }
    }

    fn unlink_from_net(&mut self, net: NetId, id: PathId, next: PathId) {
        let entry = &mut self.nets[net];
        if entry.best == id {
            entry.best = PathId::NONE;
        }
        if entry.first == id {
            entry.first = next;
            return;
        }
        let mut at = entry.first;
        while let Some(path) = at.some() {
            if self.paths[path].next_of_net == id {
                self.paths[path].next_of_net = next;
                return;
            }
            at = self.paths[path].next_of_net;
        }
    }

    /// Marks a path as stale, or as fresh again.
    pub(crate) fn set_stale(&mut self, id: PathId, stale: bool) {
        self.count(id, false);
        self.paths[id].stale = stale;
        self.count(id, true);
    }

    /// The next hop of a path, if the path's own prefix covers it: a route does not lead to a next hop of its own paths.
    fn covered(&self, id: PathId) -> Option<HopId> {
        if !self.hops.is_tracked() {
            return None;
        }
        let path = &self.paths[id];
        let route = path.accepted().filter(|_| self.sources[path.source].has_next_hops())?;
        self.nets[path.net].prefix.contains(route.next_hop.addr).then_some(route.hop)
    }

    /// A path has another next hop that its prefix covers than before, or none.
    fn covering_changed(&mut self, [before, after]: [Option<HopId>; 2]) {
        if before != after {
            before.into_iter().chain(after).for_each(|id| self.hops.covering_changed(id));
        }
    }

    fn count(&mut self, id: PathId, add: bool) {
        let path = &self.paths[id];
        let family = self.nets[path.net].prefix.family();
        let source = &mut self.sources[path.source];
        if self.hops.is_tracked()
            && source.has_next_hops()
            && let Some(route) = path.accepted()
        {
            if add {
                self.hops.add(route.hop, route.next_hop.addr, path.source);
            } else {
                self.hops.remove(route.hop);
            }
        }
        let counts = &mut source.counts[family as usize];
        let step = |count: &mut u32, applies: bool| {
            if applies {
                *count = if add { *count + 1 } else { *count - 1 };
            }
        };
        step(&mut counts.received, true);
        step(&mut counts.accepted, path.accepted().is_some());
        step(&mut counts.stale, path.stale);
    }
}
