//! TCP between two network namespaces, by two threads of this process.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cairn_kernel::Netns;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::Ends;

/// What is written at once.
const PIECE: usize = 128 << 10;
/// A message that is answered.
const MESSAGE: [u8; 64] = [7; 64];
/// How long either end waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// Octets per second of one connection, as its receiver counts them after the first tenth of the time.
pub(crate) fn stream(ends: &Ends, time: Duration) -> Result<f64> {
    let serve = move |mut connection: TcpStream| {
        let (mut buffer, mut octets) = (vec![0; PIECE], 0_u64);
        let (start, mut from) = (Instant::now(), None);
        loop {
            let length = connection.read(&mut buffer)?;
            let now = Instant::now();
            match from {
                _ if length == 0 => break,
                None if now - start >= time / 10 => from = Some(now),
                None => {}
                Some(_) => octets += length as u64,
            }
        }
        let from = from.context("the stream ended at once")?;
        Ok(octets as f64 / from.elapsed().as_secs_f64())
    };
    let send = move |mut connection: TcpStream| {
        let (piece, start) = (vec![7; PIECE], Instant::now());
        while start.elapsed() < time {
            connection.write_all(&piece)?;
        }
        Ok(())
    };
    Ok(connect(ends, Cpus::Apart, serve, send)?.0)
}

/// Round trips per second of one connection with one small message under way.
pub(crate) fn round_trips(ends: &Ends, time: Duration) -> Result<f64> {
    let serve = |mut connection: TcpStream| {
        let mut message = MESSAGE;
        while connection.read_exact(&mut message).is_ok() {
            connection.write_all(&message)?;
        }
        Ok(())
    };
    let ask = move |mut connection: TcpStream| {
        let (mut answer, start, mut count) = (MESSAGE, Instant::now(), 0_u32);
        while start.elapsed() < time {
            connection.write_all(&MESSAGE)?;
            connection.read_exact(&mut answer)?;
            count += 1;
        }
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    };
    Ok(connect(ends, Cpus::Same, serve, ask)?.1)
}

/// Where the two ends run. Left to the scheduler they move about, which takes more time than the path does, and differs from run to run.
#[derive(Clone, Copy)]
enum Cpus {
    /// On one: whoever waits costs nothing, and nobody is woken from afar.
    Same,
    /// On two, where there are two.
    Apart,
}

impl Cpus {
    /// Keeps the calling thread to the processor of an end.
    fn keep(self, server: bool) -> Result<()> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut numbers = (0..CpuSet::count()).filter(|number| allowed.is_set(*number).unwrap_or(false));
        let first = numbers.next();
        let chosen = match self {
            Self::Apart if server => numbers.next().or(first),
            Self::Apart | Self::Same => first,
        };
        let mut one = CpuSet::new();
        one.set(chosen.context("a processor is allowed")?)?;
        Ok(sched_setaffinity(Pid::from_raw(0), &one)?)
    }
}

/// Runs both ends of one connection, each in its namespace, and gives what they return.
fn connect<S: Send, C: Send>(
    ends: &Ends,
    cpus: Cpus,
    serve: impl FnOnce(TcpStream) -> Result<S> + Send,
    ask: impl FnOnce(TcpStream) -> Result<C> + Send,
) -> Result<(S, C)> {
    let any = if ends.address.is_ipv4() { IpAddr::from([0, 0, 0, 0]) } else { Ipv6Addr::UNSPECIFIED.into() };
    let listener = inside(&ends.server, || Ok(TcpListener::bind((any, 0))?))?;
    let to = SocketAddr::new(ends.address, listener.local_addr()?.port());
    // A socket stays in the namespace that it was made in, whoever uses it; made first, so that nobody waits for a client that cannot come.
    let client = inside(&ends.client, || Ok(TcpStream::connect_timeout(&to, PATIENCE)?))
        .with_context(|| format!("no connection to {to}"))?;
    let server = listener.accept()?.0;
    for end in [&client, &server] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
    }
    std::thread::scope(|scope| {
        let server = scope.spawn(move || {
            cpus.keep(true)?;
            serve(server)
        });
        // A thread of its own as well: where it is kept ends with it.
        let client = scope.spawn(move || {
            cpus.keep(false)?;
            ask(client)
        });
        let (asked, served) = (client.join(), server.join());
        let panicked = |_| anyhow::anyhow!("an end of the connection panicked");
        Ok((served.map_err(panicked)??, asked.map_err(panicked)??))
    })
}

fn inside<T: Send>(netns: &Netns, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    netns.run(work)?
}
