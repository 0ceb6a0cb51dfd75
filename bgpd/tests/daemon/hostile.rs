//! Peers and watchers that misbehave, and what the others notice of it: nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bgpd_api::config::OriginatedRoute;
use bgpd_api::peer::SessionState;
use cairn_net::{Families, Prefix};
use socket2::{Domain, Socket, Type};

use crate::world::{PATIENCE, World, eventually};

/// Connects to the daemon of host 1 as host 2 would.
pub(crate) fn connect(world: &World) -> Result<TcpStream> {
    connect_from(world, 2)
}

/// Connects to the daemon of host 1 as this host.
pub(crate) fn connect_from(world: &World, host: u8) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(world.address(host), 0).into())?;
    socket.connect(&SocketAddr::new(world.address(1), world.port).into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).expect("a short message");
    [&[0xff; 16], &length.to_be_bytes()[..], &[kind], body].concat()
}

/// OPEN of AS 65002 with a hold time in seconds, four-octet AS and IPv4 unicast; then KEEPALIVE.
pub(crate) fn greet(stream: &mut impl Write, hold_time: u16) -> Result<()> {
    let capabilities = [&[1, 4, 0, 1, 0, 1][..], &[65, 4], &65002u32.to_be_bytes()].concat();
    let parameter = [&[2, u8::try_from(capabilities.len())?][..], &capabilities].concat();
    let mut body = vec![4];
    body.extend(65002u16.to_be_bytes());
    body.extend(hold_time.to_be_bytes());
    body.extend([10, 0, 0, 2, u8::try_from(parameter.len())?]);
    body.extend(parameter);
    stream.write_all(&message(1, &body))?;
    stream.write_all(&message(4, &[]))?;
    Ok(())
}

fn passive(world: &World) -> String {
    format!("neighbors:\n{}{}", world.neighbor(1, 2, ", passive: true"), world.neighbor(1, 3, ""))
}

#[tokio::test]
async fn a_peer_that_never_reads_delays_nobody() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &passive(&world)).await?;
    let mut third = world.start(3, &format!("neighbors:\n{}", world.neighbor(3, 1, ""))).await?;
    let mut deaf = connect(&world)?;
    greet(&mut deaf, 240)?;
    first.established(world.address(2)).await?;
    first.established(world.address(3)).await?;
    // Far more than the sockets between the two take.
    let routes: Vec<OriginatedRoute> = (0..60_000u32)
        .map(|number| {
            let [_, a, b, c] = (number << 4).to_be_bytes();
            let prefix = Prefix::new([10 + a, b, c & 0xf0, 0].into(), 28)
                .or(Prefix::new([10 + a, b, c, 0].into(), 28));
            OriginatedRoute { med: Some(number), ..OriginatedRoute::new(prefix.expect("no host bits")) }
        })
        .collect();
    let expected = routes.iter().map(|route| route.prefix).collect::<std::collections::BTreeSet<_>>().len();
    first.client.originate("test", routes, true).await?;
    eventually("the third has every route", async || {
        let peer = third.peer(world.address(1)).await?;
        ensure!(peer.families[0].accepted == expected as u64, "{} of {expected}", peer.families[0].accepted);
        Ok(())
    })
    .await?;
    assert_eq!(first.peer(world.address(2)).await?.state, SessionState::Established);
    drop(deaf);
    Ok(())
}

#[tokio::test]
async fn garbage_is_answered_with_a_notification() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &passive(&world)).await?;
    let mut stream = connect(&world)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let kinds: Vec<u8> = kinds(&answer).context("whole messages")?;
    assert_eq!(kinds.last(), Some(&3), "the last message is a NOTIFICATION: {kinds:?}");
    let peer = first.peer(world.address(2)).await?;
    assert!(peer.last_error.contains("Message Header Error"), "{}", peer.last_error);
    Ok(())
}

/// Types of the messages in a stream; `None` if it is cut.
fn kinds(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut kinds = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(u16::from_be_bytes([*bytes.get(16)?, *bytes.get(17)?]));
        kinds.push(*bytes.get(18)?);
        bytes = bytes.get(length..)?;
    }
    Some(kinds)
}

#[tokio::test]
async fn a_flood_of_updates_leaves_the_daemon_answering() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &passive(&world)).await?;
    let mut flood = connect(&world)?;
    greet(&mut flood, 240)?;
    first.established(world.address(2)).await?;
    let mut reader = flood.try_clone()?;
    let reads = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    // ORIGIN, AS_PATH 65002, NEXT_HOP 192.0.2.2; another prefix each time.
    let attributes =
        [&[0x40, 1, 1, 0, 0x40, 2, 6, 2, 1][..], &65002u32.to_be_bytes(), &[0x40, 3, 4, 192, 0, 2, 2]]
            .concat();
    let writes = std::thread::spawn(move || -> std::io::Result<()> {
        for number in 0..200_000u32 {
            let [_, a, b, c] = number.to_be_bytes();
            let mut body = vec![0, 0, 0, u8::try_from(attributes.len()).expect("short")];
            body.extend(&attributes);
            body.extend([32, 20, a, b, c]);
            flood.write_all(&message(2, &body))?;
        }
        flood.shutdown(std::net::Shutdown::Both)
    });
    let mut slowest = Duration::ZERO;
    while !writes.is_finished() {
        let begin = std::time::Instant::now();
        first.client.status().await?;
        slowest = slowest.max(begin.elapsed());
    }
    writes.join().expect("the writer does not panic")?;
    // The reader ends with the connection, however.
    drop(reads.join());
    assert!(slowest < Duration::from_secs(2), "an answer took {slowest:?}");
    Ok(())
}

#[tokio::test]
async fn a_watcher_that_does_not_read_costs_nobody_anything() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, "").await?;
    let lazy = first.client.watch_routes(Families::ALL).await?;
    for round in 0..50u32 {
        let routes = (0..2000u32).map(|number| {
            let [_, _, high, low] = number.to_be_bytes();
            OriginatedRoute {
                med: Some(round),
                ..OriginatedRoute::new(Prefix::host([10, 0, high, low].into()))
            }
        });
        first.client.originate("test", routes, true).await?;
    }
    let mut other = first.client.watch_routes(Families::ALL).await?;
    let (mut seen, mut ended) = (0, Families::NONE);
    while ended != Families::ALL {
        let update = other.next().await?.context("the stream goes on")?;
        seen += update.changes.len();
        ended = update.end_of_rib.iter().fold(ended, Families::with);
    }
    assert_eq!(seen, 2000);
    drop(lazy);
    Ok(())
}

#[tokio::test]
async fn a_stranger_is_refused_and_logged_once() -> Result<()> {
    let world = World::new()?;
    let first = world.start(1, "").await?;
    for _ in 0..3 {
        let mut stream = connect(&world)?;
        let mut answer = Vec::new();
        // A reset or a plain end: both are a refusal.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
    let line = "refused a connection: no neighbor with this address is configured";
    first.logs(line).await?;
    assert_eq!(first.log().matches(line).count(), 1);
    Ok(())
}

/// Lines of the log above debug that are about a peer.
fn lines(log: &str, peer: std::net::IpAddr) -> usize {
    let about = format!("peer={peer}");
    let loud = |line: &&str| [" WARN ", " INFO ", "ERROR "].iter().any(|level| line.contains(level));
    log.lines().filter(loud).filter(|line| line.contains(&about)).count()
}

const NO_MORE: &str = "further lines about this peer are left out for a minute";

#[tokio::test]
async fn a_peer_that_comes_and_goes_without_end_does_not_flood_the_log() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &passive(&world)).await?;
    let peer = world.address(2);
    for round in 0..60_u8 {
        let mut stream = connect(&world)?;
        // An OPEN of another version, of a reserved hold time, or a session that ends with garbage: other reasons each time.
        match round % 3 {
            0 => stream.write_all(&message(1, &[3, 0xfd, 0xea, 0, 90, 10, 0, 0, 2, 0]))?,
            1 => stream.write_all(&message(1, &[4, 0xfd, 0xea, 0, 1 + round % 2, 10, 0, 0, 2, 0]))?,
            _ => {
                greet(&mut stream, 240)?;
                stream.write_all(&[round; 19])?;
            }
        }
        // It is answered, and the connection ended; or refused, while others are about to end.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    first.logs(NO_MORE).await?;
    let view = first.peer(peer).await?;
    let log = first.log();
    assert!(view.counters.received.opens > 40, "{view:?}");
    assert!(lines(&log, peer) <= 22, "{} lines:\n{log}", lines(&log, peer));
    assert_eq!(log.matches(NO_MORE).count(), 1);
    Ok(())
}

#[tokio::test]
async fn malformed_updates_at_full_speed_do_not_flood_the_log() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &passive(&world)).await?;
    let peer = world.address(2);
    let mut stream = connect(&world)?;
    greet(&mut stream, 240)?;
    first.established(peer).await?;
    // ORIGIN 9 in each, of another prefix: treated as withdraw.
    let attributes =
        [&[0x40, 1, 1, 9, 0x40, 2, 6, 2, 1][..], &65002u32.to_be_bytes(), &[0x40, 3, 4, 192, 0, 2, 2]]
            .concat();
    for number in 0..20_000u16 {
        let [high, low] = number.to_be_bytes();
        let mut body = vec![0, 0, 0, u8::try_from(attributes.len())?];
        body.extend(&attributes);
        body.extend([32, 10, 1, high, low]);
        stream.write_all(&message(2, &body))?;
    }
    let view = eventually("all have come", async || {
        let view = first.peer(peer).await?;
        ensure!(view.counters.received.updates == 20_000, "{}", view.counters.received.updates);
        Ok(view)
    })
    .await?;
    assert_eq!((view.state, view.established_count), (SessionState::Established, 1));
    first.logs(NO_MORE).await?;
    let log = first.log();
    assert!(lines(&log, peer) <= 22, "{} lines", lines(&log, peer));
    Ok(())
}
