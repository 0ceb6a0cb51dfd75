//! Selection over the table: the best path and those of equal cost.

use super::attrs::{Rank, RouteAttributes};
use super::decision::{self, Candidate, Step};
use super::source::{Source, SourceKind};
use super::table::{NetId, Path, PathId, Table};
use crate::nexthop::{Ineligible, Reach};
use crate::speaker::BestPathConfig;

/// What selection knows beside the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection<'a> {
    pub(crate) config: &'a BestPathConfig,
}

/// The result for a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) best: PathId,
    /// What set it apart from the second best.
    pub(crate) step: Step,
}

impl Selection<'_> {
    /// The path as a candidate; `None` if it is not eligible.
    pub(crate) fn candidate(&self, table: &Table, path: &Path) -> Option<Candidate> {
        let attributes = path.accepted()?;
        let source = &table.sources[path.source];
        let metric = table.reach(path, attributes).ok()?.metric;
        Some(Candidate {
            rank: self.rank(attributes, source),
            kind: source.kind,
            metric,
            router_id: source.router_id,
            owner: source.owner,
            address: source.address,
            path_id: path.path_id,
        })
    }

    /// What is compared of the attributes, as the options say.
    fn rank(&self, route: &RouteAttributes, source: &Source) -> Rank {
        let mut rank = route.rank();
        if rank.weight == 0 {
            // What a policy gave counts before what the peer has.
            rank.weight = source.weight.into();
        }
        if route.attributes.local_pref.is_none() {
            rank.local_pref = self.config.default_local_pref;
        }
        if self.config.as_path_ignore {
            rank.path_len = 0;
        }
        if self.config.med_missing_as_worst && route.attributes.med.is_none() {
            rank.med = u32::MAX;
        }
        rank
    }

    /// Chooses among the paths of a prefix.
    pub(crate) fn choose(&self, table: &Table, net: NetId) -> Option<Selected> {
        let mut eligible = table
            .paths_of(net)
            .filter_map(|(id, path)| self.candidate(table, path).map(|candidate| (id, candidate)));
        let first = eligible.next()?;
        let Some(second) = eligible.next() else {
            return Some(Selected { best: first.0, step: Step::Only });
        };
        let (ids, candidates): (Vec<_>, Vec<_>) = [first, second].into_iter().chain(eligible).unzip();
        let (place, step) = decision::best(&candidates, self.config.always_compare_med)?;
        Some(Selected { best: *ids.get(place)?, step })
    }

    /// The paths of equal cost with the best one, which is among them, up to the configured number.
    pub(crate) fn equal_cost(&self, table: &Table, net: NetId, best: PathId) -> Vec<PathId> {
        let Some(top) = self.candidate(table, &table.paths[best]) else { return vec![best] };
        let limit = match top.kind {
            SourceKind::External => self.config.max_paths_ebgp,
            SourceKind::Internal | SourceKind::Client | SourceKind::Confederation => {
                self.config.max_paths_ibgp
            }
            SourceKind::Local => 1,
        };
        if limit <= 1 {
            return vec![best];
        }
        let best_path = &table.paths[best];
        let mut others: Vec<(Candidate, PathId)> = table
            .paths_of(net)
            .filter(|(id, path)| *id != best && self.same_as_path(best_path, path))
            .filter_map(|(id, path)| Some((self.candidate(table, path)?, id)))
            .filter(|(candidate, _)| top.equal_cost(candidate, self.config.always_compare_med))
            .collect();
        // Of a neighbour AS other than the best path's, only the lowest MED is of equal cost. This also makes the
        // comparison below a total order, without which sorting may panic.
        let members: Vec<Candidate> = others.iter().map(|(candidate, _)| *candidate).collect();
        let always = self.config.always_compare_med;
        others.retain(|(candidate, _)| !members.iter().any(|other| other.has_lower_med(candidate, always)));
        // Which ones make it when there are too many must not depend on the order of arrival.
        others.sort_by(|(a, _), (b, _)| a.compare(b, self.config.always_compare_med).0);
        std::iter::once(best).chain(others.into_iter().map(|(_, id)| id)).take(limit.into()).collect()
    }

    fn same_as_path(&self, best: &Path, path: &Path) -> bool {
        let as_path = |path: &Path| path.accepted().map(|route| route.attributes.as_path.as_wire().to_vec());
        self.config.multipath_relax || as_path(best) == as_path(path)
    }
}

impl Table {
    /// How the next hop of an accepted path is reached, or why the path is not eligible.
    pub(crate) fn reach(&self, path: &Path, route: &RouteAttributes) -> Result<Reach, Ineligible> {
        let source = &self.sources[path.source];
        // What we originate ourselves we know the way to; a blackhole (RFC 7999) leads nowhere.
        if !source.has_next_hops() || (source.blackhole && route.is_blackhole) {
            return Ok(Reach::ASSUMED);
        }
        match self.hops.reach(route.hop) {
            None => Err(Ineligible::NextHopUnreachable),
            // What a policy has put there is meant so.
            Some(reach) if reach.own && path.received.next_hop.addr == route.next_hop.addr => {
                Err(Ineligible::OwnNextHop)
            }
            Some(reach) if source.connected_check && !reach.connected => Err(Ineligible::NextHopNotConnected),
            Some(reach) => Ok(reach),
        }
    }

    /// Selects anew for one prefix, and marks the selected paths.
    pub(crate) fn select(&mut self, net: NetId, selection: Selection<'_>) {
        let chosen = selection.choose(self, net).map(|selected| selected.best);
        if self.multipath && self.has_single_path(net) {
            let only = self.nets[net].first();
            self.paths[only].selected = chosen.is_some();
        } else if self.multipath {
            let all: Vec<PathId> = self.paths_of(net).map(|(id, _)| id).collect();
            let equal = chosen.map_or_else(Vec::new, |best| selection.equal_cost(self, net, best));
            for id in all {
                self.paths[id].selected = equal.contains(&id);
            }
        }
        if self.ranked > 0 {
            self.rank(net, selection);
        }
        self.settle(net, chosen.unwrap_or(PathId::NONE));
    }
}

#[cfg(test)]
mod tests;
