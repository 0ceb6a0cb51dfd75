//! The authentication section (RFC 5880 sections 4.2, 4.4, 6.7): signing what is sent, judging what comes.

use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};

use super::{AUTHENTICATION, Discard, MAX_PACKET, MIN_PACKET, Packet};
use crate::{Authentication, AuthenticationKind};

/// Length of a SHA1 section.
const SHA1_SECTION: usize = 28;
/// Where the hash is, from the beginning of the packet.
const HASH: std::ops::Range<usize> = MIN_PACKET + 8..MIN_PACKET + SHA1_SECTION;

/// bfd.XmitAuthSeq, bfd.RcvAuthSeq and bfd.AuthSeqKnown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequence {
    transmit: u32,
    /// The last one that was accepted, and until when it counts.
    received: Option<(u32, Instant)>,
}

impl Sequence {
    /// Begins at a random number.
    pub(crate) const fn new(transmit: u32) -> Self {
        Self { transmit, received: None }
    }

    /// What goes to another process: the last number that was sent, the last one that was accepted, and until when that counts.
    pub(crate) const fn parts(&self) -> (u32, Option<(u32, Instant)>) {
        (self.transmit, self.received)
    }

    /// From [`Sequence::parts`].
    pub(crate) const fn from_parts(transmit: u32, received: Option<(u32, Instant)>) -> Self {
        Self { transmit, received }
    }

    /// Appends the section to a packet of [`MIN_PACKET`] octets; returns the new length.
    pub(crate) fn sign(&mut self, with: &Authentication, packet: &mut [u8; MAX_PACKET]) -> usize {
        let section = match with.kind {
            AuthenticationKind::SimplePassword => 3 + with.secret().len(),
            AuthenticationKind::KeyedSha1 | AuthenticationKind::MeticulousKeyedSha1 => SHA1_SECTION,
        };
        let len = MIN_PACKET + section;
        packet[1] |= AUTHENTICATION;
        // At most 52.
        packet[3] = u8::try_from(len).unwrap_or(u8::MAX);
        packet[MIN_PACKET] = with.kind.to_wire();
        packet[MIN_PACKET + 1] = u8::try_from(section).unwrap_or(u8::MAX);
        packet[MIN_PACKET + 2] = with.key_id;
        match with.kind {
            AuthenticationKind::SimplePassword => {
                packet[MIN_PACKET + 3..len].copy_from_slice(with.secret());
            }
            AuthenticationKind::KeyedSha1 | AuthenticationKind::MeticulousKeyedSha1 => {
                // For the keyed kind, too: it may grow with each packet, and replay is then harder.
                self.transmit = self.transmit.wrapping_add(1);
                packet[MIN_PACKET + 3] = 0;
                packet[MIN_PACKET + 4..MIN_PACKET + 8].copy_from_slice(&self.transmit.to_be_bytes());
                packet[HASH].copy_from_slice(with.padded());
                let hash: [u8; 20] = Sha1::digest(&packet[..len]).into();
                packet[HASH].copy_from_slice(&hash);
            }
        }
        len
    }

    /// Accepts an authenticated packet, or says why not. `detection`: the detection time by this packet; after twice of it without
    /// another one any sequence number is good again.
    pub(crate) fn verify(
        &mut self,
        with: &Authentication,
        packet: &Packet<'_>,
        now: Instant,
        detection: Duration,
    ) -> Result<(), Discard> {
        let octets = packet.authenticated;
        // The decoder has made sure of these two.
        let (Some(&kind), Some(&section)) = (octets.get(MIN_PACKET), octets.get(MIN_PACKET + 1)) else {
            return Err(Discard::AuthenticationFailed);
        };
        let expected = kind == with.kind.to_wire() && octets.get(MIN_PACKET + 2) == Some(&with.key_id);
        if !expected || octets.len() != MIN_PACKET + usize::from(section) {
            return Err(Discard::AuthenticationFailed);
        }
        match with.kind {
            AuthenticationKind::SimplePassword => {
                let secret = octets.get(MIN_PACKET + 3..).unwrap_or_default();
                if equal(secret, with.secret()) { Ok(()) } else { Err(Discard::AuthenticationFailed) }
            }
            AuthenticationKind::KeyedSha1 | AuthenticationKind::MeticulousKeyedSha1 => {
                self.verify_sha1(with, packet, now, detection)
            }
        }
    }

    fn verify_sha1(
        &mut self,
        with: &Authentication,
        packet: &Packet<'_>,
        now: Instant,
        detection: Duration,
    ) -> Result<(), Discard> {
        let octets: &[u8; MAX_PACKET] =
            packet.authenticated.try_into().map_err(|_| Discard::AuthenticationFailed)?;
        let [.., a, b, c, d] = *octets.first_chunk::<{ MIN_PACKET + 8 }>().unwrap_or(&[0; MIN_PACKET + 8]);
        let sequence = u32::from_be_bytes([a, b, c, d]);
        if let Some((last, until)) = self.received
            && now < until
        {
            let least = u32::from(with.kind == AuthenticationKind::MeticulousKeyedSha1);
            let step = sequence.wrapping_sub(last);
            if !(least..=3 * u32::from(packet.detect_mult)).contains(&step) {
                return Err(Discard::AuthenticationSequence);
            }
        }
        let mut signed = *octets;
        signed[HASH].copy_from_slice(with.padded());
        let hash: [u8; 20] = Sha1::digest(signed).into();
        if !equal(&hash, &octets[HASH]) {
            return Err(Discard::AuthenticationFailed);
        }
        // Only now, so that a forged packet does not move the window.
        self.received = Some((sequence, now + detection * 2));
        Ok(())
    }
}

/// Compares without telling by its time where the difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}
