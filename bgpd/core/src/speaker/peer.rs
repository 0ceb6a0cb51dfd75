use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_net::{Families, Prefix, RouterId};

use super::retention::Retained;
use super::session::Session;
use super::view::Counters;
use super::{BfdState, Config, ConnId, DownReason, PeerConfig};
use crate::fsm::{Fsm, Jitter, Settings, State};
use crate::policy::Hits;
use crate::rib::slab::slab_id;
use crate::rib::{SourceId, SourceKind};
use crate::wire::{
    AfiSafi, Capability, GracefulRestart, GracefulRestartFamily, LongLivedFamily, Notification, Open,
    OpenCheck,
};

slab_id! {
    /// Names a peer.
    PeerId
}

/// A configured peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) config: PeerConfig,
    pub(super) source: SourceId,
    /// The machine that opens connections.
    pub(super) connector: Fsm,
    /// Its connection or attempt.
    pub(super) attempt: Option<ConnId>,
    /// A machine for each accepted connection: at most one that is Established, and one that is not yet.
    pub(super) accepted: Vec<Fsm>,
    /// Why it is administratively down; `None`: it is not.
    pub(super) stopped: Option<String>,
    /// The session in Established.
    pub(super) session: Option<Session>,
    /// The listen range that it comes from, if it is a dynamic peer.
    pub(super) range: Option<Prefix>,
    /// It is stopped until then, for a prefix limit that it exceeded.
    pub(super) restart_at: Option<Instant>,
    /// Families of which it has been warned that the prefix limit is near.
    pub(super) warned: Families,
    /// Stale routes that are kept for it.
    pub(super) retained: Retained,
    /// Attempts that failed in a row, since it was last up.
    pub(super) failures: u32,
    /// What BFD said last of the path.
    pub(super) bfd: BfdState,
    pub(super) counters: Counters,
    /// How often the statements of the import policy matched a path that came or was judged anew.
    pub(super) import_hits: Hits,
    pub(super) last_error: Option<(Instant, DownReason)>,
    /// When a session last came up or went down; `None`: none ever came up.
    pub(super) turned: Option<Instant>,
    pub(super) notification_sent: Option<(Instant, Notification)>,
    pub(super) notification_received: Option<(Instant, Notification)>,
    /// As last reported, and since when.
    pub(super) state: (State, Instant),
    /// When the queue of timers will look at it.
    pub(super) scheduled: Option<Instant>,
}

/// One of a peer's machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    Connector,
    Accepted(ConnId),
}

impl Peer {
    pub(super) fn new(
        address: IpAddr,
        config: PeerConfig,
        source: SourceId,
        local: &Config,
        now: Instant,
    ) -> Self {
        let settings = Arc::new(settings(local, &config, address, false));
        Self {
            address,
            connector: Fsm::connecting(settings, jitter(local.router_id, address)),
            attempt: None,
            accepted: Vec::new(),
            stopped: (!config.enabled).then(|| "disabled in the configuration".to_owned()),
            import_hits: Hits::new(config.import.as_deref()),
            config,
            source,
            session: None,
            range: None,
            restart_at: None,
            warned: Families::NONE,
            retained: Retained::default(),
            failures: 0,
            bfd: BfdState::default(),
            counters: Counters::default(),
            last_error: None,
            turned: None,
            notification_sent: None,
            notification_received: None,
            state: (State::Idle, now),
            scheduled: None,
        }
    }

    /// The machine, if it still exists.
    pub(super) fn machine(&mut self, machine: Machine) -> Option<&mut Fsm> {
        match machine {
            Machine::Connector => Some(&mut self.connector),
            Machine::Accepted(conn) => self.accepted.iter_mut().find(|fsm| fsm.conn() == Some(conn)),
        }
    }

    /// The machine of a connection.
    pub(super) fn machine_of(&self, conn: ConnId) -> Machine {
        if self.attempt == Some(conn) { Machine::Connector } else { Machine::Accepted(conn) }
    }

    /// All machines that have a connection, by name.
    pub(super) fn connected(&self) -> impl Iterator<Item = (Machine, &Fsm)> {
        let connector = self.connector.conn().map(|_| (Machine::Connector, &self.connector));
        let accepted = self.accepted.iter().filter_map(|fsm| Some((Machine::Accepted(fsm.conn()?), fsm)));
        connector.into_iter().chain(accepted)
    }

    /// The state of the peer: that of its most advanced machine.
    pub(super) fn most_advanced(&self) -> State {
        self.accepted.iter().map(Fsm::state).fold(self.connector.state(), State::max)
    }

    /// The earliest time at which something is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let machines = self.accepted.iter().chain([&self.connector]);
        let timers = machines.filter_map(|fsm| fsm.timers().next());
        let refresh = self.session.as_ref().and_then(Session::refresh_deadline);
        let retained = self.retained.iter().flatten().map(|retention| retention.until);
        timers.chain(retained).chain(self.restart_at).chain(refresh).min()
    }

    /// The peer may have a session.
    pub(super) fn is_enabled(&self) -> bool {
        self.stopped.is_none()
    }

    /// Plans our next attempt after an end, unless one is planned already or none is to be made.
    pub(super) fn try_again(&mut self, now: Instant, reason: &DownReason) {
        if self.is_enabled() && !self.waits_for_bfd() && self.connector.timers().idle_hold.is_none() {
            self.connector.retry(now, reason);
        }
    }

    /// Postpones our own attempt while the peer's is under way.
    pub(super) fn yield_to_accepted(&mut self, now: Instant) {
        let due = self.connector.timers().idle_hold.is_some_and(|at| at <= now);
        if due && !self.accepted.is_empty() {
            self.connector.retry_after(now, Duration::from_secs(1));
        }
    }
}

/// What kind of source of routes a peer is.
pub(super) fn kind(local: &Config, peer: &PeerConfig) -> SourceKind {
    let is_member = |asn| local.confederation.as_ref().is_some_and(|all| all.members.contains(&asn));
    SourceKind::of_peer(local.asn, is_member, peer.asn, peer.route_reflector_client)
}

/// What a peer's machines need to know; `restarted`: we have come up and do not have all routes yet.
pub(super) fn settings(local: &Config, peer: &PeerConfig, address: IpAddr, restarted: bool) -> Settings {
    let asn = local.session_asn(peer);
    let families = || peer.families.iter().map(AfiSafi::from);
    let mut capabilities: Vec<_> = families().map(Capability::Multiprotocol).collect();
    capabilities.push(Capability::RouteRefresh);
    capabilities.push(Capability::EnhancedRouteRefresh);
    capabilities.push(Capability::ExtendedMessage);
    capabilities.push(Capability::FourOctetAs(asn));
    capabilities.extend(peer.role.map(|configured| Capability::Role(configured.role)));
    capabilities.extend(peer.add_path.capability(peer.families));
    if address.is_ipv6() {
        const IPV6: u16 = 2;
        let ipv4 = AfiSafi::from(cairn_net::Family::Ipv4);
        capabilities.push(Capability::ExtendedNextHop(vec![(ipv4, IPV6)]));
    }
    capabilities.extend(restart_capabilities(local, peer, restarted));
    Settings {
        open: Open {
            asn,
            hold_time: u16::try_from(peer.timers.hold.as_secs()).unwrap_or(u16::MAX),
            router_id: local.router_id,
            capabilities,
        },
        check: OpenCheck {
            local_as: asn,
            local_id: local.router_id,
            peer_as: local.peer_as(peer),
            role: peer.role.map(|configured| configured.role),
            role_strict: peer.role.is_some_and(|configured| configured.strict),
        },
        timers: peer.timers.clone(),
        passive: peer.transport.passive,
    }
}

/// Graceful restart (RFC 4724) and the long-lived one (RFC 9494). Without families they say: we keep the peer's routes, but ours
/// are not worth keeping.
fn restart_capabilities(local: &Config, peer: &PeerConfig, restarted: bool) -> [Capability; 2] {
    let Some(restart) = &local.graceful_restart else {
        let helper = GracefulRestart { notification: true, ..GracefulRestart::default() };
        return [Capability::GracefulRestart(helper), Capability::LongLivedGracefulRestart(Vec::new())];
    };
    // Nothing was lost unless we restarted.
    let forwarding = |family| !restarted || restart.forwarding_preserved.contains(family);
    let families = peer.families.iter().map(|family| GracefulRestartFamily {
        family: AfiSafi::from(family),
        forwarding: forwarding(family),
    });
    let long_lived = peer.families.iter().filter_map(|family| {
        let stale_time = restart.long_lived_stale_time.get(&family).filter(|time| !time.is_zero())?;
        Some(LongLivedFamily {
            family: AfiSafi::from(family),
            forwarding: forwarding(family),
            stale_time: u32::try_from(stale_time.as_secs()).unwrap_or(u32::MAX),
        })
    });
    [
        Capability::GracefulRestart(GracefulRestart {
            restarted,
            notification: true,
            restart_time: u16::try_from(restart.restart_time.as_secs()).unwrap_or(u16::MAX),
            families: families.collect(),
        }),
        Capability::LongLivedGracefulRestart(long_lived.collect()),
    ]
}

/// Equal peers of different speakers, and different peers of one, retry at different times; the same in every run.
pub(super) fn jitter(router_id: RouterId, peer: IpAddr) -> Jitter {
    let peer = match peer {
        IpAddr::V4(addr) => u64::from(u32::from(addr)),
        #[allow(clippy::cast_possible_truncation)] // the low half tells neighbours apart
        IpAddr::V6(addr) => u128::from(addr) as u64,
    };
    Jitter::new(u64::from(router_id.get()) << 32 ^ peer)
}
