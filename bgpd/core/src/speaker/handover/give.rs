//! Writing the state.

use std::sync::Arc;

use bytes::BytesMut;
use cairn_net::handover::Writer;
use cairn_net::{Families, Family, Prefix};
use foldhash::HashMap;

use super::codec::put_nlri;
use super::{HandOverError, HandedOver, STATE_VERSION, kernel, most_places};
use crate::fsm::Fsm;
use crate::rib::{PathId, RouteAttributes, SourceId};
use crate::speaker::peer::Peer;
use crate::speaker::retention::{Phase, Retention};
use crate::speaker::session::Session;
use crate::speaker::{BfdState, Direction, Speaker};
use crate::wire::{EXTENDED_MAX_MESSAGE_LEN, EncodeContext, EncodedAttributes, NextHop, Nlri};

/// The most that a message can say.
pub(super) const CONTEXT: EncodeContext =
    EncodeContext { four_octet_as: true, add_path: Families::ALL, max_message_len: EXTENDED_MAX_MESSAGE_LEN };

impl Speaker {
    /// Writes everything that another process needs to go on. Changes nothing: whatever becomes of it, this speaker can go on, too.
    ///
    /// # Errors
    /// If this is no moment to do so, see [`HandOverError`].
    pub fn hand_over(&mut self) -> Result<HandedOver, HandOverError> {
        if self.config.is_none() {
            return Err(HandOverError::NotConfigured);
        }
        if self.startup.is_some() {
            return Err(HandOverError::Starting);
        }
        self.flush();
        let mut out = Writer::default();
        let mut connections = Vec::new();
        out.u32(STATE_VERSION);
        out.duration(self.now.duration_since(self.started));
        out.u64(self.next_conn);
        out.list(self.interfaces.iter(), |out, interface| {
            out.list(interface.addresses.iter().copied(), Writer::addr);
        });
        out.option(self.known_kernel(), kernel::put);
        out.count(self.owners.len());
        for (owner, source) in &self.owners {
            out.bytes(owner.as_bytes());
            self.give_own_routes(*source, &mut out);
        }
        out.count(self.peers.len());
        for (_, peer) in self.peers.iter() {
            self.give_peer(peer, &mut out);
            let session = peer.session.as_ref().and_then(|session| Some((session, fsm_of(peer, session)?)));
            connections.extend(session.map(|(session, _)| session.conn));
            out.option(session, |out, (session, fsm)| self.give_session(peer, session, fsm, out));
            self.give_routes(peer.source, &mut out)?;
        }
        self.check_places(out.0.len())?;
        Ok(HandedOver { state: out.0.into(), connections })
    }

    /// Would the reader believe the numbers of the paths?
    fn check_places(&self, state_len: usize) -> Result<(), HandOverError> {
        let table = &self.rib.table;
        let highest = table.paths.iter().filter_map(|(id, _)| self.given_place(id)).max();
        match highest.map(|id| id.0) {
            Some(place) if place as usize >= most_places(state_len) => {
                Err(HandOverError::PathIdentifier(u64::from(place) + 1))
            }
            _ => Ok(()),
        }
    }

    /// The path's number, where peers know it: as what it is sent (docs/adr/0020).
    fn given_place(&self, id: PathId) -> Option<PathId> {
        self.rib.table.ranks().then_some(id)
    }

    fn give_peer(&self, peer: &Peer, out: &mut Writer) {
        out.addr(peer.address);
        out.option(peer.range, Writer::prefix);
        out.u32(peer.config.asn.0);
        out.u32(self.rib.table.sources[peer.source].router_id);
        out.option(peer.stopped.as_ref(), |out, text| out.bytes(text.as_bytes()));
        out.option(peer.restart_at, |out, at| out.duration(at.saturating_duration_since(self.now)));
        out.u8(match peer.bfd {
            BfdState::Down | BfdState::Failed { .. } => 0,
            BfdState::Up => 1,
            BfdState::AdminDown => 2,
        });
        out.duration(self.now.duration_since(peer.state.1));
        let counters = &peer.counters;
        for count in [
            counters.opens_received,
            counters.opens_sent,
            counters.updates_received,
            counters.updates_sent,
            counters.notifications_received,
            counters.notifications_sent,
            counters.keepalives_received,
            counters.keepalives_sent,
            counters.route_refreshes_received,
            counters.route_refreshes_sent,
            counters.established,
        ] {
            out.u64(count);
        }
        for retention in &peer.retained {
            out.option(retention.as_ref(), |out, retention| self.give_retention(retention, out));
        }
    }

    fn give_retention(&self, retention: &Retention, out: &mut Writer) {
        out.duration(retention.until.saturating_duration_since(self.now));
        out.duration(retention.limit.saturating_duration_since(self.now));
        match retention.phase {
            Phase::LongLived => out.u8(1),
            Phase::Restarting { long_lived } => {
                out.u8(0);
                out.option(long_lived, Writer::duration);
            }
        }
    }

    fn give_session(&self, peer: &Peer, session: &Session, fsm: &Fsm, out: &mut Writer) {
        out.u8((fsm.direction() == Direction::Inbound).into());
        let connection = self.connections.get(&session.conn);
        out.option(connection.and_then(|connection| connection.ends), |out, (local, remote)| {
            out.socket(local);
            out.socket(remote);
        });
        let opens = connection.map(|connection| connection.opens.clone()).unwrap_or_default();
        out.bytes(&opens.sent);
        out.bytes(&opens.received);
        out.duration(self.now.duration_since(session.since));
        out.duration(self.now.duration_since(session.last_routes));
        out.families(session.complete);
        for until in session.refreshing {
            out.option(until, |out, at| out.duration(at.saturating_duration_since(self.now)));
        }
        let keepalive = fsm.timers().keepalive;
        out.option(keepalive, |out, at| out.duration(at.saturating_duration_since(self.now)));
        out.bytes(connection.map_or(&[], |connection| connection.framer.unread()));
        let control: Vec<u8> =
            connection.iter().flat_map(|connection| &connection.control).flatten().copied().collect();
        out.bytes(&control);
        let group = &self.rib.groups[session.group].group;
        let left = group.left_for(&session.cursor, peer.source);
        out.families(left.dumps);
        out.families(left.refreshes);
        out.families(left.end_of_ribs);
        out.list(left.routes.into_iter(), put_nlri);
    }

    fn give_own_routes(&self, source: SourceId, out: &mut Writer) {
        let paths = self.paths_of_source(source);
        out.count(paths.len());
        for id in paths {
            let path = &self.rib.table.paths[id];
            let route = &path.received;
            out.prefix(self.rib.table.nets[path.net].prefix);
            out.u32(path.learned);
            let next_hop = Some(route.next_hop.addr).filter(|addr| !addr.is_unspecified());
            out.option(next_hop, Writer::addr);
            out.option(route.attributes.local_pref, Writer::u32);
            out.option(route.attributes.med, Writer::u32);
            out.bytes(route.attributes.communities.as_wire());
            out.bytes(route.attributes.large_communities.as_wire());
            out.bytes(route.attributes.extended_communities.as_wire());
            out.option(self.given_place(id), |out, id| out.u32(id.0));
        }
    }

    /// The Adj-RIB-In as UPDATEs, one for what has the same attributes, age and freshness, or several where one is too short.
    fn give_routes(&self, source: SourceId, out: &mut Writer) -> Result<(), HandOverError> {
        type Key = (usize, Family, u32, bool);
        type Alike = (Arc<RouteAttributes>, Vec<Nlri>, Vec<PathId>);
        let table = &self.rib.table;
        let mut groups: HashMap<Key, Alike> = HashMap::default();
        for id in self.paths_of_source(source) {
            let path = &table.paths[id];
            let prefix = table.nets[path.net].prefix;
            let key = (Arc::as_ptr(&path.received) as usize, prefix.family(), path.learned, path.stale);
            let (_, nlri, places) =
                groups.entry(key).or_insert_with(|| (Arc::clone(&path.received), Vec::new(), Vec::new()));
            nlri.push(Nlri { prefix, path_id: path.path_id });
            places.extend(self.given_place(id));
        }
        out.count(groups.len());
        for ((_, family, learned, stale), (route, nlri, places)) in groups {
            out.u32(learned);
            out.u8(stale.into());
            out.list(places.into_iter(), |out, id| out.u32(id.0));
            out.bytes(&updates(&route, family, nlri)?);
        }
        Ok(())
    }

    fn paths_of_source(&self, source: SourceId) -> Vec<PathId> {
        let table = &self.rib.table;
        std::iter::successors(table.next_of_source(source, PathId::NONE), |path| {
            table.next_of_source(source, *path)
        })
        .collect()
    }
}

/// The machine of the peer's session.
fn fsm_of<'a>(peer: &'a Peer, session: &Session) -> Option<&'a Fsm> {
    peer.connected().map(|(_, fsm)| fsm).find(|fsm| fsm.conn() == Some(session.conn))
}

fn updates(route: &RouteAttributes, family: Family, nlri: Vec<Nlri>) -> Result<BytesMut, HandOverError> {
    let first: Option<Prefix> = nlri.first().map(|nlri| nlri.prefix);
    let next_hop: NextHop = route.next_hop;
    let mut out = BytesMut::new();
    match EncodedAttributes::new(&route.attributes, family, next_hop, &CONTEXT) {
        Ok(encoded) => encoded.reach(nlri, &mut out),
        Err(_too_long) => {
            return Err(HandOverError::Route(first.unwrap_or(Prefix::host(family.unspecified()))));
        }
    };
    Ok(out)
}
