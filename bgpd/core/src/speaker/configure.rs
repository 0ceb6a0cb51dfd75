//! A new configuration: what differs from the running one is changed, and nothing else.

use std::net::IpAddr;

use super::condition::Conditions;
use super::establish::import_rules;
use super::next_hop::needs_connected;
use super::peer::{Peer, PeerId, kind};
use super::{Config, DownReason, PeerConfig, RouteSource, Speaker};
use crate::policy::Hits;
use crate::rib::Source;
use crate::wire::{CeaseError, Notification};

impl Speaker {
    pub(super) fn configure(&mut self, new: &Config) {
        let Some(old) = self.config.replace(new.clone()) else {
            self.rib.table.multipath = is_multipath(new);
            self.rib.conditions = Conditions::new(new, &self.rib.table);
            self.configure_aggregates(new);
            self.configure_tracking(new.next_hop_tracking);
            self.begin_startup(new);
            for (address, peer) in &new.peers {
                self.add_peer(*address, peer, new);
            }
            self.look_at_startup();
            return;
        };
        if old == *new {
            return;
        }
        // What is due is done by the old rules, so that all who must be told of it are.
        self.flush();
        let tracking =
            old.next_hop_tracking != new.next_hop_tracking && self.configure_tracking(new.next_hop_tracking);
        if tracking || old.best_path != new.best_path {
            self.select_all(is_multipath(new));
        }
        self.rib.conditions = Conditions::new(new, &self.rib.table);
        if old.aggregates != new.aggregates {
            self.configure_aggregates(new);
        }
        let gone: Vec<IpAddr> =
            old.peers.keys().filter(|peer| !new.peers.contains_key(*peer)).copied().collect();
        gone.into_iter().for_each(|peer| self.remove_peer(peer));
        self.configure_dynamic(&old, new);
        for (address, peer) in &new.peers {
            match (old.peers.get(address), self.by_address.get(address).copied()) {
                (Some(before), Some(id)) => {
                    let known = self.peers[id].config.asn;
                    let (before, after) = (old.with_known_as(before, known), new.with_known_as(peer, known));
                    self.change_peer(id, (&old, &before), (new, &after));
                }
                _ => {
                    self.add_peer(*address, peer, new);
                }
            }
        }
        self.look_at_startup();
    }

    /// Selects anew everywhere. The old next hops matter if there were several, or will be.
    fn select_all(&mut self, multipath: bool) {
        let table = &mut self.rib.table;
        table.multipath |= multipath;
        let nets: Vec<_> = table.nets.iter().map(|(net, _)| net).collect();
        nets.into_iter().for_each(|net| table.touch(net));
        table.multipath = multipath;
        if !multipath {
            table.paths.iter_mut().for_each(|(_, path)| path.selected = false);
        }
    }

    pub(super) fn add_peer(&mut self, address: IpAddr, peer: &PeerConfig, config: &Config) -> PeerId {
        let id = self.insert_peer(address, peer, config);
        if self.peers[id].is_enabled() {
            self.start(id);
        }
        id
    }

    /// Enters a peer that nothing has been done for yet.
    pub(super) fn insert_peer(&mut self, address: IpAddr, peer: &PeerConfig, config: &Config) -> PeerId {
        let mut source = Source::new(kind(config, peer), address, peer.asn, 0);
        source.weight = peer.weight;
        source.blackhole = peer.blackhole.is_some();
        source.connected_check = needs_connected(config, peer);
        source.bound = peer.transport.device.is_some();
        let source = self.rib.table.sources.insert(source);
        self.rib.names.insert(source, RouteSource::Peer(address));
        let id = self.peers.insert(Peer::new(address, peer.clone(), source, config, self.now));
        self.by_address.insert(address, id);
        id
    }

    pub(super) fn remove_peer(&mut self, address: IpAddr) {
        let Some(id) = self.by_address.remove(&address) else { return };
        self.end_removed(id);
        self.forget_paths(id);
        let source = self.peers.remove(id).source;
        self.rib.names.remove(&source);
        self.rib.table.sources.remove(source);
        for (_, entry) in self.rib.groups.iter_mut() {
            entry.group.forget_source(source);
        }
    }

    pub(super) fn change_peer(
        &mut self,
        id: PeerId,
        (old, before): (&Config, &PeerConfig),
        (new, after): (&Config, &PeerConfig),
    ) {
        let waited = self.peers[id].waits_for_bfd();
        self.peers[id].config = after.clone();
        if after.bfd.is_none() {
            self.peers[id].bfd = super::BfdState::Down;
        }
        if before.import != after.import {
            self.peers[id].import_hits = Hits::new(after.import.as_deref());
        }
        self.weigh(id, new);
        if before.enabled != after.enabled {
            if after.enabled {
                self.start(id);
            } else {
                self.stop(id, "disabled in the configuration".to_owned());
            }
        } else if needs_new_session(old, new) || peer_needs_new_session(before, after) {
            self.restart_session(id);
        } else {
            self.refresh_settings(id);
            self.apply_policies(id);
        }
        if !waited && self.peers[id].waits_for_bfd() && self.peers[id].session.is_none() {
            // From now on it waits, whatever was under way.
            self.end_session(id, None, &DownReason::ConfigurationChanged);
        }
        self.end_wait_for_bfd(id, waited);
    }

    /// Gives the routes of a peer another weight, or says whether they may be blackholes, or what is asked of their next hops.
    fn weigh(&mut self, id: PeerId, config: &Config) {
        let peer = &self.peers[id];
        let source = peer.source;
        let (weight, blackhole) = (peer.config.weight, peer.config.blackhole.is_some());
        let connected_check = needs_connected(config, &peer.config);
        let bound = peer.config.transport.device.is_some();
        let before = &self.rib.table.sources[source];
        let same = (before.weight, before.blackhole) == (weight, blackhole);
        if same && (before.connected_check, before.bound) == (connected_check, bound) {
            return;
        }
        self.each_path(id, |table, path| {
            let net = table.paths[path].net;
            table.touch(net);
        });
        self.rib.table.sources[source].weight = weight;
        self.rib.table.sources[source].blackhole = blackhole;
        self.rib.table.sources[source].connected_check = connected_check;
        self.rib.table.bind_source(source, bound);
        // Its routes may lead elsewhere, or nowhere.
        self.rib.table.hops.all_due();
    }

    /// Begins anew, with everything that an OPEN or a connection says.
    fn restart_session(&mut self, id: PeerId) {
        let notification = Notification::cease(CeaseError::OtherConfigurationChange);
        self.refresh_settings(id);
        let idle = self.peers[id].session.is_none();
        self.end_session(id, Some(&notification), &DownReason::ConfigurationChanged);
        let peer = &self.peers[id];
        let config = self.config.as_ref();
        let Some(kind) = config.map(|config| kind(config, &peer.config)) else { return };
        let (source, asn) = (peer.source, peer.config.asn);
        if self.rib.table.sources[source].kind != kind {
            // Stale routes would mean something else now.
            self.forget_paths(id);
            self.rib.table.sources[source].kind = kind;
        }
        self.rib.table.sources[source].asn = asn;
        if idle && self.peers[id].is_enabled() {
            self.start(id);
        }
    }

    /// Applies what can change under an Established session.
    fn apply_policies(&mut self, id: PeerId) {
        let Some(config) = &self.config else { return };
        let peer = &self.peers[id];
        let Some(session) = &peer.session else { return };
        let import = import_rules(config, peer, session.import.local);
        if import != session.import {
            if let Some(session) = &mut self.peers[id].session {
                session.import = import;
            }
            self.judge_again(id);
        }
        self.regroup(id);
        self.check_prefix_limit(id);
        self.schedule(id);
    }
}

pub(super) fn is_multipath(config: &Config) -> bool {
    config.best_path.max_paths_ebgp > 1 || config.best_path.max_paths_ibgp > 1
}

/// Does the change concern what every session is about?
fn needs_new_session(old: &Config, new: &Config) -> bool {
    let about =
        |config: &Config| (config.asn, config.confederation.clone(), config.router_id, config.cluster_id);
    about(old) != about(new)
}

/// Does the change concern what a session or its connection was made with?
fn peer_needs_new_session(before: &PeerConfig, after: &PeerConfig) -> bool {
    let about = |peer: &PeerConfig| {
        let timers = (peer.timers.hold, peer.timers.keepalive);
        let identity = (peer.asn, peer.local_as, peer.role);
        let add_path = peer.add_path.capability(peer.families);
        (identity, peer.transport.clone(), peer.families, peer.route_reflector_client, timers, add_path)
    };
    about(before) != about(after)
}
