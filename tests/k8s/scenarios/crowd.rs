//! As many pods as make a difference.

use std::net::IpAddr;

use anyhow::{Context, Result, anyhow, ensure};
use cairn_k8s::cluster::manifests;
use cairn_lab::probe::Seen;

use crate::world::{Pod, World};

/// Pods that `crowd.yaml` asks for, and the port that they tell on.
const PODS: usize = 60;
const TELL: &str = "7001";

/// Less than its share of a node: there may be other pods.
const LEAST: usize = 15;

pub(crate) fn sixty_pods_reach_each_other_and_names_are_answered_everywhere(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    cluster.apply_file(&manifests().join("crowd.yaml"))?;
    let checked = cluster.await_rollout("default", "deployment/crowd").and_then(|()| check(world));
    let gone = cluster.kubectl(&["delete", "deployment", "crowd", "--cascade=foreground", "--timeout=180s"]);
    checked?;
    gone.map(drop)
}

fn check(world: &World) -> Result<()> {
    let crowd = world.pods_of("app=crowd", PODS)?;
    for node in world.cluster.nodes() {
        let here = crowd.iter().filter(|pod| pod.node == node).count();
        ensure!(here >= LEAST, "{here} of {PODS} pods are on {node}");
    }
    let all: Vec<IpAddr> = crowd.iter().flat_map(|pod| pod.addresses.iter().copied()).collect();
    // Nodes take their turns side by side, the pods of each one after the other.
    std::thread::scope(|scope| {
        let nodes: Vec<_> = world
            .cluster
            .nodes()
            .into_iter()
            .map(|node| {
                let (crowd, all) = (&crowd, &all);
                scope.spawn(move || each_asks_all(world, node, crowd, all))
            })
            .collect();
        for node in nodes {
            node.join().map_err(|_| anyhow!("the thread of a node panicked"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let pods = world.pods()?;
    for pod in &pods {
        let answer = world.ask(pod, "probe.default.svc.cluster.local", 80, "hostname")?;
        ensure!(pods.iter().any(|other| other.name == answer), "{pod:?}: probe is answered by {answer}");
    }
    Ok(())
}

/// Each pod of a node asks all by which address they see it, in one run of the probe.
fn each_asks_all(world: &World, node: &str, crowd: &[Pod], all: &[IpAddr]) -> Result<()> {
    let spaces = world.spaces(node)?;
    for pod in crowd.iter().filter(|pod| pod.node == node) {
        let own = pod.addresses.first().with_context(|| format!("{pod:?} has no address"))?;
        let space = spaces.get(own).with_context(|| format!("{node}: no namespace has {own}: {spaces:?}"))?;
        let mut words = ["nsenter", &format!("--net={space}"), "cairn-lab", "probe", "ask-all", TELL]
            .map(str::to_owned)
            .to_vec();
        words.extend(all.iter().map(ToString::to_string));
        let output = world.cluster.lab().exec(node, &words)?;
        let seen = Seen::parse(&output.stdout).with_context(|| format!("{pod:?}: {}", output.stderr))?;
        ensure!(seen.failures.is_empty(), "{pod:?} does not reach {:?}", seen.failures);
        ensure!(seen.answers.len() == all.len(), "{pod:?} heard of {} of {}", seen.answers.len(), all.len());
        for (other, by) in &seen.answers {
            ensure!(pod.addresses.contains(by), "{pod:?} is seen as {by} by {other}");
        }
    }
    Ok(())
}
