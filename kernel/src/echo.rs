//! Echo requests of a chosen size that nobody may fragment: how much a path carries.
//!
//! Spec: RFC 792, RFC 4443 section 4; `IP_PMTUDISC_PROBE`: what the kernel believes of the path is not asked, only the link that the packet
//! leaves by.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use cairn_net::Family;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, recv, send, socket,
};

use crate::poll;
use crate::tcp::set;

/// `IP_PMTUDISC_PROBE`, of either family.
const PROBE: libc::c_int = 3;
/// Octets of an echo message before its data.
const HEADER: u32 = 8;
/// The largest answer.
const LARGEST: usize = 65536;

/// A socket towards one address.
#[derive(Debug)]
pub struct Echo {
    fd: OwnedFd,
    family: Family,
    identifier: u16,
    sequence: u16,
    /// Octets of the last message.
    length: usize,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was answered, in as large a packet.
    Answered,
    /// Nobody answered in time.
    Silent,
    /// It was not sent: larger than the link that it would leave by.
    TooLarge,
    /// It was not sent: no route, or nobody on the link.
    Unreachable,
}

impl Echo {
    /// A socket towards an address. `identifier` tells this prober's answers from those of others on this host; `mark` is that of its packets, for
    /// routing rules, 0: none.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW`, or where no route leads to the address.
    pub fn open(destination: IpAddr, identifier: u16, mark: u32) -> io::Result<Self> {
        let family = Family::of(destination);
        let (af, protocol) = match family {
            Family::Ipv4 => (AddressFamily::Inet, SockProtocol::Icmp),
            Family::Ipv6 => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(af, SockType::Raw, flags, protocol)?;
        match family {
            Family::Ipv4 => set(fd.as_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &PROBE)?,
            Family::Ipv6 => set(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &PROBE)?,
        }
        if mark != 0 {
            set(fd.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, &mark)?;
        }
        connect(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(destination, 0)))?;
        Ok(Self { fd, family, identifier, sequence: 0, length: 0 })
    }

    /// Sends one request in a packet of this many bytes, its IP header included, and waits for the answer.
    ///
    /// # Errors
    /// Whatever the socket says that is about neither size nor reachability.
    pub fn probe(&mut self, size: u32, patience: Duration) -> io::Result<Answer> {
        self.sequence = self.sequence.wrapping_add(1);
        let data = size.saturating_sub(self.ip_header() + HEADER);
        let mut message = vec![0; (HEADER + data) as usize];
        self.length = message.len();
        message[0] = if self.family == Family::Ipv4 { 8 } else { 128 };
        message[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        message[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        if self.family == Family::Ipv4 {
            // The kernel fills in that of ICMPv6, which covers addresses.
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        // An error that came in by ICMP is told by the next call, once.
        for _ in 0..3 {
            match send(self.fd.as_raw_fd(), &message, MsgFlags::empty()) {
                // What the device drops at once is as good as lost on the way.
                Ok(_) | Err(Errno::ENOBUFS) => return self.await_answer(patience),
                Err(Errno::EMSGSIZE) => return Ok(Answer::TooLarge),
                Err(errno) if is_unreachable(errno) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Answer::Unreachable)
    }

    const fn ip_header(&self) -> u32 {
        match self.family {
            Family::Ipv4 => 20,
            Family::Ipv6 => 40,
        }
    }

    fn await_answer(&self, patience: Duration) -> io::Result<Answer> {
        let deadline = Instant::now() + patience;
        let mut buffer = vec![0; LARGEST];
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(len) if self.is_answer(buffer.get(..len).unwrap_or_default()) => {
                    return Ok(Answer::Answered);
                }
                // Somebody else's, or an error about a request, which then is as good as lost.
                Ok(_) | Err(Errno::EINTR | Errno::EMSGSIZE) => {}
                Err(errno) if is_unreachable(errno) => {}
                Err(Errno::EAGAIN) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(Answer::Silent);
                    }
                    poll::wait(&[self.fd.as_fd()], Some(left))?;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Is it the reply to the last request, and as long as that was? A shorter one would say nothing of the path.
    fn is_answer(&self, packet: &[u8]) -> bool {
        answers(self.family, (self.identifier, self.sequence), self.length, packet)
    }
}

fn answers(family: Family, number: (u16, u16), length: usize, packet: &[u8]) -> bool {
    // IPv4 raw sockets show the IP header too.
    let (header, reply) = match (family, packet.first()) {
        (Family::Ipv4, Some(first)) => (usize::from(first & 0x0f) * 4, 0),
        _ => (0, 129),
    };
    let Some(message) = packet.get(header..).filter(|message| message.len() == length) else { return false };
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    message.first() == Some(&reply) && word(4).zip(word(6)) == Some(number)
}

const fn is_unreachable(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::ECONNREFUSED
            | Errno::EHOSTDOWN
            | Errno::EACCES
            | Errno::EPERM
    )
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => u32::from(pair.first().copied().unwrap_or(0)) << 8,
    });
    let mut sum: u32 = words.fold(0, u32::wrapping_add);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_as_long_as_its_request() {
        let mut packet = vec![0x45; 20];
        packet.extend([0, 0, 0, 0, 0x12, 0x34, 0, 9, 1, 2, 3]);
        let is = |length, packet: &[u8]| answers(Family::Ipv4, (0x1234, 9), length, packet);
        assert!(is(11, &packet));
        assert!(!is(12, &packet) && !is(10, &packet) && !is(11, &packet[..19]));
        assert!(!answers(Family::Ipv4, (0x1234, 10), 11, &packet));
        assert!(answers(Family::Ipv6, (0x1234, 9), 8, &[129, 0, 0, 0, 0x12, 0x34, 0, 9]));
        assert!(!answers(Family::Ipv6, (0, 0), 0, &[]));
    }

    #[test]
    fn a_message_with_its_checksum_sums_up_to_nothing() {
        let mut message = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1, 0xff, 0xee, 7];
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&message), 0);
    }
}
