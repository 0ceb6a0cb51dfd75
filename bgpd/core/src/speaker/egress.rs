//! What goes to a peer: update groups joined and left, messages handed out.

use std::net::IpAddr;

use bytes::Bytes;
use cairn_net::Family;

use super::interface::OnLink;
use super::peer::{Peer, PeerId, kind};
use super::rib::{Rib, UpdateGroup};
use super::{AddPathSend, Config, ConnId, DownReason, Speaker, Transmitted};
use crate::policy::{Change, NextHopSetting, Policy};
use crate::rib::{Cursor, Group, GroupId, LocalAddresses, Selection, SourceKind, Treatment};
use crate::wire::{CeaseError, EncodeContext, Negotiated, NextHop, Nlri, Notification};

/// Prefixes that a slow peer may have missed before it is cut off, beyond twice the size of the table.
pub(super) const MISSED_ALLOWANCE: usize = 1 << 18;

impl Speaker {
    /// How a peer is treated, given what was negotiated and our address on the session.
    pub(super) fn treatment(
        &self,
        config: &Config,
        peer: &Peer,
        negotiated: &Negotiated,
        local: IpAddr,
    ) -> Treatment {
        let kind = kind(config, &peer.config);
        let addresses = [peer.config.next_hop_addresses.as_slice(), &config.next_hop_addresses].concat();
        let policy = peer.config.export.clone();
        Treatment {
            kind,
            local_as: config.asn_towards(&peer.config),
            default_local_pref: config.best_path.default_local_pref,
            reflects_between_clients: config.client_to_client_reflection,
            session_as: config.session_as(&peer.config),
            role: peer.config.role.map(|configured| configured.role),
            cluster_id: config.cluster_id.unwrap_or(config.router_id),
            next_hop: peer.config.next_hop,
            local: self.local_addresses(negotiated, local, &addresses),
            families: negotiated.families,
            paths: Family::ALL.map(|family| {
                let send = peer.config.add_path.send[family as usize];
                match send.filter(|_| negotiated.add_path_send.contains(family)) {
                    None => 0,
                    Some(AddPathSend::Best(count)) => count.get(),
                    Some(AddPathSend::All) => Treatment::ALL_PATHS,
                }
            }),
            extended_next_hop: negotiated.extended_next_hop,
            long_lived_restart: negotiated.long_lived_restart,
            encode: EncodeContext::new(negotiated),
            peer_address: policy.as_deref().filter(|policy| names_the_peer(policy)).map(|_| peer.address),
            denied: policy.is_none() && policy_required(config, peer, kind),
            policy,
            outbound: self.rib.conditions.outbound(config, peer, negotiated.families),
        }
    }

    /// Ourselves as a next hop: the session's own address where its family fits, else a configured one, else one of the
    /// session's interface. Over link-local addresses it is that of the session, for both families if the peer can.
    fn local_addresses(
        &self,
        negotiated: &Negotiated,
        session: IpAddr,
        configured: &[IpAddr],
    ) -> LocalAddresses {
        let on_link = OnLink::of(&self.interfaces, session);
        let of = |family| {
            let candidates = std::iter::once(&session).chain(configured).copied();
            candidates.chain(on_link.address(family)).find(|addr| Family::of(*addr) == family)
        };
        if let IpAddr::V6(addr) = session
            && addr.is_unicast_link_local()
        {
            // In both places of RFC 2545 section 3, since some look into the second one only.
            let ours = Some(NextHop { addr: session, link_local: Some(addr) });
            let ipv4 = if negotiated.extended_next_hop { ours } else { of(Family::Ipv4).map(NextHop::new) };
            return LocalAddresses { ipv4, ipv6: ours };
        }
        // Nobody else gets a link-local address: FRRouting forwards to it then, and keeps stale routes to it when the link is gone,
        // since every other link has fe80::/64 as well.
        let ipv6 = of(Family::Ipv6).map(NextHop::new);
        let ipv4 = of(Family::Ipv4).map(NextHop::new);
        LocalAddresses { ipv4: ipv4.or_else(|| ipv6.filter(|_| negotiated.extended_next_hop)), ipv6 }
    }

    /// Makes the peer a member of the group with this treatment. Everything due must be in the logs.
    pub(super) fn join(&mut self, id: PeerId, treatment: Treatment) -> GroupId {
        self.rank_for(&treatment);
        let Rib { groups, table, .. } = &mut self.rib;
        let found = groups.iter().find(|(_, entry)| entry.group.treatment == treatment).map(|(id, _)| id);
        let group = found.unwrap_or_else(|| {
            let group = Group::new(treatment, table);
            groups.insert(UpdateGroup { group, members: Vec::new(), behind: 0 })
        });
        groups[group].members.push(id);
        group
    }

    /// Puts paths in order where peers of this treatment are told several. Everything due must be in the logs.
    fn rank_for(&mut self, treatment: &Treatment) {
        let Some(config) = &self.config else { return };
        let table = &mut self.rib.table;
        table.rank_all(treatment.ranks(), Selection { config: &config.best_path });
    }

    /// Takes the peer out of its group; the last one takes the group with it.
    pub(super) fn leave(&mut self, id: PeerId, group: GroupId, cursor: &Cursor) {
        let entry = &mut self.rib.groups[group];
        entry.members.retain(|member| *member != id);
        if cursor.behind {
            entry.behind -= 1;
        }
        if entry.members.is_empty() {
            self.rib.groups.remove(group);
            let ranks = self.rib.groups.iter().map(|(_, entry)| entry.group.treatment.ranks()).max();
            self.rib.table.rank_less(ranks.unwrap_or(0));
        } else if entry.behind == 0 {
            entry.group.forget_log();
        }
    }

    /// Treats an Established peer by its present configuration; what it was told differently is told again.
    pub(super) fn regroup(&mut self, id: PeerId) {
        self.flush();
        let Some(config) = &self.config else { return };
        let Some(peer) = self.peers.get(id) else { return };
        let Some(session) = &peer.session else { return };
        let Some(local) = session.import.local else { return };
        let treatment = self.treatment(config, peer, &session.negotiated, local);
        let old = session.group;
        let me = peer.source;
        if self.rib.groups[old].group.treatment == treatment {
            return;
        }
        let mut routes: Vec<Nlri> = self.rib.groups[old].group.unread(&session.cursor, me);
        self.rank_for(&treatment);
        routes.extend(self.rib.table.differences(&self.rib.groups[old].group.treatment, &treatment, me));
        let new = self.join(id, treatment);
        let place = self.rib.groups[new].group.end();
        let Some(session) = self.peers.get_mut(id).and_then(|peer| peer.session.as_mut()) else { return };
        let before = std::mem::replace(&mut session.cursor, Cursor::at(place));
        session.group = new;
        self.leave(id, old, &before);
        let Some(session) = self.peers.get_mut(id).and_then(|peer| peer.session.as_mut()) else { return };
        session.cursor = before.moved_to(place);
        session.cursor.refresh(routes);
        let conn = session.conn;
        if self.rib.groups[new]
            .group
            .has_news_for(&self.peers[id].session.as_ref().expect("just used").cursor)
        {
            self.wake(conn);
        }
    }

    /// Hands out what an Established peer is to be told.
    pub(super) fn transmit_routes(
        &mut self,
        id: PeerId,
        conn: ConnId,
        budget: usize,
        out: &mut Vec<Bytes>,
    ) -> Transmitted {
        let Some(peer) = self.peers.get_mut(id) else { return Transmitted::default() };
        let Some(session) = peer.session.as_mut().filter(|session| session.conn == conn) else {
            return Transmitted::default();
        };
        let entry = &mut self.rib.groups[session.group];
        let first = out.len();
        let progress = entry.group.read(&self.rib.table, &mut session.cursor, peer.source, budget, out);
        peer.counters.updates_sent += progress.messages;
        peer.counters.route_refreshes_sent += progress.refreshes;
        let more = progress.more && entry.group.has_news_for(&session.cursor);
        if !more && std::mem::take(&mut session.cursor.behind) {
            entry.behind -= 1;
            if entry.behind == 0 {
                entry.group.forget_log();
            }
        }
        let address = peer.address;
        self.monitor_sent(address, out.get(first..).unwrap_or_default());
        Transmitted { bytes: progress.bytes, more }
    }

    /// Sends a whole family again.
    pub(super) fn dump_again(&mut self, id: PeerId, family: Family) {
        let Some(session) = self.peers.get_mut(id).and_then(|peer| peer.session.as_mut()) else { return };
        if session.negotiated.families.contains(family) {
            session.cursor.dump(family);
            let conn = session.conn;
            self.wake(conn);
        }
    }

    /// Keeps a log within its window: who lags behind is sent what it misses from the table, later.
    pub(super) fn cut_log(&mut self, id: GroupId) {
        while let Some(cut) = self.rib.groups[id].group.cut_log() {
            let limit = 2 * self.rib.table.len() + self.missed_allowance;
            for member in &self.rib.groups[id].members {
                let Some(peer) = self.peers.get_mut(*member) else { continue };
                let for_me = cut.is_for(peer.source);
                let Some(session) = &mut peer.session else { continue };
                session.cursor.lose(cut.place, for_me, &cut.routes);
                if session.cursor.missed() > limit && !self.hopeless.contains(member) {
                    self.hopeless.push(*member);
                }
            }
        }
    }

    /// Ends sessions of peers that have missed too much. Not while changes are being told: a group goes with its last member.
    pub(super) fn end_hopeless(&mut self) {
        for member in std::mem::take(&mut self.hopeless) {
            if self.peers.get(member).is_some_and(|peer| peer.session.is_some()) {
                let notification = Notification::cease(CeaseError::OutOfResources);
                let reason = DownReason::NotificationSent(notification.clone());
                self.end_session(member, Some(&notification), &reason);
            }
        }
    }
}

/// Does RFC 8212 demand a policy of this peer?
pub(super) fn policy_required(config: &Config, peer: &Peer, kind: SourceKind) -> bool {
    kind == SourceKind::External && peer.config.ebgp_requires_policy.unwrap_or(config.ebgp_requires_policy)
}

/// Does the policy use the peer's address, so that no two peers can share what it says?
fn names_the_peer(policy: &Policy) -> bool {
    policy.rules().any(|rule| {
        rule.changes.contains(&Change::NextHop(NextHopSetting::PeerAddress)) || rule.condition.asks_peer()
    })
}
