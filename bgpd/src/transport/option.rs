//! Options of a peer's sockets.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use bgp_core::speaker::Ttl;
use bgpd_api::config::Secret;
use cairn_kernel::tcp;
use cairn_net::Family;

/// What a socket to or from a peer needs.
#[derive(Debug, Clone)]
pub(crate) struct PeerOptions {
    /// The peer.
    pub(crate) peer: IpAddr,
    /// Time to live.
    pub(crate) ttl: Ttl,
    /// The peer is of another AS.
    pub(crate) external: bool,
    /// TCP MD5 password.
    pub(crate) password: Option<Secret>,
}

impl PeerOptions {
    /// Sets all but the password, on a socket of either direction.
    pub(crate) fn set_ttl(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let family = Family::of(self.peer);
        let (ttl, least) = match (self.ttl, self.external) {
            (Ttl::Default, true) => (Some(1), 0),
            (Ttl::Default, false) => (None, 0),
            (Ttl::MultiHop(hops), _) => (Some(hops), 0),
            // A packet of a peer on the same link has gone through no router: it still has 255.
            (Ttl::Security(hops), _) => (Some(255), u8::MAX - hops.saturating_sub(1)),
        };
        tcp::set_ttl(socket, family, ttl)?;
        tcp::set_min_ttl(socket, family, least)
    }

    /// Sets everything, on a socket that is about to connect.
    pub(crate) fn set_all(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.set_ttl(socket)?;
        match &self.password {
            Some(password) => tcp::set_md5_key(socket, self.peer, Some(password.expose().as_bytes())),
            None => Ok(()),
        }
    }
}

/// Sets, changes or removes the password for a peer on a socket that may have one already.
pub(crate) fn set_key(socket: &impl AsFd, peer: IpAddr, password: Option<&Secret>) -> io::Result<()> {
    let key = password.map(|password| password.expose().as_bytes());
    match tcp::set_md5_key(socket.as_fd(), peer, key) {
        // There was none to be removed.
        Err(error) if key.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
