//! What is recorded in MRT files as it happens (RFC 6396 section 4.4): UPDATEs of peers as they came, and their states.
//!
//! The records of a turn are put together in parts, so that the thread that writes is woken once for many.

use std::net::IpAddr;
use std::time::Duration;

use bgp_core::monitor::bgp4mp::{self, Ends, MessageForm, Precision};
use bgp_core::monitor::{MonitorEvent, MonitoredPeer, Scope};
use bgpd_api::config;
use bytes::BytesMut;
use foldhash::HashMap;
use tokio::sync::oneshot;

use super::{Daemon, Handle};
use crate::mrt::{Counts, Mrt, Records};

/// Octets that are put together at most, the last record aside.
const PART: usize = 64 << 10;

/// The records of this turn, on the way to the files.
pub(super) struct Recorder {
    daemon: Handle,
    files: Mrt,
    count: u64,
    begin: Duration,
    octets: BytesMut,
}

impl Recorder {
    pub(super) fn new(daemon: Handle) -> Self {
        let (begin, octets) = (Duration::ZERO, BytesMut::new());
        Self { daemon, files: Mrt::default(), count: 0, begin, octets }
    }

    /// Is anything recorded?
    pub(super) fn is_on(&self) -> bool {
        self.files.records()
    }

    /// The events that are recorded.
    pub(super) fn scope(&self) -> Scope {
        Scope { pre_policy: self.is_on(), states: self.is_on(), ..Scope::default() }
    }

    pub(super) fn counts(&self) -> Counts {
        self.files.counts()
    }

    /// Ends everything. What waits is still written; the returned channel ends once it is.
    pub(super) fn stop(&mut self) -> Option<oneshot::Receiver<()>> {
        self.files.stop()
    }

    /// Records an event of which a record is made.
    pub(super) fn record(
        &mut self,
        event: &MonitorEvent,
        sessions: &HashMap<IpAddr, MonitoredPeer>,
        at: Duration,
    ) {
        if !self.is_on() {
            return;
        }
        let precision = if self.files.microseconds() { Precision::Microseconds } else { Precision::Seconds };
        match event {
            MonitorEvent::Received { peer, message, path_ids, .. } => {
                let Some(session) = sessions.get(peer) else { return };
                let ends = Ends {
                    peer: *peer,
                    peer_as: session.asn,
                    local: Some(session.ends.0.ip().to_canonical()),
                    local_as: session.local_asn,
                };
                let form = MessageForm { four_octet_as: session.four_octet_as, path_ids: *path_ids };
                bgp4mp::message(&ends, form, message, at, precision, &mut self.octets);
            }
            MonitorEvent::State { ends, from, to } => {
                bgp4mp::state_change(ends, (*from, *to), at, precision, &mut self.octets);
            }
            MonitorEvent::Up { .. }
            | MonitorEvent::Down { .. }
            | MonitorEvent::Judged { .. }
            | MonitorEvent::Swept { .. }
            | MonitorEvent::Selected { .. }
            | MonitorEvent::Sent { .. } => return,
        }
        if self.count == 0 {
            self.begin = at;
        }
        self.count += 1;
        if self.octets.len() >= PART {
            self.hand_over();
        }
    }

    /// Hands over what was put together.
    pub(super) fn hand_over(&mut self) {
        if self.count > 0 {
            let octets = self.octets.split().freeze();
            self.files.put(Records { count: std::mem::take(&mut self.count), at: self.begin, octets });
        }
    }
}

impl Daemon {
    /// Writes these MRT files and no others.
    pub(super) fn set_mrt(&mut self, wanted: &config::Mrt) {
        // What happened before is for the files that there were.
        self.take_monitor_events();
        let was_on = self.recorder.is_on();
        let daemon = self.recorder.daemon.clone();
        self.recorder.files.configure(wanted, &daemon);
        if self.recorder.is_on() && !was_on {
            self.look_at_sessions();
        }
        self.listen_for_monitors();
    }
}
