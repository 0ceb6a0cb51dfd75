//! Who is seen: a server that tells its clients their addresses, which shows whether a port leads somewhere and what becomes of the source on the way.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};
use cairn_net::Transport;
use serde::{Deserialize, Serialize};

use super::sctp;
use super::tcp::listen;

/// How long an answer may take: a question is asked once, and asked again by whoever waits for something.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may take where many are asked at once, and none twice.
const PATIENCE_WITH_MANY: Duration = Duration::from_secs(10);
/// Longer than any address is as text.
const LONGEST: usize = 64;

/// What came of asking many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Who answered, and the address that he saw us by.
    pub answers: BTreeMap<IpAddr, IpAddr>,
    /// Who did not, and why.
    pub failures: BTreeMap<IpAddr, String>,
}

impl Seen {
    /// Reads the line that a probe printed.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text.trim()).with_context(|| format!("a probe printed `{}`", text.trim()))
    }
}

/// Answers each TCP connection to a port, and each datagram, with the address that it comes from; over SCTP, too, if that is wanted.
///
/// # Errors
/// Where the port is taken, or there is no SCTP.
pub fn tell(port: u16, over_sctp: bool) -> Result<()> {
    if over_sctp {
        let listener = sctp::listen(port).with_context(|| format!("cannot listen on SCTP port {port}"))?;
        std::thread::spawn(move || answer_all(&listener));
    }
    let datagrams = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| UdpSocket::bind(("0.0.0.0", port)))
        .with_context(|| format!("cannot take datagrams on port {port}"))?;
    let listener = listen(port)?;
    std::thread::spawn(move || {
        let mut nothing = [0; LONGEST];
        loop {
            // An error is of one client, such as one that is gone already.
            let Ok((_, client)) = datagrams.recv_from(&mut nothing) else { continue };
            let _ = datagrams.send_to(text(client).as_bytes(), client);
        }
    });
    answer_all(&listener);
    Ok(())
}

fn answer_all(listener: &TcpListener) {
    for connection in listener.incoming() {
        // A connection that breaks is the client's to report.
        let _ = connection.and_then(|connection| answer(&connection));
    }
}

fn answer(mut connection: &TcpStream) -> std::io::Result<()> {
    let client = connection.peer_addr()?;
    connection.set_write_timeout(Some(PATIENCE))?;
    connection.write_all(text(client).as_bytes())
}

/// IPv4 is not shown in IPv6's clothes.
fn text(client: SocketAddr) -> String {
    client.ip().to_canonical().to_string()
}

/// Asks a [`tell`] once; over UDP and SCTP from a port, or any if that is 0.
///
/// # Errors
/// Where no answer comes, or another than an address.
pub fn ask(address: IpAddr, port: u16, over: Transport, from: u16) -> Result<IpAddr> {
    let server = SocketAddr::new(address, port);
    let answer = match over {
        Transport::Tcp => ask_tcp(server, PATIENCE),
        Transport::Udp => ask_udp(server, from),
        Transport::Sctp => ask_sctp(server, from),
    };
    read(server, answer)
}

/// Asks many at once, over TCP.
pub fn ask_all(port: u16, addresses: &[IpAddr]) -> Seen {
    let answers: Vec<(IpAddr, Result<IpAddr>)> = std::thread::scope(|scope| {
        let ask = |address| {
            let server = SocketAddr::new(address, port);
            read(server, ask_tcp(server, PATIENCE_WITH_MANY))
        };
        let asked: Vec<_> =
            addresses.iter().map(|address| (*address, scope.spawn(move || ask(*address)))).collect();
        let joined = asked.into_iter().map(|(address, thread)| {
            let answer = thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the thread panicked")));
            (address, answer)
        });
        joined.collect()
    });
    let mut seen = Seen::default();
    for (address, answer) in answers {
        match answer {
            Ok(own) => {
                seen.answers.insert(address, own);
            }
            Err(error) => {
                seen.failures.insert(address, format!("{error:#}"));
            }
        }
    }
    seen
}

fn read(server: SocketAddr, answer: Result<String>) -> Result<IpAddr> {
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
    let mut answer = [0; LONGEST];
    let length = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn ask_tcp(server: SocketAddr, patience: Duration) -> Result<String> {
    read_all(TcpStream::connect_timeout(&server, patience)?, patience)
}

fn ask_sctp(server: SocketAddr, from: u16) -> Result<String> {
    read_all(sctp::connect(server, from, PATIENCE)?, PATIENCE)
}

fn read_all(connection: TcpStream, patience: Duration) -> Result<String> {
    connection.set_read_timeout(Some(patience))?;
    let mut answer = String::new();
    connection.take(LONGEST as u64).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_tells_our_address_and_who_does_not_is_named() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || answer(&listener.accept().unwrap().0).unwrap());
        let one: IpAddr = "127.0.0.1".parse().unwrap();
        let seen = ask_all(port, &[one]);
        server.join().unwrap();
        assert_eq!(seen.answers, [(one, one)].into());
        assert!(seen.failures.is_empty(), "{seen:?}");
        // Nobody listens any more.
        let seen = ask_all(port, &[one]);
        assert!(seen.answers.is_empty() && seen.failures[&one].contains("does not answer"), "{seen:?}");
        let line = serde_json::to_string(&seen).unwrap();
        assert_eq!(Seen::parse(&line).unwrap(), seen);
        assert!(Seen::parse("nothing").is_err());
    }
}
