//! Links that lose, delay, repeat and reorder packets, links that flap, routers that forget: how long traffic suffers, measured by the
//! packets that are lost, and what it may cost at most by what is configured.
//!
//! Where instructions are translated the times of BFD are a few times longer, and the limits have more on top.

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bgpd_api::bfd::BfdState;
use cairn_lab::lab::Families;
use cairn_lab::probe::Report;

use crate::flow::words;
use crate::racks::SILENCE;
use crate::sessions::configure;
use crate::wait::{PATIENCE, eventually};
use crate::world::{SETTLES, World, play};

/// The server's addresses, and the prefixes that both ToRs announce for it.
const SERVER: [&str; 2] = ["192.0.2.1", "2001:db8:1::1"];
const PREFIXES: [&str; 2] = ["192.0.2.0/28", "2001:db8:1::/48"];
const BIRD: [&str; 2] = ["10.30.1.0", "fd30:1::"];
const FRR: [&str; 2] = ["10.30.2.0", "fd30:2::"];

/// Time between two echo requests: what a loss is counted in.
const PACE: Duration = Duration::from_millis(5);
/// More than any of this takes; the requests end when what happens is over.
const MOST_REQUESTS: u32 = 60_000;
/// The interval of BFD, of which three make a detection time.
const BFD_INTERVAL: Duration = Duration::from_millis(50);
const HOLD_TIME: Duration = Duration::from_secs(3);
/// What may come on top of a detection time: the routes of both families, and packets on their way.
const CHANGE: Duration = Duration::from_millis(50);
/// What may come on top of a hold time, which is counted by the other side's last KEEPALIVE.
const LATE: Duration = Duration::from_millis(500);
/// What a path that falls silent may cost with three times 50 ms: the detection time, the change of routes, and what else a machine does meanwhile.
const MOVED: Duration = Duration::from_millis(200);
/// How often that is tried at most: whoever else wants the processors at that moment makes it longer.
const ATTEMPTS: usize = 3;
/// What may come on top of either where instructions are translated.
const TRANSLATED: Duration = Duration::from_secs(2);

/// The interval of BFD that is configured.
fn bfd_interval() -> Duration {
    BFD_INTERVAL * *PATIENCE
}

/// bgpd's document: BFD with BIRD or none, and more routes of its own.
fn document(bfd: bool, more: &str) -> String {
    let interval = bfd_interval().as_millis();
    let bfd = match bfd {
        true => format!("bfd: {{minTxInterval: {interval}, minRxInterval: {interval}, multiplier: 3}}"),
        false => String::new(),
    };
    format!(
        r#"routerId: 10.30.0.4
localAs: 65304
timers: {{holdTime: {hold}, connectRetryTime: 1}}
originate:
  - prefix: 10.30.0.0/31
  - prefix: "fd30::/127"
{more}peerGroups:
  bird: {{remoteAs: 65301, import: accept-all, export: accept-all, {bfd}}}
  frr: {{remoteAs: 65302, import: accept-all, export: accept-all}}
neighbors:
  - {{address: 10.30.1.0, peerGroup: bird}}
  - {{address: "fd30:1::", peerGroup: bird}}
  - {{address: 10.30.2.0, peerGroup: frr}}
  - {{address: "fd30:2::", peerGroup: frr}}
"#,
        hold = HOLD_TIME.as_secs()
    )
}

/// Gives bgpd its document and waits until all sessions are up and traffic takes the way through BIRD.
fn begin(world: &World, bfd: bool) -> Result<()> {
    configure(world, &document(bfd, ""))?;
    all_up(world, bfd)
}

fn all_up(world: &World, bfd: bool) -> Result<()> {
    let wanted = if bfd { 2 } else { 0 };
    world.await_sessions("cairn", 4)?;
    eventually(SETTLES, || {
        let sessions = world.bfd_sessions("cairn")?;
        let up = sessions.iter().filter(|session| session.local.state == BfdState::Up && !session.polling);
        let up = up.count();
        ensure!(up == wanted && sessions.len() == wanted, "{up} of {wanted} BFD sessions: {sessions:#?}");
        Ok(())
    })?;
    await_way(world, &BIRD)
}

/// Fails unless the node's routes to the server lead to these gateways.
fn lead_to(world: &World, gateways: &[&str; 2]) -> Result<()> {
    for (prefix, gateway) in PREFIXES.iter().zip(gateways) {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        let text = world.run("cairn", &format!("ip {family} route show {prefix}"))?;
        let one = text.matches("via ").count() == 1 && text.contains(&format!("via {gateway} "));
        ensure!(one, "{prefix} does not lead to {gateway}: {text}");
    }
    Ok(())
}

/// Waits until the routes lead there.
fn await_way(world: &World, gateways: &[&str; 2]) -> Result<()> {
    eventually(SETTLES, || lead_to(world, gateways)).map(drop)
}

/// Echo requests from the client to the server over both families, while something happens.
struct Traffic(Vec<(&'static str, Child)>);

impl Traffic {
    /// Starts it and waits until answers come.
    fn start(world: &World) -> Result<Self> {
        let mut probes = Vec::new();
        for address in SERVER {
            let pace = PACE.as_millis();
            let line = format!(
                "cairn-lab probe ping {address} --count {MOST_REQUESTS} --interval {pace} --while-input"
            );
            let mut command = world.command("client", None)?;
            command.args(words(&line)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            probes.push((address, command.spawn()?));
        }
        let answers = |world: &World| -> Result<u64> {
            let text = world.run("client", "cat /sys/class/net/cairn/statistics/rx_packets")?;
            text.trim().parse().context("a number of packets")
        };
        let before = answers(world)?;
        eventually(SETTLES, || {
            let come = answers(world)? - before;
            ensure!(come > 40, "only {come} answers");
            Ok(())
        })?;
        Ok(Self(probes))
    }

    /// Ends it. Returns the time without answers, as lost packets tell: the longer one of the two families'.
    fn outage(self, what: &str) -> Result<Duration> {
        let mut longest = Duration::ZERO;
        for (address, mut probe) in self.0 {
            ensure!(probe.try_wait()?.is_none(), "{what}: traffic to {address} was over too early");
            // Closes its standard input, for which it waits, before its end is waited for.
            drop(probe.stdin.take());
            let output = probe.wait_with_output()?;
            let report = Report::parse(&String::from_utf8_lossy(&output.stdout))
                .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
            let lost = PACE * u32::try_from(report.lost())?;
            println!("{what}: {address}: {lost:?} without answers; {report:?}");
            longest = longest.max(lost);
        }
        Ok(longest)
    }
}

/// Fails if traffic suffered for longer than what is configured, and what comes on top of it.
fn within(what: &str, outage: Duration, configured: Duration, on_top: Duration) -> Result<()> {
    let on_top = if *PATIENCE == 1 { on_top } else { TRANSLATED };
    let limit = configured + on_top;
    ensure!(outage <= limit, "{what}: {outage:?} without answers, more than {configured:?} and {on_top:?}");
    Ok(())
}

/// Sets what the link towards a ToR does to packets that the node, or the ToR, sends.
fn disturb(world: &World, node: &str, link: &str, how: &str) -> Result<()> {
    world.run(node, &format!("tc qdisc replace dev {link} root netem {how}")).map(drop)
}

fn heal(world: &World, node: &str, link: &str) -> Result<()> {
    world.run(node, &format!("tc qdisc del dev {link} root")).map(drop)
}

/// The path through BIRD is lost in both directions and each link stays up. The hold time is 3 s: only BFD can be as fast.
#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn bfd_of_50_ms_moves_traffic_in_less_than_200_ms() -> Result<()> {
    play("faults", "faults-moved", Families::Dual, |world| {
        begin(world, true)?;
        let mut outages = Vec::new();
        for attempt in 1..=ATTEMPTS {
            let traffic = Traffic::start(world)?;
            world.run("bird", SILENCE)?;
            await_way(world, &FRR)?;
            let outage = traffic.outage(&format!("BIRD falls silent, attempt {attempt} of {ATTEMPTS}"))?;
            // With less than an interval, traffic had left before.
            if (bfd_interval()..MOVED * *PATIENCE).contains(&outage) {
                return Ok(());
            }
            outages.push(outage);
            world.run("bird", "nft delete table inet silence")?;
            all_up(world, true)?;
        }
        bail!("never between one interval and {:?} without answers: {outages:?}", MOVED * *PATIENCE)
    })
}

mod needs_netem {
    use super::{
        BIRD, CHANGE, Duration, FRR, Families, HOLD_TIME, LATE, Result, SETTLES, Traffic, all_up, await_way,
        begin, bfd_interval, configure, disturb, document, ensure, eventually, heal, lead_to, play, within,
    };

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn bfd_leaves_a_black_hole_in_a_fifth_of_a_second() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        play("faults", "faults-bfd", Families::Dual, |world| {
            begin(world, true)?;
            // Both directions; then only what the node sends, which it is told by the other side; then only what it receives. In each
            // case the link stays up. What comes back from the server takes the other way.
            for (what, ends) in [
                ("black hole", vec![("cairn", "bird"), ("bird", "cairn")]),
                ("black hole of what is sent", vec![("cairn", "bird")]),
                ("black hole of what is received", vec![("bird", "cairn")]),
            ] {
                let traffic = Traffic::start(world)?;
                for (node, link) in &ends {
                    disturb(world, node, link, "loss 100%")?;
                }
                await_way(world, &FRR)?;
                within(what, traffic.outage(what)?, bfd_interval() * 3, CHANGE)?;
                for (node, link) in ends {
                    heal(world, node, link)?;
                }
                all_up(world, true)?;
            }
            Ok(())
        })
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn the_hold_time_leaves_a_black_hole_without_bfd() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        play("faults", "faults-hold", Families::Dual, |world| {
            begin(world, false)?;
            let traffic = Traffic::start(world)?;
            disturb(world, "cairn", "bird", "loss 100%")?;
            disturb(world, "bird", "cairn", "loss 100%")?;
            await_way(world, &FRR)?;
            let outage = traffic.outage("black hole without BFD")?;
            within("black hole without BFD", outage, HOLD_TIME, LATE)?;
            // KEEPALIVEs come three times in a hold time: less than half of it was something else.
            ensure!(outage * 2 > HOLD_TIME, "{outage:?} without BFD");
            Ok(())
        })
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn a_bad_link_costs_time_and_no_route() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        play("faults", "faults-noise", Families::Dual, |world| {
            begin(world, false)?;
            let counts = || -> Result<Vec<u64>> {
                Ok(world.peers("cairn")?.iter().map(|peer| peer.established_count).collect())
            };
            let before = counts()?;
            for (node, link) in [("cairn", "bird"), ("bird", "cairn"), ("cairn", "frr"), ("frr", "cairn")] {
                disturb(world, node, link, "delay 20ms 10ms loss 3% duplicate 5% reorder 25% 50%")?;
            }
            // Each with attributes of its own, so that they take hundreds of packets.
            let more: String = (0..256)
                .map(|number| {
                    format!(
                        "  - {{prefix: 198.18.{number}.0/24, med: {number}}}\n  - {{prefix: \"2001:db8:ff:{number:x}::/64\", med: {number}}}\n"
                    )
                })
                .collect();
            configure(world, &document(false, &more))?;
            let all = |node: &str, four: &str, six: &str| -> Result<()> {
                let (four, six) = (world.run(node, four)?, world.run(node, six)?);
                let (four, six) = (four.matches("198.18.").count(), six.matches("2001:db8:ff:").count());
                ensure!(four >= 256 && six >= 256, "{node} has {four} and {six} of 256 routes each");
                Ok(())
            };
            let time = eventually(SETTLES, || {
                all(
                    "bird",
                    "birdc show route where net ~ 198.18.0.0/16",
                    "birdc show route where net ~ 2001:db8:ff::/48",
                )?;
                all("frr", "ip -4 route", "ip -6 route")
            })?;
            println!("512 routes over two bad links: {time:?}");
            ensure!(counts()? == before, "a session was made anew: {before:?}, {:?}", world.peers("cairn")?);
            lead_to(world, &BIRD)
        })
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn flaps_and_a_router_that_forgets_move_traffic_at_once() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        play("faults", "faults-flaps", Families::Dual, |world| {
            begin(world, true)?;
            let traffic = Traffic::start(world)?;
            for _ in 0..3 {
                world.run("bird", "ip link set cairn down")?;
                world.run("bird", "ip link set cairn up")?;
                world.run("bird", "ip address replace fd30:1::/127 dev cairn nodad")?;
            }
            all_up(world, true)?;
            // Each costs a detection time at most.
            within("three flaps", traffic.outage("three flaps")?, bfd_interval() * 3 * 3, LATE)?;
            // It withdraws everything; its sessions stay.
            let traffic = Traffic::start(world)?;
            world.run("bird", "birdc 'disable \"server*\"'")?;
            await_way(world, &FRR)?;
            within("forgotten routes", traffic.outage("forgotten routes")?, Duration::ZERO, CHANGE * 4)?;
            world.run("bird", "birdc 'enable \"server*\"'")?;
            await_way(world, &BIRD)
        })
    }
}
