//! Dynamic peers: those of a listen range, which are not configured one by one.
//!
//! A peer comes into being with its first connection, and goes with its last one: once it has no session, no connection, no stale
//! routes that are kept for it, and nobody has stopped it. It never connects.

use std::net::IpAddr;

use cairn_net::{Asn, Family, Prefix};

use super::peer::PeerId;
use super::{Config, DownReason, ListenRange, Speaker};
use crate::wire::{CeaseError, Notification};

/// What becomes of a connection from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Welcome {
    /// It is a peer's, or one of a listen range with room for it.
    Yes,
    /// Its listen range has as many peers as it may.
    Full,
    /// Nobody is expected from there.
    No,
}

impl Config {
    /// The listen range that an address is in; the longest prefix counts.
    pub fn listen_range(&self, address: IpAddr) -> Option<&ListenRange> {
        let containing = self.listen_ranges.iter().filter(|range| range.prefix.contains(address));
        containing.max_by_key(|range| range.prefix.len())
    }
}

impl Speaker {
    /// Whether a connection from this address is taken, as far as that can be told before it is opened.
    pub fn welcomes(&self, address: IpAddr) -> Welcome {
        let address = address.to_canonical();
        if self.by_address.contains_key(&address) {
            return Welcome::Yes;
        }
        match self.config.as_ref().and_then(|config| config.listen_range(address)) {
            None => Welcome::No,
            Some(range) if self.dynamic_peers(range) >= range.limit as usize => Welcome::Full,
            Some(_) => Welcome::Yes,
        }
    }

    /// The addresses of all peers, in no order.
    pub fn peer_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_address.keys().copied()
    }

    fn dynamic_peers(&self, range: &ListenRange) -> usize {
        self.peers.iter().filter(|(_, peer)| peer.range == Some(range.prefix)).count()
    }

    /// Makes a peer of whoever connects from a listen range that has room.
    pub(super) fn add_dynamic(&mut self, address: IpAddr) -> Option<PeerId> {
        let address = address.to_canonical();
        if self.by_address.contains_key(&address) || self.welcomes(address) != Welcome::Yes {
            return None;
        }
        let config = self.config.clone()?;
        let range = config.listen_range(address)?;
        let id = self.add_peer(address, &range.peer, &config);
        self.peers[id].range = Some(range.prefix);
        Some(id)
    }

    /// Enters a peer that has been one of this range in another process, with this AS number; `None` if the configuration has another
    /// place for the address, or none.
    pub(super) fn resume_dynamic(
        &mut self,
        config: &Config,
        address: IpAddr,
        range: Prefix,
        asn: Asn,
    ) -> Option<PeerId> {
        if self.welcomes(address) != Welcome::Yes || self.by_address.contains_key(&address) {
            return None;
        }
        let range = config
            .listen_range(address)
            .filter(|found| found.prefix == range && config.may_have(&found.peer, asn))?;
        let id = self.insert_peer(address, &range.peer, config);
        self.peers[id].range = Some(range.prefix);
        Some(id)
    }

    /// Notes that a dynamic peer may have no reason to stay.
    pub(super) fn look_at_departure(&mut self, id: PeerId) {
        if self.peers.get(id).is_some_and(|peer| peer.range.is_some()) {
            self.departing.push(id);
        }
    }

    /// Removes the dynamic peers that have gone.
    pub(super) fn remove_departed(&mut self) {
        while let Some(id) = self.departing.pop() {
            let Some(peer) = self.peers.get(id).filter(|peer| peer.range.is_some()) else { continue };
            let source = &self.rib.table.sources[peer.source];
            let keeps_routes = Family::ALL.into_iter().any(|family| source.counts(family).received > 0);
            let gone =
                peer.session.is_none() && peer.accepted.is_empty() && !keeps_routes && peer.stopped.is_none();
            if gone {
                let address = peer.address;
                self.remove_peer(address);
            }
        }
    }

    /// Dynamic peers under a new configuration: those that have become configured ones, or are in no range any more, go.
    pub(super) fn configure_dynamic(&mut self, old: &Config, new: &Config) {
        let dynamic: Vec<_> =
            self.peers.iter().filter(|(_, peer)| peer.range.is_some()).map(|(id, _)| id).collect();
        for id in dynamic {
            let (address, before) = (self.peers[id].address, self.peers[id].config.clone());
            let range = new.listen_range(address).filter(|range| new.may_have(&range.peer, before.asn));
            match range.filter(|_| !new.peers.contains_key(&address)) {
                Some(range) => {
                    self.peers[id].range = Some(range.prefix);
                    let after = new.with_known_as(&range.peer, before.asn);
                    self.change_peer(id, (old, &before), (new, &after));
                }
                None => self.remove_peer(address),
            }
        }
        // More than a lowered limit allows: the rest has to go, too.
        for range in &new.listen_ranges {
            let of_range = self.peers.iter().filter(|(_, peer)| peer.range == Some(range.prefix));
            let surplus: Vec<IpAddr> =
                of_range.skip(range.limit as usize).map(|(_, peer)| peer.address).collect();
            surplus.into_iter().for_each(|address| self.remove_peer(address));
        }
    }

    /// Ends what is left of a peer's connections, before it is removed.
    pub(super) fn end_removed(&mut self, id: PeerId) {
        let notification = self.hard(id, Notification::cease(CeaseError::PeerDeconfigured));
        self.peers[id].stopped = Some("removed from the configuration".to_owned());
        self.end_session(id, Some(&notification), &DownReason::Deconfigured);
    }
}
