//! Datagrams in batches, each with where it was sent to, by which interface it came and with what time to live: what BFD
//! needs (RFC 5881 sections 4 and 5) and the standard library lacks.
//!
//! Invariant: receiving allocates nothing. Not here: creating, binding and connecting sockets.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use cairn_net::Family;

use crate::tcp::set;

/// Datagrams that one call takes at most.
pub const BATCH: usize = 32;
/// Octets of a datagram that are kept. The longest BFD packet has 52; what is longer is cut, and its length tells.
const PAYLOAD: usize = 128;
/// Room for the two control messages of either family, with their headers.
const CONTROL: usize = 128;

/// Has the kernel tell destination, interface and time to live of each datagram.
///
/// # Errors
/// `ENOPROTOOPT` or `EINVAL` if the socket is of the other family.
pub fn want_details(socket: BorrowedFd<'_>, family: Family) -> io::Result<()> {
    let on: libc::c_int = 1;
    match family {
        Family::Ipv4 => {
            set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, &on)?;
            set(socket, libc::IPPROTO_IP, libc::IP_RECVTTL, &on)
        }
        Family::Ipv6 => {
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &on)?;
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &on)
        }
    }
}

/// A datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// Who sent it.
    pub source: IpAddr,
    /// Where it was sent to.
    pub destination: IpAddr,
    /// Index of the interface that it came in by.
    pub interface: u32,
    /// Time to live (hop limit) on arrival.
    pub ttl: u8,
    /// What it carries: at most 128 octets.
    pub payload: &'a [u8],
}

/// Room for a batch of datagrams, used again and again.
pub struct Batch {
    slots: Box<[Slot; BATCH]>,
    filled: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Slot {
    control: [u8; CONTROL],
    payload: [u8; PAYLOAD],
    source: libc::sockaddr_storage,
    control_len: usize,
    payload_len: usize,
}

impl Default for Batch {
    fn default() -> Self {
        // SAFETY: all zeros is a value of every field: octets, lengths, and a C structure of numbers.
        let slot: Slot = unsafe { MaybeUninit::zeroed().assume_init() };
        Self { slots: Box::new([slot; BATCH]), filled: 0 }
    }
}

impl Batch {
    /// Takes what has arrived, without waiting; returns how many, at most [`BATCH`].
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived; otherwise what the socket says, such as an ICMP error of an earlier datagram.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.filled = 0;
        // SAFETY: all zeros is a value of both structures: null pointers and numbers.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { MaybeUninit::zeroed().assume_init() };
        let mut vectors: [libc::iovec; BATCH] = unsafe { MaybeUninit::zeroed().assume_init() };
        for ((header, vector), slot) in headers.iter_mut().zip(&mut vectors).zip(self.slots.iter_mut()) {
            vector.iov_base = slot.payload.as_mut_ptr().cast();
            vector.iov_len = PAYLOAD;
            let message = &mut header.msg_hdr;
            message.msg_name = (&raw mut slot.source).cast();
            message.msg_namelen = libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>())
                .map_err(|_| io::ErrorKind::InvalidInput)?;
            message.msg_iov = vector;
            message.msg_iovlen = 1;
            message.msg_control = slot.control.as_mut_ptr().cast();
            message.msg_controllen = CONTROL as _;
        }
        // SAFETY: every pointer in the headers is to a slot or a vector that lives and is not otherwise used during the call, with
        // its true length; the number is that of the headers; a null timeout is allowed.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                libc::c_uint::try_from(BATCH).unwrap_or(0),
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (header, slot) in headers.iter().zip(self.slots.iter_mut()).take(count) {
            slot.payload_len = usize::try_from(header.msg_len).unwrap_or(0).min(PAYLOAD);
            #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
            // its type depends on the C library
            let control_len = header.msg_hdr.msg_controllen as usize;
            slot.control_len = control_len.min(CONTROL);
        }
        self.filled = count;
        Ok(count)
    }

    /// The datagrams of the last call. One whose details are missing is left out.
    pub fn iter(&self) -> impl Iterator<Item = Received<'_>> {
        self.slots.iter().take(self.filled).filter_map(Slot::read)
    }
}

impl Slot {
    fn read(&self) -> Option<Received<'_>> {
        let (mut arrival, mut ttl) = (None, None);
        let mut rest = self.control.get(..self.control_len)?;
        // struct cmsghdr: length with header (size_t), level, type; then the data, all aligned to a size_t.
        const HEAD: usize = size_of::<libc::cmsghdr>();
        while let (Some(len), Some(level), Some(kind)) = (
            rest.get(..size_of::<usize>())
                .and_then(|octets| octets.try_into().ok())
                .map(usize::from_ne_bytes),
            integer(rest, size_of::<usize>()),
            integer(rest, size_of::<usize>() + 4),
        ) {
            let data = rest.get(HEAD..len)?;
            match (level, kind) {
                // struct in_pktinfo: interface, our address for it, the header's destination.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let address: [u8; 4] = data.get(8..12)?.try_into().ok()?;
                    arrival = Some((IpAddr::V4(Ipv4Addr::from(address)), integer(data, 0)?));
                }
                // struct in6_pktinfo: destination, interface.
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let address: [u8; 16] = data.get(..16)?.try_into().ok()?;
                    arrival = Some((IpAddr::V6(Ipv6Addr::from(address)), integer(data, 16)?));
                }
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    ttl = integer(data, 0);
                }
                _ => {}
            }
            rest = rest.get(len.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
        }
        let (destination, interface) = arrival?;
        Some(Received {
            source: self.source()?,
            destination,
            interface: u32::try_from(interface).ok()?,
            ttl: u8::try_from(ttl?).ok()?,
            payload: self.payload.get(..self.payload_len)?,
        })
    }

    fn source(&self) -> Option<IpAddr> {
        match libc::c_int::from(self.source.ss_family) {
            libc::AF_INET => {
                // SAFETY: the kernel says that this storage holds an IPv4 address; it is large enough and aligned for
                // one, and every bit pattern of that is a value.
                let address = unsafe { *(&raw const self.source).cast::<libc::sockaddr_in>() };
                Some(Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above, for IPv6.
                let address = unsafe { *(&raw const self.source).cast::<libc::sockaddr_in6>() };
                Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

/// An integer of C in the machine's order.
fn integer(octets: &[u8], at: usize) -> Option<libc::c_int> {
    octets.get(at..at + 4)?.try_into().ok().map(libc::c_int::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;
    use crate::poll;

    #[test]
    fn a_datagram_comes_with_everything_that_is_known_of_it() {
        for (here, family) in [("127.0.0.1", Family::Ipv4), ("::1", Family::Ipv6)] {
            let here: IpAddr = here.parse().unwrap();
            let receiver = UdpSocket::bind((here, 0)).unwrap();
            want_details(receiver.as_fd(), family).unwrap();
            let sender = UdpSocket::bind((here, 0)).unwrap();
            crate::tcp::set_ttl(sender.as_fd(), family, Some(255)).unwrap();
            let mut batch = Batch::default();
            let error = batch.receive(receiver.as_fd()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            for text in [&b"one"[..], b"two", &[7; 200]] {
                sender.send_to(text, receiver.local_addr().unwrap()).unwrap();
            }
            let mut all = Vec::new();
            while all.len() < 3 {
                assert_eq!(poll::wait(&[receiver.as_fd()], None).unwrap(), [true]);
                batch.receive(receiver.as_fd()).unwrap();
                for one in batch.iter() {
                    assert_eq!((one.source, one.destination, one.ttl), (here, here, 255));
                    assert!(one.interface > 0);
                    all.push(one.payload.to_vec());
                }
            }
            assert_eq!(all, [b"one".to_vec(), b"two".to_vec(), vec![7; 128]]);
        }
    }
}
