//! ICMP and ICMPv6 echo (RFC 792, RFC 4443) at a steady pace: a late or lost answer never delays the next request.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Report, checksum};

/// How many requests, how fast, and how long to wait for the last answers.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests to send.
    pub count: u64,
    /// Time from one to the next.
    pub interval: Duration,
    /// Time to wait after the last one.
    pub patience: Duration,
}

/// Octets of an echo message: type, code, checksum, identifier, sequence number, and 56 of data as usual.
const LENGTH: usize = 64;

/// Sends echo requests and counts the answers.
///
/// # Errors
/// Where there is no raw socket to be had; an unreachable destination is no error but a loss.
pub fn ping(destination: IpAddr, pace: Pace) -> Result<Report> {
    ping_while(destination, pace, &AtomicBool::new(true))
}

/// As [`ping`], but sends no more once `wanted` is false.
///
/// # Errors
/// As [`ping`].
pub fn ping_while(destination: IpAddr, pace: Pace, wanted: &AtomicBool) -> Result<Report> {
    let mut pinger = Pinger::new(destination)?;
    let started = Instant::now();
    let mut report = Report::default();
    while report.sent < pace.count && wanted.load(Ordering::Relaxed) {
        pinger.send(&mut report);
        let next = started + pace.interval * u32::try_from(report.sent).unwrap_or(u32::MAX);
        pinger.receive_until(next, &mut report)?;
    }
    let deadline = Instant::now() + pace.patience;
    while report.received < report.sent && Instant::now() < deadline {
        pinger.receive_until(deadline.min(Instant::now() + Duration::from_millis(10)), &mut report)?;
    }
    Ok(report)
}

struct Pinger {
    socket: Socket,
    version_6: bool,
    identifier: u16,
    /// Sequence numbers that wait for their answer, and when they were sent.
    pending: BTreeMap<u16, Instant>,
}

impl Pinger {
    fn new(destination: IpAddr) -> Result<Self> {
        let version_6 = destination.is_ipv6();
        let protocol = if version_6 { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
        let domain = if version_6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket =
            Socket::new(domain, Type::RAW, Some(protocol)).context("no raw socket (root is needed)")?;
        socket
            .connect(&SocketAddr::new(destination, 0).into())
            .with_context(|| format!("no route to {destination}"))?;
        let identifier = (std::process::id() & 0xffff) as u16 ^ 0x5ca1;
        Ok(Self { socket, version_6, identifier, pending: BTreeMap::new() })
    }

    fn send(&mut self, report: &mut Report) {
        let sequence = (report.sent & 0xffff) as u16;
        let mut message = [0_u8; LENGTH];
        message[0] = if self.version_6 { 128 } else { 8 };
        message[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        if !self.version_6 {
            // The kernel fills in that of ICMPv6, which covers addresses.
            let sum = checksum::internet(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        report.sent += 1;
        match self.socket.send(&message) {
            Ok(_) => {
                self.pending.insert(sequence, Instant::now());
            }
            Err(error) => report.error = Some(format!("send: {error}")),
        }
    }

    /// Takes answers until a moment in time.
    fn receive_until(&mut self, moment: Instant, report: &mut Report) -> Result<()> {
        let mut buffer = [0_u8; 2048];
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // Less than a microsecond would be rounded to zero, which means for ever.
            self.socket.set_read_timeout(Some(left.max(Duration::from_micros(1))))?;
            match self.socket.read(&mut buffer) {
                Ok(length) => {
                    let sent = sequence_of(&buffer[..length], self.version_6, self.identifier)
                        .and_then(|sequence| self.pending.remove(&sequence));
                    if let Some(sent) = sent {
                        report.note(sent.elapsed());
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(());
                }
                // An ICMP error that belongs to some request: that one is lost, the others go on.
                Err(error) => report.error = Some(format!("receive: {error}")),
            }
        }
    }
}

/// The sequence number of an echo reply to us.
fn sequence_of(packet: &[u8], version_6: bool, identifier: u16) -> Option<u16> {
    // IPv4 raw sockets show the IP header too.
    let header = if version_6 { 0 } else { usize::from(packet.first()? & 0x0f) * 4 };
    let message = packet.get(header..)?;
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let reply = if version_6 { 129 } else { 0 };
    (*message.first()? == reply && word(4)? == identifier).then(|| word(6))?
}

#[cfg(test)]
mod tests {
    use super::sequence_of;

    #[test]
    fn only_replies_to_us_count() {
        let mut packet = vec![0x45; 20];
        packet.extend([0, 0, 0, 0, 0x12, 0x34, 0, 9]);
        assert_eq!(sequence_of(&packet, false, 0x1234), Some(9));
        assert_eq!(sequence_of(&packet, false, 0x1235), None);
        packet[20] = 8;
        assert_eq!(sequence_of(&packet, false, 0x1234), None);
        assert_eq!(sequence_of(&[129, 0, 0, 0, 0x12, 0x34, 1, 0], true, 0x1234), Some(256));
        assert_eq!(sequence_of(&[129, 0, 0], true, 0x1234), None);
    }
}
