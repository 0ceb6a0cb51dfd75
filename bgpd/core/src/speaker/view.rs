//! Peers as they can be looked at.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_net::{Asn, Family, RouterId};

use super::peer::Peer;
use super::{DownReason, Opens, Speaker};
use crate::fsm::State;
use crate::rib::{SourceCounts, SourceKind};
use crate::wire::{MessageType, Negotiated, Notification};

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
    /// How often it went down again.
    pub dropped: u64,
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

    /// Counts a control message by its type octet, and says which it is.
    pub(super) fn sent(&mut self, message: &Bytes) -> Option<MessageType> {
        const TYPE: usize = 18;
        let kind = message.get(TYPE).copied().and_then(MessageType::from_wire)?;
        match kind {
            MessageType::Open => self.opens_sent += 1,
            MessageType::Keepalive => self.keepalives_sent += 1,
            MessageType::RouteRefresh => self.route_refreshes_sent += 1,
            // Counted where they are made.
            MessageType::Update | MessageType::Notification => {}
        }
        Some(kind)
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
    /// The AS that it sees.
    pub local_as: Asn,
    /// External, internal, or a client that we reflect for.
    pub kind: SourceKind,
    /// The state.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// When a session last came up or went down; `None`: none ever came up.
    pub turned: Option<Instant>,
    /// The session; `None` unless Established.
    pub session: Option<SessionView>,
    /// By family of the configuration.
    pub families: Vec<FamilyView>,
    /// Messages.
    pub counters: Counters,
    /// The last failure, and when it was.
    pub last_error: Option<(Instant, DownReason)>,
    /// The last NOTIFICATION to the peer.
    pub notification_sent: Option<NotificationView>,
    /// The last NOTIFICATION of the peer.
    pub notification_received: Option<NotificationView>,
    /// What happens next if nothing else does.
    pub timers: TimerView,
    /// Our end and the peer's, while there is a connection.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// Prefixes that it is to be told anew, because it has read so slowly that their messages were given up.
    pub queued_prefixes: usize,
    /// Why nothing, or not everything, is exchanged.
    pub notes: Vec<String>,
}

/// A NOTIFICATION, and when it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationView {
    /// When.
    pub at: Instant,
    /// Which.
    pub notification: Notification,
}

/// Deadlines of a peer; `None`: the timer does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimerView {
    /// The next attempt to connect, or the end of the present one.
    pub connect: Option<Instant>,
    /// End of patience with a silent peer.
    pub hold: Option<Instant>,
    /// Our next KEEPALIVE.
    pub keepalive: Option<Instant>,
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
    /// Both OPENs.
    pub opens: Opens,
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

impl Speaker {
    /// All peers, in the order of their addresses.
    pub fn peers(&self) -> Vec<PeerView> {
        let mut peers: Vec<PeerView> = self.peers.iter().map(|(_, peer)| self.peer_view(peer)).collect();
        peers.sort_by_key(|peer| peer.address);
        peers
    }

    /// So many of them at most whose addresses come after this one.
    pub fn peers_after(&self, after: Option<IpAddr>, most: usize) -> Vec<PeerView> {
        let mut addresses: Vec<IpAddr> =
            self.by_address.keys().copied().filter(|address| Some(*address) > after).collect();
        if addresses.len() > most {
            addresses.select_nth_unstable(most);
            addresses.truncate(most);
        }
        addresses.sort_unstable();
        addresses.into_iter().filter_map(|address| self.peer(address)).collect()
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
            local_as: self.config.as_ref().map_or(Asn::ZERO, |config| config.session_asn(&peer.config)),
            kind: source.kind,
            state: peer.state.0,
            since: peer.state.1,
            turned: peer.turned,
            session: self.session_view(peer),
            families: families.collect(),
            counters: peer.counters,
            last_error: peer.last_error.clone(),
            notification_sent: notification(&peer.notification_sent),
            notification_received: notification(&peer.notification_received),
            timers: timers(peer),
            ends: self.ends(peer),
            queued_prefixes: peer.session.as_ref().map_or(0, |session| session.cursor.missed()),
            notes: self.notes(peer),
        }
    }

    fn notes(&self, peer: &Peer) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(text) = &peer.stopped {
            notes.push(if text.is_empty() { "stopped by the operator".to_owned() } else { text.clone() });
        }
        if peer.session.is_none() && peer.is_enabled() && peer.waits_for_bfd() {
            notes.push("waits for BFD (strict)".to_owned());
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

    /// Both ends of the session, or of the connection that may become one.
    fn ends(&self, peer: &Peer) -> Option<(SocketAddr, SocketAddr)> {
        let session = peer.session.as_ref().map(|session| session.conn);
        let conn = session.or_else(|| peer.connected().find_map(|(_, fsm)| fsm.conn()))?;
        self.connections.get(&conn)?.ends
    }

    fn session_view(&self, peer: &Peer) -> Option<SessionView> {
        let session = peer.session.as_ref()?;
        let machines = peer.connected().map(|(_, fsm)| fsm);
        let agreement =
            machines.filter(|fsm| fsm.conn() == Some(session.conn)).find_map(|fsm| fsm.agreement())?;
        let opens = self.connections.get(&session.conn).map(|connection| connection.opens.clone());
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
            opens: opens.unwrap_or_default(),
        })
    }
}

fn notification(last: &Option<(Instant, Notification)>) -> Option<NotificationView> {
    let (at, notification) = last.as_ref()?;
    Some(NotificationView { at: *at, notification: notification.clone() })
}

/// The timers of the machine that is furthest; the attempt to connect is the connector's whatever else there is.
fn timers(peer: &Peer) -> TimerView {
    let connect = peer.connector.timers();
    let furthest = peer.connected().map(|(_, fsm)| fsm).max_by_key(|fsm| fsm.state());
    let talking = furthest.map(crate::fsm::Fsm::timers);
    TimerView {
        connect: connect.idle_hold.or(connect.connect_retry),
        hold: talking.and_then(|timers| timers.hold),
        keepalive: talking.and_then(|timers| timers.keepalive),
    }
}
