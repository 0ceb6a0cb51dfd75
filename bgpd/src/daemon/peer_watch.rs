//! Those who watch the peers.
//!
//! A watcher gets every peer once, then each that changed. What it has not taken yet is a set of addresses, so it never costs more than there
//! are peers, and always gets the latest state.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use bgpd_api::peer::PeerEvent;
use bgpd_api::proto;
use tokio::sync::mpsc;

use super::Daemon;
use super::outbox::Outbox;
use crate::transport::Event;

/// All watchers of peers.
#[derive(Default)]
pub(super) struct PeerWatchers {
    next: u64,
    watchers: HashMap<u64, Watcher>,
}

struct Watcher {
    outbox: Outbox<proto::PeerEvent>,
    pending: BTreeSet<IpAddr>,
    /// Every peer was sent once.
    in_sync: bool,
}

impl PeerWatchers {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.watchers.len()
    }

    /// Changes that were not taken yet.
    pub(super) fn queued(&self) -> usize {
        self.watchers.values().map(|watcher| watcher.pending.len()).sum()
    }

    /// A peer changed, came or went.
    pub(super) fn changed(&mut self, peer: IpAddr) {
        for watcher in self.watchers.values_mut() {
            watcher.pending.insert(peer);
        }
    }
}

impl Daemon {
    /// Adds a watcher.
    pub(crate) fn watch_peers(&mut self) -> mpsc::Receiver<proto::PeerEvent> {
        let (outbox, receiver) = Outbox::new();
        let id = self.peers.next;
        self.peers.next += 1;
        outbox.when_closed(&self.events, move || Event::PeerWatcherGone(id));
        let pending = self.speaker.peer_addresses().collect();
        self.peers.watchers.insert(id, Watcher { outbox, pending, in_sync: false });
        receiver
    }

    pub(super) fn peer_watcher_ready(&mut self, id: u64) {
        if let Some(watcher) = self.peers.watchers.get_mut(&id) {
            watcher.outbox.ready();
        }
    }

    pub(super) fn peer_watcher_gone(&mut self, id: u64) {
        self.peers.watchers.remove(&id);
    }

    /// Sends watchers what they have room for.
    pub(super) fn serve_peer_watchers(&mut self) {
        let mut watchers = std::mem::take(&mut self.peers.watchers);
        watchers.retain(|id, watcher| self.serve_peer_watcher(*id, watcher));
        self.peers.watchers = watchers;
    }

    /// False if the reader is gone.
    fn serve_peer_watcher(&self, id: u64, watcher: &mut Watcher) -> bool {
        while !watcher.in_sync || !watcher.pending.is_empty() {
            if !watcher.outbox.has_room(&self.events, move || Event::PeerWatcherReady(id)) {
                return true;
            }
            let event = match watcher.pending.pop_first() {
                Some(addr) => self
                    .peer(addr)
                    .map_or(PeerEvent::Removed(addr), |peer| PeerEvent::Changed(Box::new(peer))),
                None => {
                    watcher.in_sync = true;
                    PeerEvent::InSync
                }
            };
            if !watcher.outbox.send(event.into()) {
                return false;
            }
        }
        true
    }
}
