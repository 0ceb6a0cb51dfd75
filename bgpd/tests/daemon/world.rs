//! Starting daemons and waiting for what they should do.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bgpd_api::Client;
use bgpd_api::client::RouteQuery;
use bgpd_api::peer::{Peer, SessionState};
use bgpd_api::route::{Route, Table};
use tempfile::TempDir;

/// How long anything may take. The machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Addresses and files of one test.
pub(crate) struct World {
    directory: TempDir,
    network: [u8; 2],
    /// The BGP port of all daemons of the test.
    pub(crate) port: u16,
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let [_, _, high, low] =
            (std::process::id() * 32 + NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        // A port that was free a moment ago, on addresses that nobody else uses.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self { directory: tempfile::tempdir()?, network: [high, low], port })
    }

    /// An address of this test.
    pub(crate) fn address(&self, host: u8) -> IpAddr {
        let [high, low] = self.network;
        Ipv4Addr::new(127, high, low, host).into()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A document for the daemon at an address: AS 65000 plus the host number, and the given rest. Routes leave with a next hop that is
    /// acceptable to others, which an address of the loopback network is not.
    pub(crate) fn document(&self, host: u8, rest: &str) -> String {
        format!(
            "routerId: 10.0.0.{host}\nlocalAs: {}\nlisten: {{addresses: [{}], port: {}}}\n\
             timers: {{connectRetryTime: 1}}\n\
             filters:\n  out:\n    rules: [{{set: {{nextHop: 192.0.2.{host}}}, then: accept}}]\n{rest}",
            65000 + u32::from(host),
            self.address(host),
            self.port
        )
    }

    /// A neighbour's entry, with more options after a comma.
    pub(crate) fn neighbor(&self, local: u8, host: u8, more: &str) -> String {
        format!(
            "- {{address: {}, localAddress: {}, remoteAs: {}, import: accept-all, export: out{more}}}\n",
            self.address(host),
            self.address(local),
            65000 + u32::from(host),
        )
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts a daemon with a configuration file.
    pub(crate) async fn start(&self, host: u8, rest: &str) -> Result<Daemon> {
        let file = self.write(&format!("{host}.yaml"), &self.document(host, rest))?;
        Daemon::start(self, host, Some(&file)).await
    }
}

/// A daemon, killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) client: Client,
    pub(crate) socket: PathBuf,
    log: PathBuf,
}

/// The command line of a daemon.
pub(crate) fn bgpd(socket: &Path, config: Option<&Path>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bgpd"));
    command.arg("--socket").arg(socket).stdin(Stdio::null());
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command
}

impl Daemon {
    pub(crate) async fn start(world: &World, host: u8, config: Option<&Path>) -> Result<Self> {
        let socket = world.path(&format!("{host}.sock"));
        Self::run(world, host, &mut bgpd(&socket, config)).await
    }

    /// Starts the daemon by this command, which has to use the host's socket.
    pub(crate) async fn run(world: &World, host: u8, command: &mut Command) -> Result<Self> {
        let socket = world.path(&format!("{host}.sock"));
        let log = world.path(&format!("{host}.log"));
        let output = std::fs::File::options().create(true).append(true).open(&log)?;
        let child = command.args(["--log", "debug"]).stderr(output).spawn()?;
        // The kernel takes connections before the daemon has read its document; an answer comes once it runs.
        let client = eventually("the daemon answers", async || {
            let mut client = Client::connect(&socket).await?;
            client.status().await?;
            Ok(client)
        })
        .await;
        match client {
            Ok(client) => Ok(Self { child, client, socket, log }),
            Err(error) => bail!("{error:#}\n{}", std::fs::read_to_string(&log)?),
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) async fn peer(&mut self, address: IpAddr) -> Result<Peer> {
        let mut stream = self.client.list_peers(Some(address)).await?;
        stream.next().await?.context("the list has one peer")
    }

    pub(crate) async fn established(&mut self, address: IpAddr) -> Result<Peer> {
        let result = eventually("the session is established", async || {
            let peer = self.peer(address).await?;
            ensure!(peer.state == SessionState::Established, "{}: {}", peer.state, peer.last_error);
            Ok(peer)
        })
        .await;
        result.with_context(|| self.log())
    }

    pub(crate) async fn table(&mut self, table: Table) -> Result<Vec<Route>> {
        let (mut routes, mut stream) = (Vec::new(), self.client.list_routes(RouteQuery::all(table)).await?);
        while let Some(page) = stream.next().await? {
            routes.extend(page.0);
        }
        routes.sort_by_key(|route| route.prefix);
        Ok(routes)
    }

    /// Waits until the Loc-RIB has exactly these prefixes.
    pub(crate) async fn has(&mut self, prefixes: &[&str]) -> Result<()> {
        let result = eventually("the Loc-RIB is as expected", async || {
            let routes = self.table(Table::LocRib).await?;
            let found: Vec<String> = routes.iter().map(|route| route.prefix.to_string()).collect();
            ensure!(found == prefixes, "found {found:?}, expected {prefixes:?}");
            Ok(())
        })
        .await;
        result.with_context(|| self.log())
    }

    /// Waits until the log has a line with this text.
    pub(crate) async fn logs(&self, text: &str) -> Result<()> {
        let result = eventually("the log has the line", async || {
            ensure!(self.log().contains(text), "no {text:?}");
            Ok(())
        })
        .await;
        result.with_context(|| self.log())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args(["-s", name]).arg(self.child.id().to_string()).status()?;
        ensure!(status.success(), "kill -s {name}: {status}");
        Ok(())
    }

    /// Waits for the daemon's end.
    pub(crate) async fn ends(&mut self) -> Result<ExitStatus> {
        eventually("the daemon ends", async || self.child.try_wait()?.context("it still runs")).await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries until it succeeds or patience ends.
pub(crate) async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= end => {
                return Err(error.context(format!("not within {PATIENCE:?}: {what}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
