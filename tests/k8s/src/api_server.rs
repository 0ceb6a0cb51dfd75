use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::pki::{Authority, Identity, TokenKeys};
use crate::program::Program;

/// How long a server may take until it is ready: four seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// etcd and kube-apiserver on loopback. Dropping it ends both and removes all they wrote.
pub struct ApiServer {
    directory: TempDir,
    authority: Authority,
    identity: Identity,
    token_keys: TokenKeys,
    admin: PathBuf,
    etcd: Process,
    etcd_port: u16,
    server: Option<Process>,
    port: u16,
}

/// A process that does not outlive its value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl ApiServer {
    /// Starts both, and waits until the API server is ready.
    ///
    /// # Errors
    /// A program that cannot be built, or does not become ready: with the end of its log.
    pub fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let authority = Authority::new(&directory.path().join("pki"))?;
        let [etcd_port, peer_port, port] = free_ports()?;
        let identity = authority.server("kube-apiserver", &["127.0.0.1", "localhost"])?;
        let admin_identity = authority.client("admin", "admin", Some("system:masters"))?;
        let admin = authority.kubeconfig("admin", &format!("https://127.0.0.1:{port}"), &admin_identity)?;
        let token_keys = authority.token_keys()?;
        let etcd = start_etcd(directory.path(), etcd_port, peer_port)?;
        let mut server =
            Self { directory, authority, identity, token_keys, admin, etcd, etcd_port, server: None, port };
        server.resume()?;
        Ok(server)
    }

    /// The kubeconfig file of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.admin
    }

    /// A kubeconfig file of whoever has a token.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn kubeconfig_of_token(&self, name: &str, token: &str) -> Result<PathBuf> {
        self.authority.kubeconfig_of_token(name, &self.url(), token)
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Kills the API server; etcd stays, and with it all objects.
    pub fn interrupt(&mut self) {
        self.server = None;
    }

    /// Starts the API server (again), and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready: with the end of its log.
    pub fn resume(&mut self) -> Result<()> {
        let log = self.directory.path().join("kube-apiserver.log");
        let key = |identity: &Identity| (identity.certificate.clone(), identity.key.clone());
        let (certificate, private) = key(&self.identity);
        let mut command = Command::new(Program::KubeApiserver.path()?);
        command
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port))
            .arg(format!("--secure-port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--authorization-mode=RBAC"])
            .args(["--service-cluster-ip-range=10.96.0.0/16", "--profiling=false", "--allow-privileged"])
            // Without a controller manager nobody makes the accounts that pods would have.
            .arg("--disable-admission-plugins=ServiceAccount")
            .arg("--service-account-issuer=https://kubernetes.default.svc.cluster.local")
            // So that a test sees a server forget versions.
            .arg("--etcd-compaction-interval=5s");
        for (flag, path) in [
            ("tls-cert-file", &certificate),
            ("tls-private-key-file", &private),
            ("client-ca-file", &self.authority.certificate()),
            ("service-account-key-file", &self.token_keys.public),
            ("service-account-signing-key-file", &self.token_keys.private),
            ("cert-dir", &self.directory.path().join("certs")),
        ] {
            command.arg(format!("--{flag}={}", path.display()));
        }
        self.server = Some(spawn(&mut command, &log)?);
        self.await_ready(&log)
    }

    /// It is ready once its last start-up hook ran: only then it has its own roles and namespaces.
    fn await_ready(&mut self, log: &Path) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            for process in self.server.iter_mut().chain([&mut self.etcd]) {
                if let Some(status) = process.0.try_wait()? {
                    bail!("it ended, {status}: {}", end_of(log));
                }
            }
            if self.is_ready() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("kube-apiserver was not ready within {} s: {}", PATIENCE.as_secs(), end_of(log))
    }

    fn is_ready(&self) -> bool {
        let url = format!("{}/readyz", self.url());
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--max-time", "2", "--cacert"]).arg(self.authority.certificate());
        curl.arg(url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

fn start_etcd(directory: &Path, port: u16, peer_port: u16) -> Result<Process> {
    let mut etcd = Command::new(Program::Etcd.path()?);
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    etcd.arg("--data-dir").arg(directory.join("etcd"));
    etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    etcd.args(["--initial-cluster", &format!("default={peer}")]);
    // What is written here is not worth a disk's flush.
    etcd.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    spawn(&mut etcd, &directory.join("etcd.log"))
}

fn spawn(command: &mut Command, log: &Path) -> Result<Process> {
    let file = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let name = command.get_program().to_owned();
    command.spawn().map(Process).with_context(|| format!("cannot start {}", name.display()))
}

/// Ports that nobody listens on at this moment.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        // Held until all are known, so that none is given twice.
        listeners.push(listener);
    }
    Ok(ports)
}

fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
