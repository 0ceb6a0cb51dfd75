//! UPDATE and ROUTE-REFRESH of an Established peer.

use std::sync::Arc;

use cairn_net::Prefix;

use super::peer::PeerId;
use super::{ConnId, DownReason, Output, PeerChange, Speaker};
use crate::fsm::Event;
use crate::rib::{Entered, MAX_PATHS, NewPath, PathId, RouteAttributes, Verdict, Verdicts, VerdictsBySet};
use crate::wire::{Attributes, CeaseError, Nlri, Notification, Reach, RefreshSubtype, RouteRefresh, Update};

impl Speaker {
    pub(super) fn update(&mut self, id: PeerId, conn: ConnId, update: Update) {
        let now = self.now;
        let machine = self.peers[id].machine_of(conn);
        if let Some(fsm) = self.peers[id].machine(machine) {
            fsm.heard(now);
        }
        if let Some(session) = &mut self.peers[id].session {
            session.last_routes = now;
        }
        for fault in &update.faults {
            self.warn(id, format!("UPDATE: {fault}"));
        }
        let source = self.peers[id].source;
        for part in &update.unreach {
            for nlri in &part.nlri {
                self.rib.table.withdraw(source, *nlri);
            }
            self.monitor_judged(id, part.nlri.iter().map(|nlri| (*nlri, None)));
        }
        if let Some(attributes) = update.attributes {
            let mut reach = update.reach.into_iter().peekable();
            // The last part takes the attributes along; there is hardly ever another one.
            while let Some(part) = reach.next() {
                if reach.peek().is_none() {
                    self.announce_part(id, part, attributes);
                    break;
                }
                self.announce_part(id, part, attributes.clone());
            }
            self.check_prefix_limit(id);
        }
        if let Some(family) = update.end_of_rib {
            self.end_of_rib(id, family);
        }
    }

    fn announce_part(&mut self, id: PeerId, part: Reach, attributes: Attributes) {
        let monitored = self.monitors_post_policy();
        let peer = &self.peers[id];
        let Some(session) = &peer.session else { return };
        let rib = &mut self.rib;
        let route = rib.interner.intern(attributes, part.next_hop);
        let check = session.import.check(&route);
        let prepared = session.import.prepared(&route, &mut rib.interner);
        let learned = seconds(self.now.duration_since(self.started));
        let mut verdicts = Verdicts::default();
        let mut judged = Vec::new();
        let mut too_many = None;
        for nlri in part.nlri {
            let verdict = match check {
                Ok(()) => {
                    let (interner, hits) = (&mut rib.interner, &peer.import_hits);
                    session.import.filter(nlri.prefix, &prepared, interner, &mut verdicts, hits)
                }
                Err(rejection) => Verdict::Rejected(rejection),
            };
            if monitored {
                judged.push((nlri, verdict.accepted().cloned()));
            }
            let new = NewPath { received: Arc::clone(&route), verdict, learned };
            if rib.table.announce(peer.source, nlri, new) == Entered::TooMany {
                too_many.get_or_insert(nlri.prefix);
            }
        }
        if monitored {
            self.monitor_judged(id, judged);
        }
        if let Some(prefix) = too_many {
            self.too_many_paths(id, prefix);
        }
    }

    /// A peer that names paths without end would take memory and time without end.
    fn too_many_paths(&mut self, id: PeerId, prefix: Prefix) {
        let reason = DownReason::PathLimit { prefix, limit: MAX_PATHS };
        self.peers[id].stopped = Some(reason.to_string());
        let notification = Notification::cease(CeaseError::MaximumPrefixesReached);
        self.end_session(id, Some(&notification), &reason);
    }

    pub(super) fn check_prefix_limit(&mut self, id: PeerId) {
        let peer = &self.peers[id];
        let Some(limit) = peer.config.max_prefixes else { return };
        let source = &self.rib.table.sources[peer.source];
        let over = cairn_net::Family::ALL.into_iter().find(|family| source.counts(*family).received > limit);
        if let Some(family) = over {
            let reason = DownReason::PrefixLimit { family, limit };
            // Until an operator has looked at it.
            self.peers[id].stopped = Some(reason.to_string());
            let notification = Notification::cease(CeaseError::MaximumPrefixesReached);
            self.end_session(id, Some(&notification), &reason);
        }
    }

    fn end_of_rib(&mut self, id: PeerId, family: cairn_net::Family) {
        let Some(session) = &mut self.peers[id].session else { return };
        session.complete = session.complete.with(family);
        self.sweep(id, family);
        self.look_at_startup();
    }

    pub(super) fn route_refresh(&mut self, id: PeerId, conn: ConnId, refresh: RouteRefresh) {
        self.connection_event(conn, Event::RoutesReceived(crate::wire::MessageType::RouteRefresh));
        // What is not ours to answer is ignored (RFC 2918 section 4, RFC 7313 section 5).
        if let (Some(family), RefreshSubtype::Request) = (refresh.family.family(), refresh.subtype) {
            self.dump_again(id, family);
        }
    }

    /// Asks the import side about every path of a peer again, after its rules changed.
    pub(super) fn judge_again(&mut self, id: PeerId) {
        let Some(import) = self.peers[id].session.as_ref().map(|session| session.import.clone()) else {
            return;
        };
        let mut interner = std::mem::take(&mut self.rib.interner);
        let hits = std::mem::take(&mut self.peers[id].import_hits);
        let mut verdicts = VerdictsBySet::default();
        let monitored = self.monitors_post_policy();
        let mut judged = Vec::new();
        self.each_path(id, |table, path: PathId| {
            let entry = &table.paths[path];
            let route: Arc<RouteAttributes> = Arc::clone(&entry.received);
            let verdict = match import.check(&route) {
                Ok(()) => {
                    let route = import.prepared(&route, &mut interner);
                    let (prefix, verdicts) = (table.nets[entry.net].prefix, verdicts.of(&route));
                    import.filter(prefix, &route, &mut interner, verdicts, &hits)
                }
                Err(rejection) => Verdict::Rejected(rejection),
            };
            if monitored {
                let nlri = Nlri { prefix: table.nets[entry.net].prefix, path_id: entry.path_id };
                judged.push((nlri, verdict.accepted().cloned()));
            }
            table.judge(path, verdict);
        });
        self.rib.interner = interner;
        self.peers[id].import_hits = hits;
        if monitored {
            self.monitor_judged(id, judged);
        }
    }

    pub(super) fn warn(&mut self, id: PeerId, text: String) {
        let peer = self.peers[id].address;
        self.outputs.push_back(Output::PeerChanged { peer, change: PeerChange::Warning { text } });
    }
}

fn seconds(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
