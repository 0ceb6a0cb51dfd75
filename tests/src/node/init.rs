//! The birth of a node: namespaces, then PID 1.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, unshare};

use super::reap;
use super::root;
use super::spec::{ENVIRONMENT, Spec};

/// `node-init`: leaves the caller's session, makes the namespaces, starts PID 1 in them with our standard streams and ends.
///
/// # Errors
/// Where the kernel refuses (not root, no such namespace).
pub fn initialise(lab: &str, node: &str) -> Result<()> {
    // A new session: the terminal's signals end the lab's command line, never the nodes.
    nix::unistd::setsid().context("setsid")?;
    let spaces = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    unshare(spaces).context("cannot make namespaces (root is needed)")?;
    Command::new("/proc/self/exe")
        .arg0("cairn-lab")
        .args(["node-main", "--lab", lab, "--node", node])
        .current_dir("/")
        .spawn()
        .context("cannot start the node's PID 1")?;
    Ok(())
}

/// `node-main`: PID 1 of a node.
///
/// # Errors
/// Where the root cannot be mounted or the command cannot be started; the node ends with its PID 1.
pub fn run_as_init() -> Result<()> {
    let mut input = BufReader::new(std::io::stdin());
    let mut line = String::new();
    input.read_line(&mut line)?;
    let spec: Spec = serde_json::from_str(&line).context("the first line is not a node's specification")?;
    let log = File::options().create(true).append(true).open(&spec.log);
    let log = log.with_context(|| format!("cannot open {}", spec.log.display()))?;
    std::fs::write("/proc/sys/kernel/hostname", &spec.hostname).context("cannot set the host's name")?;
    root::mount(&spec)?;
    prepare(&spec)?;
    println!("ready");
    std::io::stdout().flush()?;
    line.clear();
    input.read_line(&mut line)?;
    if line.trim() != "start" {
        bail!("the lab went away before the node was started");
    }
    detach(&log)?;
    let command = start(&spec)?;
    reap::forever(command)
}

/// Sets kernel parameters and brings the loopback up.
fn prepare(spec: &Spec) -> Result<()> {
    std::fs::create_dir_all("/run/lab")?;
    std::fs::write(ENVIRONMENT, serde_json::to_string(&spec.env)?)?;
    for (name, value) in &spec.sysctls {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        std::fs::write(&path, value).with_context(|| format!("sysctl {name}={value}"))?;
    }
    let status =
        Command::new("ip").args(["link", "set", "lo", "up"]).status().context("cannot start `ip`")?;
    if !status.success() {
        bail!("cannot bring the loopback up: {status}");
    }
    Ok(())
}

/// Swaps the lab's pipes for the log.
fn detach(log: &File) -> Result<()> {
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    nix::unistd::dup2_stdout(log)?;
    nix::unistd::dup2_stderr(log)?;
    Ok(())
}

fn start(spec: &Spec) -> Result<Option<i32>> {
    let Some((program, arguments)) = spec.command.split_first() else { return Ok(None) };
    let child = Command::new(program)
        .args(arguments)
        .envs(&spec.env)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    Ok(Some(child.id().cast_signed()))
}
