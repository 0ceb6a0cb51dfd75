//! From a job to its exit code: starts the machine, passes on what comes out, and ends it when its time is over.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::accelerator::Accelerator;
use crate::job::{self, Job, Report};
use crate::machine::{Machine, Places};

/// The exit code when the time is over, as timeout(1) has it.
const TIME_IS_OVER: u8 = 124;
/// With an accelerator that does not work the guest says nothing for so long, and another one is tried.
const STARTS: Duration = Duration::from_secs(120);
/// Between two looks at whether QEMU has ended on its own.
const LOOK: Duration = Duration::from_millis(200);
/// How long QEMU may take to power off after the command's end.
const ENDS: Duration = Duration::from_secs(20);
/// Lines of the kernel's log that are shown when something is wrong.
const LOG_LINES: usize = 60;

/// Reports that may wait to be read; a guest makes three.
const REPORTS: usize = 4;

/// The variable that tells the guest's programs how fast they are.
const ACCELERATOR: &str = "CAIRN_VM";

/// How a machine ended.
enum End {
    /// The command's exit code.
    Code(u8),
    /// The time was over.
    Late,
    /// The guest did not come up, or went away, or could not run the command.
    Failed {
        /// Whether the command had been started.
        up: bool,
        /// What is known.
        reason: String,
    },
}

/// Runs a job in a machine of its own and returns its exit code.
pub(crate) fn run(machine: &Machine, mut job: Job) -> Result<u8> {
    let mut tries = tries(&Accelerator::candidates()?).into_iter().peekable();
    while let Some(accelerator) = tries.next() {
        let directory = tempfile::Builder::new().prefix("cairn-vm-").tempdir().context("no directory")?;
        let places = Places { directory: directory.path().to_owned() };
        job.env.insert(ACCELERATOR.to_owned(), accelerator.name().to_owned());
        machine.write_initial(&job, &places)?;
        let end = attempt(machine, &job, accelerator, &places)?;
        if machine.log || !matches!(end, End::Code(_)) {
            show_log(&places.log());
        }
        match (end, tries.peek()) {
            (End::Code(code), _) => return Ok(code),
            (End::Late, _) => {
                eprintln!(
                    "cairn-vm: ended after {} s: the time is over; the kernel's log is above",
                    machine.limit.as_secs()
                );
                return Ok(TIME_IS_OVER);
            }
            (End::Failed { up: false, reason }, Some(next)) => {
                eprintln!("cairn-vm: with {} {reason}; trying {}", accelerator.name(), next.name());
            }
            (End::Failed { reason, .. }, _) => bail!("{reason}; the kernel's log is above"),
        }
    }
    bail!("no way to run a machine was tried")
}

/// With what a machine is tried that does not come up: each candidate, the last one twice, for nothing is lost by a second boot as
/// long as the command has not been started, and a translated kernel dies now and then while it boots.
fn tries(candidates: &[Accelerator]) -> Vec<Accelerator> {
    candidates.iter().chain(candidates.last()).copied().collect()
}

fn attempt(machine: &Machine, job: &Job, accelerator: Accelerator, places: &Places) -> Result<End> {
    let listen = |name: &str| {
        UnixListener::bind(places.port(name)).with_context(|| format!("cannot listen for {name}"))
    };
    let (output, errors, reports) = (listen(job::OUTPUT)?, listen(job::ERRORS)?, listen(job::REPORTS)?);
    let mut command = machine.command(job, accelerator, places);
    let mut qemu =
        command.stdin(Stdio::null()).spawn().context("cannot start setpriv (package util-linux)")?;
    let streams = [connect(&output, &mut qemu)?, connect(&errors, &mut qemu)?, connect(&reports, &mut qemu)?];
    let [Some(output), Some(errors), Some(reports)] = streams else {
        let status = qemu.wait()?;
        return Ok(End::Failed { up: false, reason: format!("QEMU ended before it began: {status}") });
    };
    let passing = [pass_on(output, std::io::stdout()), pass_on(errors, std::io::stderr())];
    let (sender, receiver) = sync_channel(REPORTS);
    let reading = std::thread::spawn(move || read_reports(reports, &sender));
    let end = follow(machine.limit, &receiver, &mut qemu, || places.forget_initial());
    // Whoever still reads reports has nobody to tell.
    drop(receiver);
    if !matches!(end, Ok(End::Code(_))) {
        // It may have ended already.
        let _ = qemu.kill();
    }
    let ended = wait(&mut qemu, ENDS)?;
    if !ended {
        qemu.kill()?;
        qemu.wait()?;
    }
    for thread in passing.into_iter().chain([reading]) {
        // A thread that only copies has nothing to say when it panics.
        let _ = thread.join();
    }
    end
}

/// Waits for QEMU to connect a port; nothing if it ends instead.
fn connect(listener: &UnixListener, qemu: &mut Child) -> Result<Option<UnixStream>> {
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(Some(stream));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if qemu.try_wait()?.is_some() {
                    return Ok(None);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error).context("a port"),
        }
    }
}

/// Copies what the guest writes as it comes.
fn pass_on(mut from: UnixStream, mut to: impl Write + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        // An end of either side ends the copying; the exit code tells what came of the command.
        while let Ok(count) = from.read(&mut buffer) {
            let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { return };
            if to.write_all(read).and_then(|()| to.flush()).is_err() {
                return;
            }
        }
    })
}

fn read_reports(stream: UnixStream, sender: &SyncSender<Report>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let report = serde_json::from_str(&line)
            .unwrap_or_else(|error| Report::Fault { reason: format!("the guest said `{line}`: {error}") });
        if sender.send(report).is_err() {
            return;
        }
    }
}

/// Listens to the guest's reports until it ends; calls `when_up` once the command is about to start.
fn follow(limit: Duration, reports: &Receiver<Report>, qemu: &mut Child, when_up: impl Fn()) -> Result<End> {
    let started = Instant::now();
    let mut up = false;
    loop {
        match reports.recv_timeout(LOOK) {
            Ok(Report::Up { .. }) => {
                up = true;
                when_up();
            }
            Ok(Report::Ended { code }) => return Ok(End::Code(code)),
            Ok(Report::Fault { reason }) => return Ok(End::Failed { up: true, reason }),
            Err(RecvTimeoutError::Disconnected) => {
                let status = qemu.wait()?;
                return Ok(End::Failed {
                    up,
                    reason: format!("the machine ended without a result ({status})"),
                });
            }
            Err(RecvTimeoutError::Timeout) if started.elapsed() > limit => return Ok(End::Late),
            Err(RecvTimeoutError::Timeout) if !up && started.elapsed() > STARTS => {
                let reason = format!("the guest did not come up in {} s", STARTS.as_secs());
                return Ok(End::Failed { up, reason });
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Whether the process ends in time.
fn wait(child: &mut Child, limit: Duration) -> Result<bool> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(false)
}

fn show_log(path: &Path) {
    let mut bytes = Vec::new();
    if File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).is_err() {
        return;
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
        eprintln!("kernel: {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::tries;
    use crate::accelerator::Accelerator::{Kvm, Tcg};

    #[test]
    fn the_last_way_to_run_a_machine_has_a_second_chance() {
        assert_eq!(tries(&[Kvm, Tcg]), [Kvm, Tcg, Tcg]);
        assert_eq!(tries(&[Kvm]), [Kvm, Kvm]);
    }
}
