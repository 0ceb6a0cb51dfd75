//! What a session is made of: keys, ranges, limits, and peers that misuse it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bgpd_api::config::OriginatedRoute;
use bgpd_api::peer::SessionState;
use bgpd_api::route::Table;
use cairn_kernel::limit::raise_open_files;
use cairn_net::Prefix;

use crate::hostile::{connect, connect_from, greet, message};
use crate::metrics::{scrape, value};
use crate::world::{Daemon, World, bgpd, eventually};

/// A daemon that takes whoever connects from its network, with these words for the group.
async fn listening(world: &World, group: &str, limit: u32) -> Result<Daemon> {
    let network = Prefix::containing(world.address(0), 24).context("a network")?;
    world
        .start(
            1,
            &format!(
                "peerGroups:\n  near: {{import: accept-all, export: out{group}}}\n\
                 listenRanges: [{{prefix: {network}, peerGroup: near, remoteAs: [65002-65099], limit: {limit}}}]\n\
                 originate: [{{prefix: 10.1.0.0/24}}]\n"
            ),
        )
        .await
}

#[tokio::test]
async fn neighbors_of_a_range_come_and_go_and_change_their_password_without_a_flap() -> Result<()> {
    let world = World::new()?;
    let mut first = listening(&world, ", password: old", 2).await?;
    let words = |host| format!("neighbors:\n{}", world.neighbor(host, 1, ", password: old"));
    let mut second = world.start(2, &words(2)).await?;
    let third = world.start(3, &words(3)).await?;
    second.has(&["10.1.0.0/24"]).await?;
    first.established(world.address(2)).await?;
    first.established(world.address(3)).await?;
    // The limit is two.
    let mut fourth = world.start(4, &words(4)).await?;
    first.logs("the listen range has as many peers as its limit says").await?;
    assert_ne!(fourth.peer(world.address(1)).await?.state, SessionState::Established);
    // Both ends of the sessions change the password; the listener does, too.
    for host in [1, 2, 3] {
        let path = world.path(&format!("{host}.yaml"));
        let text = std::fs::read_to_string(&path)?.replace("password: old", "password: new");
        std::fs::write(&path, text)?;
    }
    first.logs("listenRange").await?;
    second.logs("password changed").await?;
    third.logs("password changed").await?;
    first.client.originate("test", [OriginatedRoute::new("10.9.0.0/24".parse()?)], false).await?;
    second.has(&["10.1.0.0/24", "10.9.0.0/24"]).await?;
    assert_eq!(second.established(world.address(1)).await?.established_count, 1);
    // One goes, and with it its neighbour.
    drop(third);
    let gone = world.address(3);
    eventually("the neighbor is gone", async || {
        ensure!(first.peer(gone).await.is_err(), "it is still there");
        Ok(())
    })
    .await
}

mod lacks_tcpao {
    use super::*;

    #[test]
    #[ignore = "needs a kernel without TCP-AO: run by cargo xtask test --tier lab where there is one"]
    fn tcp_ao_is_refused_by_name() -> Result<()> {
        let world = World::new()?;
        let words = ", tcpAo: [{sendId: 1, receiveId: 1, secret: x}]";
        let document = world.document(1, &format!("neighbors:\n{}", world.neighbor(1, 2, words)));
        let file = world.write("1.yaml", &document)?;
        let output = bgpd(&world.path("1.sock"), Some(&file)).output()?;
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr)?;
        let expected = format!("neighbor {}: tcpAo: 1 keys: this kernel has no TCP-AO", world.address(2));
        assert!(text.contains(&expected), "{text}");
        Ok(())
    }
}

mod needs_tcpao {
    use super::*;

    #[tokio::test]
    #[ignore = "needs a kernel with TCP-AO: run by cargo xtask test --tier lab where there is one"]
    async fn tcp_ao_signs_a_session_and_its_key_changes_under_it() -> Result<()> {
        let world = World::new()?;
        let key = |id: u8, secret: &str| format!("{{sendId: {id}, receiveId: {id}, secret: {secret}}}");
        let words = |keys: &str| format!(", tcpAo: [{keys}]");
        let one =
            |host, other| format!("neighbors:\n{}", world.neighbor(host, other, &words(&key(1, "one"))));
        let mut first = world.start(1, &one(1, 2)).await?;
        let mut second = world.start(2, &one(2, 1)).await?;
        first.established(world.address(2)).await?;
        for keys in [key(1, "one") + ", " + &key(2, "two"), key(2, "two")] {
            for host in [1, 2] {
                let path = world.path(&format!("{host}.yaml"));
                let text = std::fs::read_to_string(&path)?;
                let (head, rest) = text.split_once("tcpAo: [").context("keys")?;
                let (_, tail) = rest.split_once(']').context("the end of the keys")?;
                std::fs::write(&path, format!("{head}tcpAo: [{keys}]{tail}"))?;
            }
            first.logs("tcpAo changed").await?;
            second.logs("tcpAo changed").await?;
        }
        first.client.originate("test", [OriginatedRoute::new("10.9.0.0/24".parse()?)], false).await?;
        second.has(&["10.9.0.0/24"]).await?;
        assert_eq!(second.established(world.address(1)).await?.established_count, 1);
        Ok(())
    }
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_named() -> Result<()> {
    let world = World::new()?;
    let words = world.neighbor(1, 2, ", bindInterface: no-such-vrf");
    let mut first = world.start(1, &format!("neighbors:\n{words}")).await?;
    eventually("the fault is told", async || {
        let peer = first.peer(world.address(2)).await?;
        let expected = "no interface or VRF of this name exists; a VRF needs a kernel with CONFIG_NET_VRF";
        ensure!(peer.last_error.contains(expected), "{}", peer.last_error);
        Ok(())
    })
    .await
}

/// How many segments the kernel has dropped for their time to live.
fn dropped_for_ttl() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/net/netstat")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().context("names")?, lines.next().context("values")?);
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, value) = pairs.find(|(name, _)| *name == "TCPMinTTLDrop").context("TCPMinTTLDrop")?;
    Ok(value.parse()?)
}

/// GTSM (RFC 5082) drops what has gone through a router, or claims less than 255.
#[tokio::test]
async fn gtsm_lets_only_the_right_distance_through() -> Result<()> {
    let world = World::new()?;
    let words = |host, other| format!("neighbors:\n{}", world.neighbor(host, other, ", ttlSecurityHops: 1"));
    let mut first = world.start(1, &words(1, 2)).await?;
    // A neighbour without GTSM sends with TTL 1.
    let before = dropped_for_ttl()?;
    let far = world.start(2, &format!("neighbors:\n{}", world.neighbor(2, 1, ""))).await?;
    eventually("its segments are dropped", async || {
        ensure!(dropped_for_ttl()? > before, "not yet");
        Ok(())
    })
    .await?;
    // An OPEN may be there before the accepted socket is told what to drop; a KEEPALIVE that confirms ours never is.
    assert_eq!(first.peer(world.address(2)).await?.established_count, 0);
    drop(far);
    let _near = world.start(2, &words(2, 1)).await?;
    first.established(world.address(2)).await?;
    Ok(())
}

fn passive(world: &World, more: &str) -> String {
    let passive = format!(", passive: true{more}");
    format!(
        "neighbors:\n{}{}",
        world.neighbor(1, 2, &passive),
        world.neighbor(1, 3, ", timers: {holdTime: 9, keepaliveTime: 3}")
    )
}

/// RFC 9687, with a hold time of zero: nothing else would ever end the session.
#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up_after_the_send_hold_time() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &passive(&world, ", timers: {holdTime: 0, sendHoldTime: 2}")).await?;
    let mut deaf = connect(&world)?;
    greet(&mut deaf, 0)?;
    first.established(world.address(2)).await?;
    // Far more than the sockets between the two take.
    let routes: Vec<OriginatedRoute> = (0..200_000u32)
        .map(|number| {
            let [_, a, b, c] = number.to_be_bytes();
            OriginatedRoute { med: Some(number), ..OriginatedRoute::new(Prefix::host([10, a, b, c].into())) }
        })
        .collect();
    first.client.originate("test", routes, true).await?;
    eventually("the session is given up", async || {
        let peer = first.peer(world.address(2)).await?;
        ensure!(peer.last_error.contains("send hold time"), "{}: {}", peer.state, peer.last_error);
        Ok(())
    })
    .await?;
    drop(deaf);
    Ok(())
}

/// Resident memory of a daemon. Unit: KiB.
fn resident(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}

#[tokio::test]
async fn a_thousand_connections_cost_no_other_session_and_little_memory() -> Result<()> {
    raise_open_files()?;
    let world = World::new()?;
    let mut first = world.start(1, &passive(&world, "")).await?;
    let words = world.neighbor(3, 1, ", timers: {holdTime: 9, keepaliveTime: 3}");
    let _third = world.start(3, &format!("neighbors:\n{words}")).await?;
    first.established(world.address(3)).await?;
    let pid = first.client.status().await?.pid;
    let before = resident(pid)?;
    // From a neighbour, who may have two at a time, and from strangers, who may have none. All are held open.
    let mut held: Vec<TcpStream> = Vec::new();
    for round in 0..1000u32 {
        let host = if round % 2 == 0 { 2 } else { 200 };
        // The daemon may be quick to refuse.
        held.extend(connect_from(&world, host).ok());
        if let Some(stream) = held.last_mut().filter(|_| round % 10 == 0) {
            let _ = stream.write_all(&message(1, &[4, 0xfd, 0xea]));
        }
    }
    eventually("the connections are refused", async || {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        ensure!(open < 60, "{open} files are open");
        Ok(())
    })
    .await?;
    let grown = resident(pid)?.saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
    let peer = first.established(world.address(3)).await?;
    assert_eq!(peer.established_count, 1, "{}", first.log());
    drop(held);
    Ok(())
}

/// An UPDATE for one prefix with a MED of its own.
pub(crate) fn update(number: u32, prefix: [u8; 4]) -> Vec<u8> {
    let attributes = [
        &[0x40, 1, 1, 0, 0x40, 2, 6, 2, 1][..],
        &65002u32.to_be_bytes(),
        &[0x40, 3, 4, 192, 0, 2, 2, 0x80, 4, 4],
        &number.to_be_bytes(),
    ]
    .concat();
    let mut body = vec![0, 0, 0, u8::try_from(attributes.len()).expect("short")];
    body.extend(&attributes);
    body.push(32);
    body.extend(prefix);
    message(2, &body)
}

#[tokio::test]
async fn more_than_65536_attribute_sets_of_one_peer_are_forgotten_as_they_are_replaced() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &passive(&world, ", maxPrefixes: 1000")).await?;
    let words = world.neighbor(3, 1, ", timers: {holdTime: 9, keepaliveTime: 3}");
    let third = world.start(3, &format!("neighbors:\n{words}")).await?;
    first.established(world.address(3)).await?;
    let mut flood = connect(&world)?;
    greet(&mut flood, 240)?;
    first.established(world.address(2)).await?;
    let mut reader = flood.try_clone()?;
    let reads = std::thread::spawn(move || drop(std::io::copy(&mut reader, &mut std::io::sink())));
    let writes = std::thread::spawn(move || -> std::io::Result<TcpStream> {
        for number in 0..100_000u32 {
            let [_, _, _, low] = number.to_be_bytes();
            flood.write_all(&update(number, [20, 0, 0, low]))?;
        }
        flood.write_all(&update(7, [20, 0, 1, 0]))?;
        Ok(flood)
    });
    let mut most = 0;
    eventually("all is read", async || {
        let status = first.client.status().await?;
        most = most.max(status.attribute_sets);
        let routes = first.table(Table::AdjRibIn(world.address(2))).await?;
        ensure!(routes.len() == 257, "{} prefixes", routes.len());
        Ok(())
    })
    .await?;
    assert!(most < 5000, "{most} attribute sets were kept for 257 prefixes");
    assert_eq!(first.established(world.address(3)).await?.established_count, 1);
    // With a prefix for each set it is the limit of prefixes that bounds them.
    let flood = writes.join().expect("the writer does not panic")?;
    let mut again = flood.try_clone()?;
    let writes = std::thread::spawn(move || {
        for number in 0..70_000u32 {
            let [_, high, middle, low] = number.to_be_bytes();
            if again.write_all(&update(number, [30 + high, middle, low, 0])).is_err() {
                return;
            }
        }
    });
    eventually("the limit ends the session", async || {
        let peer = first.peer(world.address(2)).await?;
        ensure!(peer.last_error.contains("more than the 1000"), "{}: {}", peer.state, peer.last_error);
        Ok(())
    })
    .await?;
    assert!(first.client.status().await?.attribute_sets < 5000);
    assert_eq!(first.established(world.address(3)).await?.established_count, 1);
    let _ = flood.shutdown(std::net::Shutdown::Both);
    writes.join().expect("the writer does not panic");
    reads.join().expect("the reader does not panic");
    drop(third);
    Ok(())
}

#[tokio::test]
async fn a_peer_that_reads_a_little_at_a_time_gets_everything_and_delays_nobody() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &passive(&world, "")).await?;
    let words = world.neighbor(3, 1, ", timers: {holdTime: 9, keepaliveTime: 3}");
    let mut third = world.start(3, &format!("neighbors:\n{words}")).await?;
    let mut slow = connect(&world)?;
    greet(&mut slow, 240)?;
    first.established(world.address(2)).await?;
    let routes = (0..20_000u32).map(|number| {
        let [_, _, high, low] = number.to_be_bytes();
        OriginatedRoute { med: Some(number), ..OriginatedRoute::new(Prefix::host([10, 0, high, low].into())) }
    });
    first.client.originate("test", routes, true).await?;
    let reads = std::thread::spawn(move || -> std::io::Result<TcpStream> {
        let (mut total, mut some) = (0, [0; 1024]);
        // 20,000 messages of at least 50 octets.
        while total < 1_000_000 {
            total += slow.read(&mut some)?;
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(slow)
    });
    eventually("the third has every route", async || {
        let accepted = third.peer(world.address(1)).await?.families[0].accepted;
        ensure!(accepted == 20_000, "{accepted}");
        Ok(())
    })
    .await?;
    let slow = reads.join().expect("the reader does not panic")?;
    assert_eq!(first.peer(world.address(2)).await?.state, SessionState::Established);
    assert_eq!(third.established(world.address(1)).await?.established_count, 1);
    drop(slow);
    Ok(())
}

#[tokio::test]
async fn one_too_many_of_a_range_is_told_so_and_counted() -> Result<()> {
    // Cease / Connection Rejected (RFC 4486).
    let rejected = message(3, &[6, 5]);
    let world = World::new()?;
    let metrics = SocketAddr::new(world.address(1), 9179);
    let network = Prefix::containing(world.address(0), 24).context("a network")?;
    let words = format!(
        "metrics: {{listen: '{metrics}'}}\npeerGroups:\n  near: {{import: accept-all, export: out}}\n\
         listenRanges: [{{prefix: {network}, peerGroup: near, remoteAs: [65002-65099], limit: 1}}]\n"
    );
    let mut first = world.start(1, &words).await?;
    let second = world.start(2, &format!("neighbors:\n{}", world.neighbor(2, 1, ""))).await?;
    first.established(world.address(2)).await?;
    for round in 0..200 {
        let mut stream = connect_from(&world, 3)?;
        if round % 2 == 0 {
            // What it has to say is not read, and does not keep the answer from it.
            greet(&mut stream, 90)?;
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        ensure!(answer == rejected, "round {round}: {answer:?}");
    }
    let text = scrape(metrics).await?;
    assert_eq!(value(&text, "bgpd_connections_refused_total{reason=\"range_full\"}")?, 200.0);
    assert_eq!(value(&text, "bgpd_connections")?, 1.0);
    let told = first.log().matches("the listen range has as many peers as its limit says").count();
    assert_eq!(told, 1, "{}", first.log());
    // There is room when the one goes, of whom the log says which AS it was.
    drop(second);
    let third = world.start(3, &format!("neighbors:\n{}", world.neighbor(3, 1, ""))).await?;
    first.established(world.address(3)).await?;
    let log = first.log();
    let down = log.lines().find(|line| line.contains("peer is down")).context("no line about its end")?;
    ensure!(down.contains("remote_as=65002"), "{down}");
    drop(third);
    Ok(())
}
