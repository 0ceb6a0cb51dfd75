//! The sockets that control packets come to: one for each family and port, opened with the first session that needs it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use bfd_core::{Datagram, Endpoint, Hops, Input, Key, SessionConfig};
use cairn_kernel::udp::{self, Batch};
use cairn_net::Family;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::{error, info};

/// Batches that one socket is read in a turn, so that a flood does not keep the timers waiting.
const BATCHES: usize = 8;
/// Octets that may wait: some thousand packets.
const BUFFER: usize = 1 << 20;

/// Every kind of socket there can be.
pub(super) const KINDS: [(Family, Hops); 4] = [
    (Family::Ipv4, Hops::Single),
    (Family::Ipv4, Hops::Multi),
    (Family::Ipv6, Hops::Single),
    (Family::Ipv6, Hops::Multi),
];

/// The sockets.
pub(super) struct Receivers {
    sockets: [Option<Socket>; 4],
    batch: Batch,
}

impl Receivers {
    pub(super) fn new() -> Self {
        Self { sockets: [const { None }; 4], batch: Batch::default() }
    }

    /// Goes on with another process's sockets, in the order of [`KINDS`].
    pub(super) fn adopt(sockets: &mut impl Iterator<Item = Option<OwnedFd>>) -> Self {
        let mut receivers = Self::new();
        for (socket, adopted) in receivers.sockets.iter_mut().zip(sockets) {
            *socket = adopted.map(Socket::from);
        }
        receivers
    }

    /// The sockets for another process, in the order of [`KINDS`].
    pub(super) fn hand_over(&self) -> io::Result<Vec<Option<OwnedFd>>> {
        let file = |socket: &Socket| socket.as_fd().try_clone_to_owned();
        self.sockets.iter().map(|socket| socket.as_ref().map(file).transpose()).collect()
    }

    /// Opens what sessions need. What cannot be opened is said once and tried again with the next configuration.
    pub(super) fn open_for(&mut self, sessions: &BTreeMap<Key, SessionConfig>) {
        for ((family, hops), socket) in KINDS.into_iter().zip(&mut self.sockets) {
            let wanted = sessions.keys().any(|key| Family::of(key.remote) == family && key.hops == hops);
            if !wanted {
                *socket = None;
            } else if socket.is_none() {
                match open(family, hops) {
                    Ok(opened) => {
                        info!(%family, port = hops.port(), "listening for BFD packets");
                        *socket = Some(opened);
                    }
                    Err(error) => {
                        error!(%family, port = hops.port(), %error, "cannot listen for BFD packets: sessions of this kind stay down (does another BFD daemon run?)");
                    }
                }
            }
        }
    }

    /// The descriptors in the order of [`KINDS`]; `other` for those that are not open.
    pub(super) fn fds<'a>(&'a self, other: BorrowedFd<'a>) -> [BorrowedFd<'a>; 4] {
        self.sockets.each_ref().map(|socket| socket.as_ref().map_or(other, |socket| socket.as_fd()))
    }

    /// Hands over what has arrived.
    pub(super) fn receive(&mut self, endpoint: &mut Endpoint) {
        for ((_, hops), socket) in KINDS.into_iter().zip(&self.sockets) {
            let Some(socket) = socket else { continue };
            for _ in 0..BATCHES {
                // An error is one of an earlier moment, or that nothing is there.
                let Ok(count) = self.batch.receive(socket.as_fd()) else { break };
                let now = Instant::now();
                for packet in self.batch.iter() {
                    let datagram = Datagram {
                        hops,
                        source: packet.source,
                        destination: packet.destination,
                        interface: packet.interface,
                        ttl: packet.ttl,
                        payload: packet.payload,
                    };
                    endpoint.handle(now, Input::Received(datagram));
                }
                if count < udp::BATCH {
                    break;
                }
            }
        }
    }
}

fn open(family: Family, hops: Hops) -> io::Result<Socket> {
    let (domain, any) = match family {
        Family::Ipv4 => (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        Family::Ipv6 => (Domain::IPV6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if family == Family::Ipv6 {
        socket.set_only_v6(true)?;
    }
    udp::want_details(socket.as_fd(), family)?;
    // Less is no fault.
    let _ = socket.set_recv_buffer_size(BUFFER);
    socket.bind(&SocketAddr::new(any, hops.port()).into())?;
    Ok(socket)
}
