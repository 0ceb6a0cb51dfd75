//! Interfaces and peers into messages and out of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use cairn_net::Prefix;

use super::key::{LENGTH, PublicKey};
use super::{Device, DeviceChange, Peer, PeerChange, PeerState};
use crate::Error;
use crate::netlink::generic::{HEADER, header};
use crate::netlink::{Attribute, Batch, Frame, Message};
use crate::object::{IfIndex, LinkName};

/// The version of the family.
const VERSION: u8 = 1;
const GET_DEVICE: u8 = 0;
const SET_DEVICE: u8 = 1;

/// `enum wgdevice_attribute`.
const IFINDEX: u16 = 1;
const IFNAME: u16 = 2;
const PRIVATE_KEY: u16 = 3;
const PUBLIC_KEY: u16 = 4;
const FLAGS: u16 = 5;
const LISTEN_PORT: u16 = 6;
const MARK: u16 = 7;
const PEERS: u16 = 8;
/// `WGDEVICE_F_REPLACE_PEERS`.
const REPLACE_PEERS: u32 = 1;

/// `enum wgpeer_attribute`.
const PEER_PUBLIC_KEY: u16 = 1;
const PEER_FLAGS: u16 = 3;
const PEER_ENDPOINT: u16 = 4;
const PEER_KEEPALIVE: u16 = 5;
const PEER_LAST_HANDSHAKE: u16 = 6;
const PEER_RECEIVED: u16 = 7;
const PEER_SENT: u16 = 8;
const PEER_ALLOWED_IPS: u16 = 9;
/// `WGPEER_F_REMOVE_ME` and `WGPEER_F_REPLACE_ALLOWEDIPS`.
const REMOVE: u32 = 1;
const REPLACE_ALLOWED_IPS: u32 = 2;

/// `enum wgallowedip_attribute`.
const ALLOWED_FAMILY: u16 = 1;
const ALLOWED_ADDRESS: u16 = 2;
const ALLOWED_LENGTH: u16 = 3;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Addresses of one peer in one message: with all that is around each, less than half of what an attribute holds.
const ADDRESSES_PER_PEER: usize = 500;
/// Octets of peers in one message; an attribute ends at 64 KiB.
const OCTETS_PER_MESSAGE: usize = 40_000;
/// Octets of a peer without addresses, and of an address, at most.
const OCTETS_OF_PEER: usize = 120;
const OCTETS_OF_ADDRESS: usize = 44;

pub(super) fn encode_get(family: u16, name: &LinkName, flags: u16, batch: &mut Batch) {
    batch.message(family, flags, &header(GET_DEVICE, VERSION)).text(IFNAME, name.as_str());
}

/// A peer, or some of its addresses.
struct Piece<'a> {
    change: &'a PeerChange,
    addresses: &'a [Prefix],
    first: bool,
}

impl Piece<'_> {
    fn octets(&self) -> usize {
        OCTETS_OF_PEER + OCTETS_OF_ADDRESS * self.addresses.len()
    }
}

/// A peer with many addresses is named several times; each but the first adds to what it has.
fn pieces(change: &PeerChange) -> impl Iterator<Item = Piece<'_>> {
    let addresses = match change {
        PeerChange::Set(peer) => peer.allowed_ips.as_slice(),
        PeerChange::Remove(_) => &[],
    };
    let (head, tail) = addresses.split_at(addresses.len().min(ADDRESSES_PER_PEER));
    let first = Piece { change, addresses: head, first: true };
    let rest =
        tail.chunks(ADDRESSES_PER_PEER).map(move |addresses| Piece { change, addresses, first: false });
    std::iter::once(first).chain(rest)
}

/// Writes as many messages as the peers need; the first one has what is not about peers.
pub(super) fn encode_change(family: u16, name: &LinkName, change: &DeviceChange, batch: &mut Batch) {
    let mut rest = change.peers.iter().flat_map(pieces).peekable();
    let mut first = true;
    while first || rest.peek().is_some() {
        let mut message = batch.message(family, 0, &header(SET_DEVICE, VERSION));
        message.text(IFNAME, name.as_str());
        if first {
            device(&mut message, change);
        }
        let mut octets = 0;
        message.nest(PEERS, |message| {
            while let Some(piece) =
                rest.next_if(|piece| octets == 0 || octets + piece.octets() <= OCTETS_PER_MESSAGE)
            {
                octets += piece.octets();
                peer(message, &piece);
            }
        });
        first = false;
    }
}

fn device(message: &mut Message<'_>, change: &DeviceChange) {
    if let Some(key) = &change.private_key {
        message.bytes(PRIVATE_KEY, key.octets());
    }
    if let Some(port) = change.listen_port {
        message.u16(LISTEN_PORT, port);
    }
    if let Some(mark) = change.mark {
        message.u32(MARK, mark);
    }
    if change.replace_peers {
        message.u32(FLAGS, REPLACE_PEERS);
    }
}

fn peer(message: &mut Message<'_>, piece: &Piece<'_>) {
    message.nest(0, |message| match piece.change {
        PeerChange::Remove(key) => {
            message.bytes(PEER_PUBLIC_KEY, &key.0).u32(PEER_FLAGS, REMOVE);
        }
        PeerChange::Set(peer) => {
            message.bytes(PEER_PUBLIC_KEY, &peer.public_key.0);
            if piece.first {
                message.u32(PEER_FLAGS, REPLACE_ALLOWED_IPS).u16(PEER_KEEPALIVE, peer.keepalive);
                if let Some(endpoint) = peer.endpoint {
                    message.bytes(PEER_ENDPOINT, &socket_address(endpoint));
                }
            }
            message.nest(PEER_ALLOWED_IPS, |message| {
                piece.addresses.iter().for_each(|prefix| allowed(message, *prefix));
            });
        }
    });
}

fn allowed(message: &mut Message<'_>, prefix: Prefix) {
    let family = if prefix.addr().is_ipv4() { AF_INET } else { AF_INET6 };
    message.nest(0, |message| {
        message
            .u16(ALLOWED_FAMILY, family)
            .addr(ALLOWED_ADDRESS, prefix.addr())
            .u8(ALLOWED_LENGTH, prefix.len());
    });
}

/// `struct sockaddr_in` or `sockaddr_in6`.
fn socket_address(address: SocketAddr) -> Vec<u8> {
    let mut octets = Vec::with_capacity(28);
    match address {
        SocketAddr::V4(address) => {
            octets.extend(AF_INET.to_ne_bytes());
            octets.extend(address.port().to_be_bytes());
            octets.extend(address.ip().octets());
            octets.extend([0; 8]);
        }
        SocketAddr::V6(address) => {
            octets.extend(AF_INET6.to_ne_bytes());
            octets.extend(address.port().to_be_bytes());
            octets.extend(address.flowinfo().to_be_bytes());
            octets.extend(address.ip().octets());
            octets.extend(address.scope_id().to_ne_bytes());
        }
    }
    octets
}

fn read_socket_address(octets: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*octets.first_chunk()?);
    let port = u16::from_be_bytes(*octets.get(2..)?.first_chunk()?);
    match family {
        AF_INET => Some((Ipv4Addr::from(*octets.get(4..)?.first_chunk::<4>()?), port).into()),
        AF_INET6 => {
            let address = Ipv6Addr::from(*octets.get(8..)?.first_chunk::<16>()?);
            let scope = u32::from_ne_bytes(*octets.get(24..)?.first_chunk()?);
            Some(SocketAddrV6::new(address, port, 0, scope).into())
        }
        _ => None,
    }
}

/// One message of a listing: an interface, or the rest of one.
pub(super) fn decode(frame: Frame<'_>) -> Option<Device> {
    let mut device =
        Device { index: IfIndex(0), public_key: None, listen_port: 0, mark: 0, peers: Vec::new() };
    for attribute in frame.attributes(HEADER) {
        match attribute.kind {
            IFINDEX => device.index = IfIndex(attribute.u32()?),
            PUBLIC_KEY => device.public_key = Some(read_key(attribute)?),
            LISTEN_PORT => device.listen_port = attribute.u16()?,
            MARK => device.mark = attribute.u32()?,
            PEERS => device.peers = attribute.nested().map(read_peer).collect::<Option<_>>()?,
            _ => {}
        }
    }
    Some(device)
}

fn read_key(attribute: Attribute<'_>) -> Option<PublicKey> {
    attribute.value.try_into().ok().map(|octets: [u8; LENGTH]| PublicKey(octets))
}

fn read_peer(attribute: Attribute<'_>) -> Option<PeerState> {
    let attributes = attribute.nested();
    let public_key = read_key(attributes.find(PEER_PUBLIC_KEY)?)?;
    let mut state = PeerState {
        peer: Peer { public_key, endpoint: None, keepalive: 0, allowed_ips: Vec::new() },
        last_handshake: None,
        received: 0,
        sent: 0,
    };
    for attribute in attributes {
        match attribute.kind {
            PEER_ENDPOINT => state.peer.endpoint = Some(read_socket_address(attribute.value)?),
            PEER_KEEPALIVE => state.peer.keepalive = attribute.u16()?,
            PEER_LAST_HANDSHAKE => state.last_handshake = read_time(attribute.value)?,
            PEER_RECEIVED => state.received = read_u64(attribute.value)?,
            PEER_SENT => state.sent = read_u64(attribute.value)?,
            PEER_ALLOWED_IPS => {
                state.peer.allowed_ips = attribute.nested().map(read_allowed).collect::<Option<_>>()?;
            }
            _ => {}
        }
    }
    Some(state)
}

fn read_allowed(attribute: Attribute<'_>) -> Option<Prefix> {
    let attributes = attribute.nested();
    let address: IpAddr = attributes.find(ALLOWED_ADDRESS)?.addr()?;
    Prefix::new(address, attributes.find(ALLOWED_LENGTH)?.u8()?)
}

fn read_u64(octets: &[u8]) -> Option<u64> {
    octets.first_chunk().map(|octets| u64::from_ne_bytes(*octets))
}

/// `struct __kernel_timespec`; zero where there is no time.
fn read_time(octets: &[u8]) -> Option<Option<Duration>> {
    let (seconds, nanoseconds) = (read_u64(octets)?, read_u64(octets.get(8..)?)?);
    let nanoseconds = u32::try_from(nanoseconds).ok().filter(|nanoseconds| *nanoseconds < 1_000_000_000)?;
    Some((seconds != 0).then(|| Duration::new(seconds, nanoseconds)))
}

/// Puts the parts of a listing together: a peer may begin in one and go on in the next.
pub(super) fn join(parts: Vec<Option<Device>>) -> Result<Device, Error> {
    let broken = |rule| Error::Malformed { what: "a WireGuard interface", rule };
    let mut parts = parts.into_iter();
    let first = parts.next().ok_or(broken("there is at least one message"))?;
    let mut device = first.ok_or(broken("each attribute has its length"))?;
    for part in parts {
        for next in part.ok_or(broken("each attribute has its length"))?.peers {
            match device.peers.last_mut().filter(|last| last.peer.public_key == next.peer.public_key) {
                Some(last) => last.peer.allowed_ips.extend(next.peer.allowed_ips),
                None => device.peers.push(next),
            }
        }
    }
    device.peers.iter_mut().for_each(|state| state.peer.allowed_ips.sort_unstable());
    device.peers.sort_unstable_by_key(|state| state.peer.public_key);
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::super::PrivateKey;
    use super::*;
    use crate::netlink::Frames;

    fn key(number: u32) -> PublicKey {
        let mut octets = [0; LENGTH];
        octets[..4].copy_from_slice(&number.to_be_bytes());
        PublicKey(octets)
    }

    fn prefix(number: u32) -> Prefix {
        Prefix::host(IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number)))
    }

    fn name() -> LinkName {
        "wg0".parse().unwrap()
    }

    /// Reads a change as if the kernel had listed it.
    fn read_back(batch: &Batch) -> Device {
        join(Frames::new(batch.as_bytes()).map(decode).collect()).unwrap()
    }

    #[test]
    fn a_change_of_any_size_is_read_back() {
        let set = |number: u32, count: u32| {
            PeerChange::Set(Peer {
                public_key: key(number),
                endpoint: Some(if number.is_multiple_of(2) {
                    "192.0.2.1:51820".parse().unwrap()
                } else {
                    "[fe80::1%7]:51820".parse().unwrap()
                }),
                keepalive: 25,
                allowed_ips: (0..count).map(|ip| prefix(number * 10_000 + ip)).collect(),
            })
        };
        for (peers, addresses) in [(0, 0), (1, 1), (3, 2), (5000, 1), (2, 1200)] {
            let change = DeviceChange {
                listen_port: Some(51820),
                mark: Some(7),
                peers: (0..peers).map(|number| set(number, addresses)).collect(),
                ..DeviceChange::default()
            };
            let mut batch = Batch::new();
            encode_change(33, &name(), &change, &mut batch);
            assert!(!batch.is_oversized() && batch.len() < 30, "{} messages", batch.len());
            let device = read_back(&batch);
            assert_eq!((device.listen_port, device.mark), (51820, 7));
            let read: Vec<_> = device.peers.into_iter().map(|state| PeerChange::Set(state.peer)).collect();
            assert_eq!(read, change.peers, "{peers} peers with {addresses} addresses");
        }
    }

    #[test]
    fn only_the_first_message_is_about_the_interface() {
        let peers = (0..2000).map(|number| PeerChange::Remove(key(number))).collect();
        let private_key = Some(PrivateKey::generate().unwrap());
        let change = DeviceChange { private_key, replace_peers: true, peers, ..DeviceChange::default() };
        let mut batch = Batch::new();
        encode_change(33, &name(), &change, &mut batch);
        assert!(batch.len() > 1);
        for (index, frame) in Frames::new(batch.as_bytes()).enumerate() {
            let has = |kind| frame.attributes(HEADER).find(kind).is_some();
            assert!(has(IFNAME) && has(PEERS));
            assert_eq!((has(PRIVATE_KEY), has(FLAGS)), (index == 0, index == 0), "message {index}");
        }
    }

    #[test]
    fn torn_messages_are_refused_without_panic() {
        let peers = vec![PeerChange::Set(Peer {
            public_key: key(1),
            endpoint: Some("192.0.2.1:1".parse().unwrap()),
            keepalive: 0,
            allowed_ips: vec![prefix(1)],
        })];
        let mut batch = Batch::new();
        encode_change(33, &name(), &DeviceChange { peers, ..DeviceChange::default() }, &mut batch);
        let whole = batch.as_bytes();
        for cut in 16..whole.len() {
            let mut torn = whole[..cut].to_vec();
            torn[..4].copy_from_slice(&u32::try_from(cut).unwrap().to_ne_bytes());
            let _ = join(Frames::new(&torn).map(decode).collect());
        }
        assert!(join(Vec::new()).is_err());
        assert_eq!(read_time(&[0; 15]), None);
    }
}
