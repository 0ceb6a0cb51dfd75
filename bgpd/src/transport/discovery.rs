//! Finding the neighbour on a link that has link-local addresses alone, and being found by it.
//!
//! Spec: RFC 4861 section 4.2 (Router Advertisement). Both sides of such a link advertise themselves, as FRR does too, with a router
//! lifetime of zero: we are nobody's default router. What is learned is the sender's link-local address and nothing else.
//! A link-local source cannot come from beyond the link, so the hop limit needs no check.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::rc::Rc;

use cairn_kernel::object::IfIndex;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use super::{Event, Events};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
/// Cur Hop Limit 64, no flags, router lifetime, reachable time and retransmission timer zero. The kernel fills in the checksum.
const ADVERTISEMENT: [u8; 16] = [ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The source of what is solicited or advertised must have this hop limit.
const HOP_LIMIT: u32 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Messages that are read in one go: other ICMPv6 messages come here, too.
const MESSAGES: usize = 64;

/// A socket for router advertisements on one interface.
pub(crate) struct Discovery {
    /// The interface's number when the socket was made.
    pub(crate) index: IfIndex,
    /// Which socket it is, in `Event::Heard`.
    pub(crate) number: u64,
    /// A raw socket; the runtime's type for datagrams does for it.
    socket: Rc<UdpSocket>,
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A router with this link-local address.
    Router(Ipv6Addr),
    /// Somebody who wants to hear of us.
    Solicitation,
}

impl Discovery {
    /// Begins to listen on an interface.
    ///
    /// # Errors
    /// If it is not there, or raw sockets are not allowed (CAP_NET_RAW).
    pub(crate) fn open(interface: &str, number: u64) -> io::Result<Self> {
        let index = IfIndex::of(interface)?;
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        socket.set_nonblocking(true)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_multicast_if_v6(index.0)?;
        socket.set_multicast_hops_v6(HOP_LIMIT)?;
        socket.set_multicast_loop_v6(false)?;
        socket.join_multicast_v6(&ALL_ROUTERS, index.0)?;
        Ok(Self { index, number, socket: Rc::new(UdpSocket::from_std(socket.into())?) })
    }

    /// Tells the link of us.
    ///
    /// # Errors
    /// If the interface is down or has no link-local address yet.
    pub(crate) fn advertise(&self) -> io::Result<()> {
        let to = SocketAddrV6::new(ALL_NODES, 0, 0, self.index.0);
        SockRef::from(&*self.socket).send_to(&ADVERTISEMENT, &SocketAddr::V6(to).into()).map(drop)
    }

    /// Waits for messages; `Event::Heard` tells.
    pub(crate) fn listen(&self, events: &Events, interface: &str) {
        let (socket, interface, number) = (Rc::clone(&self.socket), interface.to_owned(), self.number);
        events.push(async move {
            // An error is found by the read that follows.
            let _ = socket.readable().await;
            Event::Heard(interface, number)
        });
    }

    /// Reads what has come.
    ///
    /// # Errors
    /// If the interface is gone.
    pub(crate) fn heard(&self) -> io::Result<Vec<Heard>> {
        let mut heard = Vec::new();
        for _ in 0..MESSAGES {
            let mut buffer = [0; 64];
            match self.socket.try_recv_from(&mut buffer) {
                Ok((len, from)) => heard.extend(meaning(buffer.get(..len).unwrap_or_default(), from)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(heard),
                Err(error) => return Err(error),
            }
        }
        Ok(heard)
    }
}

fn meaning(message: &[u8], from: SocketAddr) -> Option<Heard> {
    let SocketAddr::V6(from) = from else { return None };
    match (message.first().copied()?, message.len()) {
        (ROUTER_ADVERTISEMENT, 16..) if from.ip().is_unicast_link_local() => Some(Heard::Router(*from.ip())),
        (ROUTER_SOLICITATION, 8..) => Some(Heard::Solicitation),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_advertisements_from_link_local_addresses_name_a_router() {
        let from = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let router = Heard::Router("fe80::1".parse().unwrap());
        assert_eq!(meaning(&ADVERTISEMENT, from("fe80::1")), Some(router));
        assert_eq!(meaning(&ADVERTISEMENT, from("2001:db8::1")), None);
        assert_eq!(meaning(&ADVERTISEMENT[..15], from("fe80::1")), None);
        assert_eq!(meaning(&[133, 0, 0, 0, 0, 0, 0, 0], from("::")), Some(Heard::Solicitation));
        assert_eq!(meaning(&[135; 24], from("fe80::1")), None);
        assert_eq!(meaning(&[], from("fe80::1")), None);
    }
}
