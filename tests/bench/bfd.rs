//! What BFD costs and how fast it is: CPU time of bgpd's thread `bfd` with 100 sessions that are up, at 300 ms and at 50 ms, and the time from
//! the other side's standstill (SIGSTOP) to Down, for every session.
//!
//! `cargo xtask bench bfd`. The last line is JSON.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bgpd_api::Client;
use bgpd_api::bfd::{BfdSession, BfdState};
use serde_json::json;

/// Sessions between the two daemons.
const SESSIONS: u8 = 100;
/// Milliseconds between packets.
const INTERVALS: [u64; 2] = [300, 50];
/// How long the thread is watched.
const WATCHED: Duration = Duration::from_secs(20);
/// How long the sessions may take to come up.
const SETTLES: Duration = Duration::from_secs(60);
/// The two namespaces.
const SIDES: [&str; 2] = ["cairn-bfd-a", "cairn-bfd-b"];

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let programs = std::env::var_os("CAIRN_BIN").context("run by cargo xtask bench bfd")?;
    let bgpd = Path::new(&programs).join("bgpd");
    let place = tempfile::tempdir()?;
    let _network = Network::up()?;
    let mut rows = Vec::new();
    println!(
        "{:>9} {:>9} {:>14} {:>12} {:>32}",
        "sessions", "interval", "CPU of thread", "wake-ups/s", "detection min / median / max"
    );
    for interval in INTERVALS {
        let a = Daemon::start(&bgpd, place.path(), 0, interval)?;
        let b = Daemon::start(&bgpd, place.path(), 1, interval)?;
        let row = runtime.block_on(measure(&a, &b, interval))?;
        println!(
            "{SESSIONS:>9} {:>9} {:>12.2} % {:>12.0} {:>32}",
            format!("{interval} ms"),
            row.cpu_percent,
            row.wakeups,
            format!("{} / {} / {} ms", row.detection[0], row.detection[1], row.detection[2])
        );
        rows.push(json!({
            "intervalMilliseconds": interval, "cpuPercent": row.cpu_percent, "wakeupsPerSecond": row.wakeups,
            "detectionMilliseconds": row.detection,
        }));
    }
    println!("{}", json!({ "bench": "bfd", "sessions": SESSIONS, "multiplier": 3, "rows": rows }));
    Ok(())
}

struct Row {
    /// Of one core.
    cpu_percent: f64,
    wakeups: f64,
    detection: [u128; 3],
}

async fn measure(a: &Daemon, b: &Daemon, interval: u64) -> Result<Row> {
    let deadline = Instant::now() + SETTLES;
    loop {
        let up = a
            .sessions()
            .await
            .unwrap_or_default()
            .iter()
            .filter(|session| is_settled(session, interval))
            .count();
        if up == usize::from(SESSIONS) {
            break;
        }
        ensure!(Instant::now() < deadline, "{up} of {SESSIONS} sessions are up; log: {}", a.log()?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = a.thread()?;
    tokio::time::sleep(WATCHED).await;
    let after = a.thread()?;
    // Asked before, so that the connection is there.
    let mut client = a.client().await?;
    let stopped = Instant::now();
    b.signal("STOP")?;
    tokio::time::sleep(Duration::from_millis(interval * 3 + 1000)).await;
    let asked = Instant::now();
    let mut detection = Vec::new();
    for session in sessions(&mut client).await? {
        let fall = session.history.iter().rev().find(|change| change.from == BfdState::Up);
        let fall = fall.with_context(|| format!("still up: {session:?}"))?;
        detection.push((asked - fall.age).duration_since(stopped).as_millis());
    }
    b.signal("CONT")?;
    detection.sort_unstable();
    let at = |index: usize| detection.get(index).copied().unwrap_or_default();
    Ok(Row {
        cpu_percent: (after.0 - before.0) / WATCHED.as_secs_f64() * 100.0,
        wakeups: (after.1 - before.1) / WATCHED.as_secs_f64(),
        detection: [at(0), at(detection.len() / 2), at(detection.len() - 1)],
    })
}

fn is_settled(session: &BfdSession, interval: u64) -> bool {
    session.local.state == BfdState::Up && session.transmit_interval == Duration::from_millis(interval)
}

async fn sessions(client: &mut Client) -> Result<Vec<BfdSession>> {
    let (mut all, mut stream) = (Vec::new(), client.list_bfd_sessions(None).await?);
    while let Some(page) = stream.next().await? {
        all.extend(page.sessions);
    }
    Ok(all)
}

/// Two namespaces with a link, and addresses for every session at both ends.
struct Network;

impl Network {
    fn up() -> Result<Self> {
        drop(Self);
        let network = Self;
        for side in SIDES {
            ip(&format!("netns add {side}"))?;
        }
        ip(&format!("link add name bfd0 netns {} type veth peer name bfd1 netns {}", SIDES[0], SIDES[1]))?;
        for (side, link) in SIDES.iter().zip(["bfd0", "bfd1"]) {
            ip(&format!("-n {side} link set {link} up"))?;
            let index = usize::from(link == "bfd1");
            for number in 1..=SESSIONS {
                ip(&format!("-n {side} address add {}/16 dev {link}", address(index, number)))?;
            }
        }
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for side in SIDES {
            // It may not be there.
            let _ = Command::new("ip").args(["netns", "delete", side]).stderr(Stdio::null()).status();
        }
    }
}

fn ip(line: &str) -> Result<()> {
    let status = Command::new("ip").args(line.split(' ')).status()?;
    if status.success() { Ok(()) } else { bail!("ip {line}: {status}") }
}

fn address(side: usize, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, if side == 0 { 1 } else { 2 }, number)
}

/// A bgpd in one of the namespaces; killed when dropped.
struct Daemon {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    fn start(bgpd: &Path, place: &Path, side: usize, interval: u64) -> Result<Self> {
        let mut document = format!(
            "routerId: 10.99.0.{}\nlocalAs: {}\npeerGroups:\n  all: {{remoteAs: {}, bfd: {{minTxInterval: {interval}, minRxInterval: {interval}}}}}\nneighbors:\n",
            side + 1,
            65001 + side,
            65002 - side,
        );
        for number in 1..=SESSIONS {
            writeln!(
                document,
                "  - {{address: {}, localAddress: {}, peerGroup: all, passive: {}}}",
                address(1 - side, number),
                address(side, number),
                side == 0
            )?;
        }
        let path = |ending: &str| place.join(format!("{side}-{interval}.{ending}"));
        std::fs::write(path("yaml"), document)?;
        let (socket, log) = (path("sock"), path("log"));
        let child = Command::new("ip")
            .args(["netns", "exec", SIDES[side]])
            .arg(bgpd)
            .arg("--socket")
            .arg(&socket)
            .arg("--config")
            .arg(path("yaml"))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { child, socket, log })
    }

    async fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.socket).await?)
    }

    async fn sessions(&self) -> Result<Vec<BfdSession>> {
        sessions(&mut self.client().await?).await
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// CPU seconds of the thread `bfd`, and how often it was woken. `ip netns exec` has become bgpd.
    fn thread(&self) -> Result<(f64, f64)> {
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let thread = thread?.path();
            if std::fs::read_to_string(thread.join("comm"))?.trim() != "bfd" {
                continue;
            }
            let schedule = std::fs::read_to_string(thread.join("schedstat"))?;
            let run: f64 = schedule.split(' ').next().unwrap_or_default().parse().context("schedstat")?;
            let status = std::fs::read_to_string(thread.join("status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            return Ok((run / 1e9, line.context("no voluntary_ctxt_switches")?.trim().parse()?));
        }
        bail!("there is no thread `bfd`: {}", self.log()?)
    }

    fn signal(&self, name: &str) -> Result<()> {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "kill -{name}: {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
