//! Connections and messages to the state machines, and what the machines want done.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;

use super::connection::Connection;
use super::peer::{Machine, PeerId, jitter, settings};
use super::{ConnId, Direction, DownReason, Output, PeerChange, Speaker, TcpOptions};
use crate::fsm::{Action, Contender, Event, Fsm, State, Survivor, resolve};
use crate::wire::{
    CeaseError, DecodeContext, EXTENDED_MAX_MESSAGE_LEN, Frame, Message, MessageType, Notification,
    NotificationCode, Open, PeerKind,
};

/// A second connection this soon after a session came up is a collision, not a restart of the peer.
pub(super) const COLLISION_TIME: std::time::Duration = std::time::Duration::from_secs(3);

impl Speaker {
    pub(super) fn connection_opened(
        &mut self,
        conn: ConnId,
        direction: Direction,
        (local, remote): (SocketAddr, SocketAddr),
    ) {
        match direction {
            Direction::Outbound => {
                let Some(connection) = self.connections.get_mut(&conn) else {
                    // An attempt that was given up in the meantime.
                    self.outputs.push_back(Output::Close { conn, last: Bytes::new() });
                    return;
                };
                connection.ends = Some((local, remote));
                let peer = connection.peer;
                self.refresh_settings(peer);
                self.drive(peer, Machine::Connector, Event::ConnectionOpened(conn));
            }
            Direction::Inbound => self.accept(conn, local, remote),
        }
    }

    fn accept(&mut self, conn: ConnId, local: SocketAddr, remote: SocketAddr) {
        let welcome = self.welcome(local.ip(), remote.ip());
        let Some(id) =
            welcome.or_else(|| self.add_dynamic(remote.ip()).filter(|id| self.peers[*id].is_enabled()))
        else {
            let last = Notification::cease(CeaseError::ConnectionRejected).encode();
            self.outputs.push_back(Output::Close { conn, last });
            return;
        };
        if self.peers[id].waits_for_bfd() {
            // Without a NOTIFICATION, after which some would not try again for a minute.
            self.outputs.push_back(Output::Close { conn, last: Bytes::new() });
            return;
        }
        // Who connects twice means the second one.
        let waiting: Vec<Machine> = self.peers[id]
            .connected()
            .filter(|(_, fsm)| fsm.direction() == Direction::Inbound && fsm.state() != State::Established)
            .map(|(machine, _)| machine)
            .collect();
        for machine in waiting {
            self.stop_machine(id, machine, CeaseError::ConnectionCollisionResolution, DownReason::Collision);
        }
        let Some(settings) = self.settings_of(id) else { return };
        let Some(config) = &self.config else { return };
        let jitter = jitter(config.router_id, remote.ip());
        let mut fsm = Fsm::accepting(settings, jitter);
        let mut actions = Vec::new();
        fsm.handle(self.now, Event::ConnectionOpened(conn), &mut actions);
        self.peers[id].accepted.push(fsm);
        let mut connection = Connection::new(id);
        connection.ends = Some((local, remote));
        self.connections.insert(conn, connection);
        self.perform(id, Machine::Accepted(conn), Some(conn), actions);
    }

    /// The peer that may connect from there to here.
    fn welcome(&self, local: IpAddr, remote: IpAddr) -> Option<PeerId> {
        let id = self.by_address.get(&remote.to_canonical()).copied()?;
        let peer = &self.peers[id];
        let expected = peer.config.transport.local.is_none_or(|addr| addr == local.to_canonical());
        (peer.is_enabled() && expected).then_some(id)
    }

    pub(super) fn settings_of(&self, id: PeerId) -> Option<Arc<crate::fsm::Settings>> {
        let peer = &self.peers[id];
        let config = self.config.as_ref()?;
        let restarted = self.startup.as_ref().is_some_and(|startup| startup.restarting);
        Some(Arc::new(settings(config, &peer.config, peer.address, restarted)))
    }

    pub(super) fn refresh_settings(&mut self, id: PeerId) {
        if let Some(settings) = self.settings_of(id) {
            self.peers[id].connector.configure(settings);
        }
    }

    /// An event of a connection that may be gone.
    pub(super) fn connection_event(&mut self, conn: ConnId, event: Event) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.gone |= matches!(event, Event::ConnectFailed(_) | Event::ConnectionClosed(_));
            let peer = connection.peer;
            let machine = self.peers[peer].machine_of(conn);
            self.drive(peer, machine, event);
        }
    }

    /// Bytes came: cut them into messages, and handle each.
    pub(super) fn received(&mut self, conn: ConnId, bytes: Bytes) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.framer.push_shared(bytes);
        loop {
            // Any message may have ended the connection.
            let Some(connection) = self.connections.get_mut(&conn) else { return };
            let peer = connection.peer;
            match connection.framer.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => {
                    self.message(peer, conn, &frame);
                    self.flush_part();
                }
                Err(notification) => {
                    // What follows cannot be cut into messages any more, whether somebody ends the connection or nobody does.
                    self.connection_event(conn, Event::MessageFault(notification));
                    return;
                }
            }
        }
    }

    fn message(&mut self, id: PeerId, conn: ConnId, frame: &Frame) {
        if frame.kind == MessageType::Open
            && let Some(connection) = self.connections.get_mut(&conn)
        {
            connection.opens.received = frame.encode();
        }
        let peer = &mut self.peers[id];
        peer.counters.received(frame.kind);
        let session = peer.session.as_ref().filter(|session| session.conn == conn);
        // Outside of Established an UPDATE is wrong whatever it says.
        if session.is_none() && matches!(frame.kind, MessageType::Update | MessageType::RouteRefresh) {
            self.connection_event(conn, Event::RoutesReceived(frame.kind));
            return;
        }
        let context = session.map_or(NO_CONTEXT, |session| session.decode);
        match Message::decode(frame, &context) {
            Ok(Message::Update(update)) => {
                self.monitor_received(id, conn, frame, &update);
                self.update(id, conn, update);
            }
            Ok(Message::Keepalive) => self.connection_event(conn, Event::KeepaliveReceived),
            Ok(Message::RouteRefresh(refresh)) => self.route_refresh(id, conn, refresh),
            Ok(Message::Open(open)) => self.open(id, conn, open),
            Ok(Message::Notification(notification)) => {
                self.peers[id].notification_received = Some((self.now, notification.clone()));
                self.connection_event(conn, Event::NotificationReceived(notification));
            }
            Err(notification) => {
                if frame.kind == MessageType::Update {
                    self.monitor_malformed(id, frame);
                }
                self.connection_event(conn, Event::MessageFault(notification));
            }
        }
    }

    /// An OPEN came: the moment to settle which of several connections stays.
    fn open(&mut self, id: PeerId, conn: ConnId, open: Open) {
        let peer = &mut self.peers[id];
        let this = peer.machine_of(conn);
        let acceptable = peer.machine(this).is_some_and(|fsm| {
            matches!(fsm.state(), State::Connect | State::Active | State::OpenSent) && fsm.would_accept(&open)
        });
        if acceptable && !self.survives_collision(id, this, &open) {
            self.stop_machine(id, this, CeaseError::ConnectionCollisionResolution, DownReason::Collision);
            return;
        }
        self.drive(id, this, Event::OpenReceived(Box::new(open)));
        let extended = self.peers[id]
            .machine(this)
            .and_then(|fsm| fsm.agreement())
            .is_some_and(|agreement| agreement.negotiated.max_message_len == EXTENDED_MAX_MESSAGE_LEN);
        if let Some(connection) = self.connections.get_mut(&conn).filter(|_| extended) {
            connection.framer.allow_extended_messages();
        }
    }

    /// Ends the other connections to the same peer, or says that this one has to go (RFC 4271 section 6.8).
    fn survives_collision(&mut self, id: PeerId, this: Machine, open: &Open) -> bool {
        let Some(config) = &self.config else { return false };
        let asn = config.session_asn(&self.peers[id].config);
        let local = Contender { router_id: config.router_id, asn };
        let remote = Contender { router_id: open.router_id, asn: open.asn };
        let peer = &mut self.peers[id];
        let Some(direction) = peer.machine(this).map(|fsm| fsm.direction()) else { return false };
        let others: Vec<_> = peer
            .connected()
            .filter(|(machine, _)| *machine != this)
            .map(|(machine, fsm)| (machine, fsm.state(), fsm.direction()))
            .collect();
        for (other, state, other_direction) in others {
            if state == State::Established {
                if !self.has_restarted(id) {
                    self.probe(id);
                    return false;
                }
                let reason = DownReason::Replaced;
                self.drive(id, other, Event::Stop { notification: None, reason });
            } else if resolve(local, remote, direction, other_direction) == Survivor::Other {
                return false;
            } else {
                self.stop_machine(
                    id,
                    other,
                    CeaseError::ConnectionCollisionResolution,
                    DownReason::Collision,
                );
            }
        }
        true
    }

    /// With graceful restart, a new connection of an Established peer means that it has restarted (RFC 4724 section 5).
    fn has_restarted(&self, id: PeerId) -> bool {
        self.peers[id].session.as_ref().is_some_and(|session| {
            session.negotiated.graceful_restart && self.now.duration_since(session.since) > COLLISION_TIME
        })
    }

    /// Sends a KEEPALIVE out of turn: if the peer has forgotten the connection, its TCP resets it at once, and the peer's next
    /// attempt is welcome.
    fn probe(&mut self, id: PeerId) {
        if let Some(conn) = self.peers[id].session.as_ref().map(|session| session.conn) {
            self.send(id, conn, Message::keepalive());
        }
    }

    pub(super) fn stop_machine(
        &mut self,
        id: PeerId,
        machine: Machine,
        cease: CeaseError,
        reason: DownReason,
    ) {
        self.drive(id, machine, Event::Stop { notification: Some(Notification::cease(cease)), reason });
    }

    /// Gives an event to a machine and does what it wants.
    pub(super) fn drive(&mut self, id: PeerId, machine: Machine, event: Event) {
        let now = self.now;
        self.with_machine(id, machine, |fsm, actions| fsm.handle(now, event, actions));
    }

    pub(super) fn tick_machine(&mut self, id: PeerId, machine: Machine) {
        let now = self.now;
        self.with_machine(id, machine, |fsm, actions| fsm.tick(now, actions));
    }

    fn with_machine(&mut self, id: PeerId, machine: Machine, act: impl FnOnce(&mut Fsm, &mut Vec<Action>)) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let attempt = peer.attempt.filter(|_| machine == Machine::Connector);
        let Some(fsm) = peer.machine(machine) else { return };
        let conn = fsm.conn().or(attempt);
        let mut actions = Vec::new();
        act(fsm, &mut actions);
        let conn = conn.or(fsm.conn());
        self.perform(id, machine, conn, actions);
    }

    fn perform(&mut self, id: PeerId, machine: Machine, conn: Option<ConnId>, actions: Vec<Action>) {
        for action in actions {
            match (action, conn) {
                (Action::Connect, _) => self.connect(id),
                (Action::Send(message), Some(conn)) => self.send(id, conn, message),
                (Action::Close(notification), Some(conn)) => self.close(id, conn, notification.as_ref()),
                (Action::Up, Some(conn)) => self.session_up(id, machine, conn),
                (Action::Down(reason), _) => self.machine_down(id, machine, conn, reason),
                // Nothing is sent, closed or up without a connection.
                (Action::Send(_) | Action::Close(_) | Action::Up, None) => {}
            }
        }
        self.report_state(id);
        self.schedule(id);
    }

    fn connect(&mut self, id: PeerId) {
        let Some(config) = &self.config else { return };
        let asn = config.asn;
        let conn = self.allocate_conn();
        let peer = &mut self.peers[id];
        peer.attempt = Some(conn);
        let transport = &peer.config.transport;
        let output = Output::Connect {
            conn,
            remote: SocketAddr::new(peer.address, transport.port.unwrap_or(super::BGP_PORT)),
            local: transport.local,
            options: TcpOptions {
                password: transport.password.clone(),
                device: transport.device.clone(),
                ttl: transport.ttl,
                external: peer.config.asn != asn,
            },
        };
        self.connections.insert(conn, Connection::new(id));
        self.outputs.push_back(output);
    }

    pub(super) fn send(&mut self, id: PeerId, conn: ConnId, message: Bytes) {
        let kind = self.peers[id].counters.sent(&message);
        if let Some(connection) = self.connections.get_mut(&conn) {
            if kind == Some(MessageType::Open) {
                connection.opens.sent = message.clone();
            }
            connection.control.push_back(message);
            self.wake(conn);
        }
    }

    fn close(&mut self, id: PeerId, conn: ConnId, notification: Option<&Notification>) {
        let peer = &mut self.peers[id];
        if peer.attempt == Some(conn) {
            peer.attempt = None;
        }
        if let Some(notification) = notification {
            peer.counters.notifications_sent += 1;
            peer.notification_sent = Some((self.now, notification.clone()));
        }
        if let Some(connection) = self.connections.remove(&conn).filter(|connection| !connection.gone) {
            let last = connection.last_words(notification.map(Notification::encode));
            self.outputs.push_back(Output::Close { conn, last });
        }
    }

    fn machine_down(&mut self, id: PeerId, machine: Machine, conn: Option<ConnId>, reason: DownReason) {
        let peer = &mut self.peers[id];
        if let Machine::Accepted(conn) = machine {
            peer.accepted.retain(|fsm| fsm.conn().is_some_and(|other| other != conn));
        }
        let was_up = peer.session.as_ref().is_some_and(|session| Some(session.conn) == conn);
        // What a connection dies of that is given up for another one is nobody's concern.
        if !was_up && matches!(reason, DownReason::Collision) {
            return;
        }
        peer.failures = peer.failures.saturating_add(1);
        peer.last_error = Some((self.now, reason.clone()));
        if was_up {
            peer.counters.dropped += 1;
            peer.turned = Some(self.now);
            peer.connector.reset_backoff();
        }
        peer.try_again(self.now, &reason);
        let (address, asn) = (peer.address, peer.config.asn);
        if was_up {
            self.monitor_down(id, &reason);
            self.session_down(id, &reason);
        }
        let change = PeerChange::Down { reason, was_up };
        self.outputs.push_back(Output::PeerChanged { peer: address, asn, change });
        self.look_at_departure(id);
    }

    pub(super) fn report_state(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let (from, to) = (peer.state.0, peer.most_advanced());
        if from != to {
            peer.state = (to, self.now);
            let change = PeerChange::State { from, to };
            let (address, asn) = (peer.address, peer.config.asn);
            self.outputs.push_back(Output::PeerChanged { peer: address, asn, change });
            self.monitor_state(id, from, to);
        }
    }

    /// Ends a peer's session and attempts.
    pub(super) fn end_session(
        &mut self,
        id: PeerId,
        notification: Option<&Notification>,
        reason: &DownReason,
    ) {
        // The connector first, and once: the end of any other machine may set it to try again.
        let accepted: Vec<Machine> =
            self.peers[id].accepted.iter().filter_map(|fsm| fsm.conn().map(Machine::Accepted)).collect();
        for machine in [Machine::Connector].into_iter().chain(accepted) {
            self.drive(
                id,
                machine,
                Event::Stop { notification: notification.cloned(), reason: reason.clone() },
            );
        }
        // A connector that had nothing to end says nothing of its end, but has to go on.
        if let Some(peer) = self.peers.get_mut(id) {
            peer.try_again(self.now, reason);
            self.schedule(id);
        }
    }

    /// When the session's peer will have read nothing for too long, if it goes on like this.
    pub(super) fn send_hold_deadline(&self, id: PeerId) -> Option<std::time::Instant> {
        let peer = self.peers.get(id)?;
        let session = peer.session.as_ref()?;
        let hold = std::time::Duration::from_secs(session.negotiated.hold_time.into());
        let limit = peer.config.timers.send_hold(hold)?;
        let stalled = self.connections.get(&session.conn).and_then(|connection| connection.stalled_since);
        // Nothing waits to be written now; something may a moment later.
        Some(stalled.unwrap_or(self.now) + limit)
    }

    pub(super) fn check_send_hold(&mut self, id: PeerId) {
        if self.send_hold_deadline(id).is_none_or(|at| at > self.now) {
            return;
        }
        let Some(conn) = self.peers[id].session.as_ref().map(|session| session.conn) else { return };
        let notification = Notification::new(NotificationCode::SendHoldTimerExpired(0), &[]);
        let machine = self.peers[id].machine_of(conn);
        let reason = DownReason::SendHoldTimerExpired;
        self.drive(id, machine, Event::Stop { notification: Some(notification), reason });
    }
}

/// For messages that are no UPDATE.
const NO_CONTEXT: DecodeContext = DecodeContext {
    peer: PeerKind::External,
    four_octet_as: true,
    families: cairn_net::Families::NONE,
    add_path: cairn_net::Families::NONE,
    extended_next_hop: false,
    first_as: None,
};
