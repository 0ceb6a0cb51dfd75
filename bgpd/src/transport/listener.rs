//! Accepting connections.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use cairn_kernel::object::IfIndex;
use cairn_kernel::tcp;
use cairn_net::{Family, Prefix};
use socket2::SockRef;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;

use super::option::{Socket, bind_device, change_key};
use crate::settings::{Key, Keys, of_family};

/// Connections that the kernel finishes before they are accepted. A node's peers may all come at once.
const BACKLOG: u32 = 1024;

/// Why connections cannot be accepted somewhere.
#[derive(Debug, Error)]
#[error("cannot listen on {place}: {source}{}", hint(.source))]
pub(crate) struct ListenError {
    place: Place,
    source: io::Error,
}

impl ListenError {
    /// The interface or VRF that the listener is to be bound to is not there, or not yet.
    pub(crate) fn lacks_device(&self) -> bool {
        self.place.device.is_some() && self.source.raw_os_error() == Some(NO_DEVICE)
    }
}

/// `ENODEV` of Linux.
pub(crate) const NO_DEVICE: i32 = 19;

/// Where connections are accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Address and port.
    pub(crate) local: SocketAddr,
    /// Only what comes in by this interface or VRF.
    pub(crate) device: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.device {
            Some(device) => write!(f, "{} of {device}", self.local),
            None => self.local.fmt(f),
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (is another BGP daemon running?)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
        _ if error.raw_os_error() == Some(NO_DEVICE) => NO_DEVICE_HINT,
        _ => "",
    }
}

/// What to do about a `bindInterface` that is not there.
pub(crate) const NO_DEVICE_HINT: &str =
    " (bindInterface: no interface or VRF of this name exists; a VRF needs a kernel with CONFIG_NET_VRF)";

/// A listening socket.
pub(crate) struct Listener {
    /// Where; with the port that it has, if any was to do.
    pub(crate) place: Place,
    /// The socket.
    pub(crate) socket: Rc<TcpListener>,
    /// Told when the listener is closed.
    pub(super) closed: Rc<Notify>,
    /// The index that the place's interface had when the socket was bound to it.
    index: Option<IfIndex>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.closed.notify_one();
    }
}

impl Listener {
    fn new(place: Place, socket: TcpListener) -> Self {
        let index = place.device.as_deref().and_then(|device| IfIndex::of(device).ok());
        Self { place, socket: Rc::new(socket), closed: Rc::default(), index }
    }

    /// The end of an accepted connection that is ours: known without a question where the listener has an address.
    ///
    /// # Errors
    /// If the connection has gone.
    pub(crate) fn local_of(&self, stream: &TcpStream) -> io::Result<SocketAddr> {
        let local = self.place.local;
        if local.ip().is_unspecified() { stream.local_addr() } else { Ok(local) }
    }

    /// Is the interface that it is bound to gone, or another one of the same name? Then it hears nothing.
    pub(crate) fn is_deaf(&self) -> bool {
        let device = self.place.device.as_deref();
        device.is_some_and(|device| IfIndex::of(device).ok() != self.index)
    }

    /// Listens, with the keys of the peers of this family. `shared`: other listeners of ours have the same address and port, on
    /// an interface each. Without it, the kernel tells of another daemon that has the port.
    ///
    /// # Errors
    /// If the address is taken, or the system says no.
    pub(crate) fn open(place: Place, keys: &Keys, shared: bool) -> Result<Self, ListenError> {
        let local = place.local;
        let open = || -> io::Result<TcpListener> {
            let family = Family::of(local.ip());
            let socket = if local.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            prepare(&SockRef::from(&socket), local.ip())?;
            // Whoever is accepted inherits it.
            socket.set_nodelay(true)?;
            SockRef::from(&socket).set_reuse_port(shared)?;
            bind_device(&socket, place.device.as_deref())?;
            // A peer with GTSM wants 255 from the first packet on; what is right for each follows when it is accepted.
            tcp::set_ttl(socket.as_fd(), family, Some(255))?;
            for (peers, key) in of_family(keys, family) {
                change_key(&socket, peers, None, Some(key), Socket::Listening)?;
            }
            socket.bind(local)?;
            socket.listen(BACKLOG)
        };
        let socket = open().map_err(|source| ListenError { place: place.clone(), source })?;
        // Port 0 stands for any free one.
        let local = socket.local_addr().unwrap_or(local);
        Ok(Self::new(Place { local, ..place }, socket))
    }

    /// A socket that listens already, with its keys.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) fn adopt(place: Place, file: OwnedFd) -> io::Result<Self> {
        let socket = TcpListener::from_std(file.into())?;
        // One of an older process may lack it.
        SockRef::from(&socket).set_tcp_nodelay(true)?;
        Ok(Self::new(place, socket))
    }

    /// Lets other listeners of ours have the same address and port, on an interface each.
    pub(crate) fn share(&self) -> io::Result<()> {
        SockRef::from(&*self.socket).set_reuse_port(true)
    }

    /// Sets, changes or removes the key of peers, if they are of this listener's family.
    pub(crate) fn change_key(&self, peers: Prefix, old: Option<&Key>, new: Option<&Key>) -> io::Result<()> {
        if peers.family() == Family::of(self.place.local.ip()) {
            change_key(&*self.socket, peers, old, new, Socket::Listening)
        } else {
            Ok(())
        }
    }
}

/// One socket for each family, and no need for the address to be there yet: a node's interfaces may come later.
fn prepare(socket: &SockRef<'_>, addr: IpAddr) -> io::Result<()> {
    match addr {
        IpAddr::V4(_) => socket.set_freebind_v4(true),
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)
        }
    }
}
