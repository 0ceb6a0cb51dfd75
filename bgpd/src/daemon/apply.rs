//! Making a document the configuration.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bgp_core::speaker::{self, Input, OriginatedRoute};
use bgpd_api::config::Config;
use cairn_net::Prefix;
use thiserror::Error;
use tracing::{info, warn};

use super::{Daemon, Running};
use crate::difference;
use crate::settings::{self, Keys, Settings, SettingsError, key_of};
use crate::transport::{Event, ListenError, Listener, Place, Socket, change_key};

/// Time between two looks at listeners on interfaces: one may not have been there, or be another one by now.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);

/// The owner of the routes that the document originates.
pub(crate) const CONFIG_OWNER: &str = "config";

/// Why a valid document cannot be run. Nothing of it is in force then.
#[derive(Debug, Error)]
pub(crate) enum ApplyError {
    /// Something that the document refers to is not usable.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An address to listen on is not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl Running {
    /// A document in force, with what was made of it.
    pub(super) fn new(config: Config, source: String, settings: &Settings) -> Self {
        let enabled = settings.speaker.peers.iter().filter(|(_, peer)| peer.enabled);
        let enabled = enabled.map(|(address, _)| *address).collect();
        let (keys, bfd) = (settings.keys.clone(), settings.bfd.clone());
        Self { config, source, keys, bfd, enabled }
    }
}

impl Daemon {
    /// What would change if the document were applied.
    pub(crate) fn preview(&self, config: &Config) -> Vec<String> {
        difference::describe(self.running.as_ref().map(|running| &running.config), config)
    }

    /// Makes a valid document the configuration. Gives one line for each thing that changed. Sessions that the difference does not
    /// concern notice nothing.
    ///
    /// # Errors
    /// If it cannot be run; then everything stays as it was.
    pub(crate) fn apply(&mut self, config: Config, source: &str) -> Result<Vec<String>, ApplyError> {
        let changes = self.preview(&config);
        let settings = Settings::new(&config, self.kept, &self.unnumbered.links)?;
        let fresh = self.open_listeners(&config, &settings.keys)?;
        // From here on nothing can fail.
        self.close_old_listeners(&config);
        self.take_listeners(fresh);
        let routes = config.originate.iter().map(settings::originated).collect();
        let (collectors, mrt) = (config.bmp.clone(), config.mrt.clone());
        self.metrics.listen(config.metrics.listen.or(self.default_metrics));
        self.set_collectors(&collectors);
        self.set_mrt(&mrt);
        self.put_in_force(Running::new(config, source.to_owned(), &settings), settings.speaker, Some(routes));
        self.listen_again_later();
        self.follow_interfaces();
        for change in &changes {
            info!(source, change, "configuration changed");
        }
        Ok(changes)
    }

    /// Runs with this from now on. `routes`: those that the document originates, if they may be others than before.
    pub(super) fn put_in_force(
        &mut self,
        running: Running,
        speaker: speaker::Config,
        routes: Option<Vec<OriginatedRoute>>,
    ) {
        let before: Vec<IpAddr> = self.speaker.peer_addresses().collect();
        let old = self.running.replace(running).map_or_else(Keys::new, |running| running.keys);
        self.change_listener_keys(&old);
        let tracked = speaker.next_hop_tracking.is_some();
        self.handle(Input::Configure(Box::new(speaker)));
        self.handle(Input::NeighborLinks(self.unnumbered.by_address()));
        self.follow_kernel(tracked);
        if let Some(routes) = routes {
            self.handle(Input::Originate { owner: CONFIG_OWNER.to_owned(), routes, replace: true });
        }
        self.originate_early();
        self.change_connection_keys(&old);
        let peers: Vec<IpAddr> = before.into_iter().chain(self.speaker.peer_addresses()).collect();
        for peer in peers {
            self.peers.changed(peer);
        }
        self.by_hand.retain(|peer, _| self.speaker.peer(*peer).is_some());
        self.sync_bfd();
        let known = |peer| self.speaker.peer(peer).is_some();
        self.reporter.retain(known);
        self.history.retain(known);
    }

    /// Opens what is not open yet. If one cannot be opened, none is; but an interface that is not there may come later.
    fn open_listeners(&self, config: &Config, keys: &Keys) -> Result<Vec<(Place, Listener)>, ListenError> {
        let mut fresh = Vec::new();
        let wanted = wanted(config);
        let shared = is_shared(&wanted);
        for listener in self.listeners.values().filter(|_| shared) {
            if let Err(error) = listener.share() {
                warn!(place = %listener.place, %error, "cannot share a port with listeners on interfaces");
            }
        }
        for place in wanted.into_iter().filter(|place| !self.listeners.contains_key(place)) {
            match Listener::open(place.clone(), keys, shared) {
                Ok(listener) => fresh.push((place, listener)),
                Err(error) if error.lacks_device() => warn!(%error, "trying again until it is there"),
                Err(error) => return Err(error),
            }
        }
        Ok(fresh)
    }

    fn take_listeners(&mut self, fresh: Vec<(Place, Listener)>) {
        for (place, listener) in fresh {
            self.events.acceptable(&listener, Duration::ZERO);
            self.listeners.insert(place, listener);
        }
    }

    fn close_old_listeners(&mut self, config: &Config) {
        let wanted = wanted(config);
        self.listeners.retain(|place, _| wanted.contains(place));
    }

    /// Sets the time for the next look at listeners on interfaces, which come and go, if there are any and none is set.
    pub(super) fn listen_again_later(&mut self) {
        let Some(running) = &self.running else { return };
        let on_devices = is_shared(&wanted(&running.config));
        if on_devices && !std::mem::replace(&mut self.listening_again, true) {
            self.events.push(async {
                tokio::time::sleep(LISTEN_AGAIN).await;
                Event::ListenAgain
            });
        }
    }

    /// Tries again to listen where an interface was missing, or is another one of the same name.
    pub(super) fn listen_again(&mut self) {
        self.listening_again = false;
        self.listeners.retain(|_, listener| !listener.is_deaf());
        let Some(running) = &self.running else { return };
        let wanted = wanted(&running.config);
        let shared = is_shared(&wanted);
        let missing = wanted.into_iter().filter(|place| !self.listeners.contains_key(place));
        let open = |place: Place| Some((place.clone(), Listener::open(place, &running.keys, shared).ok()?));
        let fresh: Vec<_> = missing.filter_map(open).collect();
        for (place, _) in &fresh {
            info!(%place, "listening");
        }
        self.take_listeners(fresh);
        self.listen_again_later();
    }

    /// Gives listeners the keys that are new or other than before, and takes away those that are gone.
    fn change_listener_keys(&self, old: &Keys) {
        let Some(keys) = self.running.as_ref().map(|running| &running.keys) else { return };
        let peers: BTreeSet<Prefix> = old.keys().chain(keys.keys()).copied().collect();
        for peers in peers.into_iter().filter(|peers| old.get(peers) != keys.get(peers)) {
            let results = self
                .listeners
                .values()
                .map(|listener| listener.change_key(peers, old.get(&peers), keys.get(&peers)));
            for error in results.filter_map(Result::err) {
                warn!(%peers, %error, "cannot change the key of a listener");
            }
        }
    }

    /// As [`Self::change_listener_keys`], of the connections that stay open: the last words on one that does not are signed with its
    /// old key, or its peer would drop them.
    fn change_connection_keys(&mut self, old: &Keys) {
        if self.running.as_ref().is_none_or(|running| running.keys == *old) {
            return;
        }
        // Those that are to be closed are after this none of ours.
        self.act();
        let Some(keys) = self.running.as_ref().map(|running| &running.keys) else { return };
        for connection in self.connections.values() {
            let peer = connection.peer;
            let (before, after) = (key_of(old, peer), key_of(keys, peer));
            if before != after
                && let Err(error) =
                    change_key(&*connection.stream, Prefix::host(peer), before, after, Socket::Open)
            {
                warn!(%peer, %error, "cannot change the key of a connection");
            }
        }
    }
}

/// Have several listeners the same address and port?
fn is_shared(places: &BTreeSet<Place>) -> bool {
    places.iter().any(|place| place.device.is_some())
}

/// All listeners that a document asks for: those of its list, and the same once more for each interface that a neighbour is bound to,
/// since only so a VRF's connections are seen.
fn wanted(config: &Config) -> BTreeSet<Place> {
    let listen = &config.listen;
    let options = config.neighbors.iter().map(|neighbor| config.options_of(neighbor));
    let options = options.chain(config.listen_ranges.iter().map(|range| config.options_of_range(range)));
    let devices: BTreeSet<Option<String>> =
        options.map(|options| options.bind_interface).chain([None]).collect();
    let places = |addr: &IpAddr| {
        let local = SocketAddr::new(*addr, listen.port);
        devices.iter().map(move |device| Place { local, device: device.clone() }).collect::<Vec<_>>()
    };
    listen.addresses.iter().flat_map(places).collect()
}
