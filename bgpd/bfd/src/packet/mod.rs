//! The control packet (RFC 5880 section 4.1): 24 octets, and an authentication section behind them.
//!
//! [`Packet::decode`] applies every rule of section 6.8.6 that needs no session; the others are in [`crate::Session::receive`] and
//! [`crate::Endpoint`].

pub(crate) mod authentication;

use std::fmt;

use thiserror::Error;

use crate::{Diagnostic, State};

/// Octets of a packet without authentication.
pub const MIN_PACKET: usize = 24;
/// Octets of the longest packet that is ever sent: with a SHA1 section of 28 octets.
pub const MAX_PACKET: usize = MIN_PACKET + 28;
/// The protocol's version.
const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// A control packet. Times are in microseconds, as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Why the sender left Up last.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// P: the sender asks for a packet with F.
    pub poll: bool,
    /// F: the answer to P.
    pub is_final: bool,
    /// C: the sender's BFD goes on while its control plane is away.
    pub control_plane_independent: bool,
    /// D: the sender does not need our periodic packets while both are Up.
    pub demand: bool,
    /// Never 0.
    pub detect_mult: u8,
    /// Never 0.
    pub my_discriminator: u32,
    /// 0: the sender does not know ours.
    pub your_discriminator: u32,
    /// The sender will not send more often.
    pub desired_min_tx: u32,
    /// The sender does not want packets more often. 0: it wants no periodic ones.
    pub required_min_rx: u32,
    /// The sender loops back echo packets if they do not come more often. 0: not at all.
    pub required_min_echo_rx: u32,
    /// The whole packet if it has an authentication section; empty if not.
    pub authenticated: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads the payload of a datagram. What follows the packet's own length is ignored.
    ///
    /// # Errors
    /// The rule of section 6.8.6 that the packet breaks.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Discard> {
        let (header, _) = payload.split_first_chunk::<MIN_PACKET>().ok_or(Discard::Length)?;
        let word = |at: usize| {
            let octet = |offset: usize| header.get(at + offset).copied().unwrap_or_default();
            u32::from_be_bytes([octet(0), octet(1), octet(2), octet(3)])
        };
        let [first, flags, detect_mult, length, ..] = *header;
        if first >> 5 != VERSION {
            return Err(Discard::Version);
        }
        let has_authentication = flags & AUTHENTICATION != 0;
        let least = if has_authentication { MIN_PACKET + 2 } else { MIN_PACKET };
        let packet = payload
            .get(..usize::from(length))
            .filter(|packet| packet.len() >= least)
            .ok_or(Discard::Length)?;
        if detect_mult == 0 {
            return Err(Discard::DetectMult);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        let packet = Self {
            diagnostic: Diagnostic::from_wire(first),
            state: State::from_wire(flags >> 6),
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            detect_mult,
            my_discriminator: word(4),
            your_discriminator: word(8),
            desired_min_tx: word(12),
            required_min_rx: word(16),
            required_min_echo_rx: word(20),
            authenticated: if has_authentication { packet } else { &[] },
        };
        if packet.my_discriminator == 0 {
            return Err(Discard::MyDiscriminator);
        }
        if packet.your_discriminator == 0 && !matches!(packet.state, State::Down | State::AdminDown) {
            return Err(Discard::YourDiscriminator);
        }
        Ok(packet)
    }

    /// Writes the packet without an authentication section: [`MIN_PACKET`] octets.
    pub fn encode(&self, out: &mut [u8; MAX_PACKET]) -> usize {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out[0] = VERSION << 5 | self.diagnostic.to_wire();
        out[1] = self.state.to_wire() << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.demand, DEMAND);
        out[2] = self.detect_mult;
        out[3] = 24;
        let words = [
            self.my_discriminator,
            self.your_discriminator,
            self.desired_min_tx,
            self.required_min_rx,
            self.required_min_echo_rx,
        ];
        for (place, word) in out[4..MIN_PACKET].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        MIN_PACKET
    }
}

/// Why a packet was discarded. In the order of the rules of section 6.8.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Discard {
    /// The version is not 1.
    #[error("version")]
    Version,
    /// Shorter than a packet, or than it says itself.
    #[error("length")]
    Length,
    /// Detect Mult is zero.
    #[error("detect multiplier zero")]
    DetectMult,
    /// The M bit is set.
    #[error("multipoint bit")]
    Multipoint,
    /// My Discriminator is zero.
    #[error("my discriminator zero")]
    MyDiscriminator,
    /// Your Discriminator is zero in a state other than Down and AdminDown.
    #[error("your discriminator zero")]
    YourDiscriminator,
    /// No session has this discriminator, or this address.
    #[error("no such session")]
    NoSession,
    /// Came from too far away (RFC 5881 section 5).
    #[error("time to live")]
    Ttl,
    /// Authenticated, where the session is not.
    #[error("authentication unexpected")]
    AuthenticationUnexpected,
    /// Not authenticated, where the session is.
    #[error("authentication missing")]
    AuthenticationMissing,
    /// Another method, another key, or a wrong secret.
    #[error("authentication failed")]
    AuthenticationFailed,
    /// The sequence number is not one that may come next.
    #[error("authentication sequence")]
    AuthenticationSequence,
    /// The session was taken down by the operator.
    #[error("session AdminDown")]
    AdminDown,
}

impl Discard {
    /// Every reason, in order.
    pub const ALL: [Self; 13] = [
        Self::Version,
        Self::Length,
        Self::DetectMult,
        Self::Multipoint,
        Self::MyDiscriminator,
        Self::YourDiscriminator,
        Self::NoSession,
        Self::Ttl,
        Self::AuthenticationUnexpected,
        Self::AuthenticationMissing,
        Self::AuthenticationFailed,
        Self::AuthenticationSequence,
        Self::AdminDown,
    ];
}

/// How many packets were discarded, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discards([u64; Discard::ALL.len()]);

impl Discards {
    /// From the count of each reason, in the order of [`Discard::ALL`].
    pub(crate) const fn from_counts(counts: [u64; Discard::ALL.len()]) -> Self {
        Self(counts)
    }

    pub(crate) fn count(&mut self, reason: Discard) {
        self.0[reason as usize] += 1;
    }

    /// How many for one reason.
    pub const fn of(&self, reason: Discard) -> u64 {
        self.0[reason as usize]
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Discard, u64)> {
        Discard::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for Discards {
    /// `time to live 3, version 1`; nothing if there were none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (reason, count)) in self.iter().enumerate() {
            write!(f, "{}{reason} {count}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
