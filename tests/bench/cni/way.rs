//! The ways to connect a pod.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cairn_lab::cni::node::{Netns, Node};
use cairn_lab::gotools;
use cairn_lab::lab::programs;
use cairn_net::Family;
use nix::sys::resource::UsageWho;
use serde_json::{Value, json};

use crate::floor::{InProcess, OneShot};
use crate::measure::{process_cpu, usage};

/// A pod before it is connected.
pub(crate) struct Pod {
    pub(crate) netns: Netns,
    pub(crate) container: String,
    /// A letter for the part of the benchmark.
    pub(crate) series: &'static str,
    /// Counts pods of a series, from 0.
    pub(crate) number: usize,
}

impl Pod {
    pub(crate) fn new(way: &str, series: &'static str, number: usize) -> Result<Self> {
        let container = format!("cni-bench-{}-{way}-{series}{number}", std::process::id());
        Ok(Self { netns: Netns::new(container.clone())?, container, series, number })
    }
}

/// How pods are connected.
pub(crate) trait Way: Sync {
    fn name(&self) -> &'static str;
    fn add(&self, pod: &Pod) -> Result<()>;
    fn del(&self, pod: &Pod) -> Result<()>;

    /// CPU time until now of what does the work, without a daemon: the processes that were started, with all that they started.
    fn cpu(&self) -> Result<Duration> {
        usage(UsageWho::RUSAGE_CHILDREN)
    }

    /// CPU time of the way's daemon until now.
    fn daemon_cpu(&self) -> Result<Duration> {
        Ok(Duration::ZERO)
    }

    /// Are all its interfaces gone from the node?
    fn is_clean(&self) -> bool {
        true
    }
}

/// All ways, the cheapest first.
pub(crate) fn all<'a>(
    node: &'a Node,
    plain: &'a Netns,
    families: &'a [Family],
) -> Result<Vec<Box<dyn Way + 'a>>> {
    let cairn = Cairn {
        node,
        program: programs()?.join("cairn-cni"),
        configuration: node.configuration("1.0.0", &json!({})),
    };
    Ok(vec![
        Box::new(InProcess::new(plain, families)?),
        Box::new(OneShot::new(plain, families)?),
        Box::new(cairn),
        Box::new(Ptp::new(plain, families)?),
    ])
}

/// Cairn's plugin and felix-lite.
struct Cairn<'a> {
    node: &'a Node,
    program: PathBuf,
    configuration: Value,
}

impl Way for Cairn<'_> {
    fn name(&self) -> &'static str {
        "cairn"
    }

    fn add(&self, pod: &Pod) -> Result<()> {
        plugin(Command::new(&self.program), "ADD", pod, &self.configuration)
    }

    fn del(&self, pod: &Pod) -> Result<()> {
        plugin(Command::new(&self.program), "DEL", pod, &self.configuration)
    }

    fn daemon_cpu(&self) -> Result<Duration> {
        process_cpu(self.node.daemon_pid().context("felix-lite runs")?)
    }

    fn is_clean(&self) -> bool {
        self.node.workload_interfaces().is_ok_and(|links| links.is_empty())
    }
}

/// The reference plugin `ptp` with `host-local`.
struct Ptp {
    tools: PathBuf,
    netns: String,
    configuration: Value,
    _state: tempfile::TempDir,
}

impl Ptp {
    fn new(netns: &Netns, families: &[Family]) -> Result<Self> {
        let state = tempfile::tempdir()?;
        let (mut ranges, mut routes) = (Vec::new(), Vec::new());
        for family in families {
            let (subnet, default) = match family {
                Family::Ipv4 => ("10.99.0.0/16", "0.0.0.0/0"),
                Family::Ipv6 => ("fd00:99::/112", "::/0"),
            };
            ranges.push(json!([{ "subnet": subnet }]));
            routes.push(json!({ "dst": default }));
        }
        let configuration = json!({
            "cniVersion": "1.0.0", "name": "ptp", "type": "ptp",
            "ipam": { "type": "host-local", "dataDir": state.path(), "ranges": ranges, "routes": routes },
        });
        Ok(Self { tools: gotools::directory()?, netns: netns.name.clone(), configuration, _state: state })
    }

    fn call(&self, verb: &str, pod: &Pod) -> Result<()> {
        let mut command = in_netns(&self.netns, self.tools.join("ptp"))?;
        command.env("CNI_PATH", &self.tools);
        plugin(command, verb, pod, &self.configuration)
    }
}

impl Way for Ptp {
    fn name(&self) -> &'static str {
        "ptp"
    }

    fn add(&self, pod: &Pod) -> Result<()> {
        self.call("ADD", pod)
    }

    fn del(&self, pod: &Pod) -> Result<()> {
        self.call("DEL", pod)
    }
}

/// A command that starts in a namespace, by moving this thread there for the moment of starting it.
pub(crate) fn in_netns(name: &str, program: PathBuf) -> Result<Command> {
    let netns = std::fs::File::open(format!("/run/netns/{name}"))?;
    nix::sched::setns(&netns, nix::sched::CloneFlags::CLONE_NEWNET)?;
    Ok(Command::new(program))
}

/// Runs a plugin as a runtime does.
fn plugin(mut command: Command, verb: &str, pod: &Pod, configuration: &Value) -> Result<()> {
    command.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", &pod.container).env("CNI_IFNAME", "eth0");
    command.env("CNI_NETNS", pod.netns.path());
    run(command, configuration.to_string().as_bytes())
}

/// Runs a process that must succeed.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    child.stdin.take().context("piped")?.write_all(input)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
