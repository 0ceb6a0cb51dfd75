//! What kubectl does with a pod, by way of API server and kubelet.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use cairn_k8s::cluster::CONTROL;
use cairn_lab::probe::Report;

use crate::world::{WEB, World};

pub(crate) fn exec_logs_and_port_forward_work(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    let (one, other) = (world.pod_on("node1")?, world.pod_on("node3")?);
    let address = other.addresses.first().context("the pod has an address")?.to_string();
    let ping = ["cairn-lab", "probe", "ping", &address, "--count", "3", "--interval", "20"];
    let mut words = vec!["exec", &one.name, "--container", "echo", "--"];
    words.extend(ping);
    let report = Report::parse(&cluster.kubectl(&words)?)?;
    ensure!(report.received == 3, "{report:?}");

    let log = cluster.kubectl(&["logs", &one.name, "--container", "echo"])?;
    ensure!(log.trim() == "listening", "{log}");

    let mut forward = cluster.lab().command(CONTROL, None)?;
    forward.args(["kubectl", "port-forward", &format!("pod/{}", other.name), &format!("18080:{WEB}")]);
    let mut forward = forward.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let answered = cluster.await_that("the forwarded port answers", || {
        let answer = world.fetch("http://127.0.0.1:18080/hostname")?;
        ensure!(answer == other.name, "{answer}");
        Ok(())
    });
    cluster.lab().end_process(CONTROL, "kubectl", nix::sys::signal::Signal::SIGTERM)?;
    forward.wait()?;
    answered
}
