//! Next hops followed through the kernel's routes and the Loc-RIB (docs/adr/0017).
//!
//! What is new is resolved before anything is selected; what a changed route leads to is resolved again, and where that makes a
//! difference, the prefixes that use it are selected anew. Selection changes the Loc-RIB, through which other next hops may lead, so
//! this goes on until nothing changes. It may go round in a circle for ever, in BGP as such: after [`ROUNDS`] the rest waits for
//! [`HOLD`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_net::Prefix;
use smallvec::SmallVec;

use super::peer::kind;
use super::{Config, Output, PeerConfig, Speaker, Ttl};
use crate::nexthop::{
    Forwarding, Found, Gateway, KernelRoute, KernelTable, Learned, Lookup, Lookups, NextHopTracking,
    Resolution, Unresolved,
};
use crate::rib::{Hop, HopId, SourceKind, Table};

/// How often what was selected may lead to another selection at once.
const ROUNDS: usize = 16;
/// Time until the next one then.
const HOLD: Duration = Duration::from_secs(1);

/// What next hops are resolved with, beside the Loc-RIB.
#[derive(Debug, Default)]
pub(super) struct Tracking {
    kernel: KernelTable,
    /// The shell has told the kernel's routes. Until then everything is taken as reachable.
    synced: bool,
    /// Interfaces by the link-local addresses behind them.
    links: BTreeMap<IpAddr, u32>,
    hold_until: Option<Instant>,
    /// Changes of known next hops since the start.
    changes: u64,
    /// How often one was looked up since the start.
    lookups: u64,
}

/// A next hop that learned paths have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHopView {
    /// Its address.
    pub address: IpAddr,
    /// How many accepted paths have it.
    pub paths: u32,
    /// The way there, or why there is none; `None` while the kernel's routes are not known.
    pub way: Option<Result<Resolution, Unresolved>>,
    /// Since when that is so.
    pub since: Option<Instant>,
}

/// How many next hops there are. All are counted by walking them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NextHopStatistics {
    /// Those that can be reached.
    pub reachable: usize,
    /// Those that cannot.
    pub unreachable: usize,
    /// How often the way to one has changed since the start.
    pub changes: u64,
    /// How often one was looked up since the start, because it was new or what leads to it changed.
    pub lookups: u64,
}

/// Has a next hop of this peer to be on a connected network? It has where the peer itself has to be.
pub(super) fn needs_connected(config: &Config, peer: &PeerConfig) -> bool {
    let one_hop = matches!(peer.transport.ttl, Ttl::Default | Ttl::MultiHop(1) | Ttl::Security(1));
    kind(config, peer) == SourceKind::External && peer.connected_check && one_hop
}

impl Speaker {
    /// Begins or ends the tracking, or changes how it is done. True if everything has to be selected anew.
    pub(super) fn configure_tracking(&mut self, options: Option<NextHopTracking>) -> bool {
        let hops = &mut self.rib.table.hops;
        if hops.is_tracked() == options.is_some() {
            hops.all_due();
            return false;
        }
        self.rib.table.track_hops(options.is_some());
        let Tracking { links, changes, lookups, .. } = std::mem::take(&mut self.tracking);
        self.tracking = Tracking { links, changes, lookups, ..Tracking::default() };
        true
    }

    /// The kernel's routes changed; with `whole` these are all there are.
    pub(super) fn kernel_routes(&mut self, changes: Vec<(Prefix, Option<KernelRoute>)>, whole: bool) {
        let hops = &mut self.rib.table.hops;
        if !hops.is_tracked() {
            return;
        }
        let tracking = &mut self.tracking;
        if whole {
            let told: BTreeSet<Prefix> = changes.iter().map(|(prefix, _)| *prefix).collect();
            let gone: Vec<Prefix> = tracking
                .kernel
                .iter()
                .map(|(prefix, _)| prefix)
                .filter(|prefix| !told.contains(prefix))
                .collect();
            for prefix in gone {
                tracking.kernel.set(prefix, None);
                hops.route_changed(prefix);
            }
        }
        for (prefix, route) in changes {
            if tracking.kernel.set(prefix, route) {
                hops.route_changed(prefix);
            }
        }
        if whole && !std::mem::replace(&mut tracking.synced, true) {
            hops.all_due();
        }
    }

    /// The interfaces of link-local neighbours changed.
    pub(super) fn neighbor_links(&mut self, links: BTreeMap<IpAddr, u32>) {
        if self.tracking.links != links {
            self.tracking.links = links;
            self.rib.table.hops.all_due();
        }
    }

    /// The kernel's routes, if they are known.
    pub(super) fn known_kernel(&self) -> Option<&KernelTable> {
        Some(&self.tracking.kernel).filter(|_| self.tracking.synced)
    }

    /// What the speaker knew of the kernel's routes whose place this one takes: it decides as that one did, until it is told what is
    /// there now.
    pub(super) fn adopt_kernel(&mut self, kernel: Option<KernelTable>, links: BTreeMap<IpAddr, u32>) {
        self.tracking.links = links;
        if let Some(kernel) = kernel.filter(|_| self.rib.table.hops.is_tracked()) {
            self.tracking.kernel = kernel;
            self.tracking.synced = true;
        }
    }

    /// When next hops are to be looked at that were put off.
    pub(super) fn next_hop_deadline(&self) -> Option<Instant> {
        self.tracking.hold_until.filter(|_| !self.rib.table.hops.due.is_empty())
    }

    /// Selects until next hops and Loc-RIB agree, or have gone round in a circle for long enough.
    pub(super) fn flush_with_next_hops(&mut self) {
        self.resolve_next_hops();
        self.flush_routes();
        for _ in 0..ROUNDS {
            if !self.resolve_next_hops() {
                return;
            }
            self.flush_routes();
        }
        self.tracking.hold_until = Some(self.now + HOLD);
    }

    /// Resolves what is new or due. True if anything has to be selected anew for it.
    fn resolve_next_hops(&mut self) -> bool {
        let hops = &mut self.rib.table.hops;
        hops.sweep();
        if hops.fresh.is_empty() && hops.due.is_empty() {
            return false;
        }
        let options = self.config.as_ref().and_then(|config| config.next_hop_tracking);
        let Some(options) = options.filter(|_| self.tracking.synced) else {
            // All are due once the routes are known.
            hops.fresh.clear();
            hops.due.clear();
            return false;
        };
        let fresh = std::mem::take(&mut hops.fresh);
        let held = self.tracking.hold_until.is_some_and(|until| self.now < until);
        let mut due = BTreeSet::new();
        if !held {
            self.tracking.hold_until = None;
            if !hops.due.is_empty() {
                hops.users_of_many_due();
            }
            due = std::mem::take(&mut hops.due);
        }
        self.tracking.lookups += (fresh.len() + due.len()) as u64;
        let [fresh, due] = self.look_up(options, [fresh, due.into_iter().collect()]);
        // Paths with a new one wait for their first selection.
        self.enter_found(fresh);
        let changed = self.enter_found(due);
        self.follow_changes(&changed)
    }

    /// Looks these next hops up, all in one pass.
    fn look_up(&self, options: NextHopTracking, ids: [Vec<HopId>; 2]) -> [Vec<(HopId, Found)>; 2] {
        let table = &self.rib.table;
        let own: BTreeSet<IpAddr> =
            self.interfaces.iter().flat_map(|interface| interface.addresses.iter().copied()).collect();
        let lookup = Lookup {
            options,
            kernel: &self.tracking.kernel,
            own: &|address| own.contains(&address),
            learned: &|prefix, towards| learned(table, prefix, towards),
            link: &|address| self.tracking.links.get(&address).copied().unwrap_or(0),
        };
        let mut lookups = Lookups::new(lookup);
        ids.map(|ids| {
            let found = |id| Some((id, lookups.resolve(table.hops.get(id)?.address)));
            ids.into_iter().filter_map(found).collect()
        })
    }

    /// Notes what was found; gives those that changed.
    fn enter_found(&mut self, all: Vec<(HopId, Found)>) -> Vec<Changed> {
        let mut changed = Vec::new();
        for (id, Found { way, passed }) in all {
            let hops = &mut self.rib.table.hops;
            hops.set_passed(id, passed);
            let Some(hop) = hops.get_mut(id).filter(|hop| hop.way.as_ref() != Some(&way)) else { continue };
            let is_known = hop.way.is_some();
            let says = is_known || way.is_err();
            let moved = leads_to(hop.way.as_ref()) != leads_to(Some(&way));
            let before = hop.reach();
            (hop.way, hop.since) = (Some(way), Some(self.now));
            self.tracking.changes += u64::from(is_known);
            changed.push(Changed { id, reach: before != hop.reach(), moved });
            if says {
                let next_hop = view(hop);
                self.outputs.push_back(Output::NextHopChanged { next_hop, before });
            }
        }
        changed
    }

    /// Has what depends on changed next hops selected anew, or reported. True if there is something to select.
    fn follow_changes(&mut self, changed: &[Changed]) -> bool {
        let ids = |which: fn(&Changed) -> bool| -> BTreeSet<HopId> {
            changed.iter().filter(|changed| which(changed)).map(|changed| changed.id).collect()
        };
        let (reach, moved) = (ids(|changed| changed.reach), ids(|changed| changed.moved));
        let all: Vec<HopId> = reach.union(&moved).copied().collect();
        if all.is_empty() {
            return false;
        }
        let mut any = false;
        for (path, net) in self.rib.table.paths_through(&all) {
            let entry = &self.rib.table.paths[path];
            let Some(hop) = entry.accepted().map(|route| route.hop) else { continue };
            let used = entry.selected || self.rib.table.nets[net].best == path;
            if reach.contains(&hop) {
                self.rib.table.touch(net);
                any = true;
            }
            if used && moved.contains(&hop) {
                self.rib.report_moved(net);
            }
        }
        any
    }

    /// Next hops that learned paths have, in the order of their addresses, after one of them. None where they are not tracked.
    pub fn next_hops(&self, after: Option<IpAddr>, limit: usize) -> Vec<NextHopView> {
        let hops = self.rib.table.hops.after(after).filter(|(_, hop)| hop.paths > 0).take(limit);
        hops.map(|(_, hop)| view(hop)).collect()
    }

    /// One of them.
    pub fn next_hop(&self, address: IpAddr) -> Option<NextHopView> {
        let hop = self.rib.table.hops.find(address).filter(|hop| hop.paths > 0)?;
        Some(view(hop))
    }

    /// How many there are; `None` where they are not tracked.
    pub fn next_hop_statistics(&self) -> Option<NextHopStatistics> {
        let hops = &self.rib.table.hops;
        let mut statistics = NextHopStatistics {
            changes: self.tracking.changes,
            lookups: self.tracking.lookups,
            ..Default::default()
        };
        for (_, hop) in hops.after(None).filter(|(_, hop)| hop.paths > 0) {
            let count =
                if hop.reach().is_some() { &mut statistics.reachable } else { &mut statistics.unreachable };
            *count += 1;
        }
        hops.is_tracked().then_some(statistics)
    }

    /// Where packets go that are sent by way of a next hop.
    pub fn forwarding(&self, next_hop: IpAddr) -> Forwarding {
        let hop = self.rib.table.hops.find(next_hop);
        match hop.and_then(|hop| hop.way.as_ref()?.as_ref().ok()) {
            Some(way) if way.reach.own => Forwarding::Own,
            Some(way) if way.discards => Forwarding::Discard,
            Some(way) if !way.reach.connected => Forwarding::Through(Arc::clone(&way.gateways)),
            Some(_) | None => Forwarding::Direct,
        }
    }
}

fn view(hop: &Hop) -> NextHopView {
    NextHopView { address: hop.address, paths: hop.paths, way: hop.way.clone(), since: hop.since }
}

/// A next hop whose way is another one now.
struct Changed {
    id: HopId,
    /// Selection sees a difference.
    reach: bool,
    /// Packets go another way.
    moved: bool,
}

/// What is known of where packets go.
fn leads_to(way: Option<&Result<Resolution, Unresolved>>) -> Option<(&[Gateway], bool, bool)> {
    let way = way?.as_ref().ok()?;
    Some((&way.gateways, way.discards, way.reach.own))
}

/// Where a learned route leads that may be used on the way to a next hop.
fn learned(table: &Table, prefix: Prefix, towards: IpAddr) -> Option<Learned> {
    let net = table.find(prefix)?;
    let best = &table.paths[table.nets[net].best.some()?];
    let source = &table.sources[best.source];
    if source.kind == SourceKind::Local {
        return None;
    }
    // Whatever is chosen here, the way to a next hop must not depend on it.
    let is_its_own = |route: &Arc<crate::rib::RouteAttributes>| route.next_hop.addr == towards;
    if table.paths_of(net).any(|(_, path)| path.accepted().is_some_and(is_its_own)) {
        return None;
    }
    if source.blackhole && best.accepted()?.is_blackhole {
        return Some(Learned::Blackhole);
    }
    Some(Learned::Through(SmallVec::from_vec(table.next_hops(net))))
}
