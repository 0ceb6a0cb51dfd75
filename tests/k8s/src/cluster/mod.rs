//! A real Kubernetes cluster on the lab's namespaces: `tests/topologies/kubernetes.clab.yml`, with the control plane as processes of one of its
//! nodes, and containerd, kubelet and kube-proxy on three others. The pod network is what is tested, so there is none until
//! [`Cluster::install_cairn`].
//!
//! All that a cluster leaves on the machine: the lab's nodes (see `cairn_lab`), control groups `cairn-k8s-<name>+<node>`, and the
//! directory `cairn-k8s/<name>` among the temporary files. [`Cluster::down_by_name`] finds and removes all of it.

mod cgroup;
mod control;
mod node;
mod process;
mod setup;
mod state;
mod topology;
mod traces;

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_lab::Lab;
use cairn_lab::lab::{Families, Options};
use cairn_lab::topology::check_name;
use serde_json::Value;

use crate::pki::Authority;
use crate::program::Program;

pub use control::{ACCOUNT, NODES};
pub use node::CONTAINERD;

/// The node of the lab that runs the control plane.
pub const CONTROL: &str = "control";

/// The nodes' group in the topology.
const WORKERS: &str = "worker";
/// That of machines which can become nodes: nothing runs there before.
const SPARES: &str = "spare";

/// How long parts of Kubernetes may take to become ready; seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    lab: Lab,
    state: PathBuf,
    families: Families,
    /// Programs that were started from here; they end with their node.
    children: Mutex<Vec<Child>>,
    /// Whether the cluster outlives the value.
    kept: bool,
}

impl Cluster {
    /// Brings a cluster without a pod network up: its nodes are registered, and not ready. One of the same name is taken down before.
    ///
    /// # Errors
    /// What did not start, with the end of its log; whatever was up by then is taken down again.
    pub fn up(name: &str, families: Families) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "a cluster makes network namespaces: run it as root");
        // Before the first build, which takes minutes.
        check_name(name)?;
        Program::prepare(&Program::OF_A_CLUSTER)?;
        Self::down_by_name(name)?;
        let state = state::make(name)?;
        let (cluster, authority) = Self::prepare(name, families, state).map_err(|error| {
            // There is no value yet whose end would remove what was made.
            match Self::down_by_name(name) {
                Ok(_) => error,
                Err(left) => error.context(format!("it is not down either: {left:#}")),
            }
        })?;
        cluster.start(&authority).map_err(|error| error.context(cluster.tails()))?;
        Ok(cluster)
    }

    /// Makes all that Kubernetes starts from: keys, directories, control groups, images, and the nodes.
    fn prepare(name: &str, families: Families, state: PathBuf) -> Result<(Self, Authority)> {
        let authority = Authority::new(&state.join("pki"))?;
        let topology = topology::load(&state)?;
        topology::make_directories(&state, &topology)?;
        for machine in topology::machines(&topology) {
            cgroup::make(name, machine)?;
        }
        setup::write_images(&state)?;
        let lab = Lab::up(topology, &Options { families, name: Some(name.to_owned()) })?;
        let cluster = Self { lab, state, families, children: Mutex::default(), kept: false };
        Ok((cluster, authority))
    }

    /// Finds a cluster that another process brought up.
    ///
    /// # Errors
    /// There is none.
    pub fn open(name: &str) -> Result<Self> {
        check_name(name)?;
        let lab = Lab::open(name)?;
        lab.process(CONTROL).with_context(|| format!("lab {name} is no cluster"))?;
        let dual = lab.topology().links.iter().flat_map(|link| &link.ends);
        let dual = dual.flat_map(|end| &end.addresses).any(|address| address.contains(':'));
        let families = if dual { Families::Dual } else { Families::Ipv4 };
        Ok(Self { lab, state: state::directory(name), families, children: Mutex::default(), kept: true })
    }

    /// Leaves the cluster running when the value goes.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// The lab that the cluster runs on.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The families of nodes, pods and Services.
    pub fn families(&self) -> Families {
        self.families
    }

    /// The names of the nodes that the cluster begins with.
    pub fn nodes(&self) -> Vec<&str> {
        topology::workers(self.lab.topology()).collect()
    }

    /// The kubeconfig file of the administrator; it names an address that the lab alone reaches.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("pki/admin.kubeconfig")
    }

    /// A node's own addresses, the IPv4 one first.
    ///
    /// # Errors
    /// The topology gives it none.
    pub fn addresses(&self, node: &str) -> Result<Vec<IpAddr>> {
        topology::addresses(self.lab.topology(), node)
    }

    fn start(&self, authority: &Authority) -> Result<()> {
        let nodes = self.nodes();
        std::thread::scope(|scope| {
            let runtimes: Vec<_> =
                nodes.iter().map(|node| scope.spawn(move || self.start_runtime(node))).collect();
            self.start_control_plane(authority)?;
            for machine in topology::machines(self.lab.topology()) {
                self.prepare_agents(authority, machine).with_context(|| format!("node {machine}"))?;
            }
            for (node, runtime) in nodes.iter().zip(runtimes) {
                match runtime.join() {
                    Ok(started) => started.with_context(|| format!("node {node}"))?,
                    Err(_) => bail!("node {node}: the thread that starts it panicked"),
                }
                self.start_agents(node)?;
            }
            Ok::<_, anyhow::Error>(())
        })?;
        self.apply_file(&manifests().join("coredns.yaml"))?;
        self.await_that("all nodes are registered", || {
            let nodes = self.json(&["get", "nodes"])?;
            let registered = nodes["items"].as_array().map_or(0, Vec::len);
            ensure!(registered == self.nodes().len(), "{registered} nodes are");
            Ok(())
        })
    }

    /// Starts a program in a node, which goes on until it is killed or its node ends; what it prints goes to a log of its own.
    /// Returns which of the started programs it is.
    fn spawn(&self, node: &str, words: &[String]) -> Result<usize> {
        use std::os::unix::process::CommandExt as _;
        let program = words.first().context("there is no program")?;
        let log = std::fs::File::options().create(true).append(true).open(self.log_path(node, program))?;
        let mut command = self.lab.command(node, None)?;
        command.args(words).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // The terminal's signals end the command line, not the cluster.
        let child = command.process_group(0).spawn().context("cannot start cairn-lab")?;
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.push(child);
        Ok(children.len() - 1)
    }

    /// Whether a program that was started ended.
    fn has_ended(&self, started: usize) -> bool {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.get_mut(started).is_some_and(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn log_path(&self, node: &str, program: &str) -> PathBuf {
        self.state.join("logs").join(format!("{node}.{program}.log"))
    }

    /// Runs kubectl as administrator, and returns what it prints.
    ///
    /// # Errors
    /// With kubectl's own words.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.kubectl_with(words, "")
    }

    /// As [`Cluster::kubectl`], with something to read.
    ///
    /// # Errors
    /// With kubectl's own words.
    pub fn kubectl_with(&self, words: &[&str], input: &str) -> Result<String> {
        let mut command = self.lab.command(CONTROL, None)?;
        command.arg("kubectl").args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start cairn-lab")?;
        if let Some(mut pipe) = child.stdin.take() {
            pipe.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            output.status.success(),
            "kubectl {}: {}{}",
            words.join(" "),
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }

    /// What kubectl prints as JSON.
    ///
    /// # Errors
    /// With kubectl's own words.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let mut words = words.to_vec();
        words.extend(["--output", "json"]);
        Ok(serde_json::from_str(&self.kubectl(&words)?)?)
    }

    /// Applies a file of manifests.
    ///
    /// # Errors
    /// With kubectl's own words.
    pub fn apply_file(&self, path: &Path) -> Result<()> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.apply(&text).with_context(|| path.display().to_string())
    }

    /// Applies manifests.
    ///
    /// # Errors
    /// With kubectl's own words.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        self.kubectl_with(&["apply", "--filename", "-"], manifests).map(drop)
    }

    /// Installs Cairn as a user does, from `deploy`, tells it of the ToRs and of pools, and waits until it is ready on every node.
    ///
    /// # Errors
    /// With kubectl's own words, or what does not become ready.
    pub fn install_cairn(&self) -> Result<()> {
        self.kubectl(&["apply", "--kustomize", topology::DEPLOY])?;
        let objects = match self.families {
            Families::Ipv4 => &["bgp.yaml", "pool-ipv4.yaml"][..],
            Families::Ipv6 => &["bgp.yaml", "pool-ipv6.yaml"],
            Families::Dual => &["bgp.yaml", "pool-ipv4.yaml", "pool-ipv6.yaml"],
        };
        for object in objects {
            let path = manifests().join(object);
            self.await_that("definitions that are new are served", || self.apply_file(&path))?;
        }
        for what in ["daemonset/cairn-node", "deployment/cairn-controller"] {
            self.await_rollout("cairn-system", what)?;
        }
        self.await_that("all nodes are ready", || {
            let unready = self.unready_nodes()?;
            ensure!(unready.is_empty(), "these are not: {unready:?}");
            Ok(())
        })?;
        self.await_rollout("kube-system", "deployment/coredns")
    }

    /// Deletes all that the API server has of Cairn. What nodes have of it stays there.
    ///
    /// # Errors
    /// With kubectl's own words, or what does not go in time.
    pub fn delete_cairn(&self) -> Result<()> {
        let patience = format!("--timeout={}s", PATIENCE.as_secs());
        self.kubectl(&["delete", "--kustomize", topology::DEPLOY, "--ignore-not-found", &patience]).map(drop)
    }

    /// The nodes whose condition `Ready` does not hold, with the reason.
    ///
    /// # Errors
    /// With kubectl's own words.
    pub fn unready_nodes(&self) -> Result<Vec<(String, String)>> {
        let nodes = self.json(&["get", "nodes"])?;
        let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
        let unready = nodes.iter().filter_map(|node| {
            let name = node["metadata"]["name"].as_str()?;
            let conditions = node["status"]["conditions"].as_array()?;
            let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
            let reason = ready["message"].as_str().unwrap_or_default();
            (ready["status"] != "True").then(|| (name.to_owned(), reason.to_owned()))
        });
        Ok(unready.collect())
    }

    /// Waits until a Deployment or DaemonSet runs as it is meant to.
    ///
    /// # Errors
    /// It does not in time.
    pub fn await_rollout(&self, namespace: &str, what: &str) -> Result<()> {
        let patience = format!("--timeout={}s", PATIENCE.as_secs());
        self.kubectl(&["--namespace", namespace, "rollout", "status", what, &patience]).map(drop)
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// It does not in time: why it did not the last time.
    pub fn await_that(&self, what: &str, mut holds: impl FnMut() -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match holds() {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("not within {} s: {what}", PATIENCE.as_secs())));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Ends every process of a cluster, also of one whose program was killed, and removes all it left. Returns how many nodes of the lab there were.
    ///
    /// # Errors
    /// Something does not end in time, the name is none, or the directory of all clusters is somebody else's.
    pub fn down_by_name(name: &str) -> Result<usize> {
        check_name(name)?;
        let ended = Lab::down_by_name(name)?;
        let groups = cgroup::remove(name);
        // There are keys in it: it goes also where a group does not.
        state::remove(name)?;
        groups?;
        Ok(ended)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let down = Self::down_by_name(self.lab.name());
        if let Err(error) = &down {
            eprintln!("cluster {} is not down: {error:#}", self.lab.name());
        }
        for child in self.children.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            // It ended with its node; this collects it. One whose node did not end could be waited for in vain.
            let _ = if down.is_ok() { child.wait().map(Some) } else { child.try_wait() };
        }
    }
}

/// The directory of the cluster's own manifests.
pub fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}
