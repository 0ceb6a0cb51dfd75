use std::time::Instant;

use super::{Poll, Session};
use crate::packet::{Discard, Packet};
use crate::view::Remote;
use crate::{Diagnostic, State};

impl Session {
    /// A packet of this session came (RFC 5880 section 6.8.6, from "if the A bit is set" on).
    ///
    /// # Errors
    /// Why it was discarded. Nothing has changed then, but for a session in AdminDown, which learns what the other side says.
    pub fn receive(&mut self, now: Instant, packet: &Packet<'_>) -> Result<(), Discard> {
        self.authenticate(now, packet)?;
        self.set_remote(Remote {
            state: packet.state,
            diagnostic: packet.diagnostic,
            discriminator: packet.my_discriminator,
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
            required_min_echo_rx: packet.required_min_echo_rx,
            detect_mult: packet.detect_mult,
            demand: packet.demand,
            control_plane_independent: packet.control_plane_independent,
        });
        if packet.is_final {
            self.finish_poll();
        }
        if self.state == State::AdminDown {
            self.schedule(now);
            return Err(Discard::AdminDown);
        }
        self.last_received = Some(now);
        self.follow(packet.state, now);
        self.final_due |= packet.poll;
        self.set_detection();
        self.schedule(now);
        self.counters.received += 1;
        Ok(())
    }

    fn authenticate(&mut self, now: Instant, packet: &Packet<'_>) -> Result<(), Discard> {
        let interval = self.config.required_min_rx.max(super::micros(packet.desired_min_tx));
        let detection = interval * u32::from(packet.detect_mult);
        match &self.config.authentication {
            None if packet.authenticated.is_empty() => Ok(()),
            None => Err(Discard::AuthenticationUnexpected),
            Some(_) if packet.authenticated.is_empty() => Err(Discard::AuthenticationMissing),
            Some(with) => self.sequence.verify(with, packet, now, detection),
        }
    }

    /// The state machine of section 6.2.
    fn follow(&mut self, remote: State, now: Instant) {
        let next = match (self.state, remote) {
            // The other side's operator, or its silence about us, took the session down.
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                self.diagnostic = Diagnostic::NeighborSignaledSessionDown;
                State::Down
            }
            (State::Down, State::Down) => State::Init,
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => State::Up,
            (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up)
            | (State::AdminDown, _) => self.state,
        };
        self.enter(next, now);
    }

    /// The other side has confirmed our values.
    fn finish_poll(&mut self) {
        self.poll = match self.poll {
            Poll::Idle | Poll::Asking => {
                (self.unconfirmed_rx, self.unconfirmed_tx) = (None, None);
                Poll::Idle
            }
            Poll::AskingAgain => Poll::Asking,
        };
    }

    /// Starts the detection timer anew, from the last packet.
    pub(super) fn set_detection(&mut self) {
        let time = self.detection_time();
        let runs = self.state != State::AdminDown && self.remote.detect_mult > 0;
        self.detection_due =
            self.last_received.zip(time).filter(|_| runs).map(|(heard, detection)| heard + detection);
    }
}
