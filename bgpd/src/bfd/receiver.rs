//! The sockets that control packets come to: one for each family and port, and once more for each interface or VRF that sessions are
//! bound to, since only so a VRF's packets are seen. Each is opened with the first session that needs it.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use bfd_core::{Datagram, Endpoint, Hops, Input};
use cairn_kernel::object::IfIndex;
use cairn_kernel::udp::{self, Batch};
use cairn_net::Family;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tracing::{error, info, warn};

use super::Wanted;
use crate::transport::bind_device;

/// Batches that one socket is read in a turn, so that a flood does not keep the timers waiting.
const BATCHES: usize = 8;
/// Octets that may wait: some thousand packets.
const BUFFER: usize = 1 << 20;
/// Time between two looks at whether the interfaces that sockets are bound to are still, or by now, there.
const LOOK: Duration = Duration::from_secs(1);

/// Every kind of socket there can be, apart from those that are bound to an interface.
pub(super) const KINDS: [(Family, Hops); 4] = [
    (Family::Ipv4, Hops::Single),
    (Family::Ipv4, Hops::Multi),
    (Family::Ipv6, Hops::Single),
    (Family::Ipv6, Hops::Multi),
];

/// What comes to a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    family: Family,
    hops: Hops,
    /// Only what comes in by this interface or VRF.
    device: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.family, self.hops.port())?;
        self.device.iter().try_for_each(|device| write!(f, " of {device}"))
    }
}

struct Receiver {
    place: Place,
    /// The index that the place's interface had when the socket was bound to it.
    index: Option<IfIndex>,
    socket: Socket,
}

/// The sockets.
pub(super) struct Receivers {
    open: Vec<Receiver>,
    wanted: BTreeSet<Place>,
    /// When to look at the interfaces again, if any socket is bound to one.
    next_look: Option<Instant>,
    batch: Batch,
}

impl Receivers {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), wanted: BTreeSet::new(), next_look: None, batch: Batch::default() }
    }

    /// Goes on with another process's sockets that are bound to no interface, in the order of [`KINDS`].
    pub(super) fn adopt(sockets: &mut impl Iterator<Item = Option<OwnedFd>>) -> Self {
        let mut receivers = Self::new();
        for ((family, hops), adopted) in KINDS.into_iter().zip(sockets) {
            let place = Place { family, hops, device: None };
            let adopted = adopted.map(|file| Receiver { place, index: None, socket: file.into() });
            receivers.open.extend(adopted);
        }
        receivers
    }

    /// Goes on with those that are bound to one: they know themselves what they are.
    pub(super) fn adopt_bound(&mut self, files: impl Iterator<Item = OwnedFd>) {
        for socket in files.map(Socket::from) {
            let Some(place) = place_of(&socket) else { continue };
            let index = place.device.as_deref().and_then(|device| IfIndex::of(device).ok());
            self.open.push(Receiver { place, index, socket });
        }
    }

    /// The sockets that are bound to no interface for another process, in the order of [`KINDS`].
    pub(super) fn hand_over(&self) -> io::Result<Vec<Option<OwnedFd>>> {
        let find = |(family, hops)| {
            let place = Place { family, hops, device: None };
            let found = self.open.iter().find(|open| open.place == place);
            found.map(|open| open.socket.as_fd().try_clone_to_owned()).transpose()
        };
        KINDS.into_iter().map(find).collect()
    }

    /// Those that are bound to one.
    pub(super) fn hand_over_bound(&self) -> io::Result<Vec<Option<OwnedFd>>> {
        let bound = self.open.iter().filter(|open| open.place.device.is_some());
        bound.map(|open| open.socket.as_fd().try_clone_to_owned().map(Some)).collect()
    }

    /// Opens what sessions need. What cannot be opened is said once and tried again with the next configuration, or when the
    /// interface is there.
    pub(super) fn open_for(&mut self, wanted: &Wanted) {
        let place = |key: &bfd_core::Key| Place {
            family: Family::of(key.remote),
            hops: key.hops,
            device: wanted.devices.get(key).cloned(),
        };
        self.wanted = wanted.sessions.keys().map(place).collect();
        self.open.retain(|open| self.wanted.contains(&open.place));
        for (place, error) in self.open_missing() {
            if place.device.is_some() {
                warn!(%place, %error, "cannot listen for BFD packets, trying again until its interface or VRF is there");
            } else {
                error!(%place, %error, "cannot listen for BFD packets: sessions of this kind stay down (does another BFD daemon run?)");
            }
        }
        let bound = self.wanted.iter().any(|place| place.device.is_some());
        self.next_look = bound.then(|| Instant::now() + LOOK);
    }

    /// When [`Self::look_after_devices`] has something to do.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// An interface may have come, or be another one of the same name.
    pub(super) fn look_after_devices(&mut self, now: Instant) {
        if self.next_look.is_none_or(|at| now < at) {
            return;
        }
        self.next_look = Some(now + LOOK);
        self.open.retain(|open| {
            let device = open.place.device.as_deref();
            device.is_none_or(|device| IfIndex::of(device).ok() == open.index)
        });
        // They were told of.
        let _ = self.open_missing();
    }

    /// Opens what is wanted and not open; says what cannot be.
    fn open_missing(&mut self) -> Vec<(Place, io::Error)> {
        let is_open = |place: &&Place| self.open.iter().any(|open| open.place == **place);
        let missing: Vec<Place> = self.wanted.iter().filter(|place| !is_open(place)).cloned().collect();
        let mut failed = Vec::new();
        for place in missing {
            match self.open(place.clone()) {
                Ok(opened) => {
                    info!(place = %opened.place, "listening for BFD packets");
                    self.open.push(opened);
                }
                Err(error) => failed.push((place, error)),
            }
        }
        failed
    }

    fn open(&self, place: Place) -> io::Result<Receiver> {
        let index = place.device.as_deref().map(IfIndex::of).transpose()?;
        let others = || {
            self.open.iter().filter(|open| (open.place.family, open.place.hops) == (place.family, place.hops))
        };
        // Sockets of one port are shared among themselves while one is bound, and with nobody's else: so the kernel tells of another
        // daemon.
        let shared = others().next().is_some();
        let share = |on: bool| others().try_for_each(|open| open.socket.set_reuse_address(on));
        share(true)?;
        let socket = open(&place, shared);
        share(false)?;
        Ok(Receiver { index, socket: socket?, place })
    }

    /// The descriptors.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().map(|open| open.socket.as_fd())
    }

    /// Hands over what has arrived.
    pub(super) fn receive(&mut self, endpoint: &mut Endpoint) {
        for Receiver { place: Place { hops, .. }, socket, .. } in &self.open {
            for _ in 0..BATCHES {
                // An error is one of an earlier moment, or that nothing is there.
                let Ok(count) = self.batch.receive(socket.as_fd()) else { break };
                let now = Instant::now();
                for packet in self.batch.iter() {
                    let datagram = Datagram {
                        hops: *hops,
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

/// The interface or VRF that a socket is bound to.
pub(super) fn device_of(socket: &SockRef<'_>) -> Option<String> {
    let name = socket.device().ok().flatten()?;
    String::from_utf8(name).ok()
}

fn place_of(socket: &Socket) -> Option<Place> {
    let local = socket.local_addr().ok()?.as_socket()?;
    let hops = [Hops::Single, Hops::Multi].into_iter().find(|hops| hops.port() == local.port())?;
    let device = device_of(&SockRef::from(socket))?;
    Some(Place { family: Family::of(local.ip()), hops, device: Some(device) })
}

/// `shared`: another socket of ours has the port.
fn open(place: &Place, shared: bool) -> io::Result<Socket> {
    let Place { family, hops, device } = place;
    let (family, hops) = (*family, *hops);
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
    bind_device(&socket, device.as_deref())?;
    socket.set_reuse_address(shared)?;
    socket.bind(&SocketAddr::new(any, hops.port()).into())?;
    socket.set_reuse_address(false)?;
    Ok(socket)
}
