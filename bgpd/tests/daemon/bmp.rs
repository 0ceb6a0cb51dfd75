//! BMP: a collector sees sessions and routes, and costs little when it does not read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bgpd_api::config::OriginatedRoute;
use bgpd_api::peer::SessionState;
use bgpd_api::route::Table;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::metrics::{scrape, value};
use crate::world::{Daemon, PATIENCE, World, eventually};

const ROUTE_MONITORING: u8 = 0;
const STATISTICS: u8 = 1;
const PEER_DOWN: u8 = 2;
const PEER_UP: u8 = 3;
const INITIATION: u8 = 4;
const TERMINATION: u8 = 5;

/// A collector's end of a connection.
struct Connection {
    stream: TcpStream,
    /// Everything that was read.
    bytes: Vec<u8>,
    /// Where the next message begins.
    place: usize,
}

impl Connection {
    async fn accept(listener: &TcpListener) -> Result<Self> {
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.context("nobody connects")??;
        Ok(Self { stream, bytes: Vec::new(), place: 0 })
    }

    /// The next message, its common header included; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let rest = &self.bytes[self.place..];
            if let Some(length) = rest.get(1..5) {
                let length = u32::from_be_bytes(length.try_into()?) as usize;
                ensure!(rest[0] == 3 && length >= 6, "not a BMP header: {:?}", &rest[..5]);
                if rest.len() >= length {
                    let message = rest[..length].to_vec();
                    self.place += length;
                    return Ok(Some(message));
                }
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await;
            if read.context("nothing comes")?? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads until a message fits; says how many of each type came until then.
    async fn until(&mut self, fits: impl Fn(&[u8]) -> bool) -> Result<BTreeMap<u8, usize>> {
        let mut counts = BTreeMap::new();
        loop {
            let message = self.next().await?.context("the connection ended")?;
            *counts.entry(message[5]).or_default() += 1;
            if fits(&message) {
                return Ok(counts);
            }
        }
    }
}

/// Is it route monitoring with these peer type and flags, whose UPDATE ends with these octets?
fn route(kind: u8, flags: u8, end: &'static [u8]) -> impl Fn(&[u8]) -> bool {
    move |message| {
        message[5] == ROUTE_MONITORING && message[6] == kind && message[7] == flags && message.ends_with(end)
    }
}

/// A prefix as the end of an UPDATE.
const LEARNED: &[u8] = &[24, 10, 2, 0];
const OWN: &[u8] = &[24, 10, 1, 0];
const LATER: &[u8] = &[24, 10, 9, 0];

async fn pair(world: &World, collector: SocketAddr, more: &str) -> Result<[Daemon; 2]> {
    let rest = format!(
        "bmp: [{{collector: '{collector}', postPolicy: true, adjRibOut: true{more}}}]\nneighbors:\n{}\
         originate: [{{prefix: 10.1.0.0/24}}]\n",
        world.neighbor(1, 2, "")
    );
    let mut first = world.start(1, &rest).await?;
    let rest = format!("neighbors:\n{}originate: [{{prefix: 10.2.0.0/24}}]\n", world.neighbor(2, 1, ""));
    let second = world.start(2, &rest).await?;
    first.has(&["10.1.0.0/24", "10.2.0.0/24"]).await?;
    Ok([first, second])
}

/// Runs what a collector can see of two daemons; gives everything it read.
async fn session(world: &World) -> Result<Vec<u8>> {
    let address = SocketAddr::new(world.address(9), 11019);
    let listener = TcpListener::bind(address).await?;
    let [first, mut second] = pair(world, address, ", statisticsTime: 1").await?;

    let mut connection = Connection::accept(&listener).await?;
    let begin = connection.until(route(0, 0, LEARNED)).await?;
    assert_eq!(begin.get(&INITIATION), Some(&1));
    assert!(begin.get(&PEER_UP) == Some(&2), "the Loc-RIB and the peer: {begin:?}");
    drop(connection);
    // It comes again, and everything is told anew: tables, then what changes.
    let mut connection = Connection::accept(&listener).await?;
    for (kind, flags, end) in [(3, 0, OWN), (0, 0, LEARNED), (0, 0x40, LEARNED), (0, 0x50, OWN)] {
        connection.place = 0;
        connection
            .until(route(kind, flags, end))
            .await
            .with_context(|| format!("{kind} {flags:x} {end:?}"))?;
    }
    second.client.originate("test", [OriginatedRoute::new("10.9.0.0/24".parse()?)], false).await?;
    for (kind, flags) in [(0, 0), (0, 0x40), (3, 0)] {
        connection.place = 0;
        connection.until(route(kind, flags, LATER)).await.with_context(|| format!("{kind} {flags:x}"))?;
    }
    connection.until(|message| message[5] == STATISTICS).await?;
    second.client.set_peer_enabled(world.address(1), false, "").await?;
    connection.until(|message| message[5] == PEER_DOWN && message[48] == 3).await?;
    first.signal("TERM")?;
    connection.until(|message| message[5] == TERMINATION).await?;
    assert!(connection.next().await?.is_none(), "nothing follows the end");
    Ok(connection.bytes)
}

#[tokio::test]
async fn a_collector_sees_sessions_tables_and_changes_and_is_found_again() -> Result<()> {
    session(&World::new()?).await?;
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_taken_out_of_the_document_is_left_with_a_word() -> Result<()> {
    let world = World::new()?;
    let address = SocketAddr::new(world.address(9), 11019);
    let listener = TcpListener::bind(address).await?;
    let [first, _second] = pair(&world, address, "").await?;
    let mut connection = Connection::accept(&listener).await?;
    connection.until(|message| message[5] == PEER_UP).await?;
    let path = world.path("1.yaml");
    let text = std::fs::read_to_string(&path)?;
    let without: String =
        text.lines().filter(|line| !line.starts_with("bmp:")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, without)?;
    connection.until(|message| message[5] == TERMINATION).await.with_context(|| first.log())?;
    assert!(connection.next().await?.is_none(), "nothing follows the end");
    Ok(())
}

/// A capture of one TCP connection in which the collector reads these bytes.
fn capture(bytes: &[u8]) -> Vec<u8> {
    const RAW_IP: u32 = 101;
    let mut file = Vec::new();
    // Magic number, version 2.4, time zone, accuracy, longest packet, link type.
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0x0004_0000, RAW_IP] {
        file.extend(word.to_le_bytes());
    }
    let (mut number, mut rest, mut sequence) = (0_u32, bytes, 1_u32);
    // A packet for each message, so that tshark has nothing to put together.
    while let Some([_, a, b, c, d]) = rest.first_chunk::<5>() {
        let (chunk, after) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        rest = after;
        let length = u16::try_from(40 + chunk.len()).unwrap_or_default();
        let mut packet = vec![0x45, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9]);
        packet.extend(50000_u16.to_be_bytes());
        packet.extend(11019_u16.to_be_bytes());
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(chunk);
        let captured = u32::from(length);
        for word in [number, 0, captured, captured] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
        number += 1;
        sequence += u32::try_from(chunk.len()).unwrap_or_default();
    }
    file
}

#[tokio::test]
#[ignore = "needs tshark (Debian: tshark)"]
async fn tshark_reads_what_a_collector_is_sent() -> Result<()> {
    let world = World::new()?;
    let path = world.path("bmp.pcap");
    std::fs::write(&path, capture(&session(&world).await?))?;
    let tshark = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("tshark")
            .args(["-n", "-d", "tcp.port==11019,bmp", "-r"])
            .arg(&path)
            .args(arguments)
            .output()
            .context("tshark")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(tshark(&["-Y", "_ws.malformed || _ws.expert.severity >= 8388608"])?, "");
    let types = tshark(&["-Y", "bmp", "-T", "fields", "-e", "bmp.type"])?;
    for kind in [ROUTE_MONITORING, STATISTICS, PEER_DOWN, PEER_UP, INITIATION, TERMINATION] {
        assert!(types.split([',', '\n']).any(|found| found == kind.to_string()), "{kind} in {types:?}");
    }
    let text = tshark(&["-V"])?;
    for expected in ["OPEN Message", "10.2.0.0/24", "10.9.0.0/24", "Loc-RIB", "NOTIFICATION Message"] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_collector_that_never_reads_is_reset_and_costs_nobody_anything() -> Result<()> {
    let world = World::new()?;
    let (address, metrics) =
        (SocketAddr::new(world.address(9), 11019), SocketAddr::new(world.address(1), 9179));
    let listener = TcpListener::bind(address).await?;
    let (mut deaf, _) = {
        let rest = format!(
            "bmp: [{{collector: '{address}', postPolicy: true, adjRibOut: true}}]\nmetrics: {{listen: '{metrics}'}}\nneighbors:\n{}",
            world.neighbor(1, 2, ", passive: true")
        );
        let first = world.start(1, &rest).await?;
        let accepted = timeout(PATIENCE, listener.accept()).await.with_context(|| first.log())??;
        (Deaf { daemon: first, stream: accepted.0 }, accepted.1)
    };
    let (first, peer) = (&mut deaf.daemon, world.address(2));
    let mut second = world.start(2, &format!("neighbors:\n{}", world.neighbor(2, 1, ""))).await?;
    first.established(peer).await?;
    // Each round is some 13 MB for a collector; its connection takes a few of them.
    let mut rounds = 0;
    while value(&scrape(metrics).await?, "bgpd_bmp_cut_off_total")? < 1.0 {
        ensure!(rounds < 30, "the collector is not cut off\n{}", first.log());
        let routes = (0..40_000u32).map(|number| {
            let [_, a, b, c] = number.to_be_bytes();
            let prefix = cairn_net::Prefix::host([10, 128 | a, b, c].into());
            OriginatedRoute { med: Some(number + rounds), ..OriginatedRoute::new(prefix) }
        });
        second.client.originate("test", routes, true).await?;
        rounds += 1;
        eventually("the round has come", async || {
            let learned = first.table(Table::LocRib).await?;
            let newest =
                learned.iter().flat_map(|route| &route.paths).filter_map(|path| path.attributes.med).max();
            ensure!(newest == Some(39_999 + rounds - 1), "{newest:?}");
            Ok(())
        })
        .await?;
        let waits = value(&scrape(metrics).await?, "bgpd_bmp_queue_bytes")?;
        ensure!(waits <= f64::from(32 << 20), "{waits} octets wait");
    }
    first.logs("BMP collector cut off: it reads too slowly").await?;
    let text = scrape(metrics).await?;
    assert!(value(&text, "bgpd_bmp_messages_dropped_total")? > 1000.0, "{text}");
    // Its connection is reset: reading ends with an error rather than with the end.
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, deaf.stream.read_to_end(&mut rest)).await.context("it is not reset")?;
    assert_eq!(ended.err().map(|error| error.kind()), Some(std::io::ErrorKind::ConnectionReset));
    // It may begin anew, and the neighbour has noticed nothing.
    Connection::accept(&listener).await?.until(|message| message[5] == INITIATION).await?;
    let view = first.peer(peer).await?;
    assert_eq!((view.state, view.established_count), (SessionState::Established, 1));
    Ok(())
}

/// A daemon, and the end of its connection that nobody reads.
struct Deaf {
    daemon: Daemon,
    stream: TcpStream,
}

#[tokio::test]
async fn a_stale_route_that_is_swept_is_told_as_withdrawn() -> Result<()> {
    let world = World::new()?;
    let address = SocketAddr::new(world.address(9), 11019);
    let listener = TcpListener::bind(address).await?;
    let [mut first, mut second] = pair(&world, address, "").await?;
    let mut connection = Connection::accept(&listener).await?;
    second.client.originate("test", [OriginatedRoute::new("10.9.0.0/24".parse()?)], false).await?;
    for flags in [0, 0x40] {
        connection.place = 0;
        connection.until(route(0, flags, LATER)).await.with_context(|| format!("{flags:x}"))?;
    }
    // It comes back without the route: no withdrawal is sent, its End-of-RIB means it.
    second.signal("KILL")?;
    second.ends().await?;
    connection.until(|message| message[5] == PEER_DOWN).await?;
    let begin = connection.place;
    drop(second);
    let document = world.path("2.yaml");
    let _second = Daemon::start(&world, 2, Some(&document)).await?;
    for flags in [0, 0x40] {
        connection.place = begin;
        connection.until(|message| message[5] == PEER_UP).await?;
        connection
            .until(route(0, flags, &[0, 4, 24, 10, 9, 0, 0, 0]))
            .await
            .with_context(|| format!("{flags:x}"))?;
    }
    first.has(&["10.1.0.0/24", "10.2.0.0/24"]).await?;
    Ok(())
}
