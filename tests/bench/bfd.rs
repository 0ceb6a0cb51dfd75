//! What BFD costs and how fast it is, by the number of sessions and their interval: CPU time of bgpd's thread `bfd` with all sessions up; how
//! many of them go down although nothing is wrong while busy loops want twice the machine's cores; and the time from the other side's
//! standstill (SIGSTOP) to Down, for every session.
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

/// Sessions between the two daemons, and milliseconds between packets.
const CASES: [(u8, u64); 4] = [(10, 300), (100, 300), (200, 300), (100, 50)];
/// Sessions at most.
const MOST: u8 = 200;
/// How long the thread is watched, and how long the machine is kept busy.
const WATCHED: Duration = Duration::from_secs(15);
/// How long the sessions may take to come up.
const SETTLES: Duration = Duration::from_secs(60);
/// Packets that may be lost in a row.
const MULTIPLIER: u64 = 3;
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
        "{:>9} {:>9} {:>14} {:>12} {:>14} {:>32}",
        "sessions", "interval", "CPU of thread", "wake-ups/s", "false alarms", "detection min / median / max"
    );
    for (count, interval) in CASES {
        let a = Daemon::start(&bgpd, place.path(), 0, (count, interval))?;
        let b = Daemon::start(&bgpd, place.path(), 1, (count, interval))?;
        let row = runtime.block_on(measure(&a, &b, (count, interval)))?;
        println!(
            "{count:>9} {:>9} {:>12.2} % {:>12.0} {:>14} {:>32}",
            format!("{interval} ms"),
            row.cpu_percent,
            row.wakeups,
            row.false_alarms,
            format!("{} / {} / {} ms", row.detection[0], row.detection[1], row.detection[2])
        );
        rows.push(json!({
            "sessions": count, "intervalMilliseconds": interval, "cpuPercent": row.cpu_percent,
            "wakeupsPerSecond": row.wakeups, "falseAlarms": row.false_alarms,
            "detectionMilliseconds": {"min": row.detection[0], "median": row.detection[1], "max": row.detection[2]},
        }));
    }
    println!(
        "{}",
        json!({ "bench": "bfd", "multiplier": MULTIPLIER, "loadedSeconds": WATCHED.as_secs(), "rows": rows })
    );
    Ok(())
}

struct Row {
    /// Of one core.
    cpu_percent: f64,
    wakeups: f64,
    /// Sessions of either side that left Up under load.
    false_alarms: u64,
    detection: [u128; 3],
}

async fn measure(a: &Daemon, b: &Daemon, (count, interval): (u8, u64)) -> Result<Row> {
    settled(a, (count, interval)).await?;
    let before = a.thread()?;
    tokio::time::sleep(WATCHED).await;
    let after = a.thread()?;
    let falls = async || -> Result<u64> {
        let sessions = [a.sessions().await?, b.sessions().await?].concat();
        Ok(sessions.iter().map(|session| session.down_count).sum())
    };
    let quiet = falls().await?;
    let load = Load::start()?;
    tokio::time::sleep(WATCHED).await;
    drop(load);
    let false_alarms = falls().await? - quiet;
    settled(a, (count, interval)).await?;
    // Asked before, so that the connection is there.
    let mut client = a.client().await?;
    let stopped = Instant::now();
    b.signal("STOP")?;
    tokio::time::sleep(Duration::from_millis(interval * MULTIPLIER + 1000)).await;
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
        false_alarms,
        detection: [at(0), at(detection.len() / 2), at(detection.len() - 1)],
    })
}

/// Waits until every session is up with its own interval.
async fn settled(a: &Daemon, (count, interval): (u8, u64)) -> Result<()> {
    let deadline = Instant::now() + SETTLES;
    loop {
        let up = a
            .sessions()
            .await
            .unwrap_or_default()
            .iter()
            .filter(|session| is_settled(session, interval))
            .count();
        if up == usize::from(count) {
            break;
        }
        ensure!(Instant::now() < deadline, "{up} of {count} sessions are up; log: {}", a.log()?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
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

/// Busy loops, twice as many as the machine has cores; they end when dropped.
struct Load(Vec<Child>);

impl Load {
    fn start() -> Result<Self> {
        let mut load = Self(Vec::new());
        for _ in 0..2 * std::thread::available_parallelism()?.get() {
            load.0.push(Command::new("sh").args(["-c", "while :; do :; done"]).spawn()?);
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It has nothing to save.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
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
            for number in 1..=MOST {
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
    fn start(bgpd: &Path, place: &Path, side: usize, (count, interval): (u8, u64)) -> Result<Self> {
        let mut document = format!(
            "routerId: 10.99.0.{}\nlocalAs: {}\npeerGroups:\n  all: {{remoteAs: {}, bfd: {{minTxInterval: {interval}, minRxInterval: {interval}}}}}\nneighbors:\n",
            side + 1,
            65001 + side,
            65002 - side,
        );
        for number in 1..=count {
            writeln!(
                document,
                "  - {{address: {}, localAddress: {}, peerGroup: all, passive: {}}}",
                address(1 - side, number),
                address(side, number),
                side == 0
            )?;
        }
        let path = |ending: &str| place.join(format!("{side}-{count}-{interval}.{ending}"));
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
