//! Sockets of SCTP in the one-to-one style (RFC 6458 section 4): once they are there, they are used as those of TCP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Associations that may wait to be taken.
const BACKLOG: i32 = 16;

/// Listens on a port, of both families.
pub(super) fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::SCTP))?;
    socket.bind(&SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Connects from a port, or any if that is 0. From the one address that leads to the server: of all others that there are it would be told, and send to
/// them past whatever translates its own.
pub(super) fn connect(server: SocketAddr, from: u16, patience: Duration) -> io::Result<TcpStream> {
    let any: IpAddr =
        if server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let way = UdpSocket::bind((any, 0))?;
    way.connect(server)?;
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::SCTP))?;
    socket.bind(&SocketAddr::new(way.local_addr()?.ip(), from).into())?;
    socket.connect_timeout(&server.into(), patience)?;
    Ok(socket.into())
}
