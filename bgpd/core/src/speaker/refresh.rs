//! Routes that are asked for, or sent, again.
//!
//! Spec: RFC 2918; RFC 7313 (the marks around a refresh, which tell what has silently gone).

use std::time::Duration;

use cairn_net::Family;

use super::peer::PeerId;
use super::{ConnId, Speaker};
use crate::fsm::Event;
use crate::wire::{AfiSafi, MessageType, RefreshSubtype, RouteRefresh};

/// How long a peer may take from the begin of a refresh to its end (RFC 7313 section 4 leaves the number to us).
const LONGEST: Duration = Duration::from_secs(360);

impl Speaker {
    pub(super) fn route_refresh(&mut self, id: PeerId, conn: ConnId, refresh: RouteRefresh) {
        self.connection_event(conn, Event::RoutesReceived(MessageType::RouteRefresh));
        let Some(session) = self.peers[id].session.as_ref() else { return };
        // What was not negotiated is ignored (RFC 2918 section 4, RFC 7313 section 5).
        let Some(family) =
            refresh.family.family().filter(|family| session.negotiated.families.contains(*family))
        else {
            return;
        };
        let marks = session.negotiated.enhanced_route_refresh;
        match refresh.subtype {
            RefreshSubtype::Request => self.answer_refresh(id, conn, family, marks),
            RefreshSubtype::Begin if marks => self.refresh_begins(id, family),
            RefreshSubtype::End if marks => self.refresh_ends(id, family),
            RefreshSubtype::Begin | RefreshSubtype::End | RefreshSubtype::Unknown(_) => {}
        }
    }

    fn answer_refresh(&mut self, id: PeerId, conn: ConnId, family: Family, marks: bool) {
        if marks {
            let begin = RouteRefresh { family: AfiSafi::from(family), subtype: RefreshSubtype::Begin };
            self.send(id, conn, begin.encode());
            if let Some(session) = &mut self.peers[id].session {
                session.cursor.end_of_refresh_after_dump(family);
            }
        }
        self.dump_again(id, family);
    }

    /// What the peer does not announce before the end of its refresh is gone. A second begin starts it anew.
    fn refresh_begins(&mut self, id: PeerId, family: Family) {
        self.each_path(id, |table, path| {
            if table.nets[table.paths[path].net].prefix.family() == family {
                table.set_stale(path, true);
            }
        });
        if let Some(session) = &mut self.peers[id].session {
            session.refreshing[family as usize] = Some(self.now + LONGEST);
        }
        self.schedule(id);
    }

    fn refresh_ends(&mut self, id: PeerId, family: Family) {
        let Some(session) = &mut self.peers[id].session else { return };
        // An end without a begin says nothing.
        if session.refreshing[family as usize].take().is_some() {
            self.peers[id].retained[family as usize] = None;
            self.remove_stale(id, family);
        }
    }

    /// Ends the refreshes of a peer that has forgotten to.
    pub(super) fn check_refresh(&mut self, id: PeerId) {
        for family in Family::ALL {
            let Some(session) = self.peers.get(id).and_then(|peer| peer.session.as_ref()) else { return };
            if session.refreshing[family as usize].is_some_and(|until| until <= self.now) {
                self.warn(
                    id,
                    format!("the {family} refresh has no end; what was not announced again is dropped"),
                );
                self.refresh_ends(id, family);
            }
        }
    }
}
