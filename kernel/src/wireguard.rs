//! WireGuard interfaces: keys, port and peers. The interface itself is a [`crate::object::Link`] of the kind `wireguard`.
//!
//! Spec: `linux/wireguard.h`, a family of generic netlink.
//! Invariants: a private key is never printed and never read back; a change of thousands of peers is sent in messages that each fit
//! the kernel's format, and a peer that is not named stays as it is, with its session.
//! Not here: who the peers are, where a key is kept.

mod key;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use cairn_net::Prefix;

use crate::Error;
use crate::netlink::{Batch, Protocol, Socket, generic};
use crate::netns::Netns;
use crate::object::{IfIndex, LinkName};

pub use key::{PrivateKey, PublicKey};

/// The name of the family, and of the kind of interface.
pub const KIND: &str = "wireguard";

/// A peer as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub public_key: PublicKey,
    /// Where it is; `None`: it stays where it was last heard from.
    pub endpoint: Option<SocketAddr>,
    /// Unit: seconds. 0: nothing is sent unless there is traffic.
    pub keepalive: u16,
    /// The addresses behind it, which its packets may come from. An address belongs to one peer alone: the last one it was given to.
    pub allowed_ips: Vec<Prefix>,
}

/// A peer as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerState {
    /// As it was configured, and where it was last heard from. Allowed addresses are sorted.
    pub peer: Peer,
    /// Time of the last handshake, since 1970; `None`: there was none.
    pub last_handshake: Option<Duration>,
    /// Octets received.
    pub received: u64,
    /// Octets sent.
    pub sent: u64,
}

/// An interface as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The interface.
    pub index: IfIndex,
    /// What belongs to its private key; `None`: it has no key yet.
    pub public_key: Option<PublicKey>,
    /// The UDP port that it listens on.
    pub listen_port: u16,
    /// The mark of what it sends; 0: none.
    pub mark: u32,
    /// Its peers, by key.
    pub peers: Vec<PeerState>,
}

/// What becomes of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerChange {
    /// It is there, with exactly these addresses.
    Set(Peer),
    /// It is not there.
    Remove(PublicKey),
}

/// A change of an interface: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct DeviceChange {
    /// Its key; the public key follows from it.
    pub private_key: Option<PrivateKey>,
    /// The UDP port to listen on; 0: the kernel chooses.
    pub listen_port: Option<u16>,
    /// The mark of what it sends, for routing rules; 0: none.
    pub mark: Option<u32>,
    /// Peers that are not named are taken away first.
    pub replace_peers: bool,
    /// What becomes of peers, in this order.
    pub peers: Vec<PeerChange>,
}

/// A client for the interfaces of one namespace.
#[derive(Debug)]
pub struct Wireguard {
    socket: Socket,
    family: u16,
}

impl Wireguard {
    /// For the caller's namespace.
    ///
    /// Errors: not found where the kernel has no WireGuard ([`Error::is_not_found`]).
    pub fn open() -> Result<Self, Error> {
        let mut socket = Socket::open(Protocol::Generic)?;
        let family = generic::family(&mut socket, KIND)
            .map_err(|refusal| Error::refused("open", "WireGuard of the kernel", refusal))?;
        Ok(Self { socket, family })
    }

    /// For another namespace.
    ///
    /// Errors: as [`Wireguard::open`].
    pub fn open_in(netns: &Netns) -> Result<Self, Error> {
        netns.run(Self::open)?
    }

    /// Reads an interface with all its peers.
    ///
    /// Errors: not found where there is no such interface; `EOPNOTSUPP` where it is of another kind.
    pub fn device(&mut self, name: &LinkName) -> Result<Device, Error> {
        let family = self.family;
        let parts = self
            .socket
            .dump(
                |batch, flags| wire::encode_get(family, name, flags, batch),
                |frame| Some(wire::decode(frame)),
            )
            .map_err(|refusal| Error::refused("read", Name(name), refusal))?;
        wire::join(parts)
    }

    /// Changes an interface. Sessions with peers go on unless these are taken away or get another key.
    ///
    /// Errors: the kernel's first refusal. What it took before that is in force, for many peers take many messages: whoever reads the
    /// device back and applies the difference again ends up right.
    pub fn change(&mut self, name: &LinkName, change: &DeviceChange) -> Result<(), Error> {
        let mut batch = Batch::new();
        wire::encode_change(self.family, name, change, &mut batch);
        let refused = self.socket.execute_all(&mut batch);
        let refused = refused.map_err(|refusal| Error::refused("change", Name(name), refusal))?;
        match refused.into_iter().next() {
            Some((_, refusal)) => Err(Error::refused("change", Name(name), refusal)),
            None => Ok(()),
        }
    }
}

/// An interface in messages.
struct Name<'a>(&'a LinkName);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireGuard interface {}", self.0)
    }
}
