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

/// The longest time that a TCP connection may be silent. A busy machine is allowed for: lost packets show in the echo requests.
const SILENCE: Duration = Duration::from_secs(1);

/// Splits a command line without quotes.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(ToOwned::to_owned).collect()
}

fn in_pod(world: &World, pod: &PodOn, line: &str) -> Result<Command> {
    let mut command = world.command(&pod.node, Some(&pod.pod.name))?;
    command.args(words(line)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// A TCP echo server in a pod; ends with its node, or when dropped.
pub(crate) struct Server(Child);

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(world: &World, pod: &PodOn, port: u16) -> Result<Self> {
        let child = in_pod(world, pod, &format!("cairn-lab probe serve {port}"))?.spawn()?;
        let server = Self(child);
        eventually(Duration::from_secs(5), || {
            let output = world.exec_in(&pod.node, Some(&pod.pod.name), &words("ss -Htln"))?;
            ensure!(output.stdout.contains(&format!(":{port} ")), "no listener: {}", output.text());
            Ok(())
        })?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process that enters the node is killed; what it started goes with the node.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Echo requests and a TCP connection from one pod to each address of another, for a given time.
pub(crate) struct Flows {
    probes: Vec<(String, Child)>,
    _server: Server,
}

impl Flows {
    /// Starts them.
    pub(crate) fn start(world: &World, from: &PodOn, to: &PodOn, time: Duration) -> Result<Self> {
        let server = Server::start(world, to, 7000)?;
        let time = u64::try_from(time.as_millis())?;
        let mut probes = Vec::new();
        for address in &to.pod.addresses {
            let [ping, stream] = [PING_INTERVAL, STREAM_INTERVAL].map(|each| each * u64::from(*PATIENCE));
            let (pings, messages) = (time / ping, time / stream);
            for line in [
                format!("cairn-lab probe ping {address} --count {pings} --interval {ping}"),
                format!("cairn-lab probe stream {address} 7000 --count {messages} --interval {stream}"),
            ] {
                let child = in_pod(world, from, &line)?.spawn()?;
                probes.push((line, child));
            }
        }
        Ok(Self { probes, _server: server })
    }

    /// Whether they still go on: what happened must have happened before they end.
    pub(crate) fn still_run(&mut self) -> Result<bool> {
        for (_, probe) in &mut self.probes {
            if probe.try_wait()?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits for their end; fails if a single packet was lost, or a connection was silent or broken.
    pub(crate) fn end_without_loss(self) -> Result<()> {
        self.end_with_at_most(0)
    }

    /// Waits for their end; fails if more echo requests than this percentage were lost, or a connection was silent or broken. The losses are
    /// printed.
    pub(crate) fn end_with_at_most(self, percent: u64) -> Result<()> {
        for (line, probe) in self.probes {
            let output = probe.wait_with_output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let report = Report::parse(&text)
                .with_context(|| format!("{line}: {}", String::from_utf8_lossy(&output.stderr)))?;
            println!("{line}: {report:?}");
            let allowed = report.sent * percent / 100;
            ensure!(report.error.is_none() && report.lost() <= allowed, "{line}: {report:?}");
            let longest = Duration::from_micros(report.max_us);
            ensure!(longest < SILENCE * *PATIENCE, "{line}: silent for {longest:?}: {report:?}");
        }
        Ok(())
    }
}
