use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cairn_net::{Asn, RemoteAs, RouterId};
use serde::{Deserialize, Serialize};

use super::{
    Aggregate, AsPathEntry, BestPath, BmpCollector, CommunityPattern, Confederation, Filter,
    InterfaceNeighbor, ListenRange, Mrt, Name, Neighbor, NextHopTracking, OriginatedRoute, PeerOptions,
    PrefixRange, Secret, seconds,
};

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a map with routerId, localAs and more")]
pub struct Config {
    /// BGP identifier; must be unique among all speakers of the AS (RFC 6286).
    pub router_id: RouterId,
    /// AS number of this speaker. Range: 1 to 4294967294, not 23456 and not 65535.
    pub local_as: Asn,
    /// The confederation of which `localAs` is a member (RFC 5065). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confederation: Option<Confederation>,
    /// Where connections are accepted.
    #[serde(default)]
    pub listen: Listen,
    /// Timers of every neighbour that names none of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timers: Timers,
    /// Graceful restart (RFC 4724) of this daemon.
    #[serde(default, skip_serializing_if = "is_default")]
    pub graceful_restart: GracefulRestart,
    /// How many equal-cost paths a route may use.
    #[serde(default, skip_serializing_if = "is_default")]
    pub multipath: Multipath,
    /// Compare MED between paths of different neighbouring ASes, too. Default: false.
    #[serde(default, skip_serializing_if = "is_default")]
    pub always_compare_med: bool,
    /// Other options of the choice between paths.
    #[serde(default, skip_serializing_if = "is_default")]
    pub best_path: BestPath,
    /// LOCAL_PREF of routes that have none. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_local_preference: Option<u32>,
    /// Own addresses as next hops for routes of a family that a session's own address is not of, such as IPv6 routes over
    /// an IPv4 session. Default: the first global address of the interface that the session runs on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_hop_addresses: Vec<IpAddr>,
    /// Whether and how next hops are followed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub next_hop_tracking: NextHopTracking,
    /// Without an import (export) filter nothing is accepted from (sent to) an external neighbour (RFC 8212).
    #[serde(default = "yes")]
    pub ebgp_requires_policy: bool,
    /// Cluster identifier of a route reflector (RFC 4456). Default: the router id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<RouterId>,
    /// Routes from clients are reflected to other clients. Default: true. False where the clients have sessions with each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_to_client_reflection: Option<bool>,
    /// What peers are told when the daemon is stopped by SIGTERM.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_shutdown: ShutdownMode,
    /// Prometheus metrics over HTTP.
    #[serde(default, skip_serializing_if = "is_default")]
    pub metrics: Metrics,
    /// Collectors that are told by BMP (RFC 7854) what sessions and routes there are. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bmp: Vec<BmpCollector>,
    /// MRT files that the daemon writes by itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mrt: Mrt,
    /// Named lists of prefixes. A route matches a list if any entry matches.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "super::load::unique_map"
    )]
    pub prefix_sets: BTreeMap<Name, Vec<PrefixRange>>,
    /// Named lists of communities and patterns of them.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "super::load::unique_map"
    )]
    pub community_sets: BTreeMap<Name, Vec<CommunityPattern>>,
    /// Named lists of AS path patterns. A route matches a list if any entry matches its path.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "super::load::unique_map"
    )]
    pub as_path_sets: BTreeMap<Name, Vec<AsPathEntry>>,
    /// Named filters. `accept-all` and `reject-all` always exist and cannot be defined anew.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "super::load::unique_map"
    )]
    pub filters: BTreeMap<Name, Filter>,
    /// Options shared by several neighbours.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "super::load::unique_map"
    )]
    pub peer_groups: BTreeMap<Name, PeerOptions>,
    /// Ranges of neighbours that are not named one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen_ranges: Vec<ListenRange>,
    /// Neighbours on links without addresses of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interface_neighbors: Vec<InterfaceNeighbor>,
    /// The neighbours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbors: Vec<Neighbor>,
    /// Routes of this speaker that stand for more specific ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<Aggregate>,
    /// Prefixes that this speaker originates itself, whoever else originates through the socket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub originate: Vec<OriginatedRoute>,
}

impl Config {
    /// A document with a router id and an AS number, and the default for all else.
    pub fn new(router_id: RouterId, local_as: Asn) -> Self {
        Self {
            router_id,
            local_as,
            confederation: None,
            listen: Listen::default(),
            timers: Timers::default(),
            graceful_restart: GracefulRestart::default(),
            multipath: Multipath::default(),
            always_compare_med: false,
            best_path: BestPath::default(),
            default_local_preference: None,
            next_hop_addresses: Vec::new(),
            next_hop_tracking: NextHopTracking::default(),
            ebgp_requires_policy: true,
            cluster_id: None,
            client_to_client_reflection: None,
            on_shutdown: ShutdownMode::default(),
            metrics: Metrics::default(),
            bmp: Vec::new(),
            mrt: Mrt::default(),
            prefix_sets: BTreeMap::new(),
            community_sets: BTreeMap::new(),
            as_path_sets: BTreeMap::new(),
            filters: BTreeMap::new(),
            peer_groups: BTreeMap::new(),
            listen_ranges: Vec::new(),
            interface_neighbors: Vec::new(),
            neighbors: Vec::new(),
            aggregates: Vec::new(),
            originate: Vec::new(),
        }
    }

    /// The same document with every password replaced by [`Secret::HIDDEN`].
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut config = self.clone();
        let neighbors = config.neighbors.iter_mut().map(|neighbor| &mut neighbor.options);
        let links = config.interface_neighbors.iter_mut().map(|neighbor| &mut neighbor.options);
        let neighbors = neighbors.chain(links);
        for options in neighbors.chain(config.peer_groups.values_mut()) {
            options.password = options.password.as_ref().map(|_| Secret::hidden());
            if let Some(with) = options.bfd.as_mut().and_then(|bfd| bfd.authentication.as_mut()) {
                with.password = with.password.as_ref().map(|_| Secret::hidden());
            }
            for key in options.tcp_ao.iter_mut().flatten() {
                key.secret = Secret::hidden();
            }
        }
        config
    }

    /// The options of an interface's neighbour, with those of its peer group in every place where it has none itself.
    pub fn options_of_interface(&self, neighbor: &InterfaceNeighbor) -> PeerOptions {
        let group = neighbor.peer_group.as_ref().and_then(|name| self.peer_groups.get(name));
        neighbor.options.clone().or(group)
    }

    /// The options of a range's neighbours: those of its peer group. The AS is that of the group unless the range has a list; then it is
    /// the first one of that.
    pub fn options_of_range(&self, range: &ListenRange) -> PeerOptions {
        let group = self.peer_groups.get(&range.peer_group).cloned().unwrap_or_default();
        let first = range.remote_as.first().map(|part| RemoteAs::Number(part.first));
        PeerOptions { remote_as: first.or(group.remote_as), ..group }
    }

    /// The neighbour's options with those of its peer group in every place where it has none itself.
    pub fn options_of(&self, neighbor: &Neighbor) -> PeerOptions {
        let group = neighbor.peer_group.as_ref().and_then(|name| self.peer_groups.get(name));
        neighbor.options.clone().or(group)
    }
}

/// Where connections are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Listen {
    /// Local addresses. Default: all of both families. An empty list: no connection is accepted.
    pub addresses: Vec<IpAddr>,
    /// TCP port, also the default for the neighbours' ports. Default: 179.
    pub port: u16,
}

impl Default for Listen {
    fn default() -> Self {
        let any = cairn_net::Family::ALL.map(cairn_net::Family::unspecified);
        Self { addresses: any.to_vec(), port: 179 }
    }
}

/// Session timers. Unit: seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timers {
    /// Hold time offered in OPEN. Range: 0 (off) or 3 to 65535. Default: 90.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub hold_time: Option<Duration>,
    /// Time between KEEPALIVEs. Range: 1 to a third of the hold time. Default: a third of the negotiated hold time.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub keepalive_time: Option<Duration>,
    /// How long an attempt to connect may take before the next one begins; shortened by up to a quarter at random.
    /// Range: 1 to 65535. Default: 5.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub connect_retry_time: Option<Duration>,
    /// How long a neighbour may read nothing before its session is ended (RFC 9687). Range: 0 (for ever) to 65535, but not below
    /// the negotiated hold time. Default: twice the hold time, at least 480.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub send_hold_time: Option<Duration>,
}

impl Timers {
    /// The timers with those of `fallback` where they are not set.
    #[must_use]
    pub fn or(self, fallback: &Self) -> Self {
        Self {
            hold_time: self.hold_time.or(fallback.hold_time),
            keepalive_time: self.keepalive_time.or(fallback.keepalive_time),
            connect_retry_time: self.connect_retry_time.or(fallback.connect_retry_time),
            send_hold_time: self.send_hold_time.or(fallback.send_hold_time),
        }
    }
}

/// Graceful restart of this daemon (RFC 4724). What it does for neighbours that restart: `staleRoutesTime` of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GracefulRestart {
    /// Announce that forwarding goes on while this daemon restarts. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long neighbours are asked to wait for this daemon. Unit: seconds. Range: 1 to 4095. Default: 120.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub restart_time: Option<Duration>,
    /// How long best paths are held back after the daemon's own start until all neighbours have sent End-of-RIB.
    /// Unit: seconds. Range: 0 to 65535. Default: 30.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub deferral_time: Option<Duration>,
    /// What neighbours are told after a restart about the routes in this machine's kernel (the F bit). Default: `auto`.
    #[serde(skip_serializing_if = "is_default")]
    pub preserve_forwarding_state: ForwardingState,
    /// How long neighbours are asked to keep routes of a family beyond `restartTime` while this daemon stays away: as a last
    /// resort, worse than any other (RFC 9494). Default: not at all.
    #[serde(skip_serializing_if = "is_default")]
    pub long_lived_stale_time: FamilyTimes,
}

/// What a restarted daemon says of the forwarding state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardingState {
    /// It was kept in the families of which the kernel still has routes of Cairn when the daemon starts. A daemon that has
    /// nothing to do with the kernel's routes, such as a route reflector, has lost none.
    #[default]
    Auto,
    /// It was kept.
    Always,
    /// It was lost: neighbours drop this speaker's routes once it is back, until it has sent them again.
    Never,
}

/// A time for each family. Unit: seconds. Range: 0 (none) to 16777215.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FamilyTimes {
    /// For IPv4 routes.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Duration>,
    /// For IPv6 routes.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Duration>,
}

impl FamilyTimes {
    /// The families that have a time, with it.
    pub fn iter(&self) -> impl Iterator<Item = (cairn_net::Family, Duration)> {
        cairn_net::Family::ALL
            .into_iter()
            .zip([self.ipv4, self.ipv6])
            .filter_map(|(family, time)| Some((family, time?)))
    }
}

/// How many equal-cost paths a route may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Multipath {
    /// Paths from external neighbours. Range: 1 to 64. Default: 16.
    pub ebgp: u8,
    /// Paths from internal neighbours. Range: 1 to 64. Default: 16.
    pub ibgp: u8,
    /// Paths of equal length may be used together although their ASes differ. Default: true.
    pub as_path_relax: bool,
}

impl Default for Multipath {
    fn default() -> Self {
        Self { ebgp: 16, ibgp: 16, as_path_relax: true }
    }
}

/// Prometheus metrics over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Metrics {
    /// Address and port where `/metrics` is served. Default: what `--metrics` says, else nowhere. Port: 1 to 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// What peers are told when the daemon is stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShutdownMode {
    /// Nothing: connections close, and neighbours with graceful restart keep forwarding to this node.
    #[default]
    GracefulRestart,
    /// Cease, Administrative Shutdown (RFC 4486): neighbours withdraw this node's routes at once.
    Cease,
}

pub(super) const fn yes() -> bool {
    true
}

/// For `skip_serializing_if`: leaves defaults out of printed documents.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
