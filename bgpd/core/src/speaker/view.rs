//! What can be looked at: peers, and the three kinds of RIB.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_net::{Asn, Family, Prefix, RouterId};

use super::peer::{Peer, PeerId};
use super::{DownReason, RouteSource, Speaker};
use crate::fsm::State;
use crate::rib::slab::SlabId;
use crate::rib::{
    NetId, Path, PathId, Rejection, RouteAttributes, Selection, SourceCounts, SourceKind, Step,
};
use crate::wire::{MessageType, Negotiated};

/// Messages since the peer was configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)] // the names say it
pub struct Counters {
    pub opens_received: u64,
    pub opens_sent: u64,
    pub updates_received: u64,
    pub updates_sent: u64,
    pub notifications_received: u64,
    pub notifications_sent: u64,
    pub keepalives_received: u64,
    pub keepalives_sent: u64,
    pub route_refreshes_received: u64,
    pub route_refreshes_sent: u64,
    /// How often the session came up.
    pub established: u64,
}

impl Counters {
    pub(super) fn received(&mut self, kind: MessageType) {
        *match kind {
            MessageType::Open => &mut self.opens_received,
            MessageType::Update => &mut self.updates_received,
            MessageType::Notification => &mut self.notifications_received,
            MessageType::Keepalive => &mut self.keepalives_received,
            MessageType::RouteRefresh => &mut self.route_refreshes_received,
        } += 1;
    }

    /// Counts a control message by its type octet.
    pub(super) fn sent(&mut self, message: &Bytes) {
        const TYPE: usize = 18;
        match message.get(TYPE) {
            Some(1) => self.opens_sent += 1,
            Some(4) => self.keepalives_sent += 1,
            Some(5) => self.route_refreshes_sent += 1,
            _ => {}
        }
    }
}

/// A peer as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerView {
    /// Its address.
    pub address: IpAddr,
    /// Free text of the configuration.
    pub description: String,
    /// Its AS, as configured.
    pub asn: Asn,
    /// External, internal, or a client that we reflect for.
    pub kind: SourceKind,
    /// The state.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// The session; `None` unless Established.
    pub session: Option<SessionView>,
    /// By family of the configuration.
    pub families: Vec<FamilyView>,
    /// Messages.
    pub counters: Counters,
    /// The last failure, and when it was.
    pub last_error: Option<(Instant, DownReason)>,
    /// Why nothing, or not everything, is exchanged.
    pub notes: Vec<String>,
}

/// An Established session.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionView {
    /// The peer's identifier.
    pub router_id: RouterId,
    /// Our address.
    pub local: Option<IpAddr>,
    /// What was agreed on.
    pub negotiated: Negotiated,
    /// Hold time; zero: off.
    pub hold_time: Duration,
    /// Time between our KEEPALIVEs; zero: none.
    pub keepalive: Duration,
    /// The peer's restart time, if it does graceful restart.
    pub restart_time: Option<Duration>,
}

/// Routes of a family with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyView {
    /// Which.
    pub family: Family,
    /// What came from the peer.
    pub counts: SourceCounts,
    /// How many prefixes it is told of.
    pub advertised: u32,
    /// It has sent End-of-RIB.
    pub end_of_rib: bool,
}

/// Which RIB to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RibKind {
    /// What the peer has announced, with what became of it.
    AdjRibIn(IpAddr),
    /// What is used: the best path of each prefix and those of equal cost.
    LocRib,
    /// What the peer is told.
    AdjRibOut(IpAddr),
}

/// Where to go on with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page(u32);

/// A route in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteView {
    /// The prefix.
    pub prefix: Prefix,
    /// Where it comes from.
    pub source: RouteSource,
    /// The source's path identifier (RFC 7911); 0 without.
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
    /// For the best path: what set it apart from the second best. For others: what they lost by.
    pub decided_by: Option<Step>,
    /// For how long it has been as it is.
    pub age: Duration,
}

impl Speaker {
    /// All peers, in the order of their addresses.
    pub fn peers(&self) -> Vec<PeerView> {
        let mut peers: Vec<PeerView> = self.peers.iter().map(|(_, peer)| self.peer_view(peer)).collect();
        peers.sort_by_key(|peer| peer.address);
        peers
    }

    /// One peer.
    pub fn peer(&self, address: IpAddr) -> Option<PeerView> {
        self.by_address.get(&address).map(|id| self.peer_view(&self.peers[*id]))
    }

    fn peer_view(&self, peer: &Peer) -> PeerView {
        let source = &self.rib.table.sources[peer.source];
        let families = peer.config.families.iter().map(|family| FamilyView {
            family,
            counts: source.counts(family),
            advertised: peer
                .session
                .as_ref()
                .map_or(0, |session| self.rib.groups[session.group].group.exported_to(peer.source, family)),
            end_of_rib: peer.session.as_ref().is_some_and(|session| session.complete.contains(family)),
        });
        PeerView {
            address: peer.address,
            description: peer.config.description.clone(),
            asn: peer.config.asn,
            kind: source.kind,
            state: peer.state.0,
            since: peer.state.1,
            session: session_view(peer),
            families: families.collect(),
            counters: peer.counters,
            last_error: peer.last_error.clone(),
            notes: self.notes(peer),
        }
    }

    fn notes(&self, peer: &Peer) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(text) = &peer.stopped {
            notes.push(if text.is_empty() { "stopped by the operator".to_owned() } else { text.clone() });
        }
        let Some(session) = &peer.session else { return notes };
        let treatment = &self.rib.groups[session.group].group.treatment;
        if session.import.denied {
            notes.push("nothing is accepted: eBGP without an import policy (RFC 8212)".to_owned());
        }
        if treatment.denied {
            notes.push("nothing is announced: eBGP without an export policy (RFC 8212)".to_owned());
        }
        for family in peer.config.families.iter() {
            if !session.negotiated.families.contains(family) {
                notes.push(format!("the peer does not support {family}"));
            } else if treatment.local.of(family).is_none() {
                notes.push(format!("{family} routes that need our own address as next hop are not announced: the session's interface has none of that family, and nextHopAddresses neither"));
            }
        }
        notes
    }

    /// A part of a list: at most about `limit` routes, and where to go on, if anywhere. From the beginning with `Page::default()`.
    ///
    /// The order is arbitrary but stable; a route that comes or goes between two pages may be missed or not.
    pub fn routes(&self, rib: RibKind, page: Page, limit: usize) -> (Vec<RouteView>, Option<Page>) {
        let mut routes = Vec::new();
        let end = u32::try_from(self.rib.table.nets.places()).unwrap_or(u32::MAX);
        for place in page.0..end {
            if routes.len() >= limit {
                return (routes, Some(Page(place)));
            }
            let net = NetId::from_place(place);
            if self.rib.table.nets.get(net).is_some() {
                self.list(rib, net, &mut routes);
            }
        }
        (routes, None)
    }

    /// All paths of a prefix with what decided between them, the best one first.
    pub fn explain(&self, prefix: Prefix) -> Vec<RouteView> {
        let Some(net) = self.rib.table.find(prefix) else { return Vec::new() };
        let paths = self.rib.table.paths_of(net);
        let mut routes: Vec<_> = paths.filter_map(|(id, path)| self.path_view(net, id, path)).collect();
        routes.sort_by_key(|route| (!route.best, !route.selected, route.rejection.is_some()));
        routes
    }

    /// How many prefixes and attribute sets there are.
    pub fn table_size(&self) -> (usize, usize) {
        (self.rib.table.len(), self.rib.interner.len())
    }

    fn list(&self, rib: RibKind, net: NetId, routes: &mut Vec<RouteView>) {
        let table = &self.rib.table;
        match rib {
            RibKind::LocRib => {
                let best = table.nets[net].best;
                let used = table.paths_of(net).filter(|(id, path)| *id == best || path.selected);
                routes.extend(used.filter_map(|(id, path)| self.path_view(net, id, path)));
            }
            RibKind::AdjRibIn(address) => {
                let Some(peer) = self.by_address.get(&address).map(|id| self.peers[*id].source) else {
                    return;
                };
                let own = table.paths_of(net).filter(|(_, path)| path.source == peer);
                routes.extend(own.filter_map(|(id, path)| {
                    Some(RouteView { route: Arc::clone(&path.received), ..self.path_view(net, id, path)? })
                }));
            }
            RibKind::AdjRibOut(address) => {
                let Some(id) = self.by_address.get(&address).copied() else { return };
                routes.extend(self.told(id, net));
            }
        }
    }

    /// What a peer is told of a prefix.
    fn told(&self, id: PeerId, net: NetId) -> Option<RouteView> {
        let peer = &self.peers[id];
        let treatment = &self.rib.groups[peer.session.as_ref()?.group].group.treatment;
        let table = &self.rib.table;
        let best_id = table.nets[net].best.some()?;
        let best = table.best(net).filter(|best| best.source != peer.source)?;
        let source = &table.sources[best.source];
        let prefix = table.nets[net].prefix;
        let filtered = treatment.filter(prefix, &best.attributes, source).0?;
        let (attributes, next_hop) =
            treatment.transform(prefix.family(), &best.attributes, &filtered, source)?;
        let view = self.path_view(net, best_id, &table.paths[best_id])?;
        Some(RouteView { route: Arc::new(RouteAttributes::detached(attributes, next_hop)), ..view })
    }

    fn path_view(&self, net: NetId, id: PathId, path: &Path) -> Option<RouteView> {
        let best = self.rib.table.nets[net].best;
        let now = self.now.duration_since(self.started);
        Some(RouteView {
            prefix: self.rib.table.nets[net].prefix,
            source: self.rib.names.get(&path.source)?.clone(),
            path_id: path.path_id,
            route: Arc::clone(path.accepted().unwrap_or(&path.received)),
            best: id == best,
            selected: id == best || path.selected,
            stale: path.stale,
            rejection: path.rejection(),
            decided_by: self.decided_by(net, id, path),
            age: now.saturating_sub(Duration::from_secs(path.learned.into())),
        })
    }

    fn decided_by(&self, net: NetId, id: PathId, path: &Path) -> Option<Step> {
        let config = self.config.as_ref()?;
        let table = &self.rib.table;
        let selection = Selection { config: &config.best_path, metrics: &self.rib.metrics };
        let chosen = selection.choose(table, net)?;
        if chosen.best == id {
            return Some(chosen.step);
        }
        let best = selection.candidate(table, &table.paths[chosen.best])?;
        Some(best.compare(&selection.candidate(table, path)?, config.best_path.always_compare_med).1)
    }
}

fn session_view(peer: &Peer) -> Option<SessionView> {
    let session = peer.session.as_ref()?;
    let machines = peer.connected().map(|(_, fsm)| fsm);
    let agreement =
        machines.filter(|fsm| fsm.conn() == Some(session.conn)).find_map(|fsm| fsm.agreement())?;
    Some(SessionView {
        router_id: session.router_id,
        local: session.import.local,
        negotiated: session.negotiated,
        hold_time: agreement.hold_time,
        keepalive: agreement.keepalive,
        restart_time: session
            .restart
            .as_ref()
            .map(|restart| Duration::from_secs(restart.restart_time.into())),
    })
}
