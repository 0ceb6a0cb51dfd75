//! Several paths of a prefix for peers that are told more than the best one.
//!
//! Spec: RFC 7911. The path identifier that we send is the path's number in the table: the same towards every peer, and for as long as the
//! path exists, whatever else changes about it.
//! Invariant: where no peer is told several paths, this costs nothing: no place is given, nothing is remembered.

use super::decision;
use super::select::Selection;
use super::slab::SlabId;
use super::table::{Best, NetId, Path, PathId, Table};
use crate::wire::Nlri;

/// An eligible path with its place: the best one has 0.
#[derive(Debug, Clone)]
pub(crate) struct Ranked {
    pub(crate) id: PathId,
    pub(crate) place: u8,
    pub(crate) route: Best,
}

impl Ranked {
    /// Is it the same in all that a peer may be told?
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.id, self.place) == (other.id, other.place) && self.route.is_same(&other.route)
    }
}

/// The identifier that a path is sent with.
pub(crate) fn sent_path_id(id: PathId) -> u32 {
    // Zero is what paths without an identifier have.
    id.0 + 1
}

impl Table {
    /// Is any peer told several paths?
    pub(crate) fn ranks(&self) -> bool {
        self.ranked > 0
    }

    /// The eligible paths of a prefix as the last selection put them in order; none unless that was asked for.
    pub(crate) fn ranked_paths(&self, net: NetId) -> Vec<Ranked> {
        if self.ranked == 0 {
            return Vec::new();
        }
        self.paths_of(net).filter_map(|(id, path)| self.ranked_path(id, path)).collect()
    }

    /// A path as it may be told; `None` if it is not eligible.
    fn ranked_path(&self, id: PathId, path: &Path) -> Option<Ranked> {
        let eligible = path.accepted().filter(|_| path.place != Path::UNRANKED)?;
        let route = Best { attributes: eligible.clone(), source: path.source };
        Some(Ranked { id, place: path.place, route })
    }

    /// Calls `each` with every path of a prefix whose place is below `limit`, under the identifier that it is sent with.
    pub(super) fn each_ranked(&self, net: NetId, limit: u8, mut each: impl FnMut(Nlri, Best)) {
        let prefix = self.nets[net].prefix;
        for (id, path) in self.paths_of(net) {
            if let Some(ranked) = self.ranked_path(id, path).filter(|ranked| ranked.place < limit) {
                each(Nlri { prefix, path_id: sent_path_id(id) }, ranked.route);
            }
        }
    }

    /// The path that is sent with this identifier, if its place is below `limit`.
    pub(super) fn ranked_by_id(&self, nlri: Nlri, limit: u8) -> Option<Best> {
        let id = PathId::from_place(nlri.path_id.checked_sub(1)?);
        let path = self.paths.get(id).filter(|path| self.nets[path.net].prefix == nlri.prefix)?;
        self.ranked_path(id, path).filter(|ranked| ranked.place < limit).map(|ranked| ranked.route)
    }

    /// The path that is sent under this identifier; 0 stands for the best one.
    pub(crate) fn path_sent_as(&self, net: NetId, nlri: Nlri) -> Option<PathId> {
        match nlri.path_id.checked_sub(1) {
            None => self.nets[net].best.some(),
            Some(place) => Some(PathId::from_place(place)).filter(|id| self.paths.get(*id).is_some()),
        }
    }

    /// Puts the eligible paths of a prefix in order, as far as that is asked for: each is the best of those that are left.
    pub(super) fn rank(&mut self, net: NetId, selection: Selection<'_>) {
        let all: Vec<PathId> = self.paths_of(net).map(|(id, _)| id).collect();
        let (mut ids, mut candidates) = (Vec::new(), Vec::new());
        for id in all {
            let path = &mut self.paths[id];
            path.place = Path::UNRANKED;
            if let Some(candidate) = selection.candidate(self, &self.paths[id]) {
                ids.push(id);
                candidates.push(candidate);
            }
        }
        let mut place = 0;
        while !ids.is_empty() {
            // Those beyond are told to peers that are told all, where the order does not matter.
            let next = if place < self.ranked {
                decision::winner(&candidates, selection.config.always_compare_med, None).unwrap_or(0)
            } else {
                0
            };
            candidates.swap_remove(next);
            self.paths[ids.swap_remove(next)].place = place;
            place = (place + 1).min(Path::UNRANKED - 1);
        }
    }

    /// Puts the paths of every prefix in order for peers that are told up to `count` of each, unless that is so already.
    /// Prefixes that are not selected yet follow with their selection.
    pub(crate) fn rank_all(&mut self, count: u8, selection: Selection<'_>) {
        if count <= self.ranked {
            return;
        }
        self.ranked = count;
        let settled: Vec<NetId> =
            self.nets.iter().filter(|(_, net)| !net.is_dirty()).map(|(id, _)| id).collect();
        settled.into_iter().for_each(|net| self.rank(net, selection));
    }

    /// No peer is told more than `count` paths any more.
    pub(crate) fn rank_less(&mut self, count: u8) {
        self.ranked = self.ranked.min(count);
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;

    #[test]
    fn a_table_without_add_path_is_not_larger_for_it() {
        // Seven numbers of 32 bits, the reason of a rejection, two flags and the place in one octet each, and the two attribute sets.
        assert_eq!(size_of::<Path>(), 7 * 4 + 4 + 8 + 8);
    }
}
