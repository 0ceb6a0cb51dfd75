//! Keys of the TCP Authentication Option (RFC 5925).
//!
//! Spec of the interface: `struct tcp_ao_add` and `tcp_ao_del` of linux/tcp.h, Linux 6.7 and later with `CONFIG_TCP_AO`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use cairn_net::{Family, Prefix};

use super::{SockaddrStorage, peer_address, set};

/// Longest secret. Unit: bytes. Source: `TCP_AO_MAXKEYLEN`.
pub const AO_KEY_MAX: usize = 80;

/// Options of the TCP level, which libc does not have yet.
const TCP_AO_ADD_KEY: libc::c_int = 38;
const TCP_AO_DEL_KEY: libc::c_int = 39;
/// `set_current` and `set_rnext` of both structures.
const CURRENT_AND_NEXT: u32 = 0b11;
/// Length of the code in a segment, as RFC 5926 has it for all its algorithms. Unit: bytes.
const MAC_LEN: u8 = 12;

/// `struct tcp_ao_add`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct AddKey {
    addr: SockaddrStorage,
    algorithm: [u8; 64],
    ifindex: i32,
    flags: u32,
    reserved: u16,
    prefix_len: u8,
    send_id: u8,
    receive_id: u8,
    mac_len: u8,
    key_flags: u8,
    key_len: u8,
    key: [u8; AO_KEY_MAX],
}

/// `struct tcp_ao_del`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct DeleteKey {
    addr: SockaddrStorage,
    ifindex: i32,
    flags: u32,
    reserved: u16,
    prefix_len: u8,
    send_id: u8,
    receive_id: u8,
    current_key: u8,
    next_key: u8,
    key_flags: u8,
}

/// A key, without the peers that it is for.
#[derive(Debug, Clone, Copy)]
pub struct AoKey<'a> {
    /// KeyID of what is sent.
    pub send_id: u8,
    /// KeyID of what is received.
    pub receive_id: u8,
    /// The kernel's name of the algorithm: `hmac(sha1)`, `cmac(aes128)` or `hmac(sha256)`.
    pub algorithm: &'a str,
    /// The secret. Range: 1 to [`AO_KEY_MAX`] bytes.
    pub secret: &'a [u8],
}

/// Adds a key for the peers of a prefix. `current`: sign with it from now on, and ask the peer to do so; not for listening sockets.
///
/// # Errors
/// `ENOPROTOOPT` where the kernel has no TCP-AO (see [`is_ao_missing`]); `EEXIST` for numbers that are in use; `EINVAL` for a secret of another length or an
/// unknown algorithm, or if the socket has MD5 keys.
pub fn add_ao_key(socket: BorrowedFd<'_>, peers: Prefix, key: AoKey<'_>, current: bool) -> io::Result<()> {
    let mut option = AddKey {
        addr: peer_address(peers.addr()),
        algorithm: [0; 64],
        ifindex: 0,
        flags: if current { CURRENT_AND_NEXT } else { 0 },
        reserved: 0,
        prefix_len: peers.len(),
        send_id: key.send_id,
        receive_id: key.receive_id,
        mac_len: MAC_LEN,
        key_flags: 0,
        key_len: u8::try_from(key.secret.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        key: [0; AO_KEY_MAX],
    };
    let name = option.algorithm.get_mut(..key.algorithm.len()).ok_or(io::ErrorKind::InvalidInput)?;
    name.copy_from_slice(key.algorithm.as_bytes());
    option.key.get_mut(..key.secret.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(key.secret);
    set(socket, libc::IPPROTO_TCP, TCP_AO_ADD_KEY, &option)
}

/// Deletes a key by its numbers.
///
/// # Errors
/// `ENOENT` if it is not there; `EBUSY` if it is the one in use; `ENOPROTOOPT` as above.
pub fn delete_ao_key(socket: BorrowedFd<'_>, peers: Prefix, send_id: u8, receive_id: u8) -> io::Result<()> {
    let option = DeleteKey {
        addr: peer_address(peers.addr()),
        ifindex: 0,
        flags: 0,
        reserved: 0,
        prefix_len: peers.len(),
        send_id,
        receive_id,
        current_key: 0,
        next_key: 0,
        key_flags: 0,
    };
    set(socket, libc::IPPROTO_TCP, TCP_AO_DEL_KEY, &option)
}

/// Says the error that the kernel knows nothing of TCP-AO?
pub fn is_ao_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOPROTOOPT)
}

/// Has the kernel TCP-AO? Tried on a socket that is closed again.
///
/// # Errors
/// If there is no socket to be had, or the kernel refuses for another reason.
pub fn has_ao(family: Family) -> io::Result<bool> {
    // A listener on a free port of the loopback: the standard library has no plainer socket.
    let loopback = match family {
        Family::Ipv4 => std::net::IpAddr::from([127, 0, 0, 1]),
        Family::Ipv6 => std::net::IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
    };
    let socket = std::net::TcpListener::bind((loopback, 0))?;
    let key = AoKey { send_id: 1, receive_id: 1, algorithm: "hmac(sha1)", secret: b"probe" };
    match add_ao_key(socket.as_fd(), Prefix::host(loopback), key, false) {
        Ok(()) => Ok(true),
        Err(error) if is_ao_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_have_the_sizes_that_the_kernel_expects() {
        assert_eq!((size_of::<AddKey>(), size_of::<DeleteKey>()), (288, 144));
    }

    const LOOPBACKS: [&str; 2] = ["127.0.0.1", "::1"];

    fn key(id: u8, secret: &'static [u8]) -> AoKey<'static> {
        AoKey { send_id: id, receive_id: id, algorithm: "hmac(sha1)", secret }
    }

    mod needs_tcpao {
        use std::io::{Read, Write};
        use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
        use std::time::Duration;

        use super::super::*;
        use super::{LOOPBACKS, key};

        #[test]
        #[ignore = "needs a kernel with TCP-AO: run by cargo xtask test --tier lab where there is one"]
        fn a_connection_is_signed_and_changes_its_key() {
            for addr in LOOPBACKS {
                let addr: IpAddr = addr.parse().unwrap();
                let server = TcpListener::bind(SocketAddr::new(addr, 0)).unwrap();
                let peers = Prefix::host(addr);
                add_ao_key(server.as_fd(), peers, key(1, b"right"), false).unwrap();
                let to = server.local_addr().unwrap();
                let attempt = |secret: &'static [u8]| -> io::Result<TcpStream> {
                    let socket =
                        socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
                    add_ao_key(socket.as_fd(), peers, key(1, secret), false)?;
                    socket.connect_timeout(&to.into(), Duration::from_millis(300))?;
                    Ok(socket.into())
                };
                assert!(attempt(b"wrong").is_err());
                let mut client = attempt(b"right").unwrap();
                let (mut accepted, _) = server.accept().unwrap();
                client.write_all(b"hello").unwrap();
                add_ao_key(accepted.as_fd(), peers, key(2, b"other"), false).unwrap();
                add_ao_key(client.as_fd(), peers, key(2, b"other"), true).unwrap();
                client.write_all(b" you").unwrap();
                let mut text = [0; 9];
                accepted.read_exact(&mut text).unwrap();
                assert_eq!(&text, b"hello you");
            }
        }
    }

    mod lacks_tcpao {
        use std::net::{IpAddr, SocketAddr, TcpListener};

        use super::super::*;
        use super::{LOOPBACKS, key};

        #[test]
        #[ignore = "needs a kernel without TCP-AO: run by cargo xtask test --tier lab where there is one"]
        fn a_kernel_without_it_is_told_from_a_fault() {
            for addr in LOOPBACKS {
                let addr: IpAddr = addr.parse().unwrap();
                assert!(!has_ao(Family::of(addr)).unwrap());
                let server = TcpListener::bind(SocketAddr::new(addr, 0)).unwrap();
                let peers = Prefix::host(addr);
                let error = add_ao_key(server.as_fd(), peers, key(1, b"right"), false).unwrap_err();
                assert!(is_ao_missing(&error), "{error}");
                assert!(is_ao_missing(&delete_ao_key(server.as_fd(), peers, 1, 1).unwrap_err()));
            }
        }
    }
}
