//! `cargo xtask cluster`, by the program that it forwards to.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cairn_lab::Lab;
use cairn_lab::lab::programs;

use crate::world::World;

/// Runs `cairn-k8s` for a cluster, and returns whether it succeeded and what it printed.
fn run(name: &str, words: &[&str]) -> Result<(bool, String)> {
    let program = programs()?.join("cairn-k8s");
    let mut command = Command::new(&program);
    command.args(words).args(["--name", name]).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot start {}", program.display()))?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((output.status.success(), text.concat()))
}

fn succeeds(name: &str, words: &[&str]) -> Result<String> {
    let (success, text) = run(name, words)?;
    ensure!(success, "{} failed: {text}", words.join(" "));
    Ok(text)
}

/// Each node has a line with this word in it.
fn shows(world: &World, text: &str, word: &str) -> Result<()> {
    for node in world.cluster.nodes() {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(node));
        let line = line.with_context(|| format!("no line of {node}: {text}"))?;
        ensure!(line.split_whitespace().nth(1) == Some(word), "{node} is not {word}: {line}");
    }
    Ok(())
}

/// No process, no directory and no name of a cluster is left.
fn is_gone(name: &str) -> Result<()> {
    let (success, text) = run(name, &["status"])?;
    ensure!(!success && text.contains(&format!("there is no cluster `{name}`")), "status says {text}");
    ensure!(!Lab::names().iter().any(|running| running == name), "the lab {name} still runs");
    let directory = std::env::temp_dir().join("cairn-k8s").join(name);
    ensure!(!directory.exists(), "{} is still there", directory.display());
    Ok(())
}

/// The scenarios' own cluster is shown, found by `up`, and taken down; another one of its name comes up from nothing. Comes last.
pub(crate) fn up_status_and_down_do_what_they_say(world: &World) -> Result<()> {
    let name = world.cluster.lab().name();
    let status = succeeds(name, &["status"])?;
    shows(world, &status, "Ready")?;
    let daemons = status.lines().filter(|line| line.contains(" cairn-node-")).count();
    ensure!(daemons == world.cluster.nodes().len(), "{daemons} pods of the DaemonSet are shown: {status}");

    let found = succeeds(name, &["up", "--families", "ipv4"])?;
    shows(world, &found, "Ready")?;
    ensure!(found.contains("kubectl get pods -A"), "it does not say how to use it: {found}");
    succeeds(name, &["down"])?;
    is_gone(name)?;

    let fresh = succeeds(name, &["up", "--families", "ipv4", "--without-cairn"])?;
    shows(world, &fresh, "NotReady")?;
    succeeds(name, &["down"])?;
    is_gone(name)
}
