use std::collections::VecDeque;

use cairn_net::{Families, Family, Prefix};
use smallvec::SmallVec;

use super::aggregate::Aggregates;
use super::condition::Conditions;
use super::peer::PeerId;
use super::{BestRoute, ConnId, Output, RouteSource, Speaker};
use crate::rib::slab::Slab;
use crate::rib::{
    Change, Dirty, Group, GroupId, Interner, NetId, PathsChange, Ranked, Selection, SourceId, Table,
};

/// Prefixes that are selected and told together: enough to pack well, few enough that what is noted of them stays in the cache and
/// takes no memory worth mentioning when a full table goes.
const PART: usize = 1 << 12;

/// The routing side of a speaker.
#[derive(Debug, Default)]
pub(super) struct Rib {
    pub(super) table: Table,
    pub(super) interner: Interner,
    pub(super) groups: Slab<GroupId, UpdateGroup>,
    /// Who originates or announces, for people.
    pub(super) names: foldhash::HashMap<SourceId, RouteSource>,
    pub(super) conditions: Conditions,
    pub(super) aggregates: Aggregates,
    reports: VecDeque<Report>,
    unwatched: bool,
    /// Prefixes with a best path, by family.
    pub(super) selected: [usize; 2],
    /// Changes of best paths since the start.
    pub(super) changes: u64,
    /// Families whose selection waits for the peers' End-of-RIB (RFC 4724 section 4.1).
    pub(super) deferred: Families,
}

/// A group with its members.
#[derive(Debug)]
pub(super) struct UpdateGroup {
    pub(super) group: Group,
    pub(super) members: Vec<PeerId>,
    /// Members that have not read the log to its end.
    pub(super) behind: usize,
}

/// Something to tell the shell about the Loc-RIB, in order.
#[derive(Debug, Clone, Copy)]
enum Report {
    /// Where it is in the table; `None`: it was gone.
    Route(Prefix, Option<NetId>),
    EndOfRib(Family),
}

impl Rib {
    /// Begins or ends the reports of changed routes.
    pub(super) fn watch(&mut self, watch: bool) {
        self.unwatched = !watch;
        if self.unwatched {
            let reports = std::mem::take(&mut self.reports);
            for report in reports {
                match report {
                    Report::Route(prefix, net) => {
                        self.unmark(prefix, net);
                    }
                    Report::EndOfRib(_) => self.reports.push_back(report),
                }
            }
        }
    }

    /// Are so many prefixes to be selected anew that they are a part? Not while selection waits: then all of them wait.
    fn is_part_due(&self, family: Family) -> bool {
        self.table.dirty_of(family) >= PART && !self.deferred.contains(family)
    }

    pub(super) fn report_end(&mut self, family: Family) {
        self.reports.push_back(Report::EndOfRib(family));
    }

    /// Forgets that a report is due; the place, if the prefix is still there.
    fn unmark(&mut self, prefix: Prefix, net: Option<NetId>) -> Option<NetId> {
        let id = net?;
        let net = self.table.nets.get_mut(id).filter(|net| net.prefix == prefix)?;
        net.reported = false;
        Some(id)
    }

    /// Packets to a prefix go another way, although its route is the same.
    pub(super) fn report_moved(&mut self, net: NetId) {
        self.report(self.table.nets[net].prefix, Some(net));
    }

    fn report(&mut self, prefix: Prefix, net: Option<NetId>) {
        if self.unwatched {
            return;
        }
        if let Some(net) = net {
            let reported = &mut self.table.nets[net].reported;
            if std::mem::replace(reported, true) {
                return;
            }
        }
        self.reports.push_back(Report::Route(prefix, net));
    }
}

impl Speaker {
    /// The next thing to say about the Loc-RIB. What a prefix has become is read by whoever wants to know, when he does.
    pub(super) fn next_report(&mut self) -> Option<Output> {
        let report = self.rib.reports.pop_front()?;
        if self.rib.reports.is_empty() && self.rib.reports.capacity() > 2 * PART {
            self.rib.reports = VecDeque::new();
        }
        match report {
            Report::EndOfRib(family) => Some(Output::EndOfRib { family }),
            Report::Route(prefix, net) => {
                self.rib.unmark(prefix, net);
                Some(Output::RouteChanged { prefix })
            }
        }
    }

    /// How many things [`Speaker::poll_output`] has to say of the Loc-RIB already: whoever is about to hand over more input lets it say
    /// them first when they are many, for each takes memory.
    pub fn reports(&self) -> usize {
        self.rib.reports.len()
    }

    /// The best route to exactly this prefix.
    pub fn best_route(&self, prefix: Prefix) -> Option<BestRoute> {
        self.best_of(self.rib.table.find(prefix)?)
    }

    fn best_of(&self, net: NetId) -> Option<BestRoute> {
        let table = &self.rib.table;
        let best = table.best(net)?;
        let source = self.rib.names.get(&best.source).cloned()?;
        let blackhole = table.sources[best.source].blackhole && best.attributes.is_blackhole;
        let next_hops = if table.has_single_path(net) {
            Some(best.attributes.next_hop.addr).filter(|hop| !hop.is_unspecified()).into_iter().collect()
        } else {
            table.next_hops(net).into()
        };
        Some(BestRoute { next_hops, source, blackhole })
    }

    /// As [`Speaker::flush`], if there is enough for a part: however much a peer sends at a time, what is noted of it stays small.
    pub(super) fn flush_part(&mut self) {
        if Family::ALL.into_iter().any(|family| self.rib.is_part_due(family)) {
            self.flush();
        }
    }

    /// Selects anew where that is due, and turns what changed into reports and messages.
    pub(super) fn flush(&mut self) {
        self.flush_with_next_hops();
        self.follow_conditions();
        self.rib.interner.tidy(self.rib.table.paths.len());
    }

    pub(super) fn flush_routes(&mut self) {
        self.flush_once();
        // What was selected may make aggregates come and go, which may be part of larger ones.
        while self.follow_aggregates() {
            self.flush_once();
        }
    }

    fn flush_once(&mut self) {
        for family in Family::ALL {
            if !self.rib.deferred.contains(family) && self.rib.table.is_dirty(family) {
                let mut dirty = self.rib.table.take_dirty(family);
                let mut left = dirty.drain(..);
                while left.len() > 0 {
                    // No small rest: its messages would be less full.
                    let part = if left.len() < 2 * PART { left.len() } else { PART };
                    let (changes, paths) = self.select(left.by_ref().take(part));
                    self.announce(&changes, &paths);
                }
                drop(left);
                self.rib.table.reuse_dirty(family, dirty);
            }
        }
    }

    fn select(&mut self, dirty: impl Iterator<Item = Dirty>) -> (Vec<Change>, Vec<PathsChange>) {
        let Some(config) = &self.config else {
            dirty.for_each(drop);
            return Default::default();
        };
        let rib = &mut self.rib;
        let mut changes = Vec::with_capacity(dirty.size_hint().0);
        let mut paths = Vec::new();
        let mut deserted = Vec::new();
        for Dirty { net, old, more } in dirty {
            let prefix = rib.table.nets[net].prefix;
            rib.table.select(net, Selection { config: &config.best_path });
            let net = if rib.table.is_deserted(net) {
                deserted.push(net);
                None
            } else {
                Some(net)
            };
            let new = net.and_then(|net| rib.table.best(net));
            let selected = &mut rib.selected[prefix.family() as usize];
            match (&old, &new) {
                (None, Some(_)) => *selected += 1,
                (Some(_), None) => *selected -= 1,
                (None, None) | (Some(_), Some(_)) => {}
            }
            let same = match (&old, &new) {
                (None, None) => true,
                (Some(old), Some(new)) => old.is_same(new),
                _ => false,
            };
            let old_hops = more.as_ref().map_or(&[][..], |more| &more.next_hops);
            let same_hops = net.map_or(Vec::new(), |net| rib.table.shared_next_hops(net)) == old_hops;
            if !same || !same_hops {
                rib.report(prefix, net);
                rib.table.hops.route_changed(prefix);
            }
            if old.is_some() != new.is_some() {
                rib.conditions.note(prefix, new.is_some());
            }
            if rib.table.ranks() || more.is_some() {
                // Nobody was told several before: then nothing was noted, and all of them are new.
                let before = more.as_ref().map_or(&[][..], |more| &more.ranked);
                let ranked = net.map_or(Vec::new(), |net| rib.table.ranked_paths(net));
                paths.extend(paths_change(prefix, before, ranked));
            }
            if !same {
                rib.changes += 1;
                rib.aggregates.note(prefix, new.as_ref());
                changes.push(Change { prefix, old, new });
            }
        }
        rib.table.forget(&deserted);
        (changes, paths)
    }

    fn announce(&mut self, changes: &[Change], paths: &[PathsChange]) {
        if changes.is_empty() && paths.is_empty() {
            return;
        }
        self.monitor_selected(changes);
        let ids: SmallVec<[GroupId; 8]> = self.rib.groups.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.cut_log(id);
            let Rib { groups, table, .. } = &mut self.rib;
            let entry = &mut groups[id];
            if !entry.group.append(table, changes, paths) {
                continue;
            }
            entry.behind = entry.members.len();
            let mut conns: SmallVec<[ConnId; 8]> = SmallVec::with_capacity(entry.members.len());
            for member in &entry.members {
                if let Some(session) = self.peers.get_mut(*member).and_then(|peer| peer.session.as_mut()) {
                    session.cursor.behind = true;
                    conns.push(session.conn);
                }
            }
            for conn in conns {
                self.wake(conn);
            }
        }
    }
}

/// A change of a prefix's eligible paths, if it is one.
fn paths_change(prefix: Prefix, old: &[Ranked], new: Vec<Ranked>) -> Option<PathsChange> {
    let same = old.len() == new.len() && old.iter().zip(&new).all(|(old, new)| old.is_same(new));
    (!same).then(|| PathsChange { prefix, old: old.to_vec(), new })
}
