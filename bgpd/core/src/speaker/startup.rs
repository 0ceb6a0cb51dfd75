//! The time after the start, until the Loc-RIB is complete.
//!
//! Spec: RFC 4724 section 4.1. With graceful restart configured, selection and announcements of a family wait for the End-of-RIB of
//! every peer that can be reached; without, only `Output::EndOfRib` does.

use std::time::{Duration, Instant};

use cairn_net::{Families, Family};

use super::peer::Peer;
use super::retention::restart_families;
use super::{Config, Speaker};
use crate::fsm::State;
use crate::wire::GracefulRestart;

/// State of the start.
#[derive(Debug)]
pub(super) struct Startup {
    /// We say R in our OPENs, and defer selection.
    pub(super) restarting: bool,
    /// Families that are not complete.
    pending: Families,
    began: Instant,
    deadline: Instant,
    /// When to look at it again, if nothing happens before.
    pub(super) next_look: Instant,
}

impl Startup {
    /// How often to look for time limits that have passed.
    const LOOK: Duration = Duration::from_millis(250);
    /// How long to wait for a peer that only listens to connect, or one that we try to reach to answer.
    const REACHABLE_WITHIN: Duration = Duration::from_secs(5);
    /// How long an Established peer that has not promised an End-of-RIB for the family must have been silent: it does not
    /// do graceful restart, or lists no families, and may not send any.
    const WITHOUT_END_OF_RIB: Duration = Duration::from_secs(2);
    /// The longest wait without graceful restart.
    const LONGEST: Duration = Duration::from_secs(30);
}

impl Speaker {
    pub(super) fn begin_startup(&mut self, config: &Config) {
        let restart = config.graceful_restart.as_ref();
        let longest = restart.map_or(Startup::LONGEST, |restart| restart.selection_deferral);
        if restart.is_some() {
            self.rib.deferred = Families::ALL;
        }
        self.startup = Some(Startup {
            restarting: restart.is_some(),
            pending: Families::ALL,
            began: self.now,
            deadline: self.now + longest,
            next_look: self.now + Startup::LOOK,
        });
    }

    /// Ends the start for families that are complete.
    pub(super) fn look_at_startup(&mut self) {
        let Some(startup) = &mut self.startup else { return };
        startup.next_look = self.now + Startup::LOOK;
        let startup = &*startup;
        let complete: Vec<Family> = startup
            .pending
            .iter()
            .filter(|family| {
                self.now >= startup.deadline
                    || self.peers.iter().all(|(_, peer)| is_complete(peer, *family, startup, self.now))
            })
            .collect();
        for family in complete {
            self.finish_startup(family);
        }
    }

    fn finish_startup(&mut self, family: Family) {
        let Some(startup) = &mut self.startup else { return };
        startup.pending = startup.pending.without(family);
        if startup.pending.is_empty() {
            self.startup = None;
        }
        let was_deferred = self.rib.deferred.contains(family);
        self.rib.deferred = self.rib.deferred.without(family);
        self.flush();
        self.rib.report_end(family);
        if was_deferred {
            self.release_end_of_rib(family);
        }
    }

    /// Everything selected is in the logs: what comes after it is End-of-RIB.
    fn release_end_of_rib(&mut self, family: Family) {
        let mut conns = Vec::new();
        for (_, peer) in self.peers.iter_mut() {
            let Some(session) = &mut peer.session else { continue };
            let place = self.rib.groups[session.group].group.end();
            session.cursor.end_of_rib_after(family, place);
            conns.push(session.conn);
        }
        for conn in conns {
            self.wake(conn);
        }
    }
}

/// Need the start wait no longer for this peer's routes?
fn is_complete(peer: &Peer, family: Family, startup: &Startup, now: Instant) -> bool {
    if !peer.is_enabled() || !peer.config.families.contains(family) {
        return true;
    }
    let waited = now.duration_since(startup.began) >= Startup::REACHABLE_WITHIN;
    let Some(session) = &peer.session else {
        // Unreachable, or not coming.
        return peer.most_advanced() < State::OpenSent && (peer.failures > 0 || waited);
    };
    let promised = |restart: &GracefulRestart| restart_families(restart, false).contains(family);
    match &session.restart {
        _ if !session.negotiated.families.contains(family) || session.complete.contains(family) => true,
        // It waits for us (RFC 4724 section 4.1).
        Some(restart) if restart.restarted => true,
        Some(restart) if promised(restart) => false,
        Some(_) | None => now.duration_since(session.last_routes) >= Startup::WITHOUT_END_OF_RIB,
    }
}
