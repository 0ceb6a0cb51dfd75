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

/// The learned routes of the Loc-RIB.
#[derive(Debug, Default)]
pub(super) struct Table {
    routes: BTreeMap<Prefix, BTreeSet<IpAddr>>,
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
        let changes = update.changes.iter().map(|change| match hops(change.best.as_ref()) {
            Some(hops) => {
                let route = route(change.prefix, &hops);
                self.routes.insert(change.prefix, hops);
                Change::Put(route)
            }
            None => {
                self.routes.remove(&change.prefix);
                Change::Remove(route(change.prefix, &BTreeSet::new()).key())
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
                Some(hops) if gateways(found) == *hops => {
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

/// The next hops of a route to install; `None` for a prefix that is gone or that this router originates itself.
fn hops(best: Option<&BestRoute>) -> Option<BTreeSet<IpAddr>> {
    let learned = best.filter(|best| matches!(best.source, RouteSource::Peer(_)))?;
    let hops: BTreeSet<IpAddr> = learned.next_hops.iter().copied().collect();
    Some(hops).filter(|hops| !hops.is_empty())
}

fn route(prefix: Prefix, hops: &BTreeSet<IpAddr>) -> Route {
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

fn gateways(route: &Route) -> BTreeSet<IpAddr> {
    match &route.target {
        RouteTarget::Hop(hop) => hop.gateway.into_iter().collect(),
        RouteTarget::Multipath(hops) => hops.iter().filter_map(|hop| hop.gateway).collect(),
        RouteTarget::None | RouteTarget::Nexthop(_) => BTreeSet::new(),
    }
}
