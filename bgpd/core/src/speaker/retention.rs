//! Routes that outlive their session.
//!
//! Spec: RFC 4724 section 4.2 (helper), RFC 8538 section 4 (NOTIFICATIONs that keep routes), RFC 9494 section 4.2 (long-lived).
//! Shape: for each family first the restart time (or, once the peer is back, the stale time), then, where the peer asks for it,
//! the long-lived time, in which the routes are worse than any other.
//! Routes that are stale already go when the peer restarts again, unless it asks for a long life of its routes.
//! Invariant: however often a peer restarts before it has sent its End-of-RIB, no route outlives a bound that was set when
//! the first of these sessions ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_net::{Families, Family};

use super::drive::COLLISION_TIME;
use super::peer::PeerId;
use super::session::Session;
use super::{DownReason, Speaker};
use crate::rib::{Interner, PathId, RouteAttributes, Table, Verdict};
use crate::wire::{
    AfiSafi, CeaseError, Community, GracefulRestart, LongLivedFamily, Nlri, Notification, NotificationCode,
};

/// What is kept of a peer, by family.
pub(super) type Retained = [Option<Retention>; 2];

/// Stale routes of a family that are kept for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retention {
    /// They go at this time, or become long-lived ones.
    pub(super) until: Instant,
    /// The restart and stale times end no later than this, however often the peer restarts.
    pub(super) limit: Instant,
    pub(super) phase: Phase,
}

/// Where in its retention a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The restart time (RFC 4724).
    Restarting {
        /// What follows it if the peer stays away; `None`: the routes go.
        long_lived: Option<Duration>,
    },
    /// The long-lived stale time (RFC 9494), which no restart of the peer changes.
    LongLived,
}

impl Speaker {
    /// The session is gone: keeps what may be kept and removes the rest.
    pub(super) fn retain(&mut self, id: PeerId, session: &Session, reason: &DownReason) {
        let keeps = keeps_routes(session, reason) && !self.peers[id].config.stale_time.is_zero();
        for family in Family::ALL {
            let earlier = self.peers[id].retained[family as usize].take();
            let retention = self.retention(id, session, family, earlier).filter(|_| keeps);
            // The bound tells whether this goes on with what there was.
            let limit = |retention: Option<Retention>| retention.map(|retention| retention.limit);
            self.keep_stale(id, family, retention, limit(retention) != limit(earlier));
            self.peers[id].retained[family as usize] = retention;
        }
    }

    /// How the routes of a family are kept, if the session's end allows it.
    fn retention(
        &self,
        id: PeerId,
        session: &Session,
        family: Family,
        earlier: Option<Retention>,
    ) -> Option<Retention> {
        let config = &self.peers[id].config;
        let restart = session.restart.as_ref().filter(|_| session.negotiated.families.contains(family))?;
        let long_lived = long_lived_family(&session.long_lived, family)
            .map(|family| Duration::from_secs(family.stale_time.into()).min(config.long_lived_stale_time))
            .filter(|time| !time.is_zero());
        // A family that is only long-lived has no restart time (RFC 9494 section 4.2).
        let time = if restart_families(restart, false).contains(family) {
            Duration::from_secs(restart.restart_time.into()).min(config.stale_time)
        } else {
            Duration::ZERO
        };
        if time.is_zero() && long_lived.is_none() {
            return None;
        }
        let until = self.now + time;
        match earlier.filter(|_| long_lived.is_some() || self.is_same_restart(session)) {
            Some(earlier @ Retention { phase: Phase::LongLived, .. }) => Some(earlier),
            Some(earlier) => Some(Retention {
                until: until.min(earlier.until),
                limit: earlier.limit,
                phase: Phase::Restarting { long_lived },
            }),
            None => Some(Retention {
                until,
                limit: until + config.stale_time,
                phase: Phase::Restarting { long_lived },
            }),
        }
    }

    /// A session that ends this soon is mostly the loser of a collision, which the peer's restart brings about: no restart of its own.
    fn is_same_restart(&self, session: &Session) -> bool {
        self.now.duration_since(session.since) <= COLLISION_TIME
    }

    /// Marks the routes of a family as stale; removes them where nothing is kept, and with `again` also those that were
    /// stale already: they had their chance (RFC 4724 section 4.2).
    fn keep_stale(&mut self, id: PeerId, family: Family, retention: Option<Retention>, again: bool) {
        self.each_path(id, |table, path| {
            let entry = &table.paths[path];
            if table.nets[entry.net].prefix.family() != family {
                return;
            }
            if retention.is_none() || (entry.stale && again) {
                table.remove(path);
            } else {
                table.set_stale(path, true);
            }
        });
        if retention.is_some_and(|retention| retention.phase == Phase::LongLived) {
            self.make_long_lived(id, family);
        }
    }

    /// The peer is back: what it says it has kept stays until its End-of-RIB, at most for the stale time.
    pub(super) fn resume_retention(&mut self, id: PeerId) {
        for family in Family::ALL {
            let peer = &self.peers[id];
            let (Some(mut retention), Some(session)) = (peer.retained[family as usize], &peer.session) else {
                continue;
            };
            let long_lived =
                long_lived_family(&session.long_lived, family).is_some_and(|kept| kept.forwarding);
            let restart = session.restart.as_ref();
            let restarting = restart.is_some_and(|kept| restart_families(kept, true).contains(family));
            let kept = match retention.phase {
                Phase::LongLived => long_lived && restart.is_some(),
                Phase::Restarting { long_lived: Some(_) } => restarting || long_lived,
                Phase::Restarting { long_lived: None } => restarting,
            };
            if !kept || !session.negotiated.families.contains(family) {
                self.sweep(id, family);
                continue;
            }
            if retention.phase != Phase::LongLived {
                retention.until = (self.now + peer.config.stale_time).min(retention.limit);
            }
            self.peers[id].retained[family as usize] = Some(retention);
        }
    }

    /// Removes the stale routes of a family: the peer has not announced them again.
    pub(super) fn sweep(&mut self, id: PeerId, family: Family) {
        if self.peers[id].retained[family as usize].take().is_none() {
            return;
        }
        self.remove_stale(id, family);
    }

    /// Removes the stale routes of a family, whyever they are stale.
    pub(super) fn remove_stale(&mut self, id: PeerId, family: Family) {
        let monitored = self.monitors_received();
        let mut gone = Vec::new();
        self.each_path(id, |table, path| {
            let entry = &table.paths[path];
            let prefix = table.nets[entry.net].prefix;
            if entry.stale && prefix.family() == family {
                if monitored {
                    gone.push(Nlri { prefix, path_id: entry.path_id });
                }
                table.remove(path);
            }
        });
        self.monitor_swept(id, gone);
    }

    /// Ends the times that are over.
    pub(super) fn check_retention(&mut self, id: PeerId) {
        for family in Family::ALL {
            let Some(peer) = self.peers.get(id) else { return };
            let Some(retention) = peer.retained[family as usize] else { continue };
            if retention.until > self.now {
                continue;
            }
            match retention.phase {
                Phase::Restarting { long_lived: Some(time) } if peer.session.is_none() => {
                    self.begin_long_life(id, family, Retention { until: self.now + time, ..retention });
                }
                Phase::Restarting { .. } | Phase::LongLived => self.sweep(id, family),
            }
        }
        self.look_at_departure(id);
    }

    /// The peer has stayed away for longer than its restart time, and asks for its routes to be kept even so.
    fn begin_long_life(&mut self, id: PeerId, family: Family, retention: Retention) {
        self.peers[id].retained[family as usize] = Some(Retention { phase: Phase::LongLived, ..retention });
        self.make_long_lived(id, family);
        let source = &self.rib.table.sources[self.peers[id].source];
        let count = source.counts(family).stale;
        let seconds = retention.until.duration_since(self.now).as_secs();
        self.warn(
            id,
            format!("the restart time is over: {count} {family} routes are kept as long-lived stale ones for {seconds} s"),
        );
    }

    /// Turns the stale routes of a family into long-lived ones (RFC 9494 section 4.2): marked, so that they lose against any other, and
    /// gone where the mark NO_LLGR forbids it.
    fn make_long_lived(&mut self, id: PeerId, family: Family) {
        let mut interner = std::mem::take(&mut self.rib.interner);
        self.each_path(id, |table, path| {
            let entry = &table.paths[path];
            if entry.stale && table.nets[entry.net].prefix.family() == family {
                make_long_lived(table, path, &mut interner);
            }
        });
        self.rib.interner = interner;
    }
}

fn make_long_lived(table: &mut Table, path: PathId, interner: &mut Interner) {
    let entry = &table.paths[path];
    let forbidden = |route: &RouteAttributes| route.attributes.communities.contains(Community::NO_LLGR);
    if forbidden(&entry.received) || entry.accepted().is_some_and(|route| forbidden(route)) {
        table.remove(path);
        return;
    }
    let mut marked = |route: &Arc<RouteAttributes>| {
        if route.long_lived_stale {
            return Arc::clone(route);
        }
        let mut attributes = route.attributes.clone();
        attributes.communities = attributes.communities.prepended(Community::LLGR_STALE);
        interner.intern(attributes, route.next_hop)
    };
    let received = marked(&entry.received);
    let accepted = entry.accepted().map(&mut marked);
    if let Some(route) = accepted {
        table.judge(path, Verdict::Accepted(route));
    }
    table.paths[path].received = received;
}

/// Does the end of a session leave the routes in place (RFC 4724 section 4.2, RFC 8538 section 4)?
fn keeps_routes(session: &Session, reason: &DownReason) -> bool {
    let by_notification = session.negotiated.notification_restart;
    match reason {
        DownReason::ConnectionLost(_) | DownReason::Replaced => true,
        DownReason::NotificationReceived(notification) => by_notification && !is_hard(notification),
        DownReason::NotificationSent(notification) => by_notification && !is_hard(notification),
        DownReason::ConfigurationChanged | DownReason::SendHoldTimerExpired => by_notification,
        DownReason::ConnectFailed(_)
        | DownReason::ConnectTimedOut
        | DownReason::BadPeerAs { .. }
        | DownReason::DuplicateRouterId(_)
        | DownReason::NoCommonFamily
        | DownReason::PrefixLimit { .. }
        | DownReason::BfdDown(_)
        | DownReason::PathLimit { .. }
        | DownReason::Stopped(_)
        | DownReason::Reset(_)
        | DownReason::Deconfigured
        | DownReason::Collision
        | DownReason::Shutdown => false,
    }
}

/// The families of a graceful restart capability; `forwarding`: only those whose forwarding state was kept.
pub(super) fn restart_families(restart: &GracefulRestart, forwarding: bool) -> Families {
    let wanted = restart.families.iter().filter(|family| !forwarding || family.forwarding);
    wanted.filter_map(|family| family.family.family()).collect()
}

/// What a long-lived graceful restart capability says of a family.
fn long_lived_family(families: &[LongLivedFamily], family: Family) -> Option<&LongLivedFamily> {
    families.iter().find(|of| of.family == AfiSafi::unicast(family))
}

fn is_hard(notification: &Notification) -> bool {
    notification.code == NotificationCode::Cease(CeaseError::HardReset)
}
