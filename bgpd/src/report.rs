//! What an operator reads: one line for each event of importance, with fields.
//!
//! Invariant: whatever a peer does, there are at most 22 lines about it in a minute: 20 of its own, one that says that no more follow, and
//! one with the count of those that were left out. Debug lines are not limited.

mod quota;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp_core::fsm::State;
use bgp_core::nexthop::Reach;
use bgp_core::speaker::{DownReason, NextHopView, PeerChange};
use cairn_net::Asn;
use tracing::{debug, error, info, warn};

use crate::signature::SignatureCounters;
use crate::transport::{NO_DEVICE, NO_DEVICE_HINT, Place};
use quota::{Line, Quota};

/// How often a line about the same matter is written.
pub(crate) const REPEAT: Duration = Duration::from_secs(60);
/// Peers that are remembered at most; more than can be configured. Those of a listen range come and go without end.
const PEERS: usize = 16_384;
/// Strangers that are remembered, so that none floods the log.
const STRANGERS: usize = 256;

/// Writes the lines, and remembers what was written to not repeat it.
#[derive(Default)]
pub(crate) struct Reporter {
    strangers: HashMap<IpAddr, Instant>,
    /// The last reason that was written for a peer that does not come up.
    reasons: HashMap<IpAddr, (String, Instant)>,
    /// What is still to be written about each peer.
    quotas: HashMap<IpAddr, Quota>,
    /// Its quota is used up, and nobody was told to renew it.
    used_up: Option<IpAddr>,
    /// What is still to be written about next hops, and since when that is counted.
    next_hops: Option<(Quota, Instant)>,
    /// Why connections could not be accepted, when it was written last.
    accept_error: Option<(String, Instant)>,
    signatures: SignatureCounters,
}

impl Reporter {
    /// A peer's state changed. True: [`Reporter::renew`] has to be called in [`REPEAT`].
    pub(crate) fn peer_changed(&mut self, peer: IpAddr, remote_as: Asn, change: &PeerChange) -> bool {
        match change {
            PeerChange::State { from, to } => {
                debug!(%peer, %remote_as, %from, state = %to, "peer state changed");
            }
            PeerChange::Up { router_id, asn } => {
                self.reasons.remove(&peer);
                let state = State::Established;
                if self.may_write(peer) {
                    info!(%peer, remote_as = %asn, %router_id, %state, "peer is up");
                } else {
                    debug!(%peer, remote_as = %asn, %router_id, %state, "peer is up");
                }
            }
            PeerChange::Down { reason, was_up } => self.down(peer, remote_as, reason, *was_up),
            PeerChange::Warning { text } if self.may_write(peer) => warn!(%peer, %remote_as, "{text}"),
            PeerChange::Warning { text } => debug!(%peer, %remote_as, "{text}"),
        }
        let Some(peer) = self.used_up.take() else { return false };
        warn!(%peer, "further lines about this peer are left out for a minute, and counted");
        true
    }

    /// The way to a next hop changed. A router that forgets and learns routes all the time writes no more lines than a peer may.
    pub(crate) fn next_hop_changed(&mut self, next_hop: &NextHopView, before: Option<Reach>) {
        let address = next_hop.address;
        let paths = next_hop.paths;
        let now = Instant::now();
        if self.next_hops.as_ref().is_none_or(|(_, since)| now.duration_since(*since) >= REPEAT) {
            let left_out = self.next_hops.take().map_or(0, |(mut quota, _)| quota.renew());
            if left_out > 0 {
                warn!(left_out, "lines about next hops were left out");
            }
            self.next_hops = Some((Quota::default(), now));
        }
        let line = self.next_hops.as_mut().map_or(Line::LeftOut, |(quota, _)| quota.take());
        match &next_hop.way {
            None => {}
            Some(way) if line == Line::LeftOut => {
                debug!(next_hop = %address, paths, ?way, "next hop changed");
            }
            Some(Ok(way)) => {
                let Reach { metric, connected, .. } = way.reach;
                let was = if before.is_some() { "reachable" } else { "unreachable" };
                info!(next_hop = %address, metric, connected, via = %way.prefix, paths, was, "next hop is reachable");
            }
            Some(Err(reason)) => warn!(next_hop = %address, %reason, paths, "next hop is not reachable"),
        }
        if line == Line::Last {
            warn!("further lines about next hops are left out for a minute, and counted");
        }
    }

    /// Is a line about the peer written? A peer decides how often there is a reason for one, so they are counted out.
    fn may_write(&mut self, peer: IpAddr) -> bool {
        if self.quotas.len() >= PEERS && !self.quotas.contains_key(&peer) {
            self.quotas.clear();
        }
        let line = self.quotas.entry(peer).or_default().take();
        if line == Line::Last {
            self.used_up = Some(peer);
        }
        line != Line::LeftOut
    }

    /// The minute is over in which nothing was written about a peer.
    pub(crate) fn renew(&mut self, peer: IpAddr) {
        let left_out = self.quotas.remove(&peer).map_or(0, |mut quota| quota.renew());
        if left_out > 0 {
            warn!(%peer, left_out, "lines about this peer were left out");
        }
    }

    /// Forgets peers that are no longer configured.
    pub(crate) fn retain(&mut self, mut configured: impl FnMut(IpAddr) -> bool) {
        self.reasons.retain(|peer, _| configured(*peer));
        self.quotas.retain(|peer, _| configured(*peer));
    }

    fn down(&mut self, peer: IpAddr, remote_as: Asn, reason: &DownReason, was_up: bool) {
        let mut text = reason.to_string();
        if matches!(reason, DownReason::ConnectTimedOut) {
            text.push_str(self.why_silent());
        }
        let wanted = matches!(
            reason,
            DownReason::Stopped(_) | DownReason::Reset(_) | DownReason::Deconfigured | DownReason::Shutdown
        );
        match (was_up, wanted) {
            (true, _) if !self.may_write(peer) => debug!(%peer, %remote_as, reason = text, "peer is down"),
            (true, true) => info!(%peer, %remote_as, reason = text, "peer is down"),
            (true, false) => error!(%peer, %remote_as, reason = text, "peer is down"),
            (false, true) => debug!(%peer, %remote_as, reason = text, "peer does not come up"),
            // The same failure every few seconds is one failure.
            (false, false) if self.is_repeated(peer, &text) => {
                debug!(%peer, %remote_as, reason = text, "peer does not come up");
            }
            (false, false) if !self.may_write(peer) => {
                debug!(%peer, %remote_as, reason = text, "peer does not come up");
            }
            (false, false) => warn!(%peer, %remote_as, reason = text, "peer does not come up"),
        }
    }

    fn is_repeated(&mut self, peer: IpAddr, text: &str) -> bool {
        let now = Instant::now();
        match self.reasons.get_mut(&peer) {
            Some((last, at)) if last == text && now.duration_since(*at) < REPEAT => true,
            _ => {
                if self.reasons.len() >= PEERS {
                    self.reasons.retain(|_, (_, at)| now.duration_since(*at) < REPEAT);
                }
                if self.reasons.len() < PEERS {
                    self.reasons.insert(peer, (text.to_owned(), now));
                }
                false
            }
        }
    }

    /// A connection came from a listen range that has as many peers as it may.
    pub(crate) fn full_range(&mut self, peer: IpAddr) {
        if self.is_new_stranger(peer) {
            warn!(%peer, "refused a connection: the listen range has as many peers as its limit says");
        }
    }

    /// A connection came from an address that is no neighbour's.
    pub(crate) fn unknown_peer(&mut self, peer: IpAddr) {
        if self.is_new_stranger(peer) {
            warn!(%peer, "refused a connection: no neighbor with this address is configured");
        }
    }

    /// A listener, which tries again every second, cannot accept connections. What keeps one from it keeps all of them.
    pub(crate) fn cannot_accept(&mut self, place: &Place, error: &io::Error) {
        let (now, text) = (Instant::now(), error.to_string());
        let repeated = |(last, at): &(String, Instant)| *last == text && now.duration_since(*at) < REPEAT;
        if self.accept_error.as_ref().is_some_and(repeated) {
            debug!(%place, %error, "still cannot accept connections");
            return;
        }
        warn!(%place, %error, "cannot accept connections; trying again every second");
        self.accept_error = Some((text, now));
    }

    /// Is it the first time in a while that something is to be said of this address?
    fn is_new_stranger(&mut self, peer: IpAddr) -> bool {
        let now = Instant::now();
        if self.strangers.get(&peer).is_some_and(|at| now.duration_since(*at) < REPEAT) {
            return false;
        }
        if self.strangers.len() >= STRANGERS {
            self.strangers.retain(|_, at| now.duration_since(*at) < REPEAT);
        }
        let room = self.strangers.len() < STRANGERS;
        if room {
            self.strangers.insert(peer, now);
        }
        room
    }

    /// The system's reason for a failed attempt, with what an operator should look at.
    pub(crate) fn explain_connect_error(&mut self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::TimedOut => format!("{error}{}", self.why_silent()),
            io::ErrorKind::ConnectionRefused => {
                format!("{error} (nobody listens there, or this speaker is not a neighbor of theirs)")
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("{error} (localAddress is not an address of this machine)")
            }
            _ if error.raw_os_error() == Some(NO_DEVICE) => format!("{error}{NO_DEVICE_HINT}"),
            _ => error.to_string(),
        }
    }

    /// Why a peer may not answer: the kernel counts segments that it dropped for their signature.
    fn why_silent(&mut self) -> &'static str {
        let seen = self.signatures.since_last_look();
        if seen.unexpected > 0 {
            "; TCP segments WITH an MD5 signature were dropped: the other side has a password, this side has none"
        } else if seen.missing > 0 {
            "; TCP segments WITHOUT an MD5 signature were dropped: this side has a password, the other side has none"
        } else if seen.wrong > 0 {
            "; TCP segments with a WRONG MD5 signature were dropped: the passwords of both sides differ"
        } else {
            "; if a password is set on one side only, or differs, the other side drops segments silently"
        }
    }
}
