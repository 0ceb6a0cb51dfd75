//! Sessions that come up and go down. Not here: what is kept of a session that went down (`retention`).

use std::net::IpAddr;

use cairn_net::Families;

use super::egress::policy_required;
use super::peer::{Machine, Peer, PeerId, kind};
use super::session::Session;
use super::{Config, ConnId, DownReason, Output, PeerChange, Speaker};
use crate::fsm::{Agreement, Event};
use crate::rib::{Cursor, GroupId, ImportRules, PathId};
use crate::wire::{CeaseError, DecodeContext};

impl Speaker {
    pub(super) fn session_up(&mut self, id: PeerId, machine: Machine, conn: ConnId) {
        let agreement = self.peers[id].machine(machine).and_then(|fsm| fsm.agreement().cloned());
        let Some(agreement) = agreement else { return };
        self.stop_rivals(id, machine);
        self.learn_as(id, agreement.open.asn);
        self.report_state(id);
        // Whoever joins now begins after everything that is due.
        self.flush();
        let local =
            self.connections.get(&conn).and_then(|connection| connection.ends).map(|(local, _)| local.ip());
        let peer = &mut self.peers[id];
        let change = PeerChange::Up { router_id: agreement.open.router_id, asn: agreement.open.asn };
        peer.failures = 0;
        peer.warned = Families::NONE;
        peer.counters.established += 1;
        peer.turned = Some(self.now);
        peer.connector.reset_backoff();
        let (address, asn) = (peer.address, agreement.open.asn);
        self.outputs.push_back(Output::PeerChanged { peer: address, asn, change });
        self.meet(id, agreement.open.router_id.get());
        let Some(mut session) = self.new_session(id, conn, &agreement, local) else { return };
        session.cursor = self.first_cursor(session.group, agreement.negotiated.families);
        self.peers[id].session = Some(session);
        self.monitor_up(id);
        self.resume_retention(id);
        self.wake(conn);
        self.look_at_startup();
    }

    /// A session of what was agreed on, as the newest member of its update group: told everything so far. `local` is our end.
    pub(super) fn new_session(
        &mut self,
        id: PeerId,
        conn: ConnId,
        agreement: &Agreement,
        local: Option<IpAddr>,
    ) -> Option<Session> {
        let config = self.config.as_ref()?;
        let negotiated = agreement.negotiated;
        let peer = &self.peers[id];
        let import = import_rules(config, peer, local.map(|addr| addr.to_canonical()));
        let here = import.local.unwrap_or(peer.address);
        let treatment = self.treatment(config, peer, &negotiated, here);
        let group = self.join(id, treatment);
        Some(Session {
            conn,
            since: self.now,
            router_id: agreement.open.router_id,
            negotiated,
            restart: agreement.open.graceful_restart().cloned(),
            long_lived: agreement.open.long_lived().to_vec(),
            last_routes: self.now,
            decode: DecodeContext::new(import.kind.peer_kind(), &negotiated),
            import,
            cursor: Cursor::at(self.rib.groups[group].group.end()),
            group,
            complete: Families::NONE,
            refreshing: [None; 2],
        })
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
        let mut cursor = Cursor::of_newcomer(place);
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
        self.retain(id, &session, reason);
        self.look_at_startup();
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

pub(super) fn import_rules(config: &Config, peer: &Peer, local: Option<IpAddr>) -> ImportRules {
    let kind = kind(config, &peer.config);
    let policy = peer.config.import.clone();
    ImportRules {
        kind,
        local_as: config.asn,
        blackhole: peer.config.blackhole.map(|blackhole| blackhole.min_len),
        confederation: config.confederation.as_ref().map(|confederation| confederation.identifier),
        session_as: config.session_as(&peer.config),
        peer_as: peer.config.asn,
        role: peer.config.role.map(|configured| configured.role),
        router_id: config.router_id,
        cluster_id: config.cluster_id.unwrap_or(config.router_id),
        allow_own_as: peer.config.allow_own_as,
        denied: policy.is_none() && policy_required(config, peer, kind),
        local,
        peer: peer.address,
        policy,
    }
}
