//! What operators and other daemons ask for.

use std::net::IpAddr;

use bgp_core::speaker::{Input, SoftReset};
use bgpd_api::config::{self, Config, OriginatedRoute};
use bgpd_api::peer::{FamilyStatus, HistoryEvent, Peer, SpeakerStatus, Status};
use cairn_net::{Family, Prefix};
use thiserror::Error;
use tracing::info;

use super::Daemon;
use super::view::{self, PeerExtras};
use crate::settings;

/// Neighbours that are looked at in one turn.
const PEERS: usize = 128;

/// Why a request cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    /// There is no such neighbour.
    #[error("neighbor {0}: no such neighbor is configured")]
    UnknownPeer(IpAddr),
    /// The neighbour has no session.
    #[error("neighbor {0}: no session is established, so nothing is asked about its routes")]
    NoSession(IpAddr),
    /// There is no configuration yet.
    #[error("bgpd has no configuration yet: start it with --config, or Apply one")]
    NotConfigured,
}

impl Daemon {
    /// The daemon as a whole.
    pub(crate) fn status(&self) -> Status {
        let peers = self.speaker.peers();
        let (prefixes, attribute_sets) = self.speaker.table_size();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime: self.started.elapsed(),
            speaker: self.running.as_ref().map(|running| SpeakerStatus {
                router_id: running.config.router_id,
                local_as: running.config.local_as,
            }),
            listening: self.listeners.values().map(|listener| listener.place.to_string()).collect(),
            peers: count(peers.len()),
            peers_established: count(peers.iter().filter(|peer| peer.session.is_some()).count()),
            families: Family::ALL
                .map(|family| FamilyStatus { family, complete: self.complete.contains(family) })
                .to_vec(),
            prefixes: prefixes as u64,
            attribute_sets: attribute_sets as u64,
        }
    }

    /// The configuration in force with its passwords hidden, and its source.
    pub(crate) fn config(&self) -> Option<(Config, String)> {
        let running = self.running.as_ref()?;
        Some((running.config.without_secrets(), running.source.clone()))
    }

    /// The options of whoever has this address: a neighbour of the document, or one of a listen range.
    pub(super) fn options_of(&self, address: IpAddr) -> Option<config::PeerOptions> {
        let config = &self.running.as_ref()?.config;
        if let Some(neighbor) = config.neighbors.iter().find(|neighbor| neighbor.address == address) {
            return Some(config.options_of(neighbor));
        }
        let on_link = |name: &String| {
            self.unnumbered.links.get(name).is_some_and(|link| IpAddr::V6(link.address) == address)
        };
        if let Some(neighbor) =
            config.interface_neighbors.iter().find(|neighbor| on_link(&neighbor.interface))
        {
            return Some(config.options_of_interface(neighbor));
        }
        let containing = config.listen_ranges.iter().filter(|range| range.prefix.contains(address));
        let range = containing.max_by_key(|range| range.prefix.len())?;
        Some(config.options_of_range(range))
    }

    /// The next neighbours after this one, in the order of their addresses; none: those were all.
    pub(crate) fn peers_after(&self, last: Option<IpAddr>) -> Vec<Peer> {
        self.speaker.peers_after(last, PEERS).into_iter().map(|peer| self.with_extras(peer)).collect()
    }

    /// One neighbour.
    pub(crate) fn peer(&self, address: IpAddr) -> Option<Peer> {
        self.speaker.peer(address).map(|peer| self.with_extras(peer))
    }

    fn with_extras(&self, peer: bgp_core::speaker::PeerView) -> Peer {
        let extras = PeerExtras { enabled: self.is_enabled(peer.address) };
        view::peer(peer, extras)
    }

    fn is_enabled(&self, address: IpAddr) -> bool {
        let by_document = || {
            let listed = self.running.as_ref().is_some_and(|running| running.enabled.contains(&address));
            // One of a listen range is on no list.
            listed || self.options_of(address).is_some_and(|options| options.enabled.unwrap_or(true))
        };
        self.by_hand.get(&address).copied().unwrap_or_else(by_document)
    }

    /// What happened to a neighbour, the oldest first.
    ///
    /// # Errors
    /// If there is no such neighbour.
    pub(crate) fn peer_events(&self, peer: IpAddr) -> Result<Vec<HistoryEvent>, Refused> {
        self.known(peer)?;
        Ok(self.history.of(peer))
    }

    pub(super) fn known(&self, peer: IpAddr) -> Result<(), Refused> {
        self.speaker.peer(peer).map(drop).ok_or(Refused::UnknownPeer(peer))
    }

    /// Puts a neighbour up or down by hand.
    ///
    /// # Errors
    /// If there is no such neighbour.
    pub(crate) fn set_peer_enabled(
        &mut self,
        peer: IpAddr,
        enabled: bool,
        text: String,
    ) -> Result<(), Refused> {
        self.known(peer)?;
        info!(%peer, enabled, text, "neighbor set by hand");
        let done = if enabled { "enabled by hand" } else { "shut down by hand" };
        self.history.operator(peer, &told(done, &text));
        self.by_hand.insert(peer, enabled);
        self.sync_bfd();
        self.handle(if enabled { Input::StartPeer { peer } } else { Input::StopPeer { peer, text } });
        self.peers.changed(peer);
        Ok(())
    }

    /// Ends a session and lets it begin again.
    ///
    /// # Errors
    /// If there is no such neighbour.
    pub(crate) fn reset_peer(&mut self, peer: IpAddr, text: String) -> Result<(), Refused> {
        self.known(peer)?;
        info!(%peer, text, "neighbor reset by hand");
        self.history.operator(peer, &told("reset by hand", &text));
        self.handle(Input::ResetPeer { peer, text });
        Ok(())
    }

    /// Asks for routes again, or sends them again.
    ///
    /// # Errors
    /// If there is no such neighbour.
    pub(crate) fn soft_reset(&mut self, peer: Option<IpAddr>, way: SoftReset) -> Result<(), Refused> {
        peer.map_or(Ok(()), |peer| self.known(peer))?;
        let way_text = match way {
            SoftReset::In => "soft reset by hand: in",
            SoftReset::Out => "soft reset by hand: out",
            SoftReset::Both => "soft reset by hand: in and out",
        };
        let peers: Vec<IpAddr> =
            peer.map_or_else(|| self.speaker.peer_addresses().collect(), |peer| vec![peer]);
        for peer in peers {
            self.history.operator(peer, way_text);
        }
        self.handle(Input::SoftReset { peer, way });
        Ok(())
    }

    /// Announces routes in the name of an owner. Before the first configuration they wait for it, so that no session comes up
    /// without them: its End-of-RIB would end the time for which neighbours keep what they had from the daemon before (RFC 4724
    /// section 4.1).
    pub(crate) fn originate(&mut self, owner: String, routes: &[OriginatedRoute], replace: bool) {
        let routes = routes.iter().map(settings::originated);
        if self.running.is_some() {
            return self.handle(Input::Originate { owner, routes: routes.collect(), replace });
        }
        let early = self.early.entry(owner).or_default();
        if replace {
            early.clear();
        }
        early.extend(routes.map(|route| (route.prefix, route)));
    }

    /// Withdraws prefixes of an owner.
    pub(crate) fn withdraw(&mut self, owner: String, prefixes: Vec<Prefix>) {
        if self.running.is_some() {
            return self.handle(Input::Withdraw { owner, prefixes });
        }
        if let Some(early) = self.early.get_mut(&owner) {
            early.retain(|prefix, _| !prefixes.contains(prefix));
        }
    }

    /// Announces what has waited for the first configuration.
    pub(super) fn originate_early(&mut self) {
        for (owner, routes) in std::mem::take(&mut self.early) {
            self.handle(Input::Originate { owner, routes: routes.into_values().collect(), replace: true });
        }
    }

    /// Ends the daemon after this turn. The text is told to the peers where a Cease is sent.
    pub(crate) fn shut_down(&mut self, text: String) {
        self.farewell = Some(text);
    }
}

/// What was done, with the text that the neighbour is told.
fn told(done: &str, text: &str) -> String {
    if text.is_empty() { done.to_owned() } else { format!("{done}: {text}") }
}
