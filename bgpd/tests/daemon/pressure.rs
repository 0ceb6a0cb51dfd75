//! Peers that press on the daemon for as long as a hold time, and sessions beside them.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bgpd_api::peer::SessionState;
use cairn_net::Prefix;

use crate::hostile::{connect, connect_from, greet, message};
use crate::session::update;
use crate::world::{Daemon, World, bgpd, eventually};

/// The shortest hold time that there is, but for none.
const SHORTEST: &str = ", timers: {holdTime: 3, keepaliveTime: 1}";

fn neighbors(world: &World) -> String {
    format!("neighbors:\n{}{}", world.neighbor(1, 2, ", passive: true"), world.neighbor(1, 3, SHORTEST))
}

fn thrifty(world: &World) -> String {
    format!("neighbors:\n{}", world.neighbor(3, 1, SHORTEST))
}

/// Something that another thread does until it is told to stop.
struct Activity<T> {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<T>,
}

impl<T: Send + 'static> Activity<T> {
    fn begin(work: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self { stop, thread: std::thread::spawn(move || work(&stopped)) }
    }

    fn end(self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the thread does not panic")
    }
}

/// The longest time for which the machine did not let this process run.
fn longest_stall(stop: &AtomicBool) -> Duration {
    let pause = Duration::from_millis(50);
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        std::thread::sleep(pause);
        longest = longest.max(begin.elapsed().saturating_sub(pause));
    }
    longest
}

/// A flood for longer than the hold time of the session beside it. Gives whether that one lived through it, and how long the machine
/// stood still.
async fn flooded() -> Result<(bool, Duration)> {
    let world = World::new()?;
    let mut first = world.start(1, &neighbors(&world)).await?;
    let mut third = world.start(3, &thrifty(&world)).await?;
    let mut stream = connect(&world)?;
    greet(&mut stream, 240)?;
    first.established(world.address(2)).await?;
    let before = first.established(world.address(3)).await?.counters.received;
    let mut reader = stream.try_clone()?;
    let reads = std::thread::spawn(move || drop(std::io::copy(&mut reader, &mut std::io::sink())));
    let stall = Activity::begin(longest_stall);
    let flood = Activity::begin(move |stop| -> std::io::Result<TcpStream> {
        let mut number = 0u32;
        while !stop.load(Ordering::Relaxed) {
            // A few thousand prefixes, each time with another set of attributes.
            let [_, _, high, low] = number.to_be_bytes();
            stream.write_all(&update(number, [20, 0, high & 0x0f, low]))?;
            number = number.wrapping_add(1);
        }
        Ok(stream)
    });
    eventually("five keepalive times have passed", async || {
        let peer = first.peer(world.address(3)).await?;
        let sent = peer.counters.received.keepalives.saturating_sub(before.keepalives);
        ensure!(sent > 5 || peer.established_count > 1, "{sent}");
        Ok(())
    })
    .await?;
    let stream = flood.end()?;
    let stall = stall.end();
    let flooder = first.peer(world.address(2)).await?;
    ensure!(flooder.state == SessionState::Established && flooder.counters.received.updates > 1000);
    let mut lived = true;
    for (daemon, other) in [(&mut first, 3), (&mut third, 1)] {
        let peer = daemon.peer(world.address(other)).await?;
        lived &= peer.state == SessionState::Established && peer.established_count == 1;
    }
    stream.shutdown(std::net::Shutdown::Both)?;
    reads.join().expect("the reader does not panic");
    Ok((lived, stall))
}

#[tokio::test]
async fn a_flood_of_updates_costs_no_other_session_its_hold_time_of_three_seconds() -> Result<()> {
    for _ in 0..4 {
        let (lived, stall) = flooded().await?;
        if lived {
            return Ok(());
        }
        // Whoever is not let run cannot send a KEEPALIVE: such a round says nothing of the daemon.
        ensure!(stall > Duration::from_millis(500), "the session was lost; the longest stall was {stall:?}");
    }
    bail!("the machine stood still in each round")
}

/// Sends octet by octet.
fn trickle(stream: &mut TcpStream, octets: &[u8]) -> std::io::Result<()> {
    for octet in octets {
        stream.write_all(std::slice::from_ref(octet))?;
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

#[tokio::test]
async fn a_peer_that_sends_one_octet_at_a_time_is_understood() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &neighbors(&world)).await?;
    let mut stream = connect(&world)?;
    stream.set_nodelay(true)?;
    let mut octets = Vec::new();
    greet(&mut octets, 240)?;
    octets.extend((0..10).flat_map(|number: u8| update(number.into(), [20, 0, 0, number])));
    let writes = std::thread::spawn(move || trickle(&mut stream, &octets).map(|()| stream));
    let prefixes: Vec<String> = (0..10).map(|number| format!("20.0.0.{number}/32")).collect();
    first.has(&prefixes.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let stream = writes.join().expect("the writer does not panic")?;
    assert_eq!(first.established(world.address(2)).await?.counters.received.updates, 10);
    drop(stream);
    Ok(())
}

/// Octets alone are no sign of life: the hold timer begins anew with a whole message (RFC 4271 section 8.2.2).
#[tokio::test]
async fn a_message_that_never_ends_does_not_keep_a_session() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &neighbors(&world)).await?;
    let mut stream = connect(&world)?;
    stream.set_nodelay(true)?;
    greet(&mut stream, 3)?;
    first.established(world.address(2)).await?;
    // An UPDATE of 4096 octets, of which it sends some every second.
    let drip = Activity::begin(move |stop| {
        let long = message(2, &[0; 4077]);
        for octet in &long {
            if stop.load(Ordering::Relaxed) || stream.write_all(std::slice::from_ref(octet)).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    eventually("the session is given up", async || {
        let peer = first.peer(world.address(2)).await?;
        ensure!(peer.last_error.contains("Hold Timer Expired"), "{}: {}", peer.state, peer.last_error);
        Ok(())
    })
    .await?;
    drip.end();
    Ok(())
}

#[tokio::test]
async fn more_connections_than_files_are_told_once_and_lost_only_as_long_as_they_are_held() -> Result<()> {
    let world = World::new()?;
    let network = Prefix::containing(world.address(0), 24).context("a network")?;
    let rest = format!(
        "peerGroups:\n  near: {{import: accept-all, export: out, passive: true}}\n\
         listenRanges: [{{prefix: {network}, peerGroup: near, remoteAs: [65002-65099], limit: 250}}]\n"
    );
    let file = world.write("1.yaml", &world.document(1, &rest))?;
    let socket = world.path("1.sock");
    let plain = bgpd(&socket, Some(&file));
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(plain.get_program()).args(plain.get_args());
    let mut first = Daemon::run(&world, 1, &mut limited).await?;
    // The client has its connection already.
    let held = (10..110).map(|host| connect_from(&world, host)).collect::<Result<Vec<_>>>()?;
    eventually("the listener has tried more than once", async || {
        let tries = first.log().matches("still cannot accept connections").count();
        ensure!(tries >= 2, "{tries}");
        Ok(())
    })
    .await?;
    assert_eq!(first.log().matches("cannot accept connections; trying again every second").count(), 1);
    drop(held);
    let mut stream = connect(&world)?;
    greet(&mut stream, 240)?;
    first.established(world.address(2)).await?;
    Ok(())
}
