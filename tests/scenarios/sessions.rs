//! Sessions of bgpd with BIRD as its provider and FRRouting as its customer: listen ranges, another local AS, roles, long messages,
//! refreshes with marks, limits, passwords, and what the others are told when a session ends.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use bgpd_api::route::Table;
use cairn_lab::lab::Families;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// bgpd's document, with more options for the sessions with BIRD.
fn document(bird: &str) -> String {
    format!(
        r#"routerId: 10.20.0.3
localAs: 65300
timers: {{holdTime: 9, connectRetryTime: 1}}
originate:
  - prefix: 192.0.2.32/28
  - prefix: "2001:db8:3::/48"
peerGroups:
  all: {{import: accept-all, export: accept-all}}
  customers: {{import: accept-all, export: accept-all, role: provider, password: trail}}
  customers6: {{import: accept-all, export: accept-all, role: provider, roleStrict: true}}
listenRanges:
  - {{prefix: 10.20.2.0/24, peerGroup: customers, remoteAs: [65302-65309], limit: 3}}
  - {{prefix: "fd20:2::/64", peerGroup: customers6, remoteAs: [65302], limit: 3}}
neighbors:
  - {{address: 10.20.1.0, remoteAs: 65301, peerGroup: all, localAs: 65310, role: customer, roleStrict: true,
      password: stone, ttlSecurityHops: 1{bird}}}
  - {{address: "fd20:1::", remoteAs: 65301, peerGroup: all, localAs: 65310, localAsNoPrepend: true, localAsReplaceAs: true,
      role: customer, ttlSecurityHops: 1}}
"#
    )
}

/// Gives bgpd a document; it is taken up when the file changes.
pub(crate) fn configure(world: &World, text: &str) -> Result<()> {
    let mut command = world.command("cairn", None)?;
    command.args(["sh", "-c", "cat > /etc/cairn/bgpd.new && mv /etc/cairn/bgpd.new /etc/cairn/bgpd.yaml"]);
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("standard input is piped")?.write_all(text.as_bytes())?;
    ensure!(child.wait()?.success(), "cannot write the configuration");
    Ok(())
}

fn all_established(world: &World) -> Result<()> {
    for (node, sessions) in [("cairn", 4), ("bird", 2), ("frr", 2)] {
        world.await_sessions(node, sessions)?;
    }
    Ok(())
}

/// Waits until what a command prints holds all of the words.
fn says(world: &World, node: &str, line: &str, words: &[&str]) -> Result<()> {
    eventually(SETTLES, || {
        let text = world.run(node, line)?;
        for word in words {
            ensure!(text.contains(word), "`{line}` on {node} does not say `{word}`:\n{text}");
        }
        Ok(())
    })
    .map(|_| ())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn sessions_are_what_both_sides_agree_on() -> Result<()> {
    play("sessions", "agreed", Families::Dual, |world| {
        configure(world, &document(", passive: true"))?;
        all_established(world)?;
        // Passive: it is BIRD's connection that came to our port.
        let accepted = world.run("cairn", "ss -Htn state established sport = :179 and dst 10.20.1.0")?;
        ensure!(accepted.lines().count() == 1, "BIRD has not connected: {accepted}");
        let capabilities = ["Extended message", "Enhanced refresh", "Role: provider", "Role: customer"];
        says(world, "bird", "birdc show protocols all cairn", &capabilities)?;
        // Another AS towards BIRD: before our own, or instead of it.
        says(world, "bird", "birdc show route all 192.0.2.16/28", &["BGP.as_path: 65310 65300 65302"])?;
        says(world, "bird", "birdc show route all 2001:db8:2::/48", &["BGP.as_path: 65310 65302"])?;
        says(
            world,
            "frr",
            "vtysh -c 'show bgp ipv4 unicast 192.0.2.0/28'",
            &["65300 65310 65301", "otc 65301"],
        )?;
        says(world, "frr", "vtysh -c 'show bgp ipv6 unicast 2001:db8:1::/48'", &["65300 65301"])?;
        let frr = world.peers("cairn")?.into_iter().find(|peer| peer.address.to_string() == "10.20.2.0");
        let frr = frr.context("FRRouting is a neighbour of the listen range")?;
        ensure!(frr.remote_as.0 == 65302, "the AS is that of the OPEN: {frr:?}");
        // A new process goes on with all of them: FRRouting, of two listen ranges, is told nothing.
        let seen = |world: &World| -> Result<Vec<String>> {
            let text = world.run("frr", "vtysh -c 'show bgp neighbors json'")?;
            let neighbors: serde_json::Value = serde_json::from_str(&text)?;
            let told = |peer: &str| {
                let (neighbor, stats) = (&neighbors[peer], &neighbors[peer]["messageStats"]);
                let counts =
                    ["opensRecv", "notificationsRecv", "updatesRecv"].map(|name| stats[name].to_string());
                format!("{peer}: {} {} {counts:?}", neighbor["bgpState"], neighbor["connectionsEstablished"])
            };
            Ok(["10.20.2.1", "fd20:2::1"].map(told).to_vec())
        };
        let mut before = Vec::new();
        eventually(SETTLES, || {
            std::thread::sleep(std::time::Duration::from_secs(1));
            let now = seen(world)?;
            let same = now == before;
            before = now;
            ensure!(same, "FRRouting is still being told something: {before:?}");
            Ok(())
        })?;
        world.take_over("cairn", "/etc/cairn/bgpd.yaml")?;
        all_established(world)?;
        let after = seen(world)?;
        ensure!(after == before, "FRRouting has noticed: {before:?}, then {after:?}");
        // And they still go when they end.
        world.run(
            "frr",
            "vtysh -c 'configure terminal' -c 'router bgp 65302' -c 'neighbor 10.20.2.1 shutdown'",
        )?;
        eventually(SETTLES, || {
            let peers = world.peers("cairn")?;
            let there = peers.iter().any(|peer| peer.address.to_string() == "10.20.2.0");
            ensure!(
                !there && peers.len() == 3,
                "a neighbour of a range is kept without a session: {peers:?}"
            );
            Ok(())
        })?;
        a_long_message_reaches_bird(world)
    })
}

/// Announces as many prefixes at once as take 16000 octets. In messages of 4096 octets they would be four at least, so that fewer have a
/// longer one among them (RFC 8654).
fn a_long_message_reaches_bird(world: &World) -> Result<()> {
    const PREFIXES: u16 = 4000;
    let updates_sent = || -> Result<u64> {
        let peers = world.peers("cairn")?;
        let bird = peers.iter().find(|peer| peer.address.to_string() == "10.20.1.0").context("BIRD")?;
        Ok(bird.counters.updates_sent)
    };
    let prefixes: Vec<String> = (0..PREFIXES)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            format!("100.{}.{low}.0/24", 64 + high)
        })
        .collect();
    let before = updates_sent()?;
    world.run("cairn", &format!("cairnctl bgp originate {}", prefixes.join(" ")))?;
    says(
        world,
        "bird",
        "birdc show route table master4 where net ~ 100.64.0.0/10 count",
        &[&format!("{PREFIXES} of ")],
    )?;
    let messages = updates_sent()? - before;
    ensure!((1..=3).contains(&messages), "BIRD was sent {PREFIXES} prefixes in {messages} messages");
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_refresh_between_marks_loses_and_keeps_nothing_by_mistake() -> Result<()> {
    play("sessions", "marks", Families::Dual, |world| {
        configure(world, &document(""))?;
        all_established(world)?;
        let received = |world: &World| -> Result<usize> {
            Ok(world.table("cairn", Table::AdjRibIn("10.20.1.0".parse()?))?.len())
        };
        eventually(SETTLES, || {
            let routes = received(world)?;
            ensure!(routes == 2, "{routes} routes came from BIRD");
            Ok(())
        })?;
        let established: u64 = world.peers("cairn")?.iter().map(|peer| peer.established_count).sum();
        // Asked by us, then by them. Marks that are misunderstood end in an error, or in routes that are gone.
        world.soft_reset("cairn")?;
        world.run("bird", "birdc reload in cairn")?;
        world.run("frr", "vtysh -c 'clear bgp ipv4 unicast 10.20.2.1 soft in'")?;
        for (node, line, word) in [
            ("bird", "birdc show route 192.0.2.32/28", "192.0.2.32/28"),
            ("frr", "vtysh -c 'show bgp ipv4 unicast 192.0.2.32/28'", "192.0.2.32/28"),
        ] {
            says(world, node, line, &[word])?;
        }
        ensure!(received(world)? == 2, "a route of BIRD was lost");
        let stale = |world: &World| -> Result<u64> {
            Ok(world.peers("cairn")?.iter().flat_map(|peer| &peer.families).map(|part| part.stale).sum())
        };
        eventually(SETTLES, || {
            let stale = stale(world)?;
            ensure!(stale == 0, "{stale} routes still wait for the end of a refresh");
            Ok(())
        })?;
        let now: u64 = world.peers("cairn")?.iter().map(|peer| peer.established_count).sum();
        ensure!(now == established, "a session was made anew");
        Ok(())
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn the_other_side_is_told_why_a_session_ends() -> Result<()> {
    play("sessions", "told", Families::Dual, |world| {
        configure(world, &document(""))?;
        all_established(world)?;
        // RFC 9003, to both, with more octets than RFC 8203 had room for; a neighbour that is shut down stays down until it is enabled.
        let text = format!("moving racks{}", ", one after the other".repeat(11));
        world.run("cairn", &format!("cairnctl bgp neighbor 10.20.1.0 shutdown --message '{text}'"))?;
        says(world, "bird", "birdc show protocols all cairn", &[&text])?;
        world.run("cairn", "cairnctl bgp neighbor 10.20.2.0 reset --message 'new cable'")?;
        says(world, "frr", "vtysh -c 'show bgp neighbors 10.20.2.1'", &["Cease/Administrative Reset"])?;
        world.run("cairn", "cairnctl bgp neighbor 10.20.1.0 enable")?;
        all_established(world)?;
        // BIRD has two routes of IPv4: over the limit, told with the subcode of RFC 4486; then, with more room, again.
        configure(world, &document(", maxPrefixes: 1, maxPrefixesRestartTime: 2"))?;
        says(world, "bird", "birdc show protocols all cairn", &["Maximum number of prefixes reached"])?;
        configure(world, &document(", maxPrefixes: 2, maxPrefixesRestartTime: 2, maxPrefixesWarning: 50"))?;
        all_established(world)?;
        eventually(SETTLES, || {
            let log = world.log("cairn")?;
            ensure!(log.contains("2 ipv4 prefixes, near or beyond the limit of 2"), "no warning:\n{log}");
            Ok(())
        })?;
        // One too many of a listen range: FRRouting keeps its place, and BIRD, which the document names no more, is told why it has none.
        let text = document("");
        let (range, neighbor) = ("prefix: \"fd20:2::/64\"", "  - {address: \"fd20:1::\"");
        let (rest, _) = text.split_once(neighbor).context("BIRD over IPv6")?;
        ensure!(rest.contains(range), "the range of IPv6: {rest}");
        let narrow = rest
            .replace(range, "prefix: \"fd20::/16\"")
            .replace("[65302], limit: 3", "[65301, 65302], limit: 1");
        configure(world, &narrow)?;
        eventually(SETTLES, || {
            let peers = world.peers("cairn")?;
            let there = peers.iter().any(|peer| peer.address.to_string() == "fd20:1::");
            ensure!(!there, "the document is not in force yet");
            Ok(())
        })?;
        // It would wait for a minute.
        world.run("bird", "birdc restart cairn6")?;
        says(world, "bird", "birdc show protocols all cairn6", &["Received: Connection rejected"])?;
        eventually(SETTLES, || {
            let log = world.log("cairn")?;
            ensure!(
                log.contains("the listen range has as many peers as its limit says"),
                "it is not logged:\n{log}"
            );
            world.await_sessions("cairn", 3)
        })?;
        // A neighbour that the document no longer has; its password goes with it, but not before it is told.
        let (others, _) = text.split_once("neighbors:").context("neighbors")?;
        configure(world, others)?;
        says(world, "bird", "birdc show protocols all cairn", &["Received: Peer de-configured"])
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_session_bound_to_an_interface_comes_up_by_it_alone() -> Result<()> {
    play("sessions", "bound", Families::Dual, |world| {
        configure(world, &document(", bindInterface: frr"))?;
        // The wrong interface: neither our attempts nor BIRD's get through; the others do.
        eventually(SETTLES, || {
            let peers = world.peers("cairn")?;
            let up = |peer: &&bgpd_api::peer::Peer| peer.state.to_string() == "Established";
            let others = peers.iter().filter(up).count();
            ensure!(others == 3, "{others} sessions are established");
            let bird = peers.iter().find(|peer| peer.address.to_string() == "10.20.1.0").context("BIRD")?;
            ensure!(!up(&bird) && !bird.last_error.is_empty(), "{}: {}", bird.state, bird.last_error);
            Ok(())
        })?;
        configure(world, &document(", bindInterface: bird"))?;
        all_established(world)
    })
}
