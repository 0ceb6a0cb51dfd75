//! ICMP and ICMPv6 echo (RFC 792, RFC 4443) at a steady pace.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::pace::{Echo, Pace, exchange};
use super::{Report, checksum};

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
    Ok(exchange(&mut Pinger::new(destination)?, pace, wanted))
}

struct Pinger {
    socket: Socket,
    version_6: bool,
    identifier: u16,
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
        Ok(Self { socket, version_6, identifier })
    }
}

impl Echo for Pinger {
    fn send(&mut self, number: u64) -> std::io::Result<u64> {
        let sequence = (number & 0xffff) as u16;
        let mut message = [0_u8; LENGTH];
        message[0] = if self.version_6 { 128 } else { 8 };
        message[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        if !self.version_6 {
            // The kernel fills in that of ICMPv6, which covers addresses.
            let sum = checksum::internet(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        self.socket.send(&message)?;
        Ok(u64::from(sequence))
    }

    fn receive(&mut self, patience: Duration) -> std::io::Result<Option<u64>> {
        let mut buffer = [0_u8; 2048];
        self.socket.set_read_timeout(Some(patience))?;
        let length = self.socket.read(&mut buffer)?;
        Ok(sequence_of(&buffer[..length], self.version_6, self.identifier).map(u64::from))
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
