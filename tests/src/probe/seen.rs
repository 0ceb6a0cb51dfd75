//! By which address others see whoever asks them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::tcp;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than any address is as text.
const LONGEST: u64 = 64;

/// What came of asking.
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

/// Tells everybody who connects to a port, of either family, his address, for as long as it lives.
///
/// # Errors
/// Where the port is taken.
pub fn tell(port: u16) -> Result<()> {
    let listener = tcp::listen(port)?;
    for connection in listener.incoming() {
        // A connection that breaks is the client's to report.
        let _ = connection.and_then(|connection| answer(&connection));
    }
    Ok(())
}

fn answer(mut connection: &TcpStream) -> std::io::Result<()> {
    // One socket for both families shows IPv4 addresses in those of IPv6.
    let peer = connection.peer_addr()?.ip().to_canonical();
    connection.set_write_timeout(Some(PATIENCE))?;
    connection.write_all(peer.to_string().as_bytes())
}

/// Asks many at once.
pub fn ask(port: u16, addresses: &[IpAddr]) -> Seen {
    let answers: Vec<(IpAddr, Result<IpAddr>)> = std::thread::scope(|scope| {
        let asked: Vec<_> = addresses
            .iter()
            .map(|address| (*address, scope.spawn(move || ask_one(SocketAddr::new(*address, port)))))
            .collect();
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

fn ask_one(destination: SocketAddr) -> Result<IpAddr> {
    let connection = TcpStream::connect_timeout(&destination, PATIENCE)
        .with_context(|| format!("cannot connect to {destination}"))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    connection.take(LONGEST).read_to_string(&mut text).context("no answer")?;
    text.parse().with_context(|| format!("the answer is `{text}`"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_answers_tells_our_address_and_who_does_not_is_named() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || answer(&listener.accept().unwrap().0).unwrap());
        let one: IpAddr = "127.0.0.1".parse().unwrap();
        let seen = ask(port, &[one]);
        server.join().unwrap();
        assert_eq!(seen.answers, [(one, one)].into());
        assert!(seen.failures.is_empty(), "{seen:?}");
        // Nobody listens any more.
        let seen = ask(port, &[one]);
        assert!(seen.answers.is_empty() && seen.failures[&one].contains("cannot connect"), "{seen:?}");
        let line = serde_json::to_string(&seen).unwrap();
        assert_eq!(Seen::parse(&line).unwrap(), seen);
        assert!(Seen::parse("nothing").is_err());
    }
}
