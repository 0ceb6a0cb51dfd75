//! Limits of what a pod sends and is sent.

use anyhow::{Result, ensure};
use cairn_lab::lab::Families;
use cairn_lab::pod::Request;
use cairn_lab::probe::Amount;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::flow::{Server, words};
use crate::wait::eventually;
use crate::world::{PodOn, SETTLES, World, play};

/// Bits per second, to the pod and from it: far below what any machine does.
const INGRESS: u64 = 20_000_000;
const EGRESS: u64 = 40_000_000;
const SINK: u16 = 5001;

fn limited() -> Request {
    // As containerd writes it: nobody can ask Kubernetes for a burst, and it has to say something.
    let capabilities = json!({ "bandwidth": {
        "IngressRate": INGRESS, "IngressBurst": u32::MAX, "EgressRate": EGRESS, "EgressBurst": u32::MAX,
    } });
    let capabilities = capabilities.as_object().cloned().unwrap_or_default();
    Request { capabilities, ..Request::default() }
}

/// Bits per second that arrive from one pod at another, over each family.
fn rates(world: &World, from: &PodOn, to: &PodOn) -> Result<Vec<u64>> {
    let rate = |address| {
        let line = format!("cairn-lab probe flood {address} {SINK}");
        let output = world.exec_in(&from.node, Some(&from.pod.name), &words(&line))?;
        ensure!(output.success, "{line}: {}", output.text());
        let amount: Amount = serde_json::from_str(output.stdout.trim())?;
        Ok(amount.rate())
    };
    to.pod.addresses.iter().map(rate).collect()
}

fn is_near(rates: &[u64], limit: u64) -> Result<()> {
    let near = |rate: &u64| (limit * 70 / 100..=limit * 115 / 100).contains(rate);
    ensure!(rates.iter().all(near), "not 0.7 to 1.15 of {limit} bit/s: {rates:?}");
    Ok(())
}

fn count(world: &World, direction: &str) -> Result<usize> {
    let set = world.run("node3", &format!("nft list set inet cairn {direction}-limits"))?;
    Ok(set.matches("\"crn").count())
}

fn a_pod_sends_and_is_sent_what_its_limits_say(families: Families) -> Result<()> {
    play("two-racks", "bandwidth", families, |world| {
        let (near, far) = (world.pod("node3", "near")?, world.pod("node1", "far")?);
        let slow = world.pod_with("node3", "slow", &limited())?;
        let mut sinks = Vec::new();
        for pod in [&near, &far, &slow] {
            sinks.push(Server::start_probe(world, pod, "sink", SINK)?);
        }
        world.all_reach_all(&[near.clone(), far.clone(), slow.clone()])?;
        is_near(&rates(world, &far, &slow)?, INGRESS)?;
        is_near(&rates(world, &slow, &far)?, EGRESS)?;
        is_near(&rates(world, &near, &slow)?, INGRESS)?;
        let others = rates(world, &far, &near)?;
        ensure!(others.iter().all(|rate| *rate > 2 * EGRESS), "pods without limits are slow: {others:?}");

        // Whoever takes a limit away has it put back, and so does the next daemon.
        world.run("node3", "nft flush set inet cairn egress-limits")?;
        eventually(SETTLES, || {
            ensure!(count(world, "egress")? == 1, "the limit is gone");
            Ok(())
        })?;
        world.end_process("node3", "felix-lite", Signal::SIGKILL)?;
        is_near(&rates(world, &slow, &far)?, EGRESS)?;
        world.delete_pod("node3", "near")?;
        ensure!(
            (count(world, "ingress")?, count(world, "egress")?) == (1, 1),
            "another pod's end is none of its business"
        );
        world.delete_pod("node3", "slow")?;
        ensure!(
            (count(world, "ingress")?, count(world, "egress")?) == (0, 0),
            "limits of a pod that is gone"
        );
        let hooks = world.run("node3", "nft list chains inet")?;
        ensure!(!hooks.contains("egress-limit") && !hooks.contains("ingress-limit"), "{hooks}");
        Ok(())
    })
}

crate::scenario!(a_pod_sends_and_is_sent_what_its_limits_say);
