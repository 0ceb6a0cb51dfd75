//! What an operator asks for: stop, start, reset, refresh, end.

use std::net::IpAddr;

use super::peer::PeerId;
use super::{DownReason, Output, ShutdownMode, SoftReset, Speaker};
use crate::fsm::Event;
use crate::wire::{AfiSafi, CeaseError, Notification, RefreshSubtype, RouteRefresh};

impl Speaker {
    pub(super) fn stop_peer(&mut self, peer: IpAddr, text: &str) {
        let Some(id) = self.by_address.get(&peer).copied() else { return };
        self.stop(id, text.to_owned());
    }

    pub(super) fn stop(&mut self, id: PeerId, text: String) {
        self.peers[id].stopped = Some(text.clone());
        self.peers[id].restart_at = None;
        let notification = self.hard(id, Notification::shutdown(CeaseError::AdministrativeShutdown, &text));
        self.end_session(id, Some(&notification), &DownReason::Stopped(text));
    }

    pub(super) fn start_peer(&mut self, peer: IpAddr) {
        let Some(id) = self.by_address.get(&peer).copied() else { return };
        self.start(id);
    }

    pub(super) fn start(&mut self, id: PeerId) {
        self.peers[id].stopped = None;
        self.peers[id].restart_at = None;
        self.peers[id].connector.reset_backoff();
        if self.peers[id].session.is_none() && !self.peers[id].waits_for_bfd() {
            self.refresh_settings(id);
            self.drive(id, super::peer::Machine::Connector, Event::Start);
        }
        self.look_at_departure(id);
    }

    pub(super) fn reset_peer(&mut self, peer: IpAddr, text: &str) {
        let Some(id) = self.by_address.get(&peer).copied() else { return };
        let notification = self.hard(id, Notification::shutdown(CeaseError::AdministrativeReset, text));
        self.end_session(id, Some(&notification), &DownReason::Reset(text.to_owned()));
    }

    /// Where NOTIFICATIONs keep routes, the operator's word must not (RFC 8538 section 3).
    pub(super) fn hard(&self, id: PeerId, notification: Notification) -> Notification {
        let session = self.peers[id].session.as_ref();
        if session.is_some_and(|session| session.negotiated.notification_restart) {
            notification.into_hard_reset()
        } else {
            notification
        }
    }

    pub(super) fn soft_reset(&mut self, peer: Option<IpAddr>, way: SoftReset) {
        let all: Vec<PeerId> = match peer {
            Some(peer) => self.by_address.get(&peer).copied().into_iter().collect(),
            None => self.peers.iter().map(|(id, _)| id).collect(),
        };
        for id in all {
            if matches!(way, SoftReset::In | SoftReset::Both) {
                self.judge_again(id);
                self.ask_again(id);
            }
            if matches!(way, SoftReset::Out | SoftReset::Both) {
                cairn_net::Family::ALL.into_iter().for_each(|family| self.dump_again(id, family));
            }
        }
    }

    /// Asks the peer for its routes.
    fn ask_again(&mut self, id: PeerId) {
        let Some(session) = &self.peers[id].session else { return };
        if !session.negotiated.route_refresh {
            return;
        }
        let conn = session.conn;
        for family in session.negotiated.families.iter().collect::<Vec<_>>() {
            let refresh = RouteRefresh { family: AfiSafi::from(family), subtype: RefreshSubtype::Request };
            self.send(id, conn, refresh.encode());
        }
    }

    pub(super) fn shut_down(&mut self, text: &str) {
        let Some(config) = self.config.take() else { return };
        let ids: Vec<PeerId> = self.peers.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.peers[id].stopped = Some("the daemon ends".to_owned());
            let notification = match config.shutdown {
                ShutdownMode::KeepRoutes => None,
                ShutdownMode::Cease => {
                    Some(self.hard(id, Notification::shutdown(CeaseError::AdministrativeShutdown, text)))
                }
            };
            self.end_session(id, notification.as_ref(), &DownReason::Shutdown);
        }
        self.startup = None;
        // Nothing is selected any more: who forwards by our routes keeps them.
        self.outputs.retain(|output| !matches!(output, Output::RouteChanged { .. }));
    }
}
