//! Between sockets and speaker.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bgp_core::speaker::{ConnId, Direction, Input, Output, PeerChange, TcpOptions};
use bytes::Bytes;
use cairn_net::Asn;
use tokio::net::TcpStream;
use tracing::debug;

use super::Daemon;
use crate::settings::key_of;
use crate::transport::{
    Attempt, Connection, Event, Flushed, PeerOptions, Place, READ_TURN, farewell, linger,
};

/// Connections that are about to end at a time; beyond it none is waited for.
pub(super) const LINGERING: usize = 1024;
/// How long a listener rests after an error, such as too many open files.
const LISTENER_REST: Duration = Duration::from_secs(1);

impl Daemon {
    /// Something happened that was waited for.
    pub(super) fn event(&mut self, event: Event) {
        match event {
            Event::Readable(conn) => self.readable(conn),
            Event::Writable(conn) => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.blocked = false;
                    self.enqueue(conn);
                }
            }
            Event::Connected(conn, result) => self.connected(conn, result),
            Event::Accepted(place, result) => self.accepted(&place, result),
            Event::ListenAgain => self.listen_again(),
            Event::Heard(interface, socket) => self.heard(&interface, socket),
            Event::Advertise(interface, round) => self.advertise(interface, round),
            Event::Lingered => self.lingering = self.lingering.saturating_sub(1),
            Event::WatcherReady(id) => self.watcher_ready(id),
            Event::WatcherGone(id) => self.watcher_gone(id),
            Event::PeerWatcherReady(id) => self.peer_watcher_ready(id),
            Event::PeerWatcherGone(id) => self.peer_watcher_gone(id),
            Event::ListReady(id) => self.send_page(id),
            Event::Bfd => self.bfd_news(),
            Event::DumpReady(id) => self.send_dump(id),
            Event::BmpReady(id) => self.bmp_ready(id),
            Event::BmpStatistics(id) => self.bmp_statistics(id),
            Event::RenewLines(peer) => self.reporter.renew(peer),
            Event::GivenUp => {}
        }
    }

    fn readable(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get(&conn) else { return };
        // Takes the old allocation again, if the speaker has kept nothing of it.
        self.buffer.reserve(READ_TURN);
        match connection.read(&mut self.buffer) {
            Ok(Some(bytes)) if bytes.is_empty() => self.lost(conn, "closed by the peer".to_owned()),
            Ok(bytes) => {
                self.events.readable(conn, &connection.stream);
                if let Some(bytes) = bytes {
                    let changes = self.speaker.rib_changes();
                    self.turn_input.get_or_insert_with(|| (Instant::now(), changes));
                    self.handle(Input::Received { conn, bytes });
                }
            }
            Err(error) => self.lost(conn, error.to_string()),
        }
    }

    fn lost(&mut self, conn: ConnId, reason: String) {
        if self.connections.remove(&conn).is_some() {
            self.handle(Input::ConnectionClosed { conn, reason });
        }
    }

    fn connected(&mut self, conn: ConnId, result: io::Result<TcpStream>) {
        let Some(attempt) = self.attempts.remove(&conn) else { return };
        let opened = result.and_then(|stream| {
            let ends = (stream.local_addr()?, stream.peer_addr()?);
            Ok((stream, ends))
        });
        match opened {
            Ok((stream, ends)) => self.opened(conn, attempt.peer, stream, Direction::Outbound, ends),
            Err(error) => {
                let reason = self.reporter.explain_connect_error(&error);
                self.handle(Input::ConnectFailed { conn, reason });
            }
        }
    }

    fn accepted(&mut self, place: &Place, result: io::Result<(TcpStream, SocketAddr)>) {
        let Some(listener) = self.listeners.get(place) else { return };
        let rest = if result.is_ok() { Duration::ZERO } else { LISTENER_REST };
        self.events.acceptable(listener, rest);
        match result {
            Ok((stream, remote)) => {
                let local = listener.local_of(&stream);
                self.admit(stream, (local, remote), place.device.as_deref());
            }
            Err(error) => self.reporter.cannot_accept(place, &error),
        }
    }

    pub(super) fn opened(
        &mut self,
        conn: ConnId,
        peer: IpAddr,
        stream: TcpStream,
        direction: Direction,
        (local, remote): (SocketAddr, SocketAddr),
    ) {
        let connection = Connection::new(peer, stream);
        self.events.readable(conn, &connection.stream);
        self.connections.insert(conn, connection);
        self.handle(Input::ConnectionOpened { conn, direction, local, remote });
    }

    /// Carries out what the speaker wants, then lets everybody write and tells the watchers.
    pub(super) fn act(&mut self) {
        let mut news = Vec::new();
        while let Some(output) = self.speaker.poll_output() {
            match output {
                // No peer waits for what is noted of him.
                Output::PeerChanged { peer, asn, change } => news.push((peer, asn, change)),
                output => self.output(output),
            }
        }
        // Each once: who has more after its turn comes again in the next turn.
        for _ in 0..self.writers.len() {
            if let Some(conn) = self.writers.pop_front() {
                self.write(conn);
            }
        }
        for (peer, asn, change) in news {
            self.peer_changed(peer, asn, &change);
        }
        self.serve_route_watchers();
        self.serve_peer_watchers();
        self.serve_collectors();
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Connect { conn, remote, local, options } => self.connect(conn, remote, local, &options),
            Output::Close { conn, last } => self.close(conn, last),
            Output::Transmit { conn } => self.enqueue(conn),
            Output::PeerChanged { peer, asn, change } => self.peer_changed(peer, asn, &change),
            Output::NextHopChanged { next_hop, before } => self.reporter.next_hop_changed(&next_hop, before),
            Output::RouteChanged { prefix } => self.routes.changed(prefix),
            Output::EndOfRib { family } => {
                debug!(%family, "the Loc-RIB is complete");
                self.complete = self.complete.with(family);
                self.routes.complete(family);
            }
        }
    }

    /// Logs and notes what has become of a peer.
    fn peer_changed(&mut self, peer: IpAddr, asn: Asn, change: &PeerChange) {
        if self.reporter.peer_changed(peer, asn, change) {
            self.events.push(async move {
                tokio::time::sleep(crate::report::REPEAT).await;
                Event::RenewLines(peer)
            });
        }
        self.history.peer_changed(peer, change);
        self.peers.changed(peer);
    }

    fn connect(&mut self, conn: ConnId, remote: SocketAddr, local: Option<IpAddr>, options: &TcpOptions) {
        let peer = remote.ip();
        let key = self.running.as_ref().and_then(|running| key_of(&running.keys, peer)).cloned();
        let TcpOptions { ttl, external, .. } = *options;
        let options = PeerOptions { peer, ttl, external, key, device: options.device.clone() };
        let remote = self.with_scope(remote);
        self.attempts.insert(conn, Attempt::begin(&self.events, conn, remote, local, options));
    }

    /// A link-local address with its interface, which the speaker does not know.
    fn with_scope(&self, remote: SocketAddr) -> SocketAddr {
        match (remote, self.unnumbered.interface_of(remote.ip())) {
            (SocketAddr::V6(v6), Some(index)) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into(),
            (remote, _) => remote,
        }
    }

    fn close(&mut self, conn: ConnId, last: Bytes) {
        self.attempts.remove(&conn);
        if let Some(connection) = self.connections.remove(&conn) {
            let (stream, rest) = connection.into_rest(last);
            self.part_with(stream, rest, LINGERING);
        }
    }

    /// Writes what is left, then closes. Waits for the peer to read it while fewer than this many are waited for.
    pub(super) fn part_with(&mut self, stream: Rc<TcpStream>, rest: VecDeque<Bytes>, at_most: usize) {
        if self.lingering >= at_most {
            farewell(&stream, &rest);
            return;
        }
        self.lingering += 1;
        linger(&self.events, stream, rest);
    }

    /// Notes that a connection has something to write.
    pub(super) fn enqueue(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&conn)
            && !connection.blocked
            && !std::mem::replace(&mut connection.queued, true)
        {
            self.writers.push_back(conn);
        }
    }

    fn write(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.queued = false;
        match connection.flush(conn, &mut self.speaker) {
            Ok(Flushed::All) => {}
            Ok(Flushed::More) => {
                // Comes back as an event, so that the next turn does not wait for anything else.
                self.events.push(async move { Event::Writable(conn) });
            }
            Ok(Flushed::Blocked) => {
                connection.blocked = true;
                self.events.writable(conn, &connection.stream);
            }
            Err(error) => self.lost(conn, error.to_string()),
        }
    }
}
