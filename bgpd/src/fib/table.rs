//! What the kernel's table is to hold, and what differs.
//!
//! A route costs about 30 octets: its prefix and the number of its way.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp_core::speaker::{BestRoute, RouteSource};
use cairn_kernel::object::{Hop, IfIndex, Object, Route, RouteKey, RouteKind, RouteTarget};
use cairn_net::{Families, Prefix};
use foldhash::{HashMap, HashMapExt};

use super::ways::{Gateway, Way, WayId, Ways};
use crate::daemon::RouteBatch;

/// One change of the kernel's table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// Write the route, in place of the one with its key.
    Put(Route),
    /// Delete it, if it is there.
    Remove(RouteKey),
}

/// What a route of ours in the kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// As it should be.
    Right(Prefix),
    /// Not wanted.
    Stray(RouteKey),
}

/// The learned routes of the Loc-RIB.
#[derive(Debug)]
pub(super) struct Table {
    routes: HashMap<Prefix, WayId>,
    ways: Ways,
    /// Families of which all is known: only there may anything be removed that was not withdrawn.
    complete: Families,
}

impl Default for Table {
    fn default() -> Self {
        Self { routes: HashMap::new(), ways: Ways::new(), complete: Families::NONE }
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
        let changes = batch.changes.iter().map(|(prefix, best)| {
            let (old, change) = match way(best.as_ref(), &batch.links) {
                Some(way) => {
                    let change = Change::Put(route(*prefix, &way));
                    (self.routes.insert(*prefix, self.ways.acquire(way)), change)
                }
                None => (self.routes.remove(prefix), Change::Remove(key(*prefix))),
            };
            if let Some(old) = old {
                self.ways.release(old);
            }
            change
        });
        changes.collect()
    }

    /// The route that there should be to a prefix.
    pub(super) fn wanted(&self, prefix: Prefix) -> Option<Route> {
        self.way(prefix).map(|way| route(prefix, way))
    }

    fn way(&self, prefix: Prefix) -> Option<&Way> {
        self.ways.get(*self.routes.get(&prefix)?)
    }

    /// What a route of ours that the kernel has is. `None`: it is to be replaced, or nobody knows yet whether it is wanted.
    pub(super) fn look(&self, found: &Route) -> Option<Found> {
        match self.way(found.prefix) {
            Some(wanted) if found.key() == key(found.prefix) => {
                goes(found, wanted).then_some(Found::Right(found.prefix))
            }
            // Beside the one that is wanted, with another metric.
            Some(_) => Some(Found::Stray(found.key())),
            None => self.complete.contains(found.prefix.family()).then(|| Found::Stray(found.key())),
        }
    }

    /// The prefixes whose routes are not among these.
    pub(super) fn missing(&self, mut right: Vec<Prefix>) -> Vec<Prefix> {
        right.sort_unstable();
        right.dedup();
        if right.len() == self.routes.len() {
            return Vec::new();
        }
        self.routes.keys().filter(|prefix| right.binary_search(prefix).is_err()).copied().collect()
    }

    /// Might a change by somebody else of what is in this place concern us?
    pub(super) fn concerns(&self, key: RouteKey) -> bool {
        self.routes.contains_key(&key.prefix)
    }

    /// What puts a place right with which somebody has meddled.
    pub(super) fn mend(&self, key: RouteKey) -> Option<Change> {
        match self.wanted(key.prefix) {
            Some(wanted) if wanted.key() == key => Some(Change::Put(wanted)),
            Some(_) => Some(Change::Remove(key)),
            None => self.complete.contains(key.prefix.family()).then_some(Change::Remove(key)),
        }
    }
}

/// What to install; `None` for a prefix that is gone or that this router originates itself.
fn way(best: Option<&BestRoute>, links: &BTreeMap<IpAddr, u32>) -> Option<Way> {
    let learned = best.filter(|best| matches!(best.source, RouteSource::Peer(_)))?;
    if learned.blackhole {
        return Some(Way::Blackhole);
    }
    Way::hops(learned.next_hops.iter().map(|hop| (*hop, links.get(hop).copied())))
}

fn route(prefix: Prefix, way: &Way) -> Route {
    let hop = |(gateway, interface): Gateway| Hop::via(gateway, interface.map(IfIndex));
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
    // The kernel names the interface of every hop; only a link-local one is told apart by it.
    let gateway = |hop: &Hop| {
        let gateway = hop.gateway?;
        let link_local = matches!(gateway, IpAddr::V6(addr) if addr.is_unicast_link_local());
        Some((gateway, hop.dev.filter(|_| link_local).map(|dev| dev.0)))
    };
    match &route.target {
        RouteTarget::Hop(hop) => gateway(hop).as_slice() == hops.as_ref(),
        RouteTarget::Multipath(found) => Way::hops(found.iter().filter_map(gateway)).as_ref() == Some(way),
        RouteTarget::None | RouteTarget::Nexthop(_) => false,
    }
}
