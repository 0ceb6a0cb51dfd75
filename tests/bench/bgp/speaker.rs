//! The speakers: where their programs are, what each is configured with, how they are started and ended.
//!
//! Every configuration says the same: these neighbours, passive, IPv4 unicast, everything accepted and announced, long hold times.

#[path = "speaker/config.rs"]
mod config;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cairn_kernel::Netns;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::usage;
pub(crate) use config::Neighbour;

/// Where configurations and sockets of a run are, below the root directory.
const PLACE: &str = "run/cairn-bgp-bench";
/// How long a speaker may take until it listens, and until it has ended.
const STARTS: Duration = Duration::from_secs(30);
const ENDS: Duration = Duration::from_secs(10);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Cairn,
    Bird2,
    Bird3,
    Frr,
    GoBgp,
    OpenBgpd,
    RustyBgp,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] =
        [Self::Cairn, Self::Bird2, Self::Bird3, Self::Frr, Self::GoBgp, Self::OpenBgpd, Self::RustyBgp];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cairn => "cairn",
            Self::Bird2 => "bird2",
            Self::Bird3 => "bird3",
            Self::Frr => "frr",
            Self::GoBgp => "gobgp",
            Self::OpenBgpd => "openbgpd",
            Self::RustyBgp => "rustybgp",
        }
    }

    /// The program below the root directory; the first that exists.
    const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Cairn => &[],
            Self::Bird2 => &["usr/sbin/bird"],
            Self::Bird3 => &["opt/bird3/usr/sbin/bird"],
            Self::Frr => &["usr/lib/frr/bgpd"],
            Self::GoBgp => &["usr/bin/gobgpd", "usr/sbin/gobgpd"],
            Self::OpenBgpd => &["usr/sbin/bgpd"],
            Self::RustyBgp => &["usr/local/bin/rustybgpd", "usr/bin/rustybgpd"],
        }
    }

    /// Does it write routes into the kernel by itself? GoBGP needs another daemon for it, OpenBGPD does not do it on Linux.
    pub(crate) const fn installs_routes(self) -> bool {
        !matches!(self, Self::GoBgp | Self::OpenBgpd)
    }

    /// Sends End-of-RIB to a peer of plain BGP; GoBGP does so only with graceful restart configured.
    pub(crate) const fn sends_end_of_rib(self) -> bool {
        !matches!(self, Self::GoBgp)
    }
}

/// A speaker that was found.
#[derive(Clone)]
pub(crate) struct Speaker {
    pub(crate) kind: Kind,
    /// What its version option says.
    pub(crate) version: String,
    /// The directory that it takes for `/`.
    root: PathBuf,
    /// Its program, as seen from there.
    program: PathBuf,
}

impl Speaker {
    /// Looks for a speaker's program, in `root` and, for our own, in `own`.
    pub(crate) fn find(kind: Kind, root: &Path, own: &Path) -> Option<Self> {
        let (root, program) = if kind == Kind::Cairn {
            (PathBuf::from("/"), own.join("bgpd"))
        } else {
            let found = kind.programs().iter().find(|program| root.join(program).exists())?;
            (root.to_owned(), Path::new("/").join(found))
        };
        let inside = program.strip_prefix("/").unwrap_or(&program);
        if !root.join(inside).exists() {
            return None;
        }
        let mut speaker = Self { kind, version: String::new(), root, program };
        speaker.version = speaker.ask_version();
        // BIRD 3 under BIRD 2's name, on a host with nothing else.
        let third = speaker.version.contains(" 3.");
        (kind != Kind::Bird2 || !third).then_some(speaker)
    }

    fn ask_version(&self) -> String {
        let option = if self.kind == Kind::OpenBgpd { "-V" } else { "--version" };
        let output = self.command(&self.program, &[option]).output();
        let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown version").trim().to_owned()
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = if self.root == Path::new("/") {
            Command::new(program)
        } else {
            let mut command = Command::new("chroot");
            command.arg(&self.root).arg(program);
            command
        };
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Starts it in a namespace and waits until it listens.
    pub(crate) fn start(&self, netns: &Netns, neighbours: &[Neighbour], install: bool) -> Result<Running> {
        let place = self.root.join(PLACE);
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place)?;
        // FRR's daemons and gobgpd's give up root.
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777))?;
        if self.kind == Kind::OpenBgpd {
            // The home of its user, into which its parts lock themselves up; Debian makes it when the service starts.
            fs::create_dir_all(self.root.join("run/openbgpd"))?;
        }
        let log = place.join("log");
        let mut running = Running { children: Vec::new(), log: log.clone() };
        for (file, text) in config::files(self.kind, neighbours, install) {
            let path = place.join(file);
            fs::write(&path, text)?;
            // OpenBGPD takes none that others can read.
            let mode = if self.kind == Kind::OpenBgpd { 0o600 } else { 0o666 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        let output = File::create(&log)?;
        let began = Instant::now();
        for (program, arguments) in config::commands(self.kind, &self.program, install) {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut command = self.command(&program, &arguments);
            command.stdout(output.try_clone()?).stderr(output.try_clone()?).process_group(0);
            let child = netns.run(|| command.spawn())?;
            let child = child.with_context(|| format!("cannot start {}", program.display()))?;
            groups(|groups| groups.push(group_of(&child)));
            running.children.push(child);
            if self.kind == Kind::Frr && running.children.len() == 1 {
                wait(STARTS, || Ok(place.join("zserv.api").exists()))?;
            }
        }
        let pid = running.pids().last().copied().unwrap_or_default();
        wait(STARTS, || {
            if !usage::alive(&running.pids()) {
                bail!("{} ended: {}", self.kind.name(), running.tail());
            }
            Ok(listens(pid))
        })
        .with_context(|| format!("{} does not listen: {}", self.kind.name(), running.tail()))?;
        eprintln!("  {} listens after {:.3} s", self.kind.name(), began.elapsed().as_secs_f64());
        // FRR reads its neighbours' settings in a second pass after it listens; the others settle, too.
        std::thread::sleep(Duration::from_secs(if self.kind == Kind::Frr { 2 } else { 1 }));
        Ok(running)
    }
}

/// A speaker that runs; ended when dropped.
pub(crate) struct Running {
    children: Vec<Child>,
    log: PathBuf,
}

impl Running {
    /// The numbers of its processes, the BGP daemon's last.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// The end of what it has said.
    pub(crate) fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.children {
            let group = group_of(child);
            // It may have ended by itself.
            let _ = killpg(group, Signal::SIGTERM);
            let ended = wait(ENDS, || Ok(child.try_wait()?.is_some()));
            if ended.is_err() {
                let _ = killpg(group, Signal::SIGKILL);
                let _ = child.wait();
            }
            groups(|groups| groups.retain(|other| *other != group));
        }
    }
}

/// Process groups that run: each speaker's program leads one.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn groups<T>(work: impl FnOnce(&mut Vec<Pid>) -> T) -> T {
    work(&mut GROUPS.lock().unwrap_or_else(PoisonError::into_inner))
}

fn group_of(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

/// Ends all that runs, without waiting.
pub(crate) fn end_all() {
    groups(|groups| {
        for group in groups.iter() {
            let _ = killpg(*group, Signal::SIGKILL);
        }
    });
}

/// Does anything listen on port 179 in the namespace of this process?
fn listens(pid: u32) -> bool {
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    // local address, remote address, state 0A: LISTEN.
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1).is_some_and(|local| local.ends_with(":00B3")) && words.get(3) == Some(&"0A")
    })
}

fn wait(limit: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + limit;
    while !done()? {
        if Instant::now() > end {
            bail!("not within {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
