//! What the kernel's table is to hold, and what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgpd_api::route::{BestRoute, RouteSource, RouteUpdate};
use cairn_kernel::object::{Hop, Object, Route, RouteKey, RouteKind, RouteTarget};
use cairn_net::{Families, Prefix};

/// One change of the kernel's table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// Write the route, in place of the one with its key.
    Put(Route),
    /// Delete it, if it is there.
    Remove(RouteKey),
}

/// What is done with traffic to a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// It goes to one of these.
    Hops(BTreeSet<IpAddr>),
    /// It is dropped (RFC 7999).
    Blackhole,
}

/// The learned routes of the Loc-RIB.
#[derive(Debug, Default)]
pub(super) struct Table {
    routes: BTreeMap<Prefix, Way>,
    /// Families of which all is known: only there may anything be removed that was not withdrawn.
    complete: Families,
}

impl Table {
    /// A new stream begins: it first tells what there is.
    pub(super) fn begin(&mut self) {
        self.routes.clear();
        self.complete = Families::NONE;
    }

    /// How many routes.
    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }

    /// Takes a piece of the stream; gives what it changes.
    pub(super) fn apply(&mut self, update: &RouteUpdate) -> Vec<Change> {
        self.complete = update.end_of_rib.iter().fold(self.complete, Families::with);
        let changes = update.changes.iter().map(|change| match way(change.best.as_ref()) {
            Some(way) => {
                let route = route(change.prefix, &way);
                self.routes.insert(change.prefix, way);
                Change::Put(route)
            }
            None => {
                self.routes.remove(&change.prefix);
                Change::Remove(route(change.prefix, &Way::Blackhole).key())
            }
        });
        changes.collect()
    }

    /// What differs from the routes of ours that the kernel has.
    pub(super) fn repair(&self, actual: &[Route]) -> Vec<Change> {
        let mut missing: BTreeSet<Prefix> = self.routes.keys().copied().collect();
        let mut changes = Vec::new();
        for found in actual {
            match self.routes.get(&found.prefix) {
                Some(way) if way_of(found) == *way => {
                    missing.remove(&found.prefix);
                }
                Some(_) => {}
                None if self.complete.contains(found.prefix.family()) => {
                    changes.push(Change::Remove(found.key()));
                }
                None => {}
            }
        }
        changes.extend(
            missing.iter().filter_map(|prefix| Some(Change::Put(route(*prefix, self.routes.get(prefix)?)))),
        );
        changes
    }
}

/// What to install; `None` for a prefix that is gone or that this router originates itself.
fn way(best: Option<&BestRoute>) -> Option<Way> {
    let learned = best.filter(|best| matches!(best.source, RouteSource::Peer(_)))?;
    if learned.blackhole {
        return Some(Way::Blackhole);
    }
    let hops: BTreeSet<IpAddr> = learned.next_hops.iter().copied().collect();
    Some(hops).filter(|hops| !hops.is_empty()).map(Way::Hops)
}

fn route(prefix: Prefix, way: &Way) -> Route {
    let Way::Hops(hops) = way else {
        return Route::new(prefix, RouteKind::Blackhole, RouteTarget::None).normalised();
    };
    let mut hops: Vec<Hop> = hops.iter().map(|gateway| Hop::via(*gateway, None)).collect();
    let target = match (hops.pop(), hops.is_empty()) {
        (None, _) => RouteTarget::None,
        (Some(only), true) => RouteTarget::Hop(only),
        (Some(last), false) => {
            hops.push(last);
            RouteTarget::Multipath(hops)
        }
    };
    Route::new(prefix, RouteKind::Unicast, target).normalised()
}

/// What a route of the kernel does.
fn way_of(route: &Route) -> Way {
    if route.kind == RouteKind::Blackhole { Way::Blackhole } else { Way::Hops(gateways(route)) }
}

fn gateways(route: &Route) -> BTreeSet<IpAddr> {
    match &route.target {
        RouteTarget::Hop(hop) => hop.gateway.into_iter().collect(),
        RouteTarget::Multipath(hops) => hops.iter().filter_map(|hop| hop.gateway).collect(),
        RouteTarget::None | RouteTarget::Nexthop(_) => BTreeSet::new(),
    }
}
