//! The sockets that control packets leave from: a connected one for each session, because RFC 5881 section 4 wants a source port for
//! each, and because the kernel then looks for the route once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use bfd_core::{Key, SOURCE_PORTS, SessionId};
use cairn_kernel::tcp;
use cairn_net::Family;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tracing::debug;

use super::receiver::device_of;
use crate::transport::bind_device;

/// Class Selector 6, for what keeps the network together.
const CONTROL_TRAFFIC: u32 = 0xc0;
/// Ports that are tried for one session.
const TRIES: u16 = 64;
/// Time between two attempts to open a session's socket.
const RETRY: Duration = Duration::from_secs(1);

/// The sockets, by the number of their session.
#[derive(Default)]
pub(super) struct Senders {
    sockets: Vec<Place>,
    next_port: u16,
    pub(super) errors: u64,
}

#[derive(Default)]
struct Place {
    socket: Option<UdpSocket>,
    /// The interface or VRF that the socket is bound to.
    device: Option<String>,
    /// No attempt before.
    not_before: Option<Instant>,
}

impl Senders {
    /// Sends a packet, by an interface or VRF if the session is bound to one. One that cannot be sent is lost, as on any link.
    pub(super) fn send(
        &mut self,
        now: Instant,
        session: SessionId,
        (key, device): (&Key, Option<&str>),
        packet: &[u8],
    ) {
        let index = session.0 as usize;
        self.place(session);
        let place = &mut self.sockets[index];
        if place.device.as_deref() != device {
            *place = Place { device: device.map(ToOwned::to_owned), ..Place::default() };
        }
        if place.socket.is_none() {
            if place.not_before.is_some_and(|at| now < at) {
                self.errors += 1;
                return;
            }
            match open(key, device, &mut self.next_port) {
                Ok(socket) => place.socket = Some(socket),
                Err(error) => {
                    debug!(peer = %key.remote, %error, "cannot open a socket for a BFD session yet");
                    place.not_before = Some(now + RETRY);
                    self.errors += 1;
                    return;
                }
            }
        }
        let Some(socket) = &place.socket else { return };
        // The first error may be that of the packet before: nobody listens there yet.
        let sent = socket.send(packet).or_else(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => socket.send(packet),
            _ => Err(error),
        });
        match sent {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                // Perhaps the route or the address that it was opened with is gone.
                debug!(peer = %key.remote, %error, "cannot send a BFD packet");
                self.errors += 1;
                if error.kind() != io::ErrorKind::WouldBlock {
                    place.socket = None;
                    place.not_before = Some(now + RETRY);
                }
            }
        }
    }

    /// Goes on with the socket that a session had in another process: its source port stays the same (RFC 5881 section 4).
    pub(super) fn adopt(&mut self, session: SessionId, file: OwnedFd) {
        let socket = UdpSocket::from(file);
        if let Ok(local) = socket.local_addr() {
            self.next_port = local.port().wrapping_add(1) & !*SOURCE_PORTS.start();
        }
        let device = device_of(&SockRef::from(&socket));
        *self.place(session) = Place { socket: Some(socket), device, not_before: None };
    }

    /// The socket of a session for another process; `None` if it has none now.
    pub(super) fn hand_over(&self, session: SessionId) -> io::Result<Option<OwnedFd>> {
        let socket = self.sockets.get(session.0 as usize).and_then(|place| place.socket.as_ref());
        socket.map(|socket| socket.as_fd().try_clone_to_owned()).transpose()
    }

    fn place(&mut self, session: SessionId) -> &mut Place {
        let index = session.0 as usize;
        if index >= self.sockets.len() {
            self.sockets.resize_with(index + 1, Place::default);
        }
        &mut self.sockets[index]
    }

    /// A session is gone.
    pub(super) fn close(&mut self, session: SessionId) {
        if let Some(place) = self.sockets.get_mut(session.0 as usize) {
            *place = Place::default();
        }
    }
}

fn open(key: &Key, device: Option<&str>, next_port: &mut u16) -> io::Result<UdpSocket> {
    let family = Family::of(key.remote);
    let (domain, any) = match family {
        Family::Ipv4 => (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        Family::Ipv6 => (Domain::IPV6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    tcp::set_ttl(socket.as_fd(), family, Some(bfd_core::TTL))?;
    mark(&SockRef::from(&socket), family);
    // It only sends: what comes to it is of no use.
    let _ = socket.set_recv_buffer_size(0);
    bind_device(&socket, device)?;
    bind(&socket, key.local.unwrap_or(any), key.interface, next_port)?;
    socket.connect(&address(key.remote, key.interface, key.hops.port()).into())?;
    let socket = UdpSocket::from(socket);
    // In a VRF without an address of the family yet the kernel takes none, and would go on sending from it.
    if socket.local_addr()?.ip().is_unspecified() {
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "there is no address to send from yet"));
    }
    Ok(socket)
}

/// Marks what it sends. A system that refuses sends unmarked packets.
fn mark(socket: &SockRef<'_>, family: Family) {
    let _ = match family {
        Family::Ipv4 => socket.set_tos_v4(CONTROL_TRAFFIC),
        Family::Ipv6 => socket.set_tclass_v6(CONTROL_TRAFFIC),
    };
}

/// Takes the next free port of those that the RFC allows.
fn bind(socket: &Socket, local: IpAddr, interface: Option<u32>, next_port: &mut u16) -> io::Result<()> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..TRIES {
        let port = *SOURCE_PORTS.start() | *next_port;
        *next_port = next_port.wrapping_add(1) & !*SOURCE_PORTS.start();
        match socket.bind(&address(local, interface, port).into()) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// With the interface where an address means nothing without.
fn address(addr: IpAddr, interface: Option<u32>, port: u16) -> SocketAddr {
    match addr {
        IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, interface.unwrap_or(0)).into(),
        IpAddr::V4(_) => SocketAddr::new(addr, port),
    }
}

#[cfg(test)]
mod tests {
    use bfd_core::Hops;

    use super::*;

    #[test]
    fn every_session_has_a_port_of_its_own_in_the_range_of_the_rfc() {
        let mut next = 0;
        for remote in ["127.0.0.1", "::1"] {
            let key = Key::new(remote.parse().unwrap(), Hops::Single);
            let sockets: Vec<_> = (0..20).map(|_| open(&key, None, &mut next).unwrap()).collect();
            let mut ports: Vec<_> =
                sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len(), 20);
            assert!(ports.iter().all(|port| SOURCE_PORTS.contains(port)), "{ports:?}");
            assert_eq!(
                sockets[0].ttl().unwrap(),
                if key.remote.is_ipv4() { 255 } else { sockets[0].ttl().unwrap() }
            );
        }
    }
}
