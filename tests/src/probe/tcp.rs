//! One TCP connection with numbered messages, which shows whether an established flow survives.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Report, udp};

/// How long the peer may be silent before the connection counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Echoes every connection and every datagram to a port, of both families, for as long as it lives. Prints a line when it listens.
///
/// # Errors
/// Where the port is taken.
pub fn serve(port: u16) -> Result<()> {
    let datagrams = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| UdpSocket::bind(("0.0.0.0", port)))
        .with_context(|| format!("cannot listen on UDP port {port}"))?;
    let listener = listen(port)?;
    std::thread::spawn(move || udp::echo(&datagrams));
    for connection in listener.incoming() {
        let connection = connection?;
        // A connection that breaks is the client's to report.
        std::thread::spawn(move || echo(connection));
    }
    Ok(())
}

/// Listens on a port, of both families, and prints a line then.
pub(super) fn listen(port: u16) -> Result<TcpListener> {
    // Linux takes IPv4 connections on this one as well; a host without IPv6 has the other.
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .with_context(|| format!("cannot listen on port {port}"))?;
    println!("listening");
    std::io::stdout().flush()?;
    Ok(listener)
}

fn echo(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut buffer = [0_u8; 4096];
    loop {
        match connection.read(&mut buffer)? {
            0 => return connection.shutdown(Shutdown::Both),
            length => connection.write_all(&buffer[..length])?,
        }
    }
}

/// Sends a numbered message at every interval over one connection and waits for its echo; ends after `count` messages. A slow
/// answer delays the next message, so `max_us` is the longest time that nothing got through.
///
/// # Errors
/// Where the connection cannot be made. One that breaks later is in the report.
pub fn stream(address: IpAddr, port: u16, count: u64, interval: Duration) -> Result<Report> {
    stream_while(address, port, count, interval, &AtomicBool::new(true))
}

/// As [`stream`], but sends no more once `wanted` is false.
///
/// # Errors
/// As [`stream`].
pub fn stream_while(
    address: IpAddr,
    port: u16,
    count: u64,
    interval: Duration,
    wanted: &AtomicBool,
) -> Result<Report> {
    let destination = SocketAddr::new(address, port);
    let connection = TcpStream::connect_timeout(&destination, Duration::from_secs(5))
        .with_context(|| format!("cannot connect to {destination}"))?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut report = Report::default();
    for number in 0..count {
        if !wanted.load(Ordering::Relaxed) {
            break;
        }
        let sent = Instant::now();
        report.sent += 1;
        match exchange(&connection, number) {
            Ok(()) => report.note(sent.elapsed()),
            Err(error) => {
                report.error = Some(format!("message {number}: {error:#}"));
                break;
            }
        }
        std::thread::sleep(interval.saturating_sub(sent.elapsed()));
    }
    Ok(report)
}

fn exchange(mut connection: &TcpStream, number: u64) -> Result<()> {
    let mut answer = [0_u8; 8];
    connection.write_all(&number.to_be_bytes())?;
    connection.read_exact(&mut answer)?;
    if answer != number.to_be_bytes() {
        bail!("the echo says {}", u64::from_be_bytes(answer));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;

    use super::{echo, stream};

    #[test]
    fn every_message_comes_back() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback is there");
        let port = listener.local_addr().expect("it is bound").port();
        let server = std::thread::spawn(move || echo(listener.accept().expect("a client comes").0));
        let report = stream(Ipv4Addr::LOCALHOST.into(), port, 20, Duration::ZERO).expect("it connects");
        assert_eq!((report.sent, report.received, report.error), (20, 20, None));
        server.join().expect("no panic").expect("the client closes");
    }
}
