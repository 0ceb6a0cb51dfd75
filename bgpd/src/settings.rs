//! The document as the speaker's configuration.

mod bfd;
mod key;
mod outbound;
mod policy;
mod session;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bgp_core::speaker;
use bgpd_api::config::{
    AddPath, Config, FilterChain, ForwardingState, NextHopMode, OriginatedRoute, PathCount, PeerOptions,
    ShutdownMode, Timers,
};
use bgpd_policy::Compiled;
use cairn_net::{Families, Family, Prefix};
pub(crate) use key::{Key, Keys, key_of, of_family};
use thiserror::Error;

use crate::daemon::Links;

/// A document made ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// For the speaker.
    pub(crate) speaker: speaker::Config,
    /// Keys that sign TCP segments.
    pub(crate) keys: Keys,
    /// BFD sessions by neighbour.
    pub(crate) bfd: BTreeMap<IpAddr, crate::bfd::Session>,
}

/// A document that is valid but cannot be run here.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    /// A password file cannot be read.
    #[error("neighbor {neighbor}: cannot read passwordFile {path}: {source}", path = .path.display())]
    PasswordFile {
        /// Whose: an address, or the prefix of a listen range.
        neighbor: String,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A password file for BFD holds no secret that its type can have.
    #[error("neighbor {neighbor}: bfd.authentication.passwordFile {path}: {len} bytes: a secret of this type has 1 to {max} bytes", path = .path.display())]
    BfdPasswordLength {
        /// Whose.
        neighbor: IpAddr,
        /// Which.
        path: PathBuf,
        /// How long its text is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// A password file holds no password.
    #[error("neighbor {neighbor}: passwordFile {path}: {len} bytes: a password has 1 to 80 bytes", path = .path.display())]
    PasswordLength {
        /// Whose: an address, or the prefix of a listen range.
        neighbor: String,
        /// Which.
        path: PathBuf,
        /// How long its text is.
        len: usize,
    },
    /// The kernel has no TCP-AO.
    #[error(
        "neighbor {neighbor}: tcpAo: {keys} keys: this kernel has no TCP-AO, which needs Linux 6.7 with CONFIG_TCP_AO; \
             use password (TCP MD5) instead"
    )]
    NoTcpAo {
        /// Whose: an address, or the prefix of a listen range.
        neighbor: String,
        /// How many keys it has.
        keys: usize,
    },
    /// Whether the kernel has TCP-AO cannot be found out.
    #[error("neighbor {neighbor}: tcpAo: cannot try whether this kernel has TCP-AO: {source}")]
    TcpAo {
        /// Whose: an address, or the prefix of a listen range.
        neighbor: String,
        /// Why.
        source: io::Error,
    },
}

impl Settings {
    /// Makes a valid document ready to run, where the kernel has kept the routes of some families since before the daemon's
    /// start, and with the neighbours of interfaces that are known. Reads the password files.
    ///
    /// # Errors
    /// If a password file is not usable.
    pub(crate) fn new(config: &Config, kept: Families, links: &Links) -> Result<Self, SettingsError> {
        let policies = policy::compiled(config);
        let mut speaker = speaker::Config::new(config.local_as, config.router_id);
        speaker.cluster_id = config.cluster_id;
        speaker.confederation = config.confederation.as_ref().map(|confederation| speaker::Confederation {
            identifier: confederation.identifier,
            members: confederation.members.iter().copied().collect(),
        });
        speaker.client_to_client_reflection = config.client_to_client_reflection.unwrap_or(true);
        speaker.best_path = speaker::BestPathConfig {
            always_compare_med: config.always_compare_med,
            med_missing_as_worst: config.best_path.med_missing_as_worst,
            as_path_ignore: config.best_path.as_path_ignore,
            default_local_pref: config
                .default_local_preference
                .unwrap_or(speaker.best_path.default_local_pref),
            max_paths_ebgp: config.multipath.ebgp.into(),
            max_paths_ibgp: config.multipath.ibgp.into(),
            multipath_relax: config.multipath.as_path_relax,
        };
        speaker.graceful_restart = graceful_restart(config, kept);
        speaker.next_hop_tracking = session::next_hop_tracking(config);
        speaker.ebgp_requires_policy = config.ebgp_requires_policy;
        speaker.shutdown = match config.on_shutdown {
            ShutdownMode::GracefulRestart => speaker::ShutdownMode::KeepRoutes,
            ShutdownMode::Cease => speaker::ShutdownMode::Cease,
        };
        speaker.next_hop_addresses.clone_from(&config.next_hop_addresses);
        speaker.aggregates = config.aggregates.iter().map(outbound::aggregate).collect();
        let lists = outbound::prefix_lists(config);
        let mut keys = Keys::new();
        let mut bfd = BTreeMap::new();
        let named = config.neighbors.iter().map(|of| (of.address, None, config.options_of(of)));
        let found = config.interface_neighbors.iter().filter_map(|of| {
            let link = links.get(&of.interface)?;
            Some((link.address.into(), Some(link.index.0), session::interface_options(config, of)))
        });
        for (address, interface, options) in named.chain(found) {
            let host = Prefix::host(address);
            keys.extend(key::key(host, &options)?.map(|key| (host, key)));
            let session = bfd::session(address, interface, &options)?;
            bfd.extend(session.map(|session| (address, session)));
            let sent = outbound::outbound(&options, &lists);
            let mut peer = peer(config, host.family(), options, &policies);
            peer.outbound = sent;
            speaker.peers.insert(address, peer);
        }
        for range in &config.listen_ranges {
            let options = config.options_of_range(range);
            keys.extend(key::key(range.prefix, &options)?.map(|key| (range.prefix, key)));
            speaker.listen_ranges.push(session::listen_range(config, range, options, (&policies, &lists)));
        }
        Ok(Self { speaker, keys, bfd })
    }
}

fn graceful_restart(config: &Config, kept: Families) -> Option<speaker::GracefulRestartConfig> {
    let settings = &config.graceful_restart;
    let default = speaker::GracefulRestartConfig::default();
    settings.enabled.unwrap_or(true).then(|| speaker::GracefulRestartConfig {
        restart_time: settings.restart_time.unwrap_or(default.restart_time),
        selection_deferral: settings.deferral_time.unwrap_or(default.selection_deferral),
        forwarding_preserved: match settings.preserve_forwarding_state {
            ForwardingState::Auto => kept,
            ForwardingState::Always => Families::ALL,
            ForwardingState::Never => Families::NONE,
        },
        long_lived_stale_time: settings.long_lived_stale_time.iter().collect(),
    })
}

fn peer(config: &Config, family: Family, options: PeerOptions, policies: &Compiled) -> speaker::PeerConfig {
    let (asn, remote_as) = session::remote_as(config, &options);
    let mut peer = speaker::PeerConfig::new(asn);
    peer.remote_as = remote_as;
    let policy = |chain: Option<FilterChain>| policy::policy(chain.as_ref(), policies);
    let ttl = ttl(&options);
    peer.local_as = session::local_as(&options);
    peer.role = session::role(&options);
    peer.max_prefixes = session::prefix_limit(&options);
    peer.description = options.description.unwrap_or_default();
    peer.enabled = options.enabled.unwrap_or(true);
    peer.transport = speaker::TransportConfig {
        port: Some(options.port.unwrap_or(config.listen.port)),
        local: options.local_address,
        device: options.bind_interface,
        passive: options.passive.unwrap_or(false),
        password: None,
        ttl,
    };
    peer.timers = timers(&options.timers.unwrap_or_default().or(&config.timers));
    peer.families = options.families.clone().unwrap_or_else(|| vec![family]).into_iter().collect();
    peer.add_path = options.add_path.as_ref().map(add_path).unwrap_or_default();
    peer.import = policy(options.import);
    peer.export = policy(options.export);
    peer.ebgp_requires_policy = options.ebgp_requires_policy;
    peer.next_hop = match options.next_hop.unwrap_or_default() {
        NextHopMode::Auto => speaker::NextHopMode::Default,
        NextHopMode::Itself => speaker::NextHopMode::SelfAddress,
        NextHopMode::Unchanged => speaker::NextHopMode::Unchanged,
        NextHopMode::Address(addr) => speaker::NextHopMode::Address(addr),
    };
    peer.next_hop_addresses = options.next_hop_addresses.unwrap_or_default();
    peer.connected_check = config.next_hop_tracking.connected_check.unwrap_or(true)
        && !options.disable_connected_check.unwrap_or(false);
    peer.route_reflector_client = options.route_reflector_client.unwrap_or(false);
    peer.blackhole = options.blackhole.map(outbound::blackhole);
    peer.weight = options.weight.unwrap_or(0);
    peer.allow_own_as = options.allowas_in.unwrap_or(0);
    peer.bfd = bfd::of_peer(options.bfd.as_ref());
    peer.stale_time = options.stale_routes_time.unwrap_or(peer.stale_time);
    peer.long_lived_stale_time = options.long_lived_stale_routes_time.unwrap_or(peer.long_lived_stale_time);
    peer
}

fn add_path(options: &AddPath) -> speaker::AddPathConfig {
    let count = |count: PathCount| match count {
        PathCount::All => speaker::AddPathSend::All,
        PathCount::Best(count) => speaker::AddPathSend::Best(count),
    };
    speaker::AddPathConfig {
        receive: options.receive.iter().copied().collect(),
        send: [options.send.ipv4, options.send.ipv6].map(|send| send.map(count)),
    }
}

/// Time to live of a neighbour's packets.
pub(crate) fn ttl(options: &PeerOptions) -> speaker::Ttl {
    match (options.ttl_security_hops, options.ebgp_multihop) {
        (Some(hops), _) => speaker::Ttl::Security(hops),
        (None, Some(hops)) => speaker::Ttl::MultiHop(hops),
        (None, None) => speaker::Ttl::Default,
    }
}

/// A route of the document or of a client as the speaker has it.
pub(crate) fn originated(route: &OriginatedRoute) -> speaker::OriginatedRoute {
    let communities = policy::split(&route.communities);
    speaker::OriginatedRoute {
        prefix: route.prefix,
        next_hop: route.next_hop,
        local_pref: route.local_preference,
        med: route.med,
        communities: communities.standard,
        large_communities: communities.large,
        extended_communities: communities.extended,
    }
}

fn timers(timers: &Timers) -> speaker::TimerConfig {
    let default = speaker::TimerConfig::default();
    speaker::TimerConfig {
        hold: timers.hold_time.unwrap_or(default.hold),
        keepalive: timers.keepalive_time,
        connect_retry: timers.connect_retry_time.unwrap_or(Duration::from_secs(5)),
        delay_open: None,
        send_hold: timers.send_hold_time,
    }
}

#[cfg(test)]
mod tests;
