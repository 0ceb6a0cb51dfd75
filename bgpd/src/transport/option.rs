//! Options of a peer's sockets.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use bgp_core::speaker::Ttl;
use bgpd_api::config::{TcpAoAlgorithm, TcpAoKey};
use cairn_kernel::tcp::{self, AoKey};
use cairn_net::{Family, Prefix};
use socket2::SockRef;

use crate::settings::Key;

/// What a socket to or from a peer needs.
#[derive(Debug, Clone)]
pub(crate) struct PeerOptions {
    /// The peer.
    pub(crate) peer: IpAddr,
    /// Time to live.
    pub(crate) ttl: Ttl,
    /// The peer is of another AS.
    pub(crate) external: bool,
    /// How segments are signed.
    pub(crate) key: Option<Key>,
    /// The interface or VRF that the socket is bound to.
    pub(crate) device: Option<String>,
}

impl PeerOptions {
    /// Sets the time to live, on a new socket of either direction: it has no smallest one yet.
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
        if least == 0 { Ok(()) } else { tcp::set_min_ttl(socket, family, least) }
    }

    /// Sets everything, on a socket that is about to connect.
    pub(crate) fn set_all(&self, socket: &impl AsFd) -> io::Result<()> {
        bind_device(socket, self.device.as_deref())?;
        self.set_ttl(socket.as_fd())?;
        change_key(socket, Prefix::host(self.peer), None, self.key.as_ref(), Socket::Connecting)
    }
}

/// Binds a socket to an interface or a VRF, if one is named.
pub(crate) fn bind_device(socket: &impl AsFd, device: Option<&str>) -> io::Result<()> {
    match device {
        Some(device) => SockRef::from(socket).bind_device(Some(device.as_bytes())),
        None => Ok(()),
    }
}

/// What a key is set on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Socket {
    /// A listener: the key is for those who will connect.
    Listening,
    /// A socket about to connect.
    Connecting,
    /// An open connection: what is sent from now on is signed with the new key.
    Open,
}

/// Takes the old keys of some peers off a socket and sets the new ones.
///
/// A password is replaced in one step. Of TCP-AO keys those with new numbers are added before those with gone numbers are taken
/// away, so that a connection always has one; a changed secret therefore wants new numbers.
pub(crate) fn change_key(
    socket: &impl AsFd,
    peers: Prefix,
    old: Option<&Key>,
    new: Option<&Key>,
    kind: Socket,
) -> io::Result<()> {
    let socket = socket.as_fd();
    let (old_ao, new_ao) = (ao_keys(old), ao_keys(new));
    match (old, new) {
        (_, Some(Key::Md5(password))) => {
            remove_ao(socket, peers, old_ao, &[])?;
            tcp::set_md5_key(socket, peers, Some(password.expose().as_bytes()))
        }
        (Some(Key::Md5(_)), None | Some(Key::Ao(_))) => {
            match tcp::set_md5_key(socket, peers, None) {
                // There was none to be removed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
            add_ao(socket, peers, &[], new_ao, kind)
        }
        (None | Some(Key::Ao(_)), None | Some(Key::Ao(_))) => {
            add_ao(socket, peers, old_ao, new_ao, kind)?;
            remove_ao(socket, peers, old_ao, new_ao)
        }
    }
}

fn ao_keys(key: Option<&Key>) -> &[TcpAoKey] {
    match key {
        Some(Key::Ao(keys)) => keys,
        Some(Key::Md5(_)) | None => &[],
    }
}

fn add_ao(
    socket: BorrowedFd<'_>,
    peers: Prefix,
    old: &[TcpAoKey],
    new: &[TcpAoKey],
    kind: Socket,
) -> io::Result<()> {
    for (index, key) in new.iter().enumerate().filter(|(_, key)| !old.contains(key)) {
        let algorithm = match key.algorithm {
            TcpAoAlgorithm::HmacSha1 => "hmac(sha1)",
            TcpAoAlgorithm::Aes128Cmac => "cmac(aes128)",
            TcpAoAlgorithm::HmacSha256 => "hmac(sha256)",
        };
        let secret = key.secret.expose().as_bytes();
        let key = AoKey { send_id: key.send_id, receive_id: key.receive_id, algorithm, secret };
        // A listener has no key in use, only keys to choose from.
        tcp::add_ao_key(socket, peers, key, index == 0 && kind != Socket::Listening)?;
    }
    Ok(())
}

fn remove_ao(socket: BorrowedFd<'_>, peers: Prefix, old: &[TcpAoKey], kept: &[TcpAoKey]) -> io::Result<()> {
    for key in old.iter().filter(|key| !kept.contains(key)) {
        tcp::delete_ao_key(socket, peers, key.send_id, key.receive_id)?;
    }
    Ok(())
}
