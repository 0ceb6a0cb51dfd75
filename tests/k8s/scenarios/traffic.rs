//! Flows between pods that go on while something happens.

use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cairn_lab::probe::Report;

use crate::world::{Pod, World};

/// How long a flow goes on before and after what happens.
const MARGIN: Duration = Duration::from_millis(500);

/// The port of the container `echo`.
const ECHO: &str = "7000";

/// Echo requests, messages of one TCP connection, datagrams between two sockets.
const KINDS: [&str; 3] = ["ping", "stream", "datagrams"];

/// A probe that runs in a pod's network until it is told to stop. It is started from the node and not by way of API server, kubelet and
/// container runtime, any of which may be what ends.
struct Flow {
    name: String,
    child: Child,
}

impl Flow {
    fn start(world: &World, from: &Pod, space: &str, kind: &str, to: &IpAddr) -> Result<Self> {
        let mut command = world.cluster.lab().command(&from.node, None)?;
        command.args(["nsenter", &format!("--net={space}")]);
        command.args(["cairn-lab", "probe", kind, &to.to_string()]);
        command.args((kind != "ping").then_some(ECHO));
        command.args(["--count", "1000000", "--interval", "10", "--while-input"]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Self { name: format!("{kind} from {} ({}) to {to}", from.name, from.node), child })
    }

    fn finish(mut self) -> Result<Report> {
        drop(self.child.stdin.take());
        let output = self.child.wait_with_output()?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        Report::parse(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("{}: {error}", self.name))
    }
}

/// Does something while each pair of pods exchanges echo requests, messages of one TCP connection and datagrams, in each family, a hundred a
/// second of each. None may be lost.
pub(crate) fn goes_on_while(
    world: &World,
    pairs: &[(&Pod, &Pod)],
    body: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut flows = Vec::new();
    for (from, to) in pairs {
        let spaces = world.spaces(&from.node)?;
        let own = from.addresses.first().context("the pod has an address")?;
        let space =
            spaces.get(own).with_context(|| format!("{}: no namespace has {own}: {spaces:?}", from.node))?;
        for address in &to.addresses {
            for kind in KINDS {
                flows.push(Flow::start(world, from, space, kind, address)?);
            }
        }
    }
    sleep(MARGIN);
    let done = body();
    sleep(MARGIN);
    // All of them end, whatever one of them has to tell.
    let names: Vec<String> = flows.iter().map(|flow| flow.name.clone()).collect();
    let reports: Vec<Result<Report>> = flows.into_iter().map(Flow::finish).collect();
    done?;
    for (name, report) in names.iter().zip(reports) {
        let report = report?;
        let lost = report.lost();
        ensure!(report.sent > 20 && lost == 0 && report.error.is_none(), "{name}: {lost} lost: {report:?}");
        println!(
            "  {name}: {} of {} answered, {} ms at most",
            report.received,
            report.sent,
            report.max_us / 1000
        );
    }
    Ok(())
}
