//! What the kernel's routes say together: one for each prefix, over interfaces that work.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgp_core::nexthop::{Gateway, KernelRoute, KernelTarget};
use cairn_kernel::monitor::Event;
use cairn_kernel::object::{
    Change, Hop, IfIndex, Link, Nexthop, NexthopId, NexthopTarget, PROTOCOL, Route, RouteKind, RouteTarget,
    TableId,
};
use cairn_net::Prefix;
use foldhash::{HashMap, HashMapExt};

/// Members of nexthop groups that are looked through for one route: the kernel has no groups in groups.
const MEMBERS: usize = 256;

/// What has to be read again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Everything.
    pub(super) all: bool,
    /// Nexthop objects.
    pub(super) nexthops: bool,
    /// Routes of these protocols.
    pub(super) protocols: BTreeSet<u8>,
    /// Nothing, but what is known means something else.
    pub(super) meaning: bool,
}

impl Doubt {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.all |= other.all;
        self.nexthops |= other.nexthops;
        self.meaning |= other.meaning;
        self.protocols.extend(other.protocols);
    }
}

/// The routes by the protocol that made them, and what they lead over.
#[derive(Debug)]
pub(super) struct Routes {
    by_protocol: BTreeMap<u8, Vec<Route>>,
    /// Does the interface work?
    links: BTreeMap<IfIndex, bool>,
    nexthops: BTreeMap<NexthopId, NexthopTarget>,
    told: HashMap<Prefix, KernelRoute>,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            by_protocol: BTreeMap::new(),
            links: BTreeMap::new(),
            nexthops: BTreeMap::new(),
            told: HashMap::new(),
        }
    }
}

impl Routes {
    pub(super) fn set_links(&mut self, links: Vec<Link>) {
        self.links = links.into_iter().map(|link| (link.index, works(&link))).collect();
    }

    pub(super) fn set_nexthops(&mut self, nexthops: Vec<Nexthop>) {
        self.nexthops = nexthops.into_iter().map(|nexthop| (nexthop.id, nexthop.target)).collect();
    }

    pub(super) fn set_all(&mut self, routes: Vec<Route>) {
        self.by_protocol.clear();
        for route in routes {
            self.by_protocol.entry(route.protocol).or_default().push(route);
        }
    }

    pub(super) fn set_protocol(&mut self, protocol: u8, routes: Vec<Route>) {
        self.by_protocol.insert(protocol, routes);
    }

    /// What an event puts in doubt. Interfaces are noted at once.
    pub(super) fn doubt(&mut self, event: &Event) -> Doubt {
        match event {
            Event::Resync => Doubt { all: true, ..Doubt::default() },
            Event::Route(change) => self.route_doubt(change.object()),
            Event::Nexthop(change) if !change.object().id.is_ours() => {
                let protocols = self.protocols(|route| matches!(route.target, RouteTarget::Nexthop(_)));
                Doubt { nexthops: true, protocols, ..Doubt::default() }
            }
            Event::Link(change) => {
                let link = change.object();
                let now = matches!(change, Change::Present(link) if works(link));
                let before = match change {
                    Change::Present(_) => self.links.insert(link.index, now),
                    Change::Gone(_) => self.links.remove(&link.index),
                };
                if before == Some(now) {
                    return Doubt::default();
                }
                // The kernel takes routes away with their interface, and does not tell them one by one.
                let protocols = self.protocols(|route| self.leads_over(&route.target, link.index));
                Doubt { meaning: !protocols.is_empty(), protocols, ..Doubt::default() }
            }
            // So it does with those that prefer an address.
            Event::Address(Change::Gone(address)) => {
                let protocols = self.protocols(|route| route.prefsrc == Some(address.addr));
                Doubt { protocols, ..Doubt::default() }
            }
            Event::Address(Change::Present(_))
            | Event::Settings(_)
            | Event::Nexthop(_)
            | Event::Neighbour(_)
            | Event::Forwarding(_)
            | Event::Rule(_)
            | Event::Table => Doubt::default(),
        }
    }

    fn route_doubt(&self, route: &Route) -> Doubt {
        if route.table != TableId::MAIN || !is_of_interest(route) {
            return Doubt::default();
        }
        let protocols = if route.protocol == PROTOCOL {
            // One of ours that took another's place.
            self.protocols(|known| known.prefix == route.prefix)
        } else {
            [route.protocol].into()
        };
        Doubt { protocols, ..Doubt::default() }
    }

    /// The protocols that have such a route.
    fn protocols(&self, wanted: impl Fn(&Route) -> bool) -> BTreeSet<u8> {
        let having = self.by_protocol.iter().filter(|(_, routes)| routes.iter().any(&wanted));
        having.map(|(protocol, _)| *protocol).collect()
    }

    fn leads_over(&self, target: &RouteTarget, link: IfIndex) -> bool {
        self.hops(target).iter().any(|hop| hop.dev == Some(link))
    }

    /// The ways of a target, through nexthop objects if need be.
    fn hops(&self, target: &RouteTarget) -> Vec<Hop> {
        match target {
            RouteTarget::None => Vec::new(),
            RouteTarget::Hop(hop) => vec![hop.clone()],
            RouteTarget::Multipath(hops) => hops.clone(),
            RouteTarget::Nexthop(id) => match self.nexthops.get(id) {
                Some(NexthopTarget::Group { members, .. }) => {
                    let members = members.iter().take(MEMBERS).filter_map(|(id, _)| self.nexthops.get(id));
                    members.filter_map(single).collect()
                }
                Some(target) => single(target).into_iter().collect(),
                None => Vec::new(),
            },
        }
    }

    /// What a route means; `None`: it is no way at present.
    fn meaning(&self, route: &Route) -> Option<KernelRoute> {
        let target = match route.kind {
            RouteKind::Blackhole => KernelTarget::Blackhole,
            RouteKind::Unreachable | RouteKind::Prohibit => KernelTarget::Refused,
            RouteKind::Unicast if self.is_blackhole(&route.target) => KernelTarget::Blackhole,
            RouteKind::Unicast => {
                let hops = self.hops(&route.target);
                let working = hops.into_iter().filter_map(|hop| {
                    let dev = hop.dev.filter(|dev| self.links.get(dev).copied().unwrap_or(false))?;
                    Some(Gateway { address: hop.gateway, interface: dev.0, onlink: hop.onlink })
                });
                let mut gateways: Vec<Gateway> = working.collect();
                gateways.sort_unstable();
                gateways.dedup();
                if gateways.is_empty() {
                    return None;
                }
                KernelTarget::Gateways(gateways.into())
            }
            RouteKind::Local | RouteKind::Throw => return None,
        };
        Some(KernelRoute { metric: route.priority, protocol: route.protocol, target })
    }

    fn is_blackhole(&self, target: &RouteTarget) -> bool {
        matches!(target, RouteTarget::Nexthop(id)
            if matches!(self.nexthops.get(id), Some(NexthopTarget::Blackhole(_))))
    }

    /// Of several routes to a prefix that with the lowest metric.
    fn composed(&self) -> HashMap<Prefix, KernelRoute> {
        let mut routes: HashMap<Prefix, KernelRoute> = HashMap::new();
        for route in self.by_protocol.values().flatten() {
            let Some(meaning) = self.meaning(route) else { continue };
            match routes.entry(route.prefix) {
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(meaning);
                }
                std::collections::hash_map::Entry::Occupied(mut known) => {
                    if meaning.metric < known.get().metric {
                        known.insert(meaning);
                    }
                }
            }
        }
        routes
    }

    /// All there is now.
    pub(super) fn whole(&mut self) -> Vec<(Prefix, Option<KernelRoute>)> {
        self.told = self.composed();
        self.told.iter().map(|(prefix, route)| (*prefix, Some(route.clone()))).collect()
    }

    /// What has changed since the last time.
    pub(super) fn changes(&mut self) -> Vec<(Prefix, Option<KernelRoute>)> {
        let new = self.composed();
        let gone = self.told.keys().filter(|prefix| !new.contains_key(*prefix)).map(|prefix| (*prefix, None));
        let other = new.iter().filter(|(prefix, route)| self.told.get(*prefix) != Some(*route));
        let changes = gone.chain(other.map(|(prefix, route)| (*prefix, Some(route.clone())))).collect();
        self.told = new;
        changes
    }
}

/// Is the interface switched on, with somebody at its other end?
fn works(link: &Link) -> bool {
    link.flags.up && link.flags.carrier
}

/// The way of a nexthop object that is no group.
fn single(target: &NexthopTarget) -> Option<Hop> {
    match *target {
        NexthopTarget::Gateway { gateway, dev, onlink } => {
            Some(Hop { gateway: Some(gateway), dev: Some(dev), onlink, weight: 1 })
        }
        NexthopTarget::Dev { dev, .. } => Some(Hop::dev(dev)),
        NexthopTarget::Blackhole(_) | NexthopTarget::Group { .. } => None,
    }
}

/// May a next hop be behind it? Link-local and multicast prefixes are on every link, and some kernels list a default route to nowhere that
/// is used by nobody.
pub(super) fn is_of_interest(route: &Route) -> bool {
    let last_resort =
        route.kind == RouteKind::Unreachable && route.prefix.len() == 0 && route.priority == u32::MAX;
    let on_every_link = match route.prefix.addr() {
        IpAddr::V4(addr) => addr.is_multicast(),
        IpAddr::V6(addr) => addr.is_multicast() || addr.is_unicast_link_local(),
    };
    !last_resort && !on_every_link
}

#[cfg(test)]
mod tests;
