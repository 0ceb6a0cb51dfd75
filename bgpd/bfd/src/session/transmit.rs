use std::time::{Duration, Instant};

use super::{Poll, Session, micros};
use crate::packet::{MAX_PACKET, Packet};
use crate::{Diagnostic, State};

impl Session {
    /// Time between two packets before jitter (RFC 5880 section 6.8.7); `None`: none are sent periodically.
    pub(super) fn transmit_interval(&self) -> Option<Duration> {
        if self.is_mute() || self.remote.required_min_rx == 0 || self.is_not_needed() {
            return None;
        }
        // A longer interval than the one before counts only once the other side knows of it.
        let desired = self.unconfirmed_tx.unwrap_or_else(|| self.desired_min_tx());
        Some(desired.max(micros(self.remote.required_min_rx)))
    }

    /// A passive side that has heard nothing yet.
    fn is_mute(&self) -> bool {
        self.config.passive && self.remote.discriminator == 0 && self.state != State::AdminDown
    }

    /// Demand mode is active on the other side, and there is nothing to ask it (section 6.6).
    fn is_not_needed(&self) -> bool {
        self.remote.demand
            && self.state == State::Up
            && self.remote.state == State::Up
            && self.poll == Poll::Idle
    }

    /// Arms the transmit timer, or moves it if the interval is another one now.
    pub(super) fn schedule(&mut self, now: Instant) {
        let interval = self.transmit_interval();
        if interval == self.armed_with && self.transmit_due.is_some() == interval.is_some() {
            return;
        }
        self.armed_with = interval;
        self.transmit_due = interval.map(|interval| {
            let wait = self.random.shorten(interval, self.config.detect_mult);
            // A new session does not begin in step with all the others.
            self.last_sent.map_or(now + wait, |last| (last + wait).max(now))
        });
    }

    /// Is there something to be sent now?
    pub fn wants_to_send(&self) -> bool {
        let periodic =
            self.news && !self.is_mute() && (self.remote.required_min_rx > 0 && !self.is_not_needed());
        self.final_due || periodic
    }

    /// Writes the packet that is to be sent now; returns its length.
    pub fn transmit(&mut self, now: Instant, out: &mut [u8; MAX_PACKET]) -> usize {
        let is_final = std::mem::take(&mut self.final_due);
        let mut len = Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            // Never both (section 6.5): the answer first, our own question with the next packet.
            poll: self.poll != Poll::Idle && !is_final,
            is_final,
            // BFD lives in the daemon, and ends with it.
            control_plane_independent: false,
            demand: false,
            detect_mult: self.config.detect_mult,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: to_micros(self.desired_min_tx()),
            required_min_rx: to_micros(self.config.required_min_rx),
            required_min_echo_rx: 0,
            authenticated: &[],
        }
        .encode(out);
        if let Some(with) = &self.config.authentication {
            len = self.sequence.sign(with, out);
        }
        self.counters.sent += 1;
        // An answer is sent beside the periodic packets, without touching their time.
        if self.news || !is_final {
            self.news = false;
            self.last_sent = Some(now);
            self.armed_with = None;
            self.schedule(now);
            if let Some(left) = &mut self.farewells {
                *left = left.saturating_sub(1);
            }
        }
        len
    }

    /// The last packet of all, when the daemon ends: AdminDown at once.
    pub(crate) fn last_words(&mut self, now: Instant, out: &mut [u8; MAX_PACKET]) -> usize {
        self.diagnostic = Diagnostic::AdministrativelyDown;
        self.enter(State::AdminDown, now);
        self.transmit(now, out)
    }
}

fn to_micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
