//! Sessions that come up and go down, and the stale routes in between.
//!
//! Spec: RFC 4724 section 4.2 (helper), RFC 8538 (NOTIFICATIONs that keep routes).
//! Unlike RFC 4724, routes that are stale already survive another restart of the peer: only the time since the first one
//! counts, so that a peer that restarts twice in a row does not lose its traffic.

use std::time::Duration;

use cairn_net::{Families, Family};

use super::egress::policy_required;
use super::peer::{Machine, Peer, PeerId, Retention, kind};
use super::session::Session;
use super::{Config, ConnId, DownReason, Output, PeerChange, Speaker};
use crate::fsm::Event;
use crate::rib::{Cursor, GroupId, ImportRules, PathId};
use crate::wire::{CeaseError, DecodeContext, GracefulRestart, Notification, NotificationCode};

impl Speaker {
    pub(super) fn session_up(&mut self, id: PeerId, machine: Machine, conn: ConnId) {
        self.stop_rivals(id, machine);
        self.report_state(id);
        // Whoever joins now begins after everything that is due.
        self.flush();
        let Some(config) = &self.config else { return };
        let local =
            self.connections.get(&conn).and_then(|connection| connection.ends).map(|(local, _)| local.ip());
        let peer = &mut self.peers[id];
        let Some(agreement) = peer.machine(machine).and_then(|fsm| fsm.agreement().cloned()) else { return };
        let negotiated = agreement.negotiated;
        let import = import_rules(config, peer, local.map(|addr| addr.to_canonical()));
        let here = import.local.unwrap_or(peer.address);
        let treatment = Self::treatment(config, peer, &negotiated, here);
        let change = PeerChange::Up { router_id: agreement.open.router_id, asn: agreement.open.asn };
        peer.failures = 0;
        peer.counters.established += 1;
        peer.connector.reset_backoff();
        self.outputs.push_back(Output::PeerChanged { peer: peer.address, change });
        self.meet(id, agreement.open.router_id.get());
        let group = self.join(id, treatment);
        let session = Session {
            conn,
            since: self.now,
            router_id: agreement.open.router_id,
            negotiated,
            restart: agreement.open.graceful_restart().cloned(),
            decode: DecodeContext::new(import.kind.peer_kind(), &negotiated),
            import,
            cursor: self.first_cursor(group, negotiated.families),
            group,
            complete: Families::NONE,
        };
        self.peers[id].session = Some(session);
        self.resume_retention(id);
        self.wake(conn);
        self.look_at_startup();
    }

    fn stop_rivals(&mut self, id: PeerId, winner: Machine) {
        let rivals: Vec<Machine> = self.peers[id]
            .connected()
            .map(|(machine, _)| machine)
            .filter(|machine| *machine != winner)
            .collect();
        for rival in rivals {
            self.stop_machine(id, rival, CeaseError::ConnectionCollisionResolution, DownReason::Collision);
        }
        if winner != Machine::Connector {
            // Attempts and waits that have no connection yet.
            let reason = DownReason::Collision;
            self.drive(id, Machine::Connector, Event::Stop { notification: None, reason });
        }
    }

    /// A peer with another identifier is another router: what was kept of the old one is not its own.
    fn meet(&mut self, id: PeerId, router_id: u32) {
        let source = self.peers[id].source;
        if self.rib.table.sources[source].router_id != router_id {
            self.forget_paths(id);
            self.rib.table.sources[source].router_id = router_id;
        }
    }

    /// Removes all paths of a peer, and tells everybody by the rules that held so far.
    pub(super) fn forget_paths(&mut self, id: PeerId) {
        self.each_path(id, crate::rib::Table::remove);
        self.flush();
    }

    fn first_cursor(&self, group: GroupId, families: Families) -> Cursor {
        let place = self.rib.groups[group].group.end();
        let mut cursor = Cursor::at(place);
        for family in families.iter() {
            cursor.dump(family);
            if !self.rib.deferred.contains(family) {
                cursor.end_of_rib_after(family, place);
            }
        }
        cursor
    }

    pub(super) fn session_down(&mut self, id: PeerId, reason: &DownReason) {
        let Some(session) = self.peers[id].session.take() else { return };
        self.leave(id, session.group, &session.cursor);
        let retained = self.retained_families(id, &session, reason);
        self.keep_stale(id, retained);
        if let Some(restart) = session.restart.as_ref().filter(|_| !retained.is_empty()) {
            let peer = &mut self.peers[id];
            let time = Duration::from_secs(restart.restart_time.into()).min(peer.config.stale_time);
            let until = self.now + time;
            // The first restart's time counts.
            let until = peer.retention.as_ref().map_or(until, |earlier| earlier.until.min(until));
            peer.retention = Some(Retention { families: retained, until });
        } else {
            self.peers[id].retention = None;
        }
        self.look_at_startup();
    }

    /// Families whose routes outlive the session (RFC 4724 section 4.2, RFC 8538 section 4).
    fn retained_families(&self, id: PeerId, session: &Session, reason: &DownReason) -> Families {
        let Some(restart) = &session.restart else { return Families::NONE };
        let by_notification = session.negotiated.notification_restart;
        let keeps = match reason {
            DownReason::ConnectionLost(_) | DownReason::Replaced => true,
            DownReason::NotificationReceived(notification) => by_notification && !is_hard(notification),
            DownReason::NotificationSent(notification) => by_notification && !is_hard(notification),
            DownReason::ConfigurationChanged => by_notification,
            DownReason::ConnectFailed(_)
            | DownReason::ConnectTimedOut
            | DownReason::BadPeerAs { .. }
            | DownReason::DuplicateRouterId(_)
            | DownReason::NoCommonFamily
            | DownReason::PrefixLimit { .. }
            | DownReason::SendHoldTimerExpired
            | DownReason::Stopped(_)
            | DownReason::Reset(_)
            | DownReason::Deconfigured
            | DownReason::Collision
            | DownReason::Shutdown => false,
        };
        if !keeps || self.peers[id].config.stale_time.is_zero() {
            return Families::NONE;
        }
        restart_families(restart, false).intersection(session.negotiated.families)
    }

    /// Marks the routes of these families as stale and removes the others.
    fn keep_stale(&mut self, id: PeerId, families: Families) {
        self.each_path(id, |table, path| {
            let family = table.nets[table.paths[path].net].prefix.family();
            if families.contains(family) {
                table.set_stale(path, true);
            } else {
                table.remove(path);
            }
        });
    }

    /// The peer is back: what it says it has kept stays until its End-of-RIB, at most for the stale time.
    fn resume_retention(&mut self, id: PeerId) {
        let peer = &mut self.peers[id];
        let (Some(retention), Some(session)) = (&mut peer.retention, &peer.session) else { return };
        let kept = session.restart.as_ref().map_or(Families::NONE, |restart| restart_families(restart, true));
        let kept = kept.intersection(session.negotiated.families);
        let lost: Families = retention.families.iter().filter(|family| !kept.contains(*family)).collect();
        retention.families = retention.families.intersection(kept);
        retention.until = self.now + peer.config.stale_time;
        for family in lost.iter() {
            self.sweep(id, family);
        }
    }

    /// Removes the stale routes of a family: the peer has not announced them again.
    pub(super) fn sweep(&mut self, id: PeerId, family: Family) {
        self.each_path(id, |table, path| {
            let entry = &table.paths[path];
            if entry.stale && table.nets[entry.net].prefix.family() == family {
                table.remove(path);
            }
        });
        let peer = &mut self.peers[id];
        if let Some(retention) = &mut peer.retention {
            retention.families = retention.families.without(family);
            if retention.families.is_empty() {
                peer.retention = None;
            }
        }
    }

    pub(super) fn check_retention(&mut self, id: PeerId) {
        let due = |retention: &&Retention| retention.until <= self.now;
        let Some(retention) = self.peers.get(id).and_then(|peer| peer.retention.as_ref()).filter(due) else {
            return;
        };
        for family in retention.families.iter().collect::<Vec<_>>() {
            self.sweep(id, family);
        }
        self.peers[id].retention = None;
    }

    /// Visits every path of a peer; the visitor may remove it.
    pub(super) fn each_path(&mut self, id: PeerId, mut visit: impl FnMut(&mut crate::rib::Table, PathId)) {
        let source = self.peers[id].source;
        let table = &mut self.rib.table;
        let mut next = table.next_of_source(source, PathId::NONE);
        while let Some(path) = next {
            next = table.next_of_source(source, path);
            visit(table, path);
        }
    }
}

pub(super) fn import_rules(config: &Config, peer: &Peer, local: Option<std::net::IpAddr>) -> ImportRules {
    let kind = kind(config, &peer.config);
    let policy = peer.config.import.clone();
    ImportRules {
        kind,
        local_as: config.asn,
        router_id: config.router_id,
        cluster_id: config.cluster_id.unwrap_or(config.router_id),
        allow_own_as: peer.config.allow_own_as,
        denied: policy.is_none() && policy_required(config, peer, kind),
        local,
        peer: peer.address,
        policy,
    }
}

/// The families of a graceful restart capability; `forwarding`: only those whose forwarding state was kept.
pub(super) fn restart_families(restart: &GracefulRestart, forwarding: bool) -> Families {
    let wanted = restart.families.iter().filter(|family| !forwarding || family.forwarding);
    wanted.filter_map(|family| family.family.family()).collect()
}

fn is_hard(notification: &Notification) -> bool {
    notification.code == NotificationCode::Cease(CeaseError::HardReset)
}
