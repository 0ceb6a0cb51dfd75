//! Established flows between pods, watched while something happens to the control plane.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cairn_lab::probe::Report;

use crate::wait::{PATIENCE, eventually};
use crate::world::{PodOn, World};

/// Milliseconds between two echo requests, and between two messages of a TCP connection; longer where instructions are translated, for what
/// queues up while such a machine stands still for a second or two must fit into sockets and backlogs.
const PING_INTERVAL: u64 = 2;
const STREAM_INTERVAL: u64 = 10;

/// More than are sent before a flow is ended.
const MOST: u64 = 1_000_000;

/// The longest time that a TCP connection may be silent. A busy machine is allowed for: lost packets show in the echo requests.
const SILENCE: Duration = Duration::from_secs(1);

/// Splits a command line without quotes.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(ToOwned::to_owned).collect()
}

fn in_pod(world: &World, pod: &PodOn, line: &str) -> Result<Command> {
    let mut command = world.command(&pod.node, Some(&pod.pod.name))?;
    command.args(words(line)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// A server in a pod, until it is dropped.
pub(crate) struct Server {
    _program: Kept,
}

impl Server {
    /// Starts one that echoes TCP, and waits until it listens.
    pub(crate) fn start(world: &World, pod: &PodOn, port: u16) -> Result<Self> {
        Self::start_probe(world, pod, "serve", port)
    }

    /// Starts a probe that listens on a port, and waits until it does.
    pub(crate) fn start_probe(world: &World, pod: &PodOn, probe: &str, port: u16) -> Result<Self> {
        let command = world.command(&pod.node, Some(&pod.pod.name))?;
        let program = Kept::start(command, &format!("cairn-lab probe {probe} {port}"))?;
        let server = Self { _program: program };
        eventually(Duration::from_secs(5), || {
            let output = world.exec_in(&pod.node, Some(&pod.pod.name), &words("ss -Htln"))?;
            ensure!(output.stdout.contains(&format!(":{port} ")), "no listener: {}", output.text());
            Ok(())
        })?;
        Ok(server)
    }
}

/// A program inside of a node that lasts until this is dropped. To kill the process that enters the node would leave it behind.
pub(crate) struct Kept(Child);

impl Kept {
    /// Starts it; `command` enters the node.
    pub(crate) fn start(mut command: Command, line: &str) -> Result<Self> {
        // Its own standard input is not ours, whose end is the sign.
        let script = format!("{line} </dev/null & read -r _; kill $!; wait");
        command.args(["sh", "-c", &script]);
        Ok(Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Echo requests and a TCP connection from one pod to each address of another, until they are ended.
pub(crate) struct Flows {
    probes: Vec<(String, Child)>,
    _server: Server,
}

impl Flows {
    /// Starts them, and waits until they run.
    pub(crate) fn start(world: &World, from: &PodOn, to: &PodOn) -> Result<Self> {
        Self::start_every(world, from, to, [PING_INTERVAL, STREAM_INTERVAL])
    }

    /// As [`Self::start`], with so few packets that those of some seconds fit into a queue of the kernel.
    pub(crate) fn start_sparse(world: &World, from: &PodOn, to: &PodOn) -> Result<Self> {
        Self::start_every(world, from, to, [PING_INTERVAL, STREAM_INTERVAL].map(|each| each * 10))
    }

    fn start_every(world: &World, from: &PodOn, to: &PodOn, intervals: [u64; 2]) -> Result<Self> {
        let server = Server::start(world, to, 7000)?;
        let mut probes = Vec::new();
        let [ping, stream] = intervals.map(|each| each * u64::from(*PATIENCE));
        for address in &to.pod.addresses {
            for line in [
                format!("cairn-lab probe ping {address} --while-input --count {MOST} --interval {ping}"),
                format!(
                    "cairn-lab probe stream {address} 7000 --while-input --count {MOST} --interval {stream}"
                ),
            ] {
                let child = in_pod(world, from, &line)?.spawn()?;
                probes.push((line, child));
            }
        }
        eventually(Duration::from_secs(30), || {
            let output =
                world.exec_in(&from.node, Some(&from.pod.name), &words("ss -Htn state established"))?;
            let streams = output.stdout.lines().filter(|line| line.contains(":7000")).count();
            ensure!(streams == to.pod.addresses.len(), "not every stream runs: {}", output.text());
            Ok(())
        })?;
        Ok(Self { probes, _server: server })
    }

    /// Ends them; fails if a single packet was lost, or a connection was silent or broken.
    pub(crate) fn end_without_loss(self) -> Result<()> {
        self.end_with_at_most(0)
    }

    /// Ends them; fails if more echo requests than this percentage were lost, or a connection was silent or broken. The losses are
    /// printed.
    pub(crate) fn end_with_at_most(mut self, percent: u64) -> Result<()> {
        self.probes.iter_mut().for_each(|(_, probe)| drop(probe.stdin.take()));
        for (line, probe) in self.probes {
            let output = probe.wait_with_output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let report = Report::parse(&text)
                .with_context(|| format!("{line}: {}", String::from_utf8_lossy(&output.stderr)))?;
            println!("{line}: {report:?}");
            let allowed = report.sent * percent / 100;
            ensure!(report.error.is_none() && report.received > 0, "{line}: {report:?}");
            ensure!(report.lost() <= allowed, "{line}: {report:?}");
            let longest = Duration::from_micros(report.max_us);
            ensure!(longest < SILENCE * *PATIENCE, "{line}: silent for {longest:?}: {report:?}");
        }
        Ok(())
    }
}
