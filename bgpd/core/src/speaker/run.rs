use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use foldhash::HashMap;

use super::connection::Connection;
use super::egress::MISSED_ALLOWANCE;
use super::monitor::Monitor;
use super::next_hop::Tracking;
use super::peer::{Machine, Peer, PeerId};
use super::rib::Rib;
use super::startup::Startup;
use super::timer::TimerQueue;
use super::{Config, ConnId, Input, Interface, Output};
use crate::fsm::Event;
use crate::rib::SourceId;
use crate::rib::slab::Slab;

/// A BGP speaker. See the module.
#[derive(Debug)]
pub struct Speaker {
    /// The time of the last input.
    pub(super) now: Instant,
    pub(super) started: Instant,
    /// The running configuration; `None` before the first and after the last.
    pub(super) config: Option<Config>,
    pub(super) peers: Slab<PeerId, Peer>,
    pub(super) by_address: HashMap<IpAddr, PeerId>,
    pub(super) connections: HashMap<ConnId, Connection>,
    pub(super) next_conn: u64,
    pub(super) rib: Rib,
    /// As the shell told last.
    pub(super) interfaces: Vec<Interface>,
    /// Owners of routes of our own.
    pub(super) owners: HashMap<Arc<str>, SourceId>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) timers: TimerQueue,
    pub(super) startup: Option<Startup>,
    pub(super) monitor: Monitor,
    pub(super) tracking: Tracking,
    /// Dynamic peers that may have no reason to stay.
    pub(super) departing: Vec<PeerId>,
    /// [`MISSED_ALLOWANCE`], which is too much for a test to go through.
    pub(super) missed_allowance: usize,
    /// Peers that have missed more than that: their sessions end once what changed is told.
    pub(super) hopeless: Vec<PeerId>,
}

/// What [`Speaker::transmit`] handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transmitted {
    /// Octets appended.
    pub bytes: usize,
    /// There is more: call again once these are written.
    pub more: bool,
}

impl Speaker {
    /// A speaker that has nothing to do before its first `Input::Configure`.
    pub fn new(now: Instant) -> Self {
        Self {
            now,
            started: now,
            config: None,
            peers: Slab::default(),
            by_address: HashMap::default(),
            connections: HashMap::default(),
            next_conn: 0,
            rib: Rib::default(),
            interfaces: Vec::new(),
            owners: HashMap::default(),
            outputs: VecDeque::new(),
            timers: TimerQueue::default(),
            startup: None,
            monitor: Monitor::default(),
            tracking: Tracking::default(),
            departing: Vec::new(),
            missed_allowance: MISSED_ALLOWANCE,
            hopeless: Vec::new(),
        }
    }

    /// A name for an accepted connection.
    pub fn allocate_conn(&mut self) -> ConnId {
        self.next_conn += 1;
        ConnId(self.next_conn)
    }

    /// Something happened. Never fails: a fault of a peer becomes outputs.
    pub fn handle(&mut self, now: Instant, input: Input) {
        // A clock that goes back is a clock that stands still.
        self.now = self.now.max(now);
        match input {
            Input::Configure(config) => self.configure(&config),
            Input::ConnectionOpened { conn, direction, local, remote } => {
                self.connection_opened(conn, direction, (local, remote));
            }
            Input::ConnectFailed { conn, reason } => {
                self.connection_event(conn, Event::ConnectFailed(reason));
            }
            Input::Received { conn, bytes } => self.received(conn, bytes),
            Input::ConnectionClosed { conn, reason } => {
                self.connection_event(conn, Event::ConnectionClosed(reason));
            }
            Input::Originate { owner, routes, replace } => self.originate(&owner, &routes, replace),
            Input::Withdraw { owner, prefixes } => self.withdraw_own(&owner, &prefixes),
            Input::SoftReset { peer, way } => self.soft_reset(peer, way),
            Input::StopPeer { peer, text } => self.stop_peer(peer, &text),
            Input::StartPeer { peer } => self.start_peer(peer),
            Input::ResetPeer { peer, text } => self.reset_peer(peer, &text),
            Input::KernelRoutes { changes, whole } => self.kernel_routes(changes, whole),
            Input::NeighborLinks(links) => self.neighbor_links(links),
            Input::InterfacesChanged(interfaces) => self.interfaces_changed(interfaces),
            Input::Bfd { peer, state } => self.bfd_changed(peer, state),
            Input::WatchRoutes(watch) => self.rib.watch(watch),
            Input::Shutdown { text } => self.shut_down(&text),
            Input::Tick => {}
        }
        self.run_timers();
        self.remove_departed();
    }

    /// The next thing to do or say; call until `None` after each [`Speaker::handle`] (or after several, when inputs are
    /// at hand: changes of one batch then leave in fewer and fuller messages).
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        self.flush();
        self.end_hopeless();
        self.outputs.pop_front().or_else(|| self.next_report())
    }

    /// When to call [`Speaker::handle`] with [`Input::Tick`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let startup = self.startup.as_ref().map(|startup| startup.next_look);
        [self.timers.next(), startup, self.next_hop_deadline()].into_iter().flatten().min()
    }

    fn run_timers(&mut self) {
        while let Some(id) = self.timers.expired(self.now) {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            // An entry that was replaced by an earlier one says nothing any more.
            if peer.scheduled.is_none_or(|at| at > self.now) {
                continue;
            }
            peer.scheduled = None;
            self.tick_peer(id);
        }
        if self.startup.as_ref().is_some_and(|startup| startup.next_look <= self.now) {
            self.look_at_startup();
        }
    }

    fn tick_peer(&mut self, id: PeerId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(id) else { return };
        peer.yield_to_accepted(now);
        let machines: Vec<Machine> =
            peer.accepted.iter().filter_map(|fsm| fsm.conn().map(Machine::Accepted)).collect();
        for machine in machines.into_iter().chain([Machine::Connector]) {
            self.tick_machine(id, machine);
        }
        self.check_send_hold(id);
        self.check_retention(id);
        self.check_refresh(id);
        self.check_restart(id);
        self.schedule(id);
    }

    /// Looks at a peer again when its next timer expires.
    pub(super) fn schedule(&mut self, id: PeerId) {
        let send_hold = self.send_hold_deadline(id);
        let Some(peer) = self.peers.get_mut(id) else { return };
        let next = peer.next_deadline().into_iter().chain(send_hold).min();
        if let Some(at) = next
            && peer.scheduled.is_none_or(|scheduled| at < scheduled)
        {
            peer.scheduled = Some(at);
            self.timers.push(at, id);
        }
    }

    /// Says that there is something to write, once until it is written.
    pub(super) fn wake(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&conn)
            && !connection.woken
        {
            connection.woken = true;
            connection.stalled_since = Some(self.now);
            self.outputs.push_back(Output::Transmit { conn });
        }
    }

    /// Appends messages for a connection to `out`, keepalives first, until about `budget` octets (at least one message, if there
    /// is any). They are shared buffers: write them with one `writev`.
    pub fn transmit(&mut self, conn: ConnId, budget: usize, out: &mut Vec<Bytes>) -> Transmitted {
        self.flush();
        let Some(connection) = self.connections.get_mut(&conn) else {
            return Transmitted::default();
        };
        let mut sent = Transmitted::default();
        while sent.bytes < budget {
            let Some(message) = connection.control.pop_front() else { break };
            sent.bytes += message.len();
            out.push(message);
        }
        sent.more = !connection.control.is_empty();
        let peer = connection.peer;
        if sent.bytes < budget {
            let routes = self.transmit_routes(peer, conn, budget - sent.bytes, out);
            sent.bytes += routes.bytes;
            sent.more |= routes.more;
        }
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.woken = sent.more;
            connection.stalled_since = sent.more.then_some(self.now);
        }
        sent
    }
}
