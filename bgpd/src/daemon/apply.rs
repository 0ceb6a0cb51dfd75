//! Making a document the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use bgp_core::speaker::Input;
use bgpd_api::config::{Config, Secret};
use thiserror::Error;
use tracing::{info, warn};

use super::{Daemon, Running};
use crate::difference;
use crate::settings::{self, Settings, SettingsError};
use crate::transport::{ListenError, Listener, set_key};

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
        let (passwords, bfd) = (settings.passwords.clone(), settings.bfd.clone());
        Self { config, source, passwords, bfd, enabled }
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
        let settings = Settings::new(&config, self.kept)?;
        let before: Vec<IpAddr> = self.configured_peers().collect();
        let fresh = self.open_listeners(&config, &settings.passwords)?;
        // From here on nothing can fail.
        self.close_old_listeners(&config);
        for (local, listener) in fresh {
            self.events.acceptable(local, &listener.socket);
            self.listeners.insert(local, listener);
        }
        self.change_keys(&settings.passwords);
        let routes = config.originate.iter().map(settings::originated).collect();
        let (collectors, mrt) = (config.bmp.clone(), config.mrt.clone());
        self.metrics.listen(config.metrics.listen.or(self.default_metrics));
        self.running = Some(Running::new(config, source.to_owned(), &settings));
        self.set_collectors(&collectors);
        self.set_mrt(&mrt);
        self.handle(Input::Configure(Box::new(settings.speaker)));
        self.handle(Input::Originate { owner: CONFIG_OWNER.to_owned(), routes, replace: true });
        let peers: Vec<IpAddr> = before.into_iter().chain(self.configured_peers()).collect();
        for peer in peers {
            self.peers.changed(peer);
        }
        self.by_hand.retain(|peer, _| self.speaker.peer(*peer).is_some());
        self.sync_bfd();
        let known = |peer| self.speaker.peer(peer).is_some();
        self.reporter.retain(known);
        self.history.retain(known);
        for change in &changes {
            info!(source, change, "configuration changed");
        }
        Ok(changes)
    }

    /// Opens what is not open yet. If one cannot be opened, none is.
    fn open_listeners(
        &self,
        config: &Config,
        keys: &BTreeMap<IpAddr, Secret>,
    ) -> Result<Vec<(SocketAddr, Listener)>, ListenError> {
        wanted(config)
            .into_iter()
            .filter(|local| !self.listeners.contains_key(local))
            .map(|local| Listener::open(local, keys).map(|listener| (local, listener)))
            .collect()
    }

    fn close_old_listeners(&mut self, config: &Config) {
        let wanted = wanted(config);
        self.listeners.retain(|local, _| wanted.contains(local));
    }

    /// Gives listeners and open connections the keys that are new or other than before, and takes away those that are gone.
    fn change_keys(&self, keys: &BTreeMap<IpAddr, Secret>) {
        let none = BTreeMap::new();
        let old = self.running.as_ref().map_or(&none, |running| &running.passwords);
        let peers: BTreeSet<_> = old.keys().chain(keys.keys()).collect();
        for peer in peers.into_iter().filter(|peer| old.get(peer) != keys.get(peer)) {
            let key = keys.get(peer);
            let connections = self.connections.values().filter(|connection| connection.peer == *peer);
            let results = connections
                .map(|connection| set_key(&*connection.stream, *peer, key))
                .chain(self.listeners.values().map(|listener| listener.set_key(*peer, key)));
            for error in results.filter_map(Result::err) {
                warn!(%peer, %error, "cannot change the TCP MD5 password of a socket");
            }
        }
    }
}

fn wanted(config: &Config) -> BTreeSet<SocketAddr> {
    let listen = &config.listen;
    listen.addresses.iter().map(|addr| SocketAddr::new(*addr, listen.port)).collect()
}
