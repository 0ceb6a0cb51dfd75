//! Numbered datagrams from one socket to another and back: a flow that knows no retransmission.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Report;
use super::pace::{Echo, Pace, exchange};

/// Sends datagrams to a port that [`super::serve`] echoes, for as long as they are wanted, and counts those that come back.
///
/// # Errors
/// Where there is no route; a port that nobody listens on is no error but a loss.
pub fn datagrams_while(address: IpAddr, port: u16, pace: Pace, wanted: &AtomicBool) -> Result<Report> {
    let own: IpAddr =
        if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0)).context("no UDP socket")?;
    let destination = SocketAddr::new(address, port);
    socket.connect(destination).with_context(|| format!("no route to {destination}"))?;
    Ok(exchange(&mut Flow(socket), pace, wanted))
}

/// Sends every datagram back to where it came from.
pub(super) fn echo(socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = [0_u8; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        // One that cannot be sent back is lost, and the client's to report.
        let _ = socket.send_to(&buffer[..length], from);
    }
}

struct Flow(UdpSocket);

impl Echo for Flow {
    fn send(&mut self, number: u64) -> io::Result<u64> {
        self.0.send(&number.to_be_bytes())?;
        Ok(number)
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<u64>> {
        let mut buffer = [0_u8; 16];
        self.0.set_read_timeout(Some(patience))?;
        let length = self.0.recv(&mut buffer)?;
        let number = buffer[..length].try_into().ok().map(u64::from_be_bytes);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_datagram_comes_back_and_none_from_a_port_without_echo() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback is there");
        let port = server.local_addr().expect("it is bound").port();
        let pace =
            Pace { count: 20, interval: Duration::from_millis(1), patience: Duration::from_millis(200) };
        let run = || {
            datagrams_while(Ipv4Addr::LOCALHOST.into(), port, pace, &AtomicBool::new(true)).expect("a route")
        };
        let silent = run();
        assert_eq!((silent.sent, silent.received), (20, 0));
        std::thread::spawn(move || echo(&server));
        let answered = run();
        assert_eq!((answered.sent, answered.received, answered.error), (20, 20, None));
    }
}
