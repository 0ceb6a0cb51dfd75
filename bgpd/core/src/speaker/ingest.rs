//! UPDATEs of an Established peer.

use std::sync::Arc;

use cairn_net::Prefix;

use super::peer::PeerId;
use super::{ConnId, DownReason, LimitAction, Output, PeerChange, PrefixLimit, Speaker};
use crate::rib::{Entered, MAX_PATHS, NewPath, PathId, RouteAttributes, Verdict, Verdicts, VerdictsBySet};
use crate::wire::{AfiSafi, Attributes, CeaseError, Nlri, Notification, Reach, Update};

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
            self.rib.table.withdraw_all(source, &part.nlri);
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
        let Some(limit) = self.peers[id].config.max_prefixes else { return };
        for family in cairn_net::Family::ALL {
            let peer = &mut self.peers[id];
            let received = self.rib.table.sources[peer.source].counts(family).received;
            if received > limit.max && limit.action != LimitAction::Warn {
                return self.exceed_prefix_limit(id, family, limit);
            }
            let near = received > limit.warn_above;
            if near && !peer.warned.contains(family) {
                peer.warned = peer.warned.with(family);
                let max = limit.max;
                self.warn(id, format!("{received} {family} prefixes, near or beyond the limit of {max}"));
            } else if !near {
                peer.warned = peer.warned.without(family);
            }
        }
    }

    fn exceed_prefix_limit(&mut self, id: PeerId, family: cairn_net::Family, limit: PrefixLimit) {
        let reason = DownReason::PrefixLimit { family, limit: limit.max };
        let peer = &mut self.peers[id];
        peer.stopped = Some(reason.to_string());
        peer.restart_at = match limit.action {
            LimitAction::RestartAfter(time) => Some(self.now + time),
            // Until an operator has looked at it.
            LimitAction::Idle | LimitAction::Warn => None,
        };
        let notification = self.hard(id, Notification::prefix_limit(AfiSafi::from(family), limit.max));
        self.end_session(id, Some(&notification), &reason);
        self.schedule(id);
    }

    /// Starts a peer whose time in Idle for a prefix limit is over.
    pub(super) fn check_restart(&mut self, id: PeerId) {
        let due = |at: std::time::Instant| at <= self.now;
        if self.peers.get(id).and_then(|peer| peer.restart_at).is_some_and(due) {
            self.start(id);
        }
    }

    fn end_of_rib(&mut self, id: PeerId, family: cairn_net::Family) {
        let Some(session) = &mut self.peers[id].session else { return };
        session.complete = session.complete.with(family);
        // A refresh that is under way has marks of its own, and an end of its own.
        if session.refreshing[family as usize].is_none() {
            self.sweep(id, family);
        }
        self.look_at_startup();
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
                    let used = import.prepared(&route, &mut interner);
                    let (prefix, verdicts) = (table.nets[entry.net].prefix, verdicts.of(&route));
                    import.filter(prefix, &used, &mut interner, verdicts, &hits)
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
        let (peer, asn) = (self.peers[id].address, self.peers[id].config.asn);
        self.outputs.push_back(Output::PeerChanged { peer, asn, change: PeerChange::Warning { text } });
    }
}

fn seconds(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
