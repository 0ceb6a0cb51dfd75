//! A node in a network namespace of its own with bgpd and felix-lite in it, its pods, and the two ways to call the plugin: by hand, as a
//! runtime would, and through `cnitool`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_net::Family;
use serde_json::{Value, json};

use crate::gotools;
use crate::lab::programs;

/// Pools of the node, by family.
const POOLS: [(Family, &str, &str); 2] =
    [(Family::Ipv4, "pods-v4", "10.244.0.0/16"), (Family::Ipv6, "pods-v6", "fd00:244::/48")];
/// The node's own addresses.
pub const NODE_ADDRESSES: [&str; 2] = ["192.0.2.1/24", "2001:db8::1/64"];
/// How long anything may take that normally takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// A namespace that is deleted when dropped.
#[derive(Debug)]
pub struct Netns {
    /// As in `ip netns`.
    pub name: String,
}

impl Netns {
    /// Makes a namespace.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn new(name: String) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let netns = Self { name };
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// What a runtime passes as `CNI_NETNS`.
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// A command inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` inside and returns what it prints.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments.split(' ')))
    }

    /// Runs a closure inside, on a thread of its own.
    ///
    /// # Errors
    /// The namespace is gone.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = fs::File::open(self.path())?;
        let inside = || {
            nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        };
        std::thread::scope(|scope| scope.spawn(inside).join().expect("the closure does not panic"))
    }

    /// Sends one echo request and waits at most a second for the reply.
    pub fn pings(&self, address: &str) -> bool {
        let mut ping = self.command("ping");
        ping.args(["-c1", "-W1", "-q", address]).stdout(Stdio::null()).stderr(Stdio::null());
        ping.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // Gone already if the test deleted it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).stderr(Stdio::null()).status();
    }
}

/// A pod's network namespace, and under which names the runtime knows it.
#[derive(Debug)]
pub struct Pod {
    /// Its network namespace.
    pub netns: Netns,
    /// `CNI_CONTAINERID`.
    pub container: String,
    /// Its namespace in Kubernetes; empty: it is of none, and the plugin is told of no pod.
    pub namespace: String,
}

/// The node.
#[derive(Debug)]
pub struct Node {
    /// The node's own namespace.
    pub netns: Netns,
    /// Everything of it on disk.
    pub dir: tempfile::TempDir,
    bgpd: Option<Child>,
    daemon: Option<Child>,
    pods: AtomicU32,
}

/// The families of a node's pools.
pub type Families<'a> = &'a [Family];

impl Node {
    /// A node whose name starts with `cni-`, its interface `up0`, its pools, and felix-lite ready for pods.
    ///
    /// # Errors
    /// felix-lite is not ready in time; its log is printed.
    pub fn start(name: &str, families: Families<'_>) -> Result<Self> {
        let mut node = Self::without_daemon(name, families)?;
        node.start_daemon()?;
        Ok(node)
    }

    /// As [`Node::start`], with bgpd, and without felix-lite.
    ///
    /// # Errors
    /// What `ip` says, or bgpd does not start.
    pub fn without_daemon(name: &str, families: Families<'_>) -> Result<Self> {
        let netns = Netns::new(format!("cni-{name}-{}", std::process::id()))?;
        netns.ip("link add up0 type veth peer name up1")?;
        for device in ["up0", "up1"] {
            netns.ip(&format!("link set {device} up"))?;
        }
        for address in NODE_ADDRESSES {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            netns.ip(&format!("addr add {address} dev up0{nodad}"))?;
        }
        let dir = tempfile::Builder::new().prefix("cairn-cni-").tempdir()?;
        let mut node = Self { netns, dir, bgpd: None, daemon: None, pods: AtomicU32::new(0) };
        node.write_store(families)?;
        fs::create_dir_all(node.path("run"))?;
        let log = fs::File::create(node.path("bgpd.log"))?;
        let mut bgpd = node.netns.command(programs()?.join("bgpd"));
        bgpd.arg("--socket").arg(node.path("run/bgpd.sock"));
        bgpd.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        node.bgpd = Some(bgpd.spawn().context("cannot start bgpd")?);
        Ok(node)
    }

    fn write_store(&self, families: Families<'_>) -> Result<()> {
        let addresses: Vec<Value> = NODE_ADDRESSES
            .iter()
            .map(|address| json!({ "type": "InternalIP", "address": address.split('/').next() }))
            .collect();
        self.put("nodes/node.yaml", &json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node" }, "status": { "addresses": addresses }
        }))?;
        for (_, name, cidr) in POOLS.iter().filter(|(family, ..)| families.contains(family)) {
            self.put(&format!("ippools/{name}.yaml"), &json!({
                "apiVersion": "cairn.network/v1alpha1", "kind": "IPPool", "metadata": { "name": name }, "spec": { "cidr": cidr }
            }))?;
        }
        Ok(())
    }

    /// Writes an object of the store; YAML is a superset of JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&self, path: &str, object: &Value) -> Result<()> {
        let path = self.store().join(path);
        fs::create_dir_all(path.parent().context("a file lies in a directory")?)?;
        Ok(fs::write(path, object.to_string())?)
    }

    /// Starts felix-lite and waits until it is ready.
    ///
    /// # Errors
    /// It is not ready in time; its log is printed.
    pub fn start_daemon(&mut self) -> Result<()> {
        self.spawn_daemon()?;
        if !eventually(|| self.status().is_ok_and(|answer| answer.is_ok())) {
            let log = fs::read_to_string(self.path("felix-lite.log")).unwrap_or_default();
            bail!("felix-lite is not ready within {} s:\n{log}", PATIENCE.as_secs());
        }
        Ok(())
    }

    /// Starts felix-lite.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn_daemon(&mut self) -> Result<()> {
        let log = fs::File::options().append(true).create(true).open(self.path("felix-lite.log"))?;
        let mut daemon = self.netns.command(programs()?.join("felix-lite"));
        daemon.arg("--node-name").arg("node");
        daemon.arg("--datastore").arg(format!("dir:{}", text(&self.store())));
        daemon.arg("--data-dir").arg(self.path("data"));
        daemon.arg("--cni-socket").arg(self.path("run/cni.sock"));
        daemon.arg("--bgpd-socket").arg(self.path("run/bgpd.sock"));
        daemon.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.daemon = Some(daemon.spawn().context("cannot start felix-lite")?);
        Ok(())
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kill_daemon(&mut self) -> Result<()> {
        end(self.daemon.take())
    }

    /// As [`Node::kill_daemon`], of bgpd.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kill_bgpd(&mut self) -> Result<()> {
        end(self.bgpd.take())
    }

    /// What the plugin answers to STATUS. The outer error is one of the test, the inner one the plugin's.
    ///
    /// # Errors
    /// See [`Node::plugin`].
    pub fn status(&self) -> Result<Result<Value, Value>> {
        self.plugin("STATUS", None, &self.configuration("1.1.0", &json!({})))
    }

    /// The daemon's process id, if it runs.
    pub fn daemon_pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// A pod that is not connected yet.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn pod(&self) -> Result<Pod> {
        let number = self.pods.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-p{number}", self.netns.name);
        Ok(Pod { netns: Netns::new(name.clone())?, container: name, namespace: String::new() })
    }

    /// A file or directory of the node.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// The plugin's configuration with more keys.
    pub fn configuration(&self, version: &str, keys: &Value) -> Value {
        let mut configuration = self.plugin_object(keys);
        configuration["cniVersion"] = version.into();
        configuration["name"] = "pods".into();
        configuration
    }

    fn plugin_object(&self, keys: &Value) -> Value {
        let mut object = json!({
            "type": "cairn-cni", "socket": self.path("run/cni.sock"), "spool": self.path("data/cni-del"),
        });
        if let (Value::Object(object), Value::Object(keys)) = (&mut object, keys) {
            object.extend(keys.clone());
        }
        object
    }

    /// Calls the plugin as a runtime does. The outer error is one of the test, the inner one the plugin's.
    ///
    /// # Errors
    /// The plugin cannot be run, or does not print JSON.
    pub fn plugin(
        &self,
        verb: &str,
        pod: Option<&Pod>,
        configuration: &Value,
    ) -> Result<Result<Value, Value>> {
        let mut plugin = self.netns.command(programs()?.join("cairn-cni"));
        plugin.env("CNI_COMMAND", verb).env("CNI_PATH", programs()?);
        if let Some(pod) = pod {
            plugin
                .env("CNI_CONTAINERID", &pod.container)
                .env("CNI_NETNS", pod.netns.path())
                .env("CNI_IFNAME", "eth0");
            if !pod.namespace.is_empty() {
                let args = format!("K8S_POD_NAMESPACE={};K8S_POD_NAME={}", pod.namespace, pod.container);
                plugin.env("CNI_ARGS", args);
            }
        }
        let output = with_stdin(&mut plugin, configuration.to_string().as_bytes())?;
        let json =
            if output.stdout.is_empty() { Value::Null } else { serde_json::from_slice(&output.stdout)? };
        Ok(if output.status.success() { Ok(json) } else { Err(json) })
    }

    /// ADD of a pod, which must succeed. Returns its addresses without lengths.
    ///
    /// # Errors
    /// ADD fails.
    pub fn add(&self, pod: &Pod) -> Result<Vec<String>> {
        match self.plugin("ADD", Some(pod), &self.configuration("1.1.0", &json!({})))? {
            Ok(result) => Ok(addresses(&result)),
            Err(error) => bail!("ADD of {}: {error}", pod.container),
        }
    }

    /// DEL of a pod, which must succeed.
    ///
    /// # Errors
    /// DEL fails.
    pub fn del(&self, pod: &Pod) -> Result<()> {
        match self.plugin("DEL", Some(pod), &self.configuration("1.1.0", &json!({})))? {
            Ok(_) => Ok(()),
            Err(error) => bail!("DEL of {}: {error}", pod.container),
        }
    }

    /// Writes a network configuration list for [`Node::cnitool`]: Cairn's plugin with more keys, and others behind it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn conflist(&self, name: &str, version: &str, keys: &Value, behind: &[Value]) -> Result<()> {
        let mut plugins = vec![self.plugin_object(keys)];
        plugins.extend_from_slice(behind);
        let list = json!({ "cniVersion": version, "name": name, "plugins": plugins });
        fs::create_dir_all(self.path("net.d"))?;
        Ok(fs::write(self.path("net.d").join(format!("{name}.conflist")), list.to_string())?)
    }

    /// Runs `cnitool VERB NETWORK NAMESPACE` and returns what it prints.
    ///
    /// # Errors
    /// What cnitool says.
    pub fn cnitool(&self, verb: &str, network: &str, pod: &Pod, capabilities: &Value) -> Result<String> {
        let tools = gotools::directory()?;
        let mut cnitool = self.netns.command(tools.join("cnitool"));
        cnitool.args([verb, network, &pod.netns.path()]);
        let path = std::env::join_paths([programs()?, tools])?;
        cnitool
            .env("CNI_PATH", path)
            .env("NETCONFPATH", self.path("net.d"))
            .env("CAP_ARGS", capabilities.to_string());
        run(&mut cnitool)
    }

    /// The workload interfaces that the kernel has.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn workload_interfaces(&self) -> Result<Vec<String>> {
        let links: Vec<Value> = serde_json::from_str(&self.netns.ip("-j link show")?)?;
        let names = links.iter().filter_map(|link| link["ifname"].as_str());
        Ok(names.filter(|name| name.starts_with("crn")).map(ToOwned::to_owned).collect())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.kill_daemon();
        let _ = self.kill_bgpd();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("felix-lite.log")).unwrap_or_default();
            eprintln!("--- felix-lite of {} ---\n{log}", self.netns.name);
        }
    }
}

fn end(process: Option<Child>) -> Result<()> {
    if let Some(mut process) = process {
        process.kill()?;
        process.wait()?;
    }
    Ok(())
}

/// The addresses of a result, without lengths.
pub fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().into_iter().flatten();
    ips.filter_map(|ip| ip["address"].as_str()?.split('/').next().map(ToOwned::to_owned)).collect()
}

/// Asks until the answer is yes, for a while.
pub fn eventually(mut question: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if question() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Runs a command that must succeed and returns what it prints.
///
/// # Errors
/// It fails; its standard error is the message.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?}: {stdout}{stderr}");
    Ok(stdout.into_owned())
}

fn with_stdin(command: &mut Command, input: &[u8]) -> Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("piped")?.write_all(input)?;
    Ok(child.wait_with_output()?)
}

/// A path as text.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}
