//! Lists of routes, a page at a time.
//!
//! A [`Listing`] remembers how far its reader is. The cost of a page is bounded by [`VISITS`], whatever is looked for; the cost of
//! a whole list is that of what can be in it where that is known beforehand: an Adj-RIB-In costs what the peer has
//! announced, a prefix and those that cover it cost a look-up each. Only what may be anywhere walks the table.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_net::{Family, Prefix};

use super::peer::PeerId;
use super::{RouteSource, Speaker};
use crate::nexthop::Ineligible;
use crate::rib::slab::SlabId;
use crate::rib::{
    Best, NetId, Path, PathId, Rejection, RouteAttributes, Selected, Selection, Step, default_nlri,
};
use crate::wire::Nlri;

/// Prefixes that one page looks at, at most.
const VISITS: usize = 4096;
/// A peer with fewer routes than this part of the table is listed by its own routes.
const SMALL_PART: usize = 4;

/// Which RIB to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RibKind {
    /// What the peer has announced, with what became of it.
    AdjRibIn(IpAddr),
    /// Of these, what the import side accepted, as it is used.
    AdjRibInAccepted(IpAddr),
    /// What is used: the best path of each prefix and those of equal cost.
    LocRib,
    /// Every path of every prefix, with what it lost by or why it was rejected.
    AllPaths,
    /// What the peer is told.
    AdjRibOut(IpAddr),
}

/// Which prefixes to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrefixMatch {
    /// All of both families.
    #[default]
    Any,
    /// All of a family.
    Family(Family),
    /// This one.
    Exact(Prefix),
    /// This one and what it covers.
    Longer(Prefix),
    /// This one and what covers it.
    Shorter(Prefix),
}

impl PrefixMatch {
    /// Is the prefix one of them?
    pub fn matches(self, prefix: Prefix) -> bool {
        match self {
            Self::Any => true,
            Self::Family(family) => prefix.family() == family,
            Self::Exact(wanted) => wanted == prefix,
            Self::Longer(wanted) => wanted.covers(prefix),
            Self::Shorter(wanted) => prefix.covers(wanted),
        }
    }
}

/// A list that is being read.
#[derive(Debug, Clone)]
pub struct Listing {
    rib: RibKind,
    wanted: PrefixMatch,
    /// Default routes that are in no table are still to be listed.
    defaults: bool,
    /// Where to go on; `None`: it is done.
    at: Option<Place>,
}

#[derive(Debug, Clone)]
enum Place {
    /// In the table, in its order.
    Table(u32),
    /// These prefixes, the next one last. A place whose prefix went may be another's by now, which
    /// is then listed, or not, by what it is.
    Chosen(Vec<NetId>),
}

impl Listing {
    /// Everything has been listed.
    pub fn is_done(&self) -> bool {
        self.at.is_none()
    }
}

/// A route in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteView {
    /// The prefix.
    pub prefix: Prefix,
    /// Where it comes from.
    pub source: RouteSource,
    /// The source's path identifier (RFC 7911), in an Adj-RIB-Out ours; 0 without.
    pub path_id: u32,
    /// Attributes and next hop: as received (Adj-RIB-In), used (Loc-RIB) or sent (Adj-RIB-Out).
    pub route: Arc<RouteAttributes>,
    /// The best path.
    pub best: bool,
    /// Used: the best path, or one of equal cost.
    pub selected: bool,
    /// Kept over a restart of the peer, not yet announced again.
    pub stale: bool,
    /// Why it is not used, if the import side rejected it.
    pub rejection: Option<Rejection>,
    /// Why it is not eligible although the import side accepted it.
    pub ineligible: Option<Ineligible>,
    /// Interior cost to its next hop; `None` if that is not reachable, or not tracked.
    pub metric: Option<u32>,
    /// For the best path: what set it apart from the second best. For others: what they lost by.
    pub decided_by: Option<Step>,
    /// For how long it has been as it is.
    pub age: Duration,
}

impl Speaker {
    /// Begins a list. The order is arbitrary; a route that comes or goes between two pages may be missed or not.
    pub fn list(&self, rib: RibKind, wanted: PrefixMatch) -> Listing {
        let table = &self.rib.table;
        let at = match (wanted, rib) {
            (PrefixMatch::Exact(prefix), _) => Place::Chosen(table.find(prefix).into_iter().collect()),
            (PrefixMatch::Shorter(prefix), _) => {
                let lengths = (0..=prefix.len()).rev();
                let covering = lengths.filter_map(|len| Prefix::containing(prefix.addr(), len));
                Place::Chosen(covering.filter_map(|covering| table.find(covering)).collect())
            }
            (_, RibKind::AdjRibIn(address) | RibKind::AdjRibInAccepted(address)) => self.places_of(address),
            _ => Place::Table(0),
        };
        Listing { rib, wanted, defaults: true, at: Some(at) }
    }

    /// The default routes that a peer is sent in place of any others.
    fn defaults_told(&self, rib: RibKind) -> impl Iterator<Item = RouteView> {
        let peer = if let RibKind::AdjRibOut(peer) = rib { self.by_address.get(&peer) } else { None };
        let session = peer.and_then(|id| self.peers[*id].session.as_ref());
        let treatment = session.map(|session| &self.rib.groups[session.group].group.treatment);
        Family::ALL.into_iter().filter_map(move |family| {
            let (attributes, next_hop) = treatment?.default_route(family)?;
            Some(RouteView {
                prefix: default_nlri(family)?.prefix,
                source: RouteSource::Local("default-originate".into()),
                path_id: 0,
                route: Arc::new(RouteAttributes::detached(attributes, next_hop)),
                best: true,
                selected: true,
                stale: false,
                rejection: None,
                ineligible: None,
                metric: None,
                decided_by: None,
                age: Duration::ZERO,
            })
        })
    }

    /// The prefixes that a peer has announced, where that is a small part of the table.
    fn places_of(&self, address: IpAddr) -> Place {
        let Some(id) = self.by_address.get(&address) else { return Place::Chosen(Vec::new()) };
        let source = self.peers[*id].source;
        let table = &self.rib.table;
        let own: u32 =
            Family::ALL.into_iter().map(|family| table.sources[source].counts(family).received).sum();
        if own as usize > table.nets.places() / SMALL_PART {
            return Place::Table(0);
        }
        let first = table.next_of_source(source, PathId::NONE);
        let paths = std::iter::successors(first, |path| table.next_of_source(source, *path));
        let mut nets: Vec<NetId> = paths.map(|path| table.paths[path].net).collect();
        // A prefix with several paths of the peer (RFC 7911) is listed once, with all of them.
        nets.sort_unstable_by(|left, right| right.cmp(left));
        nets.dedup();
        Place::Chosen(nets)
    }

    /// The next page: about `limit` routes, or fewer where much was passed over. It may be empty before the list is done.
    pub fn next_page(&self, listing: &mut Listing, limit: usize) -> Vec<RouteView> {
        let nets = &self.rib.table.nets;
        let mut routes = Vec::new();
        if std::mem::take(&mut listing.defaults) {
            let wanted = listing.wanted;
            routes.extend(self.defaults_told(listing.rib).filter(|view| wanted.matches(view.prefix)));
        }
        for _ in 0..VISITS {
            if routes.len() >= limit {
                break;
            }
            let net = match &mut listing.at {
                None => break,
                Some(Place::Chosen(chosen)) => chosen.pop(),
                Some(Place::Table(place)) => {
                    let net = NetId::from_place(*place);
                    *place += 1;
                    ((*place as usize) <= nets.places()).then_some(net)
                }
            };
            let Some(net) = net else {
                listing.at = None;
                break;
            };
            if nets.get(net).is_some_and(|entry| listing.wanted.matches(entry.prefix)) {
                self.list_net(listing.rib, net, &mut routes);
            }
        }
        routes
    }

    /// A whole list at once, for what is small.
    pub fn routes(&self, rib: RibKind) -> Vec<RouteView> {
        let mut listing = self.list(rib, PrefixMatch::Any);
        let mut routes = Vec::new();
        while !listing.is_done() {
            routes.extend(self.next_page(&mut listing, usize::MAX));
        }
        routes
    }

    /// All paths of a prefix with what decided between them, the best one first.
    pub fn explain(&self, prefix: Prefix) -> Vec<RouteView> {
        let mut routes = Vec::new();
        if let Some(net) = self.rib.table.find(prefix) {
            self.list_net(RibKind::AllPaths, net, &mut routes);
        }
        let unused = |route: &RouteView| route.rejection.is_some() || route.ineligible.is_some();
        routes.sort_by_key(|route| (!route.best, !route.selected, unused(route)));
        routes
    }

    /// How many prefixes and attribute sets there are.
    pub fn table_size(&self) -> (usize, usize) {
        (self.rib.table.len(), self.rib.interner.len())
    }

    fn list_net(&self, rib: RibKind, net: NetId, routes: &mut Vec<RouteView>) {
        let table = &self.rib.table;
        let chosen = if matches!(rib, RibKind::AdjRibOut(_)) { None } else { self.chosen(net) };
        match rib {
            RibKind::LocRib => {
                let best = table.nets[net].best;
                let used = table.paths_of(net).filter(|(id, path)| *id == best || path.selected);
                routes.extend(used.filter_map(|(id, path)| self.path_view(net, id, path, chosen)));
            }
            RibKind::AllPaths => {
                routes.extend(
                    table.paths_of(net).filter_map(|(id, path)| self.path_view(net, id, path, chosen)),
                );
            }
            RibKind::AdjRibIn(address) => {
                let Some(peer) = self.by_address.get(&address).map(|id| self.peers[*id].source) else {
                    return;
                };
                let own = table.paths_of(net).filter(|(_, path)| path.source == peer);
                routes.extend(own.filter_map(|(id, path)| {
                    Some(RouteView {
                        route: Arc::clone(&path.received),
                        ..self.path_view(net, id, path, chosen)?
                    })
                }));
            }
            RibKind::AdjRibInAccepted(address) => {
                let Some(peer) = self.by_address.get(&address).map(|id| self.peers[*id].source) else {
                    return;
                };
                let own = table.paths_of(net).filter(|(_, path)| path.source == peer);
                let accepted = own.filter(|(_, path)| path.accepted().is_some());
                routes.extend(accepted.filter_map(|(id, path)| self.path_view(net, id, path, chosen)));
            }
            RibKind::AdjRibOut(address) => {
                let Some(id) = self.by_address.get(&address).copied() else { return };
                self.told(id, net, routes);
            }
        }
    }

    /// What a peer is told of a prefix, with the identifiers that it is told it with.
    fn told(&self, id: PeerId, net: NetId, routes: &mut Vec<RouteView>) {
        let peer = &self.peers[id];
        let Some(session) = &peer.session else { return };
        let treatment = &self.rib.groups[session.group].group.treatment;
        let table = &self.rib.table;
        let chosen = self.chosen(net);
        let family = table.nets[net].prefix.family();
        let sent = |nlri: Nlri, route: &Best| {
            let source = &table.sources[route.source];
            let filtered = treatment.filter(nlri.prefix, &route.attributes, source).0?;
            let (attributes, next_hop) = treatment.transform(family, &route.attributes, &filtered, source)?;
            let path = table.path_sent_as(net, nlri)?;
            let view = self.path_view(net, path, &table.paths[path], chosen)?;
            let route = Arc::new(RouteAttributes::detached(attributes, next_hop));
            Some(RouteView { route, path_id: nlri.path_id, ..view })
        };
        treatment.each_route(table, net, |nlri, route| {
            let told = Some(route).filter(|route| route.source != peer.source);
            routes.extend(told.and_then(|route| sent(nlri, &route)));
        });
    }

    fn path_view(&self, net: NetId, id: PathId, path: &Path, chosen: Option<Selected>) -> Option<RouteView> {
        let best = self.rib.table.nets[net].best;
        let now = self.now.duration_since(self.started);
        let (table, tracked) = (&self.rib.table, self.rib.table.hops.is_tracked());
        let reach = path.accepted().filter(|_| tracked);
        let reach = reach.map(|route| table.reach(path, route));
        Some(RouteView {
            prefix: self.rib.table.nets[net].prefix,
            source: self.rib.names.get(&path.source)?.clone(),
            path_id: path.path_id,
            route: Arc::clone(path.accepted().unwrap_or(&path.received)),
            best: id == best,
            selected: id == best || path.selected,
            stale: path.stale,
            rejection: path.rejection(),
            ineligible: reach.and_then(Result::err),
            metric: reach.and_then(Result::ok).map(|reach| reach.metric),
            decided_by: chosen.and_then(|chosen| self.decided_by(id, path, chosen)),
            age: now.saturating_sub(Duration::from_secs(path.learned.into())),
        })
    }

    fn selection(&self) -> Option<Selection<'_>> {
        let config = self.config.as_ref()?;
        Some(Selection { config: &config.best_path })
    }

    fn chosen(&self, net: NetId) -> Option<Selected> {
        self.selection()?.choose(&self.rib.table, net)
    }

    fn decided_by(&self, id: PathId, path: &Path, chosen: Selected) -> Option<Step> {
        if chosen.best == id {
            return Some(chosen.step);
        }
        let (selection, table) = (self.selection()?, &self.rib.table);
        let best = selection.candidate(table, &table.paths[chosen.best])?;
        let always = selection.config.always_compare_med;
        Some(best.compare(&selection.candidate(table, path)?, always).1)
    }
}
