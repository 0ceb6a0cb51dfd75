//! Routers around bgpd restart, and bgpd itself stays away: BIRD and FRRouting as speaker and as helper of graceful restart (RFC 4724),
//! its NOTIFICATIONs (RFC 8538) and its long-lived form (RFC 9494). Everything in both families over one session.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bgpd_api::config::Community;
use bgpd_api::peer::SessionState;
use bgpd_api::route::{Path, Route, Table};
use cairn_lab::lab::Families;
use nix::sys::signal::Signal;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// What bgpd originates, and what the others do; the second of a family is gone after their restart.
pub(crate) const OURS: [&str; 2] = ["192.0.2.64/28", "2001:db8:4::/48"];
pub(crate) const BIRDS: [&str; 2] = ["192.0.2.0/28", "2001:db8:1::/48"];
const BIRDS_ONCE: [&str; 2] = ["192.0.2.16/28", "2001:db8:11::/48"];
pub(crate) const FRRS: [&str; 2] = ["192.0.2.32/28", "2001:db8:2::/48"];
const FRRS_ONCE: [&str; 2] = ["192.0.2.48/28", "2001:db8:12::/48"];

/// A restart time that no test outlasts, and one that all do.
pub(crate) const LONG: u32 = 300;
const SHORT: u32 = 2;

/// An age that tells a route that was kept from one that was learned anew.
const OLD: Duration = Duration::from_secs(4);

fn start_bgpd(world: &World, restart_time: u32) -> Result<()> {
    let write = format!("sed s/RESTART_TIME/{restart_time}/ /etc/cairn/bgpd.yaml >/run/bgpd.yaml");
    let start = "bgpd --install-routes --config /run/bgpd.yaml >>/proc/1/fd/1 2>&1 &";
    world.run("cairn", &format!("sh -c '{write}; {start}'")).map(drop)
}

/// How BIRD is started.
pub(crate) struct Bird {
    restart_time: u32,
    long_lived: bool,
    /// It says that it has kept its forwarding state.
    recovers: bool,
    /// It still has the routes marked `once`.
    first: bool,
}

impl Bird {
    pub(crate) const FIRST: Self =
        Self { restart_time: LONG, long_lived: false, recovers: false, first: true };

    fn start(&self, world: &World) -> Result<()> {
        let long_lived = if self.long_lived { "on" } else { "off" };
        let once = if self.first { "" } else { "/once/d;" };
        let time = self.restart_time;
        let edit = format!("{once} s/RESTART_TIME/{time}/; s/LONG_LIVED/{long_lived}/");
        let flag = if self.recovers { "-R" } else { "" };
        let run = format!("bird -f {flag} -c /run/bird.conf >>/proc/1/fd/1 2>&1 &");
        let line = format!("mkdir -p /run/bird; sed \"{edit}\" /etc/bird/bird.conf >/run/bird.conf; {run}");
        world.run("bird", &format!("sh -c '{line}'")).map(drop)
    }
}

/// Starts FRRouting's bgpd (zebra runs all the time) and configures it.
fn start_frr(world: &World) -> Result<()> {
    if world.processes("frr", "bgpd")?.is_empty() {
        world.run("frr", "sh -c '/usr/lib/frr/bgpd -d -A 127.0.0.1 --log stdout >>/proc/1/fd/1 2>&1'")?;
    }
    eventually(SETTLES, || world.run("frr", "vtysh -f /etc/frr/bgpd.conf").map(drop)).map(drop)
}

pub(crate) fn all_start(world: &World, bird: &Bird, restart_time: u32) -> Result<()> {
    start_bgpd(world, restart_time)?;
    bird.start(world)?;
    // The image's own start comes first.
    eventually(SETTLES, || {
        let running = world.run("frr", "vtysh -c \"show running-config\"")?;
        ensure!(running.contains("ip route 192.0.2.48/28"), "FRRouting is not configured yet: {running}");
        Ok(())
    })?;
    start_frr(world)?;
    world.await_sessions("cairn", 2)?;
    eventually(SETTLES, || {
        has(world, &[BIRDS, BIRDS_ONCE, FRRS, FRRS_ONCE])?;
        is_known(world, "bird", &OURS)?;
        is_known(world, "frr", &OURS)
    })
    .map(drop)
}

/// Fails unless a router's kernel has routes to all of the prefixes.
pub(crate) fn is_known(world: &World, node: &str, prefixes: &[&str]) -> Result<()> {
    let table = world.run(node, "ip route show")? + &world.run(node, "ip -6 route show")?;
    for prefix in prefixes {
        let line = format!("{prefix} ");
        ensure!(table.lines().any(|found| found.starts_with(&line)), "{node} lacks {prefix}: {table}");
    }
    Ok(())
}

fn best(routes: &[Route], prefix: &str) -> Result<Path> {
    let route = routes.iter().find(|route| route.prefix.to_string() == prefix);
    let paths = route.with_context(|| format!("bgpd lacks {prefix}"))?.paths.iter();
    paths.into_iter().find(|path| path.best).cloned().with_context(|| format!("{prefix} has no best path"))
}

/// Fails unless bgpd and its kernel have all of the prefixes.
pub(crate) fn has(world: &World, prefixes: &[[&str; 2]]) -> Result<()> {
    let routes = world.table("cairn", Table::LocRib)?;
    for prefix in prefixes.iter().flatten() {
        best(&routes, prefix)?;
    }
    is_known(world, "cairn", &prefixes.concat())
}

/// Fails unless bgpd has forgotten all of the prefixes.
fn lacks(world: &World, prefixes: &[&str]) -> Result<()> {
    let routes = world.table("cairn", Table::LocRib)?;
    for prefix in prefixes {
        ensure!(best(&routes, prefix).is_err(), "{prefix} is still there");
    }
    Ok(())
}

/// Fails unless this holds for the best path of each prefix.
fn each(world: &World, prefixes: &[&str], what: &str, holds: impl Fn(&Path) -> bool) -> Result<()> {
    let routes = world.table("cairn", Table::LocRib)?;
    for prefix in prefixes {
        let path = best(&routes, prefix)?;
        ensure!(holds(&path), "{prefix} is not {what}: {path:?}");
    }
    Ok(())
}

fn is_long_lived(path: &Path) -> bool {
    path.attributes.communities.contains(&Community::Standard(0xffff_0006))
}

fn session_ends(world: &World, peer: &str) -> Result<()> {
    eventually(SETTLES, || {
        let peers = world.peers("cairn")?;
        let peer = peers.iter().find(|found| found.address.to_string() == peer).context("no such peer")?;
        ensure!(peer.state != SessionState::Established, "the session with {} is up", peer.address);
        Ok(())
    })
    .map(drop)
}

/// Waits for the session to be back while the routes stay; then what was not announced again goes.
fn comes_back(world: &World, kept: [&str; 2], once: [&str; 2]) -> Result<()> {
    eventually(SETTLES, || {
        if let Err(error) = has(world, &[kept]) {
            panic!("a route was lost during the restart: {error:#}");
        }
        each(world, &kept, "fresh", |path| !path.stale)?;
        lacks(world, &once)
    })?;
    each(world, &kept, "kept", |path| path.age >= OLD)?;
    world.await_sessions("cairn", 2)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn routes_of_a_restarting_router_stay_until_its_end_of_rib() -> Result<()> {
    play("restart", "helper", Families::Dual, |world| {
        all_start(world, &Bird::FIRST, LONG)?;
        let aged = |world: &World, prefixes: &[&str]| {
            eventually(SETTLES, || each(world, prefixes, "old enough", |path| path.age >= OLD)).map(drop)
        };
        aged(world, &[BIRDS, FRRS].concat())?;
        world.end_process("bird", "bird", Signal::SIGKILL)?;
        session_ends(world, "10.11.1.0")?;
        has(world, &[BIRDS, BIRDS_ONCE])?;
        each(world, &[BIRDS, BIRDS_ONCE].concat(), "stale", |path| path.stale)?;
        Bird { recovers: true, first: false, ..Bird::FIRST }.start(world)?;
        comes_back(world, BIRDS, BIRDS_ONCE)?;

        world.end_process("frr", "bgpd", Signal::SIGKILL)?;
        session_ends(world, "10.11.2.0")?;
        has(world, &[FRRS, FRRS_ONCE])?;
        each(world, &[FRRS, FRRS_ONCE].concat(), "stale", |path| path.stale)?;
        let [four, six] = FRRS_ONCE;
        let forget = format!("no ip route {four} Null0\" -c \"no ipv6 route {six} Null0");
        world.run("frr", &format!("vtysh -c \"configure terminal\" -c \"{forget}\""))?;
        start_frr(world)?;
        comes_back(world, FRRS, FRRS_ONCE)
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn installed_routes_are_repaired_and_adopted() -> Result<()> {
    const STRAYS: [&str; 2] = ["198.51.100.0/24", "2001:db8:99::/48"];
    let meddle = |world: &World, commands: &[String]| -> Result<()> {
        commands.iter().try_for_each(|command| world.run("cairn", command).map(drop))
    };
    let strays = STRAYS.map(|stray| format!("ip route add blackhole {stray} proto 202"));
    let is_right = |world: &World| {
        has(world, &[BIRDS, FRRS])?;
        let table = world.run("cairn", "ip route show")? + &world.run("cairn", "ip -6 route show")?;
        for prefix in [BIRDS, FRRS].as_flattened() {
            let line = table.lines().find(|line| line.contains(&format!("{prefix} ")));
            ensure!(line.is_some_and(|line| line.starts_with(prefix)), "{prefix} is dropped: {table}");
        }
        ensure!(!STRAYS.iter().any(|stray| table.contains(stray)), "a stray route is left: {table}");
        anyhow::Ok(())
    };
    play("restart", "installed", Families::Dual, |world| {
        all_start(world, &Bird::FIRST, LONG)?;
        // Lost, replaced by another protocol's, and foreign ones in our name.
        let lost = BIRDS.map(|prefix| format!("ip route del {prefix}"));
        let replaced = format!("ip route replace blackhole {}", FRRS[0]);
        meddle(world, &[lost.as_slice(), &[replaced], &strays].concat())?;
        eventually(SETTLES, || is_right(world))?;

        world.end_process("cairn", "bgpd", Signal::SIGKILL)?;
        is_known(world, "cairn", &[BIRDS, FRRS].concat())?;
        meddle(world, &strays)?;
        start_bgpd(world, LONG)?;
        world.await_sessions("cairn", 2)?;
        eventually(SETTLES, || {
            if let Err(error) = is_known(world, "cairn", &[BIRDS, FRRS].concat()) {
                panic!("a route was lost during the restart: {error:#}");
            }
            is_right(world)
        })
        .map(drop)
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_route_of_another_owner_that_was_there_first_stays_until_he_takes_it_away() -> Result<()> {
    let kernel = |world: &World, prefix: &str| {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        world.run("cairn", &format!("ip {family} route show {prefix}"))
    };
    let is_theirs = |world: &World| {
        for prefix in BIRDS {
            let found = kernel(world, prefix)?;
            let only = found.lines().count() == 1;
            ensure!(only && found.contains("dev lo") && found.contains("proto static"), "{prefix}: {found}");
        }
        anyhow::Ok(())
    };
    play("restart", "foreign", Families::Dual, |world| {
        // An operator's, where a learned one would be: with the metric of bgpd's, which IPv6 has by default.
        for prefix in BIRDS {
            world.run("cairn", &format!("ip route add {prefix} dev lo proto static"))?;
        }
        for (ip, id, prefix) in [("ip", 71, FRRS[0]), ("ip -6", 72, FRRS[1])] {
            world.run("cairn", &format!("{ip} nexthop add id {id} dev lo"))?;
            world.run("cairn", &format!("{ip} route add {prefix} nhid {id} proto static"))?;
        }
        all_start(world, &Bird::FIRST, LONG)?;
        for prefix in BIRDS {
            let line = format!("prefix={prefix} protocol=\"static\" interface=\"lo\"");
            eventually(SETTLES, || {
                let log = world.log("cairn")?;
                ensure!(log.contains(&line), "the log does not say whose {prefix} is: {log}");
                Ok(())
            })?;
        }
        is_theirs(world)?;
        waiting(world, 4)?;
        // A new path, and a new process, change nothing about it.
        world.run("bird", "birdc reload in all")?;
        world.take_over("cairn", "/run/bgpd.yaml")?;
        world.await_sessions("cairn", 2)?;
        eventually(SETTLES, || has(world, &[BIRDS_ONCE, FRRS]))?;
        is_theirs(world)?;
        for prefix in BIRDS {
            world.run("cairn", &format!("ip route del {prefix} proto static"))?;
        }
        let are_ours = |world: &World, prefixes: &[&str]| {
            for prefix in prefixes {
                let found = kernel(world, prefix)?;
                ensure!(found.contains("proto 202") && found.contains(" via "), "{prefix}: {found}");
            }
            anyhow::Ok(())
        };
        eventually(SETTLES, || are_ours(world, &BIRDS))?;

        // With a nexthop object its routes go, IPv4 ones without a word.
        waiting(world, 2)?;
        for id in [71, 72] {
            world.run("cairn", &format!("ip nexthop del id {id}"))?;
        }
        eventually(SETTLES, || are_ours(world, &FRRS))?;
        waiting(world, 0)?;

        // The kernel takes ours away with the interface's last address, and says nothing: who comes then has displaced nobody, and stays.
        for _ in 0..2 {
            let (address, add) =
                ("10.11.1.1/31 dev bird", format!("ip route add {} dev lo proto static", BIRDS[0]));
            world.run("cairn", &format!("sh -c 'ip addr del {address}; {add}; ip addr add {address}'"))?;
            waiting(world, 1)?;
            let found = kernel(world, BIRDS[0])?;
            ensure!(found.contains("proto static") && !found.contains("proto 202"), "{found}");
            world.run("cairn", &format!("ip route del {} proto static", BIRDS[0]))?;
            eventually(SETTLES, || are_ours(world, &BIRDS[..1]))?;
        }
        Ok(())
    })
}

/// So many learned routes wait for others.
fn waiting(world: &World, routes: usize) -> Result<()> {
    eventually(SETTLES, || {
        let scrape =
            "exec 3<>/dev/tcp/127.0.0.1/9179; printf \"GET /metrics HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3";
        let text = world.run("cairn", &format!("bash -c '{scrape}'"))?;
        let line = format!("bgpd_kernel_routes_waiting {routes}");
        ensure!(text.lines().any(|found| found == line), "{line} is not in {text}");
        Ok(())
    })
    .map(drop)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_router_that_lost_its_forwarding_state_is_believed() -> Result<()> {
    play("restart", "forwarding", Families::Dual, |world| {
        all_start(world, &Bird::FIRST, LONG)?;
        eventually(SETTLES, || each(world, &BIRDS, "old enough", |path| path.age >= OLD))?;
        let killed = Instant::now();
        world.end_process("bird", "bird", Signal::SIGKILL)?;
        session_ends(world, "10.11.1.0")?;
        each(world, &BIRDS, "stale", |path| path.stale)?;
        // Without -R it does not set the F bit: the stale routes go when the session is back, and are learned anew.
        Bird { first: false, ..Bird::FIRST }.start(world)?;
        eventually(SETTLES, || {
            each(world, &BIRDS, "learned anew", |path| {
                !path.stale && path.age < killed.elapsed() + Duration::from_secs(1)
            })?;
            lacks(world, &BIRDS_ONCE)
        })
        .map(drop)
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_router_that_stays_away_loses_its_routes_after_its_restart_time() -> Result<()> {
    play("restart", "away", Families::Dual, |world| {
        all_start(world, &Bird { restart_time: SHORT, ..Bird::FIRST }, LONG)?;
        world.end_process("bird", "bird", Signal::SIGKILL)?;
        eventually(SETTLES, || lacks(world, &[BIRDS, BIRDS_ONCE].concat()))?;
        has(world, &[FRRS])
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn long_lived_routes_are_the_last_resort_and_are_marked() -> Result<()> {
    play("restart", "long-lived", Families::Dual, |world| {
        let bird = Bird { restart_time: SHORT, long_lived: true, ..Bird::FIRST };
        all_start(world, &bird, LONG)?;
        world.end_process("bird", "bird", Signal::SIGKILL)?;
        eventually(SETTLES, || {
            each(world, &[BIRDS, BIRDS_ONCE].concat(), "long-lived", |path| {
                path.stale && is_long_lived(path)
            })?;
            for (family, prefix) in [("ipv4", BIRDS[0]), ("ipv6", BIRDS[1])] {
                let seen = world.run("frr", &format!("vtysh -c \"show bgp {family} unicast {prefix}\""))?;
                ensure!(seen.contains("llgr-stale"), "FRRouting is not told that {prefix} is stale: {seen}");
            }
            Ok(())
        })?;
        has(world, &[BIRDS, BIRDS_ONCE])?;
        Bird { recovers: true, first: false, ..bird }.start(world)?;
        eventually(SETTLES, || {
            if let Err(error) = has(world, &[BIRDS]) {
                panic!("a long-lived route was lost: {error:#}");
            }
            each(world, &BIRDS, "fresh", |path| !path.stale && !is_long_lived(path))?;
            lacks(world, &BIRDS_ONCE)
        })
        .map(drop)
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn routers_keep_bgpds_routes_for_long_if_it_asks() -> Result<()> {
    play("restart", "long-absence", Families::Dual, |world| {
        all_start(world, &Bird { long_lived: true, ..Bird::FIRST }, SHORT)?;
        world.end_process("cairn", "bgpd", Signal::SIGKILL)?;
        let bird = |world: &World| {
            let tables = OURS.map(|prefix| world.run("bird", &format!("birdc -r show route {prefix} all")));
            tables.into_iter().collect::<Result<String>>()
        };
        let frr = |world: &World| {
            let show = |family, prefix| {
                world.run("frr", &format!("vtysh -c \"show bgp {family} unicast {prefix}\""))
            };
            anyhow::Ok(show("ipv4", OURS[0])? + &show("ipv6", OURS[1])?)
        };
        eventually(SETTLES, || {
            let (bird, frr) = (bird(world)?, frr(world)?);
            ensure!(bird.matches("(65535,6)").count() == 2, "BIRD: {bird}");
            ensure!(frr.matches("llgr-stale").count() >= 2, "FRRouting: {frr}");
            Ok(())
        })?;
        is_known(world, "bird", &OURS)?;
        start_bgpd(world, SHORT)?;
        eventually(SETTLES, || {
            let (bird, frr) = (bird(world)?, frr(world)?);
            ensure!(!bird.contains("(65535,6)") && bird.contains("192.0.2.64/28"), "BIRD: {bird}");
            ensure!(!frr.contains("llgr-stale") && frr.contains("192.0.2.64/28"), "FRRouting: {frr}");
            Ok(())
        })?;
        is_known(world, "bird", &OURS)?;
        is_known(world, "frr", &OURS)
    })
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_notification_keeps_routes_and_a_hard_reset_does_not() -> Result<()> {
    play("restart", "notification", Families::Dual, |world| {
        all_start(world, &Bird::FIRST, LONG)?;
        eventually(SETTLES, || each(world, &FRRS, "old enough", |path| path.age >= OLD))?;
        let established = |world: &World| -> Result<u64> {
            let peers = world.peers("cairn")?;
            let frr = peers.iter().find(|peer| peer.description == "FRRouting").context("no such peer")?;
            Ok(frr.established_count)
        };
        let configure = |line: &str| {
            let commands = format!("-c \"configure terminal\" -c \"router bgp 65302\" -c \"{line}\"");
            world.run("frr", &format!("vtysh {commands}")).map(drop)
        };
        // Its NOTIFICATION is no hard reset: routes stay over the reset.
        configure("no bgp hard-administrative-reset")?;
        let count = established(world)?;
        world.run("frr", "vtysh -c \"clear bgp *\"")?;
        eventually(SETTLES, || {
            if let Err(error) = has(world, &[FRRS]) {
                panic!("a route was lost by a NOTIFICATION: {error:#}");
            }
            ensure!(established(world)? > count, "the session is not back");
            each(world, &FRRS, "fresh", |path| !path.stale)
        })?;
        each(world, &FRRS, "kept", |path| path.age >= OLD)?;

        configure("bgp hard-administrative-reset")?;
        configure("neighbor 10.11.2.1 shutdown message replacing the line card")?;
        eventually(SETTLES, || lacks(world, &FRRS))?;
        let log = world.log("cairn")?;
        ensure!(
            log.contains("Hard Reset: Cease / Administrative Shutdown: replacing the line card"),
            "the log does not say why:\n{log}"
        );
        Ok(())
    })
}
