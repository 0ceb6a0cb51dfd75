//! What those who record the speaker are told. See [`crate::monitor`].

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cairn_net::Families;

use super::peer::PeerId;
use super::{ConnId, DownReason, Speaker};
use crate::fsm::State;
use crate::monitor::bgp4mp::Ends;
use crate::monitor::{MonitorEvent, MonitoredPeer, MonitoredRoute, Scope};
use crate::rib::{Change, RouteAttributes};
use crate::wire::{EncodeContext, Frame, Negotiated, Nlri, Unreach, Update, encode_unreach};

/// Who listens, and what they have not been told yet. The shell takes it after each turn.
#[derive(Debug, Default)]
pub(super) struct Monitor {
    scope: Scope,
    events: VecDeque<MonitorEvent>,
}

impl Monitor {
    pub(super) fn push(&mut self, event: MonitorEvent) {
        if self.scope.any() {
            self.events.push_back(event);
        }
    }
}

impl Speaker {
    /// Begins, ends or changes what [`Speaker::poll_monitor`] tells.
    pub fn monitor(&mut self, scope: Scope) {
        self.monitor.scope = scope;
        if !scope.any() {
            self.monitor.events = VecDeque::new();
        }
    }

    /// The next event for those who record; call until `None` after each turn, for nothing else empties the queue.
    pub fn poll_monitor(&mut self) -> Option<MonitorEvent> {
        self.monitor.events.pop_front()
    }

    /// The session of an Established peer, as a monitor sees it.
    pub fn monitored(&self, peer: IpAddr) -> Option<MonitoredPeer> {
        self.monitored_peer(*self.by_address.get(&peer)?)
    }

    fn monitored_peer(&self, id: PeerId) -> Option<MonitoredPeer> {
        let peer = &self.peers[id];
        let session = peer.session.as_ref()?;
        let connection = self.connections.get(&session.conn)?;
        Some(MonitoredPeer {
            ends: connection.ends?,
            asn: session.negotiated.peer_as,
            local_asn: self.config.as_ref()?.asn_towards(&peer.config),
            router_id: session.router_id,
            four_octet_as: session.negotiated.four_octet_as,
            families: session.negotiated.families,
            receive: receive_context(&session.negotiated),
            send: EncodeContext::new(&session.negotiated),
            opens: connection.opens.clone(),
        })
    }

    pub(super) fn monitor_up(&mut self, id: PeerId) {
        if self.monitor.scope.any()
            && let Some(session) = self.monitored_peer(id)
        {
            let peer = self.peers[id].address;
            self.monitor.push(MonitorEvent::Up { peer, session: Box::new(session) });
        }
    }

    pub(super) fn monitor_down(&mut self, id: PeerId, reason: &DownReason) {
        let peer = &self.peers[id];
        // The NOTIFICATION that ended this session was sent at this very moment.
        let sent = peer.notification_sent.as_ref().filter(|(at, _)| *at == self.now);
        let sent = sent.map(|(_, notification)| notification.clone());
        self.monitor.push(MonitorEvent::Down { peer: peer.address, reason: reason.clone(), sent });
    }

    pub(super) fn monitor_state(&mut self, id: PeerId, from: State, to: State) {
        if !self.monitor.scope.states {
            return;
        }
        let peer = &self.peers[id];
        let Some(config) = &self.config else { return };
        let conn = peer.session.as_ref().map(|session| session.conn).or(peer.attempt);
        let ends = conn.and_then(|conn| self.connections.get(&conn)?.ends);
        let ends = Ends {
            peer: peer.address,
            peer_as: peer.config.asn,
            local: ends.map(|(local, _)| local.ip().to_canonical()).or(peer.config.transport.local),
            local_as: config.asn_towards(&peer.config),
        };
        self.monitor.push(MonitorEvent::State { ends, from, to });
    }

    /// Shows an UPDATE of an Established peer.
    pub(super) fn monitor_received(&mut self, id: PeerId, conn: ConnId, frame: &Frame, update: &Update) {
        if !self.monitor.scope.pre_policy {
            return;
        }
        let Some(session) = self.peers[id].session.as_ref().filter(|session| session.conn == conn) else {
            return;
        };
        let add_path = session.negotiated.add_path_receive;
        let unreach = update.unreach.iter().map(|part| part.family);
        let families: Families = update.reach.iter().map(|part| part.family).chain(unreach).collect();
        let path_ids = if families == Families::NONE {
            add_path != Families::NONE
        } else {
            families.iter().any(|family| add_path.contains(family))
        };
        let message = frame.encode();
        let update = if update.faults.is_empty() {
            Some(message.clone())
        } else {
            self.monitored_withdrawal(id, &update.unreach)
        };
        self.monitor.push(MonitorEvent::Received { peer: self.peers[id].address, message, path_ids, update });
    }

    /// Shows an UPDATE that ends its session.
    pub(super) fn monitor_malformed(&mut self, id: PeerId, frame: &Frame) {
        let peer = &self.peers[id];
        if let Some(session) = &peer.session
            && self.monitor.scope.pre_policy
        {
            let path_ids = session.negotiated.add_path_receive != Families::NONE;
            let event = MonitorEvent::Received {
                peer: peer.address,
                message: frame.encode(),
                path_ids,
                update: None,
            };
            self.monitor.push(event);
        }
    }

    fn monitored_withdrawal(&self, id: PeerId, unreach: &[Unreach]) -> Option<Bytes> {
        let context = receive_context(&self.peers[id].session.as_ref()?.negotiated);
        let mut out = BytesMut::new();
        for part in unreach {
            encode_unreach(part.family, part.nlri.iter().copied(), &context, &mut out);
        }
        (!out.is_empty()).then(|| out.freeze())
    }

    /// Shows what the import side made of routes.
    pub(super) fn monitor_judged(
        &mut self,
        id: PeerId,
        routes: impl IntoIterator<Item = (Nlri, Option<Arc<RouteAttributes>>)>,
    ) {
        if self.monitor.scope.post_policy {
            let routes: Vec<_> =
                routes.into_iter().map(|(nlri, route)| MonitoredRoute { nlri, route }).collect();
            let peer = self.peers[id].address;
            self.monitor.push(MonitorEvent::Judged { peer, routes });
        }
    }

    /// Shows that routes of an Established peer went without its word. Of one without session all was said with its end.
    pub(super) fn monitor_swept(&mut self, id: PeerId, gone: Vec<Nlri>) {
        let peer = &self.peers[id];
        if !gone.is_empty() && peer.session.is_some() {
            let peer = peer.address;
            let routes = gone.into_iter().map(|nlri| MonitoredRoute { nlri, route: None }).collect();
            self.monitor.push(MonitorEvent::Swept { peer, routes });
        }
    }

    /// Are the routes of a peer wanted?
    pub(super) fn monitors_received(&self) -> bool {
        self.monitor.scope.pre_policy || self.monitor.scope.post_policy
    }

    /// Is what the import side makes of routes wanted?
    pub(super) fn monitors_post_policy(&self) -> bool {
        self.monitor.scope.post_policy
    }

    pub(super) fn monitor_selected(&mut self, changes: &[Change]) {
        if self.monitor.scope.loc_rib && !changes.is_empty() {
            let route = |change: &Change| MonitoredRoute {
                nlri: change.prefix.into(),
                route: change.new.as_ref().map(|best| Arc::clone(&best.attributes)),
            };
            self.monitor.push(MonitorEvent::Selected { routes: changes.iter().map(route).collect() });
        }
    }

    pub(super) fn monitor_sent(&mut self, peer: IpAddr, updates: &[Bytes]) {
        if self.monitor.scope.adj_out {
            for updates in updates {
                self.monitor.push(MonitorEvent::Sent { peer, updates: updates.clone() });
            }
        }
    }
}

/// The form of what a peer sends.
fn receive_context(negotiated: &Negotiated) -> EncodeContext {
    EncodeContext { add_path: negotiated.add_path_receive, ..EncodeContext::new(negotiated) }
}
