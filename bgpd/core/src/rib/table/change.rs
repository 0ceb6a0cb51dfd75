//! Paths come, change and go.
//!
//! Invariant: whatever is done here leaves every path in the list of its prefix and in that of its source, and both counted.

use smallvec::SmallVec;

use super::{NetId, NewPath, Path, PathId, Table, Verdict};
use crate::rib::hop::HopId;
use crate::rib::source::SourceId;
use crate::wire::Nlri;

/// Paths of one prefix that a source may have: bounds what each further one costs, which is a look at all of them.
pub(crate) const MAX_PATHS: u32 = 256;

/// Prefixes that are looked up together.
const TOGETHER: usize = 64;

/// What became of an announced path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It is new, or replaces the one with the same identifier.
    Yes,
    /// It would be one too many: the source has [`MAX_PATHS`] to this prefix.
    TooMany,
}

impl Table {
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
