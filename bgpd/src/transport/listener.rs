//! Accepting connections.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use bgpd_api::config::Secret;
use cairn_kernel::tcp;
use cairn_net::Family;
use socket2::SockRef;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

use super::set_key;

/// Connections that the kernel finishes before they are accepted. A node's peers may all come at once.
const BACKLOG: u32 = 1024;

/// Why connections cannot be accepted somewhere.
#[derive(Debug, Error)]
#[error("cannot listen on {local}: {source}{}", hint(.source))]
pub(crate) struct ListenError {
    local: SocketAddr,
    source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (is another BGP daemon running?)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
        _ => "",
    }
}

/// A listening socket.
pub(crate) struct Listener {
    /// Where.
    pub(crate) local: SocketAddr,
    /// The socket.
    pub(crate) socket: Rc<TcpListener>,
}

impl Listener {
    /// Listens, with the keys of the peers of this family.
    ///
    /// # Errors
    /// If the address is taken, or the system says no.
    pub(crate) fn open(local: SocketAddr, keys: &BTreeMap<IpAddr, Secret>) -> Result<Self, ListenError> {
        let open = || -> io::Result<TcpListener> {
            let family = Family::of(local.ip());
            let socket = if local.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            prepare(&SockRef::from(&socket), local.ip())?;
            // A peer with GTSM wants 255 from the first packet on; what is right for each follows when it is accepted.
            tcp::set_ttl(socket.as_fd(), family, Some(255))?;
            for (peer, key) in keys.iter().filter(|(peer, _)| Family::of(**peer) == family) {
                set_key(&socket, *peer, Some(key))?;
            }
            socket.bind(local)?;
            socket.listen(BACKLOG)
        };
        let socket = open().map_err(|source| ListenError { local, source })?;
        // Port 0 stands for any free one.
        let local = socket.local_addr().unwrap_or(local);
        Ok(Self { local, socket: Rc::new(socket) })
    }

    /// A socket that listens already.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) fn adopt(local: SocketAddr, file: OwnedFd) -> io::Result<Self> {
        let socket = TcpListener::from_std(file.into())?;
        Ok(Self { local, socket: Rc::new(socket) })
    }

    /// Sets, changes or removes the key of a peer of this listener's family.
    pub(crate) fn set_key(&self, peer: IpAddr, key: Option<&Secret>) -> io::Result<()> {
        if Family::of(peer) == Family::of(self.local.ip()) {
            set_key(&*self.socket, peer, key)
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
