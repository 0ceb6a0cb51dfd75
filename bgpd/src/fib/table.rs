//! What the kernel's table is to hold, and what differs.
//!
//! A route costs about 15 octets: its prefix and the number of its way.
//!
//! Invariant: what is not known to be a route of ours in the kernel is never replaced. Of the routes that another process of ours left
//! there, the prefixes are known from [`Table::seen`].

use std::collections::HashSet;

use bgp_core::nexthop::Forwarding;
use bgp_core::speaker::{BestRoute, RouteSource};
use cairn_kernel::object::{
    Change as Told, Hop, IfIndex, Object, PROTOCOL, Route, RouteKey, RouteKind, RouteTarget,
};
use cairn_net::{Families, Family, Prefix};

use super::routes::Routes;
use super::ways::{Entry, Gateway, Way, WayId, Ways};
use crate::daemon::RouteBatch;

/// One change of the kernel's table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// Write the route, where nobody has one with its key.
    Create(Route),
    /// Write the route, in place of ours with its key.
    Replace(Route),
    /// Delete it, if it is there.
    Remove(RouteKey),
}

/// What a route of ours in the kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// As it should be.
    Right(Prefix),
    /// To be replaced, or nobody knows yet whether it is wanted.
    Other(Prefix),
    /// Not wanted.
    Stray(RouteKey),
}

/// The learned routes of the Loc-RIB.
#[derive(Debug, Clone)]
pub(super) struct Table {
    routes: Routes,
    ways: Ways,
    /// Prefixes that the kernel has routes of ours to, and that nobody has asked for yet.
    left: HashSet<Prefix, foldhash::fast::RandomState>,
    /// Families of which all is known: only there may anything be removed that was not withdrawn.
    complete: Families,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            routes: Routes::default(),
            ways: Ways::new(),
            left: HashSet::default(),
            complete: Families::NONE,
        }
    }
}

impl Table {
    /// How many routes.
    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }

    /// How many different ways they go.
    #[cfg(test)]
    pub(super) fn ways(&self) -> usize {
        self.ways.len()
    }

    /// Takes a piece of the Loc-RIB; gives what it changes.
    pub(super) fn apply(&mut self, batch: &RouteBatch) -> Vec<Change> {
        self.complete = batch.end_of_rib.iter().fold(self.complete, Families::with);
        // Routes of a batch mostly go the way of the one before.
        let mut last: (Option<&BestRoute>, Option<Way>) = (None, None);
        let mut number: Option<WayId> = None;
        let changes = batch.changes.iter().map(|(prefix, best)| {
            let best = best.as_ref();
            if !best.zip(last.0).is_some_and(|(best, last)| best == last) {
                last = (best, way(best, batch));
                number = None;
            }
            let left = !self.left.is_empty() && self.left.remove(prefix);
            let Some(way) = &last.1 else {
                if let Some(old) = self.routes.remove(*prefix) {
                    self.ways.release(old.way());
                }
                return Change::Remove(key(*prefix));
            };
            let id = match number {
                Some(number) => self.ways.acquire_again(way, number),
                None => self.ways.acquire(way),
            };
            number = Some(id);
            let mut ours = left;
            let old = self.routes.update(*prefix, |old| {
                ours |= old.is_some_and(Entry::is_ours);
                Entry::new(id, ours)
            });
            if let Some(old) = old {
                self.ways.release(old.way());
            }
            put(route(*prefix, way), ours)
        });
        changes.collect()
    }

    /// From now on [`Table::seen`] tells which routes of ours of this family the kernel has; others it has not.
    pub(super) fn look_anew(&mut self, family: Family) {
        for entry in self.routes.entries_mut(Families::NONE.with(family)) {
            *entry = Entry::new(entry.way(), false);
        }
        self.left.retain(|prefix| prefix.family() != family);
    }

    /// The kernel has this route of ours. Gives the key of one that is not wanted.
    pub(super) fn seen(&mut self, route: &Route) -> Option<RouteKey> {
        match self.look(route)? {
            Found::Right(prefix) => {
                if let Some(entry) = self.routes.get_mut(prefix) {
                    *entry = entry.right();
                }
            }
            Found::Other(prefix) => self.set_ours(prefix, true),
            Found::Stray(key) => return Some(key),
        }
        None
    }

    /// The kernel has a route of ours to the prefix, or has none.
    pub(super) fn set_ours(&mut self, prefix: Prefix, ours: bool) {
        match self.routes.get_mut(prefix) {
            Some(entry) => *entry = Entry::new(entry.way(), ours),
            // What is swept anyway need not be known.
            None if ours && !self.complete.contains(prefix.family()) => {
                self.left.insert(prefix);
            }
            None => {
                self.left.remove(&prefix);
            }
        }
    }

    /// Somebody else changed a route. The place stays ours where he put something else into it in one step (`replaced`). Otherwise it was
    /// empty, whatever was known of it: the kernel takes IPv4 routes away with their interface and tells nobody.
    pub(super) fn told(&mut self, change: &Told<Route>, replaced: bool) {
        let route = change.object();
        if (RouteKey { protocol: PROTOCOL, ..route.key() }) != key(route.prefix) {
            return;
        }
        match change {
            Told::Present(route) if route.protocol == PROTOCOL => self.set_ours(route.prefix, true),
            Told::Gone(route) if route.protocol == PROTOCOL => self.set_ours(route.prefix, false),
            // Or his is beside ours: then the kernel refuses what it has, and who has the place is looked up.
            Told::Present(route) if !replaced => self.set_ours(route.prefix, false),
            Told::Present(_) | Told::Gone(_) => {}
        }
    }

    /// The route that there should be to a prefix.
    pub(super) fn wanted(&self, prefix: Prefix) -> Option<Route> {
        self.way(prefix).map(|way| route(prefix, way))
    }

    /// What writes the route that there should be to a prefix.
    pub(super) fn write(&self, prefix: Prefix) -> Option<Change> {
        let ours = self.routes.get(prefix)?.is_ours();
        self.wanted(prefix).map(|route| put(route, ours))
    }

    fn way(&self, prefix: Prefix) -> Option<&Way> {
        self.ways.get(self.routes.get(prefix)?.way())
    }

    /// What a route of ours that the kernel has is. `None`: it is in no place of ours, and nobody knows yet whether it is wanted.
    pub(super) fn look(&self, found: &Route) -> Option<Found> {
        let (prefix, stray) = (found.prefix, Found::Stray(found.key()));
        let in_place = found.key() == key(prefix);
        match self.way(prefix) {
            Some(wanted) if in_place && goes(found, wanted) => Some(Found::Right(prefix)),
            Some(_) if in_place => Some(Found::Other(prefix)),
            // Beside the one that is wanted, with another metric.
            Some(_) => Some(stray),
            None if self.complete.contains(prefix.family()) => Some(stray),
            None => in_place.then_some(Found::Other(prefix)),
        }
    }

    /// The prefixes whose routes the comparison has not found as they should be.
    pub(super) fn missing(&self) -> Vec<Prefix> {
        self.routes.prefixes(|entry| !entry.is_right())
    }

    /// Might a change by somebody else of what is in this place concern us?
    pub(super) fn concerns(&self, key: RouteKey) -> bool {
        self.routes.get(key.prefix).is_some()
    }

    /// What puts a place right with which somebody has meddled.
    pub(super) fn mend(&self, key: RouteKey) -> Option<Change> {
        match self.wanted(key.prefix) {
            Some(wanted) if wanted.key() == key => self.write(key.prefix),
            Some(_) => Some(Change::Remove(key)),
            None => self.complete.contains(key.prefix.family()).then_some(Change::Remove(key)),
        }
    }
}

/// What to install; `None` for a prefix that is gone or that this router originates itself.
fn way(best: Option<&BestRoute>, batch: &RouteBatch) -> Option<Way> {
    let learned = best.filter(|best| matches!(best.source, RouteSource::Peer(_)))?;
    if learned.blackhole {
        return Some(Way::Blackhole);
    }
    let (mut gateways, mut discards) = (Vec::new(), false);
    for hop in learned.next_hops.iter() {
        match batch.forwarding.get(hop) {
            Some(Forwarding::Through(found)) => gateways.extend(found.iter().map(|gateway| Gateway {
                address: gateway.address.unwrap_or(*hop),
                interface: Some(gateway.interface),
                onlink: gateway.onlink,
            })),
            Some(Forwarding::Discard) => discards = true,
            // The kernel would refuse it.
            Some(Forwarding::Own) => {}
            Some(Forwarding::Direct) | None => {
                let interface = batch.links.get(hop).copied();
                gateways.push(Gateway { address: *hop, interface, onlink: false });
            }
        }
    }
    // Beside routers a blackhole does not count: the kernel has no routes that do both.
    Way::hops(gateways).or_else(|| discards.then_some(Way::Blackhole))
}

fn put(route: Route, ours: bool) -> Change {
    if ours { Change::Replace(route) } else { Change::Create(route) }
}

fn route(prefix: Prefix, way: &Way) -> Route {
    let hop = |gateway: Gateway| Hop {
        onlink: gateway.onlink,
        ..Hop::via(gateway.address, gateway.interface.map(IfIndex))
    };
    match way {
        Way::Blackhole => Route::blackhole(prefix),
        Way::Hops(hops) => {
            let target = match hops.as_ref() {
                [only] => RouteTarget::Hop(hop(*only)),
                hops => RouteTarget::Multipath(hops.iter().copied().map(hop).collect()),
            };
            Route::new(prefix, RouteKind::Unicast, target)
        }
    }
    .normalised()
}

/// The key of our route to a prefix.
pub(super) fn key(prefix: Prefix) -> RouteKey {
    Route::blackhole(prefix).key()
}

/// Does a route of the kernel go this way?
fn goes(route: &Route, way: &Way) -> bool {
    let Way::Hops(hops) = way else { return route.kind == RouteKind::Blackhole };
    if route.kind != RouteKind::Unicast {
        return false;
    }
    // The kernel names the interface of every hop; it matters where we do.
    let is_for = |hop: &Hop, wanted: &Gateway| {
        let dev = hop.dev.map(|dev| dev.0);
        hop.gateway == Some(wanted.address) && wanted.interface.is_none_or(|index| dev == Some(index))
    };
    let all = |found: &[Hop]| {
        let wanted = |wanted: &Gateway| found.iter().any(|hop| is_for(hop, wanted));
        found.len() == hops.len() && hops.iter().all(wanted)
    };
    match &route.target {
        RouteTarget::Hop(hop) => all(std::slice::from_ref(hop)),
        RouteTarget::Multipath(found) => all(found),
        RouteTarget::None | RouteTarget::Nexthop(_) => false,
    }
}
