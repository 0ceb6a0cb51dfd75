//! Options of TCP sockets that BGP needs and the standard library lacks: MD5 signatures (RFC 2385), keys of the authentication
//! option (RFC 5925), and the bounds of the generalized TTL security mechanism (RFC 5082).
//!
//! Invariant: none of these disturbs an open connection by itself; a changed MD5 key holds from the next segment on.
//! Not here: creating, binding and connecting sockets, which the standard interfaces do well.
#![allow(unsafe_code)]

mod ao;

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

pub use ao::{AO_KEY_MAX, AoKey, add_ao_key, delete_ao_key, has_ao, is_ao_missing};
use cairn_net::{Family, Prefix};

/// Longest MD5 key. Unit: bytes. Source: `TCP_MD5SIG_MAXKEYLEN` of linux/tcp.h.
pub const MD5_KEY_MAX: usize = 80;

/// `TCP_MD5SIG_EXT` of linux/tcp.h, and its flag for a key of a prefix.
const TCP_MD5SIG_EXT: libc::c_int = 32;
const MD5_FLAG_PREFIX: u8 = 1;

/// `struct tcp_md5sig` of linux/tcp.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct Md5Sig {
    addr: SockaddrStorage,
    flags: u8,
    prefix_len: u8,
    key_len: u16,
    ifindex: libc::c_int,
    key: [u8; MD5_KEY_MAX],
}

/// `struct __kernel_sockaddr_storage`: family, then port, then the address where its family has it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct SockaddrStorage {
    family: u16,
    rest: [u8; 126],
}

/// Signs segments to the peers with the key, and drops segments from them that are not so signed. `None` ends that.
///
/// On a listening socket the key holds for connections that the peers open; of several keys for one peer that of the longest
/// prefix counts. An accepted connection has a key for its one peer.
///
/// # Errors
/// `ENOENT` where a key is to be removed that is not there; `EINVAL` for a key of more than [`MD5_KEY_MAX`] bytes or
/// for a peer whose family the socket cannot have; `ENOPROTOOPT` if the kernel was built without it.
pub fn set_md5_key(socket: BorrowedFd<'_>, peers: Prefix, key: Option<&[u8]>) -> io::Result<()> {
    let key = key.unwrap_or_default();
    let mut option = Md5Sig {
        addr: peer_address(peers.addr()),
        flags: if peers.is_host() { 0 } else { MD5_FLAG_PREFIX },
        prefix_len: if peers.is_host() { 0 } else { peers.len() },
        key_len: 0,
        ifindex: 0,
        key: [0; MD5_KEY_MAX],
    };
    option.key.get_mut(..key.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(key);
    option.key_len = u16::try_from(key.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let name = if peers.is_host() { libc::TCP_MD5SIG } else { TCP_MD5SIG_EXT };
    set(socket, libc::IPPROTO_TCP, name, &option)
}

fn peer_address(peer: IpAddr) -> SockaddrStorage {
    let mut storage = SockaddrStorage { family: 0, rest: [0; 126] };
    match peer {
        // After the family: port (2 octets), address.
        IpAddr::V4(v4) => {
            storage.family = family_number(libc::AF_INET);
            storage.rest[2..6].copy_from_slice(&v4.octets());
        }
        // After the family: port (2), flow label (4), address.
        IpAddr::V6(v6) => {
            storage.family = family_number(libc::AF_INET6);
            storage.rest[6..22].copy_from_slice(&Ipv6Addr::octets(&v6));
        }
    }
    storage
}

fn family_number(family: libc::c_int) -> u16 {
    u16::try_from(family).expect("AF_INET and AF_INET6 are small numbers")
}

/// Time to live (hop limit) of what the socket sends; `None`: the system's default.
///
/// # Errors
/// `ENOPROTOOPT` or `EINVAL` if the socket is of the other family.
pub fn set_ttl(socket: BorrowedFd<'_>, family: Family, ttl: Option<u8>) -> io::Result<()> {
    let value = ttl.map_or(-1, libc::c_int::from);
    match family {
        Family::Ipv4 => set(socket, libc::IPPROTO_IP, libc::IP_TTL, &value),
        Family::Ipv6 => set(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &value),
    }
}

/// Drops what arrives with a smaller time to live. Zero: nothing is dropped.
///
/// # Errors
/// As [`set_ttl`].
pub fn set_min_ttl(socket: BorrowedFd<'_>, family: Family, least: u8) -> io::Result<()> {
    let value = libc::c_int::from(least);
    match family {
        Family::Ipv4 => set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &value),
        Family::Ipv6 => set(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, &value),
    }
}

/// Sets an option whose value the kernel reads as a `T`.
pub(crate) fn set<T: Copy>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is borrowed, so it is open; the pointer and the length describe `value`, which lives
    // through the call; the kernel only reads from it.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;

    fn listener(addr: &str) -> TcpListener {
        TcpListener::bind(SocketAddr::new(addr.parse().unwrap(), 0)).unwrap()
    }

    #[test]
    fn the_option_has_the_size_that_the_kernel_expects() {
        assert_eq!(size_of::<Md5Sig>(), 216);
    }

    #[test]
    fn a_connection_goes_through_with_equal_keys_only() {
        for addr in ["127.0.0.1", "::1"] {
            let addr: IpAddr = addr.parse().unwrap();
            let peers = Prefix::host(addr);
            let server = TcpListener::bind(SocketAddr::new(addr, 0)).unwrap();
            set_md5_key(server.as_fd(), peers, Some(b"right")).unwrap();
            let to = server.local_addr().unwrap();
            let attempt = |key: &[u8], patience: Duration| -> io::Result<TcpStream> {
                let domain = socket2::Domain::for_address(to);
                let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
                set_md5_key(socket.as_fd(), peers, Some(key))?;
                socket.connect_timeout(&to.into(), patience)?;
                Ok(socket.into())
            };
            assert!(attempt(b"wrong", Duration::from_millis(300)).is_err());
            let mut client = attempt(b"right", Duration::from_secs(10)).unwrap();
            let (mut accepted, _) = server.accept().unwrap();
            client.write_all(b"hello").unwrap();
            // Both ends change the key while the connection is open.
            set_md5_key(client.as_fd(), peers, Some(b"other")).unwrap();
            set_md5_key(accepted.as_fd(), peers, Some(b"other")).unwrap();
            client.write_all(b" you").unwrap();
            let mut text = [0; 9];
            accepted.read_exact(&mut text).unwrap();
            assert_eq!(&text, b"hello you");
        }
    }

    #[test]
    fn a_key_for_a_prefix_holds_for_its_addresses_and_changes_under_an_open_connection() {
        for (addr, prefix) in [("127.0.0.1", "127.0.0.0/24"), ("::1", "::/64")] {
            let addr: IpAddr = addr.parse().unwrap();
            let server = TcpListener::bind(SocketAddr::new(addr, 0)).unwrap();
            let peers: Prefix = prefix.parse().unwrap();
            set_md5_key(server.as_fd(), peers, Some(b"right")).unwrap();
            let to = server.local_addr().unwrap();
            let socket =
                socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None).unwrap();
            assert!(socket.connect_timeout(&to.into(), Duration::from_millis(300)).is_err(), "without a key");
            let socket =
                socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None).unwrap();
            set_md5_key(socket.as_fd(), Prefix::host(addr), Some(b"right")).unwrap();
            socket.connect_timeout(&to.into(), Duration::from_secs(10)).unwrap();
            let mut client: TcpStream = socket.into();
            let (mut accepted, _) = server.accept().unwrap();
            set_md5_key(server.as_fd(), peers, Some(b"other")).unwrap();
            for end in [&client, &accepted] {
                set_md5_key(end.as_fd(), Prefix::host(addr), Some(b"other")).unwrap();
            }
            client.write_all(b"hello").unwrap();
            let mut text = [0; 5];
            accepted.read_exact(&mut text).unwrap();
            set_md5_key(server.as_fd(), peers, None).unwrap();
        }
    }

    #[test]
    fn a_key_that_is_too_long_is_refused() {
        let socket = listener("127.0.0.1");
        let error =
            set_md5_key(socket.as_fd(), "127.0.0.2/32".parse().unwrap(), Some(&[b'x'; 81])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn ttl_and_its_bound_can_be_set_for_both_families() {
        for (addr, family) in [("127.0.0.1", Family::Ipv4), ("::1", Family::Ipv6)] {
            let socket = listener(addr);
            set_ttl(socket.as_fd(), family, Some(255)).unwrap();
            set_ttl(socket.as_fd(), family, None).unwrap();
            set_min_ttl(socket.as_fd(), family, 255).unwrap();
        }
    }

    #[test]
    fn what_has_too_small_a_time_to_live_does_not_even_connect() {
        for (addr, family) in [("127.0.0.1", Family::Ipv4), ("::1", Family::Ipv6)] {
            let server = listener(addr);
            set_min_ttl(server.as_fd(), family, 255).unwrap();
            let to = server.local_addr().unwrap();
            let attempt = |ttl: u8, patience: Duration| -> io::Result<TcpStream> {
                let socket =
                    socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
                set_ttl(socket.as_fd(), family, Some(ttl))?;
                socket.connect_timeout(&to.into(), patience)?;
                Ok(socket.into())
            };
            assert!(attempt(254, Duration::from_millis(300)).is_err(), "{addr}");
            let client = attempt(255, Duration::from_secs(10)).unwrap();
            let (_, from) = server.accept().unwrap();
            assert_eq!(from, client.local_addr().unwrap(), "the first one to get through");
        }
    }
}
