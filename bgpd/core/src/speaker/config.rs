//! What the speaker is asked to be: one declarative document.
//!
//! `Speaker` compares it with the running one and changes only what differs; see `Input::Configure`.
//! Not here: reading it from YAML or gRPC (`bgpd-api`), listening sockets (the shell).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_net::{Asn, Families, Family, RouterId};

use super::peer::kind;
use super::{
    AddPathConfig, AggregateConfig, ListenRange, LocalAs, OutboundConfig, PrefixLimit, RemoteAs, RoleConfig,
};
use crate::nexthop::NextHopTracking;
use crate::policy::Policy;
use crate::rib::DEFAULT_LOCAL_PREF;

/// The whole configuration of a speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Our AS; never 0. In a confederation our member AS.
    pub asn: Asn,
    /// The confederation that we are in (RFC 5065).
    pub confederation: Option<Confederation>,
    /// Our BGP identifier; unique within the AS.
    pub router_id: RouterId,
    /// The cluster that we reflect for (RFC 4456); `None`: the router id.
    pub cluster_id: Option<RouterId>,
    /// Routes from clients are reflected to other clients. False where the clients have sessions with each other (RFC 4456 section 6).
    pub client_to_client_reflection: bool,
    /// Best-path and multipath options.
    pub best_path: BestPathConfig,
    /// Graceful restart of ourselves (RFC 4724); `None`: not announced, and peers drop our routes at once.
    pub graceful_restart: Option<GracefulRestartConfig>,
    /// RFC 8212: an eBGP session exchanges nothing in a direction that has no policy. A peer can override it.
    pub ebgp_requires_policy: bool,
    /// What peers are left with when the speaker stops.
    pub shutdown: ShutdownMode,
    /// Our addresses as next hops for routes of a family that a session's own address is not of (IPv6 routes over an IPv4
    /// session); in place of those of the session's interface. Without either such routes are not announced, but for IPv4
    /// routes to peers that do RFC 8950.
    pub next_hop_addresses: Vec<IpAddr>,
    /// Next hops are looked up in the kernel's routes and in the Loc-RIB; `None`: all are taken as reachable, at the same metric.
    pub next_hop_tracking: Option<NextHopTracking>,
    /// Aggregates, each prefix once.
    pub aggregates: Vec<AggregateConfig>,
    /// The peers by address.
    pub peers: BTreeMap<IpAddr, PeerConfig>,
    /// Ranges of peers that are not configured one by one.
    pub listen_ranges: Vec<ListenRange>,
}

impl Config {
    /// Our AS as a peer knows it: outside of our confederation its identifier.
    pub(super) fn asn_towards(&self, peer: &PeerConfig) -> Asn {
        match &self.confederation {
            Some(confederation) if kind(self, peer).is_external() => confederation.identifier,
            _ => self.asn,
        }
    }

    /// As which other AS we speak to a peer: to one outside of the confederation only.
    pub(super) fn session_as(&self, peer: &PeerConfig) -> Option<LocalAs> {
        peer.local_as.filter(|_| kind(self, peer).is_external())
    }

    /// The AS in our OPEN to a peer.
    pub(super) fn session_asn(&self, peer: &PeerConfig) -> Asn {
        self.session_as(peer).map_or_else(|| self.asn_towards(peer), |session| session.asn)
    }

    /// A speaker without peers, with the defaults of every option.
    pub fn new(asn: Asn, router_id: RouterId) -> Self {
        Self {
            asn,
            confederation: None,
            router_id,
            cluster_id: None,
            client_to_client_reflection: true,
            best_path: BestPathConfig::default(),
            graceful_restart: Some(GracefulRestartConfig::default()),
            ebgp_requires_policy: true,
            shutdown: ShutdownMode::KeepRoutes,
            next_hop_addresses: Vec::new(),
            next_hop_tracking: None,
            aggregates: Vec::new(),
            peers: BTreeMap::new(),
            listen_ranges: Vec::new(),
        }
    }
}

/// A confederation (RFC 5065).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confederation {
    /// The AS that the outside knows.
    pub identifier: Asn,
    /// The other member ASes that we have sessions with.
    pub members: BTreeSet<Asn>,
}

/// Options of best-path selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BestPathConfig {
    /// Compare MED between paths of different neighbour ASes too. Default: false (RFC 4271 section 9.1.2.2 c).
    pub always_compare_med: bool,
    /// A path without MED has the highest one, not the lowest. Default: false (RFC 4271 section 9.1.2.2 c).
    pub med_missing_as_worst: bool,
    /// Leave out the length of the AS path. Default: false.
    pub as_path_ignore: bool,
    /// LOCAL_PREF of routes that have none. Default: 100.
    pub default_local_pref: u32,
    /// Equal-cost paths to use when the best is from eBGP. Range: 1 to 256. Default: 1.
    pub max_paths_ebgp: u16,
    /// Equal-cost paths to use when the best is from iBGP. Range: 1 to 256. Default: 1.
    pub max_paths_ibgp: u16,
    /// Equal cost asks only for an AS path of equal length, not for an equal AS path. Default: false.
    pub multipath_relax: bool,
}

impl Default for BestPathConfig {
    fn default() -> Self {
        Self {
            always_compare_med: false,
            med_missing_as_worst: false,
            as_path_ignore: false,
            default_local_pref: DEFAULT_LOCAL_PREF,
            max_paths_ebgp: 1,
            max_paths_ibgp: 1,
            multipath_relax: false,
        }
    }
}

/// Graceful restart of ourselves (RFC 4724 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GracefulRestartConfig {
    /// How long peers shall keep our routes while we are away. Range: 1 to 4095 s. Default: 120 s.
    pub restart_time: Duration,
    /// Longest time after the start for which route selection waits for the peers' End-of-RIB. Default: 30 s.
    ///
    /// It ends sooner, once every peer that can be reached has sent its End-of-RIB.
    pub selection_deferral: Duration,
    /// Families whose forwarding state has survived the restart of the daemon (the F bit). Default: all.
    ///
    /// Said only while the speaker is starting; a session that ends later has cost nothing.
    pub forwarding_preserved: Families,
    /// How long peers shall keep our routes beyond the restart time, as a last resort (RFC 9494). Range: 0 (not at all) to
    /// 16777215 s. Default: not at all.
    pub long_lived_stale_time: BTreeMap<Family, Duration>,
}

impl Default for GracefulRestartConfig {
    fn default() -> Self {
        Self {
            restart_time: Duration::from_secs(120),
            selection_deferral: Duration::from_secs(30),
            forwarding_preserved: Families::ALL,
            long_lived_stale_time: BTreeMap::new(),
        }
    }
}

/// What peers are left with when the speaker stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Close without a NOTIFICATION: peers that do graceful restart keep our routes for the restart time.
    KeepRoutes,
    /// Cease / Administrative Shutdown: peers drop our routes at once.
    Cease,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its AS; equal to ours: iBGP. Where `remote_as` leaves it open, this stands for it until an OPEN has said which it is: one of the
    /// range, or [`Asn::ZERO`], which nobody has.
    pub asn: Asn,
    /// Which AS it may have. Default: `asn` alone.
    pub remote_as: RemoteAs,
    /// Free text for people.
    pub description: String,
    /// False: administratively down.
    pub enabled: bool,
    /// How the connection is made.
    pub transport: TransportConfig,
    /// Session timers.
    pub timers: TimerConfig,
    /// Families to negotiate. At least one.
    pub families: Families,
    /// Several paths for one prefix (RFC 7911).
    pub add_path: AddPathConfig,
    /// Import policy; `None`: everything is accepted, unless RFC 8212 forbids it.
    pub import: Option<Arc<Policy>>,
    /// Export policy; `None`: everything is announced, unless RFC 8212 forbids it.
    pub export: Option<Arc<Policy>>,
    /// Overrides [`Config::ebgp_requires_policy`] for this peer.
    pub ebgp_requires_policy: Option<bool>,
    /// The next hop in what we announce.
    pub next_hop: NextHopMode,
    /// Our addresses as next hops for routes of a family that the session's own address is not of; before
    /// [`Config::next_hop_addresses`].
    pub next_hop_addresses: Vec<IpAddr>,
    /// An iBGP peer that we reflect routes to and from (RFC 4456).
    pub route_reflector_client: bool,
    /// What is changed and held back on the way to it.
    pub outbound: OutboundConfig,
    /// Routes with BLACKHOLE are taken as such (RFC 7999); `None`: it is a community like any other.
    pub blackhole: Option<BlackholeConfig>,
    /// Next hops of an external peer that is one hop away have to be on a connected network, where they are tracked. Default: true.
    pub connected_check: bool,
    /// Preference of its routes on this router alone: the highest wins before anything else is compared. Default: 0.
    pub weight: u16,
    /// How many times our own AS may occur in a received AS path. Default: 0.
    pub allow_own_as: u8,
    /// Prefixes per family that the peer may announce. `None`: no limit.
    pub max_prefixes: Option<PrefixLimit>,
    /// Another AS number than ours towards this external peer (RFC 7705).
    pub local_as: Option<LocalAs>,
    /// Our role towards this external peer; `None`: no OTC procedures (RFC 9234).
    pub role: Option<RoleConfig>,
    /// How long its stale routes are kept at most once it is back but has not sent its End-of-RIB, and how much of
    /// its restart time we grant. Zero: no helper for this peer. Default: 360 s.
    pub stale_time: Duration,
    /// How long its stale routes are kept at most after that, if it asks for it (RFC 9494). Zero: not at all. Default: a day.
    pub long_lived_stale_time: Duration,
    /// The shell watches the path to the peer with BFD; `None`: it does not.
    pub bfd: Option<super::BfdConfig>,
}

impl PeerConfig {
    /// A peer with the defaults of every option: both families, active, hold time 90 s.
    pub fn new(asn: Asn) -> Self {
        Self {
            asn,
            remote_as: RemoteAs::Configured,
            description: String::new(),
            enabled: true,
            transport: TransportConfig::default(),
            timers: TimerConfig::default(),
            families: Families::ALL,
            add_path: AddPathConfig::default(),
            import: None,
            export: None,
            ebgp_requires_policy: None,
            next_hop: NextHopMode::Default,
            next_hop_addresses: Vec::new(),
            route_reflector_client: false,
            outbound: OutboundConfig::default(),
            blackhole: None,
            connected_check: true,
            weight: 0,
            allow_own_as: 0,
            max_prefixes: None,
            local_as: None,
            role: None,
            stale_time: Duration::from_secs(360),
            long_lived_stale_time: Duration::from_secs(86_400),
            bfd: None,
        }
    }
}

/// Acceptance of blackhole routes (RFC 7999 section 3.3): the shortest prefixes that may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlackholeConfig {
    /// By family (IPv4, IPv6). Default: host prefixes, 32 and 128.
    pub min_len: [u8; 2],
}

impl Default for BlackholeConfig {
    fn default() -> Self {
        Self { min_len: [32, 128] }
    }
}

/// How the connection to a peer is made. Any change of it resets the session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransportConfig {
    /// TCP port of the peer; `None`: 179.
    pub port: Option<u16>,
    /// Our address; `None`: the kernel chooses.
    pub local: Option<IpAddr>,
    /// The interface or VRF that the connection is bound to; `None`: none.
    pub device: Option<String>,
    /// Only wait for the peer to connect.
    pub passive: bool,
    /// TCP MD5 signature (RFC 2385).
    pub password: Option<Password>,
    /// Time to live of our packets, and what is demanded of the peer's.
    pub ttl: Ttl,
}

/// Time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ttl {
    /// 1 towards an eBGP peer, the system's default towards an iBGP peer.
    #[default]
    Default,
    /// The peer may be this many hops away. Range: 1 to 255.
    MultiHop(u8),
    /// GTSM (RFC 5082): send with 255, and accept only what came at most this many hops. Range: 1 to 254.
    Security(u8),
}

/// A TCP MD5 password; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Range: 1 to 80 octets, which the shell's edge checks.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Session timers (RFC 4271 section 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerConfig {
    /// Proposed hold time; the smaller of both sides' is used. Zero (off) or 3 s to 65535 s. Default: 90 s.
    pub hold: Duration,
    /// Time between keepalives; `None`: a third of the negotiated hold time. Never more than that third.
    pub keepalive: Option<Duration>,
    /// How long a connection attempt may take before the next one begins; shortened by up to a quarter at random. Default: 5 s.
    pub connect_retry: Duration,
    /// Wait for the peer's OPEN for this long before sending ours. Default: `None`.
    pub delay_open: Option<Duration>,
    /// How long a peer may read nothing before its session is ended (RFC 9687). Zero: for ever. Default: `None`, which is twice
    /// the negotiated hold time, at least eight minutes.
    pub send_hold: Option<Duration>,
}

impl TimerConfig {
    /// The least send hold time unless configured (RFC 9687 section 6).
    const LEAST_SEND_HOLD: Duration = Duration::from_mins(8);

    /// How long a peer may read nothing, given the negotiated hold time; `None`: for ever.
    pub fn send_hold(&self, hold: Duration) -> Option<Duration> {
        let time = self.send_hold.map_or(Self::LEAST_SEND_HOLD.max(2 * hold), |configured| {
            // Shorter than the hold time it would end sessions that the peer is content with.
            if configured.is_zero() { configured } else { configured.max(hold) }
        });
        (!time.is_zero()).then_some(time)
    }
}

impl Default for TimerConfig {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(90),
            keepalive: None,
            connect_retry: Duration::from_secs(5),
            delay_open: None,
            send_hold: None,
        }
    }
}

/// The next hop in announced routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NextHopMode {
    /// RFC 4271 section 5.1.3: ourselves towards eBGP; unchanged towards iBGP, but ourselves for what we originate.
    #[default]
    Default,
    /// Always ourselves.
    SelfAddress,
    /// Unchanged towards eBGP too, but ourselves for what we originate.
    Unchanged,
    /// Always this address, where a route of the family can have it; others as by default.
    Address(IpAddr),
}
