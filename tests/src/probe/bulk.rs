//! As much as goes over one TCP connection, counted where it arrives.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::tcp::listen;

/// What comes in the beginning does not count: a bucket of some seconds' worth may be full.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long the sender waits before it looks at its clock.
const LOOK: Duration = Duration::from_millis(100);
/// How long the rest may take to arrive, and the answer.
const PATIENCE: Duration = Duration::from_secs(30);
const CHUNK: usize = 64 << 10;

/// What arrived, and in which time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Bytes.
    pub bytes: u64,
    /// Milliseconds from the end of the beginning to the last byte.
    pub milliseconds: u64,
}

impl Amount {
    /// Bits per second; 0 where nothing was measured.
    pub fn rate(&self) -> u64 {
        (8_000 * self.bytes).checked_div(self.milliseconds).unwrap_or(0)
    }
}

/// Takes what comes to a port over TCP, and tells each sender at its end how much that was.
///
/// # Errors
/// Where the port is taken.
pub fn sink(port: u16) -> Result<()> {
    for connection in listen(port)?.incoming() {
        let connection = connection?;
        // A connection that breaks is the sender's to report.
        std::thread::spawn(move || take(connection));
    }
    Ok(())
}

fn take(mut connection: TcpStream) -> Result<()> {
    let (begin, mut buffer) = (Instant::now(), vec![0; CHUNK]);
    let mut amount = Amount::default();
    loop {
        let length = connection.read(&mut buffer)?;
        let Some(since) = begin.elapsed().checked_sub(WARM_UP) else {
            if length == 0 {
                break;
            }
            continue;
        };
        if length == 0 {
            break;
        }
        amount.bytes += u64::try_from(length)?;
        amount.milliseconds = u64::try_from(since.as_millis())?;
    }
    connection.write_all(serde_json::to_string(&amount)?.as_bytes())?;
    Ok(())
}

/// Sends to a [`sink`] for a time.
///
/// # Errors
/// Where the connection cannot be made or breaks.
pub fn flood(address: IpAddr, port: u16, time: Duration) -> Result<Amount> {
    let server = SocketAddr::new(address, port);
    let mut connection = TcpStream::connect_timeout(&server, Duration::from_secs(5))
        .with_context(|| format!("cannot connect to {server}"))?;
    connection.set_write_timeout(Some(LOOK))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let (begin, chunk) = (Instant::now(), vec![0; CHUNK]);
    while begin.elapsed() < time {
        match connection.write(&chunk) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).with_context(|| format!("the connection to {server} broke")),
        }
    }
    connection.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    serde_json::from_str(&answer).with_context(|| format!("{server} answers {answer:?}"))
}
