//! Who is seen: a server that tells its clients their addresses, which shows whether a port leads somewhere and what becomes of the source on the way.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};

use super::tcp::listen;

/// How long an answer may take: each question is asked once, and asked again by whoever waits for something.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers each TCP connection to a port, and each datagram, with the address that it comes from.
///
/// # Errors
/// Where the port is taken.
pub fn tell(port: u16) -> Result<()> {
    let datagrams = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| UdpSocket::bind(("0.0.0.0", port)))
        .with_context(|| format!("cannot take datagrams on port {port}"))?;
    let listener = listen(port)?;
    std::thread::spawn(move || {
        let mut nothing = [0; 64];
        loop {
            // An error is of one client, such as one that is gone already.
            let Ok((_, client)) = datagrams.recv_from(&mut nothing) else { continue };
            let _ = datagrams.send_to(text(client).as_bytes(), client);
        }
    });
    for connection in listener.incoming() {
        let mut connection = connection?;
        if let Ok(client) = connection.peer_addr() {
            let _ = connection.write_all(text(client).as_bytes());
        }
    }
    Ok(())
}

/// IPv4 is not shown in IPv6's clothes.
fn text(client: SocketAddr) -> String {
    client.ip().to_canonical().to_string()
}

/// Asks a [`tell`] once, from a port, or any if that is 0.
///
/// # Errors
/// Where no answer comes, or another than an address.
pub fn ask(address: IpAddr, port: u16, udp: bool, from: u16) -> Result<IpAddr> {
    let server = SocketAddr::new(address, port);
    let answer = if udp { ask_udp(server, from) } else { ask_tcp(server) };
    let answer = answer.with_context(|| format!("{server} does not answer"))?;
    answer.parse().with_context(|| format!("{server} answers {answer:?}"))
}

fn ask_udp(server: SocketAddr, from: u16) -> Result<String> {
    let any = if server.is_ipv6() { IpAddr::from([0_u16; 8]) } else { IpAddr::from([0_u8; 4]) };
    let socket = UdpSocket::bind((any, from))?;
    // So that an answer counts only if it comes from whom was asked.
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(b"?")?;
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn ask_tcp(server: SocketAddr) -> Result<String> {
    let mut connection = TcpStream::connect_timeout(&server, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}
