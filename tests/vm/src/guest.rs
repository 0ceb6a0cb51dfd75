//! The guest's PID 1: makes the host's files its root, runs the command, says how it ended, and switches the machine off.

mod ports;
mod processors;
mod root;

use std::fs::File;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::{WaitStatus, waitpid};

use crate::job::{self, Job, Report};

/// What the guest's programs see beside what the job says.
const NAME: &str = "vm";

/// Whether this is the machine that we started: PID 1 of a container finds no job.
pub(crate) fn is_ours() -> bool {
    Path::new(job::PATH).exists()
}

/// PID 1. Never returns: the machine is off.
pub(crate) fn main() -> ! {
    if let Err(error) = live() {
        // To the kernel's console, whose log the host shows.
        eprintln!("cairn-vm: {error:#}");
    }
    nix::unistd::sync();
    // It returns only when it fails; then the kernel panics as PID 1 ends, which ends the machine too.
    let error = reboot(RebootMode::RB_POWER_OFF);
    eprintln!("cairn-vm: cannot switch off: {error:?}");
    std::process::exit(1);
}

fn live() -> Result<()> {
    let text = std::fs::read(job::PATH).context("cannot read the job")?;
    let job: Job = serde_json::from_slice(&text).context("cannot understand the job")?;
    root::kernel_files()?;
    processors::switch_on()?;
    root::load_early_modules()?;
    let mut reports = ports::open(job::REPORTS)?;
    let outcome = prepare_and_run(&job, &mut reports);
    let report = match outcome {
        Ok(code) => Report::Ended { code },
        Err(error) => Report::Fault { reason: format!("{error:#}") },
    };
    say(&mut reports, &report)
}

fn prepare_and_run(job: &Job, reports: &mut File) -> Result<u8> {
    let (output, errors) = (ports::open(job::OUTPUT)?, ports::open(job::ERRORS)?);
    root::enter(job)?;
    std::fs::write("/proc/sys/kernel/hostname", NAME).context("cannot set the host's name")?;
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).env("PATH", root::PATH).status();
    if !status.context("cannot start `ip` (package iproute2)")?.success() {
        bail!("cannot bring the loopback up");
    }
    say(reports, &Report::Up { seconds: uptime()? })?;
    let (program, arguments) = job.words.split_first().context("there is no command")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&job.env).current_dir(&job.directory);
    let child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    reap(child.id().cast_signed())
}

/// Waits for the command, and for whatever else PID 1 inherits meanwhile.
fn reap(command: i32) -> Result<u8> {
    loop {
        let status = match waitpid(None, None).context("waitpid")? {
            WaitStatus::Exited(pid, code) if pid.as_raw() == command => ExitStatus::from_raw(code << 8),
            WaitStatus::Signaled(pid, signal, _) if pid.as_raw() == command => {
                ExitStatus::from_raw(signal as i32)
            }
            _ => continue,
        };
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        return code.and_then(|code| u8::try_from(code).ok()).context("an exit code is one octet");
    }
}

fn say(reports: &mut File, report: &Report) -> Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    reports.write_all(&line).context("cannot reach the host")
}

fn uptime() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/uptime")?;
    let first = text.split_whitespace().next().context("/proc/uptime is empty")?;
    Ok(first.parse()?)
}
