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

/// How fast something went, and what it cost.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    /// Octets, or round trips, per second.
    pub(crate) per_second: f64,
    /// CPU time of both ends for one of them, with all that the kernel does for their packets on the way: nearly all of it is done in their name. Seconds.
    pub(crate) cpu: f64,
}

/// Octets of one connection, as its receiver counts them after the first tenth of the time.
pub(crate) fn stream(ends: &Ends, time: Duration) -> Result<Rate> {
    let serve = move |mut connection: TcpStream| {
        let (mut buffer, mut octets, mut all) = (vec![0; PIECE], 0_u64, 0_u64);
        let (start, mut from) = (Instant::now(), None);
        loop {
            let length = connection.read(&mut buffer)?;
            let now = Instant::now();
            all += length as u64;
            match from {
                _ if length == 0 => break,
                None if now - start >= time / 10 => from = Some(now),
                None => {}
                Some(_) => octets += length as u64,
            }
        }
        let from = from.context("the stream ended at once")?;
        Ok((octets as f64 / from.elapsed().as_secs_f64(), all as f64))
    };
    let send = move |mut connection: TcpStream| {
        let (piece, start) = (vec![7; PIECE], Instant::now());
        while start.elapsed() < time {
            connection.write_all(&piece)?;
        }
        Ok(())
    };
    let ((per_second, octets), (), cpu) = connect(ends, Cpus::Apart, serve, send)?;
    Ok(Rate { per_second, cpu: cpu / octets })
}

/// Round trips of one connection with one small message under way.
pub(crate) fn round_trips(ends: &Ends, time: Duration) -> Result<Rate> {
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
        Ok((f64::from(count) / start.elapsed().as_secs_f64(), f64::from(count)))
    };
    let ((), (per_second, count), cpu) = connect(ends, Cpus::Same, serve, ask)?;
    Ok(Rate { per_second, cpu: cpu / count })
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

/// Runs both ends of one connection, each in its namespace, and gives what they return, and their CPU time in seconds.
fn connect<S: Send, C: Send>(
    ends: &Ends,
    cpus: Cpus,
    serve: impl FnOnce(TcpStream) -> Result<S> + Send,
    ask: impl FnOnce(TcpStream) -> Result<C> + Send,
) -> Result<(S, C, f64)> {
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
            Ok::<_, anyhow::Error>((serve(server)?, cpu_of_thread()?))
        });
        // A thread of its own as well: where it is kept ends with it.
        let client = scope.spawn(move || {
            cpus.keep(false)?;
            Ok::<_, anyhow::Error>((ask(client)?, cpu_of_thread()?))
        });
        let (asked, served) = (client.join(), server.join());
        let panicked = |_| anyhow::anyhow!("an end of the connection panicked");
        let ((served, server), (asked, client)) = (served.map_err(panicked)??, asked.map_err(panicked)??);
        Ok((served, asked, server + client))
    })
}

/// CPU time of the calling thread until now. Seconds.
fn cpu_of_thread() -> Result<f64> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(Duration::from(time).as_secs_f64())
}

fn inside<T: Send>(netns: &Netns, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    netns.run(work)?
}
