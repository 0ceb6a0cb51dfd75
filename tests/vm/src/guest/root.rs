//! The guest's root: the host's files by 9p, never written to, under an overlay in memory.

use std::fs::{File, create_dir_all};
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount as kernel_mount};

use crate::job::{self, Job};

/// Where Debian has its programs.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How every export of the host is mounted; large messages, for each costs two switches of the machine.
const TRANSPORT: &str = "trans=virtio,version=9p2000.L,msize=512000,access=any";

/// File systems of the kernel that a program may look for; one that a kernel lacks is no fault.
const OPTIONAL: [(&str, &str); 4] = [
    ("cgroup2", "/sys/fs/cgroup"),
    ("bpf", "/sys/fs/bpf"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
];

/// Mounts what the first steps need.
pub(super) fn kernel_files() -> Result<()> {
    for (kind, path) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount(kind, kind, path, "")?;
    }
    Ok(())
}

/// Loads the drivers that lie in the initial RAM disk, in the order of their names.
pub(super) fn load_early_modules() -> Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir("/early")?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let file = File::open(&path)?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot load {}", path.display())),
        }
    }
    Ok(())
}

/// Builds the root and moves into it. The kernel's own helpers (`modprobe`) follow PID 1 there.
pub(super) fn enter(job: &Job) -> Result<()> {
    let options = format!("{TRANSPORT},cache=loose");
    kernel_mount(Some(job::ROOT), "/host", Some("9p"), MsFlags::MS_RDONLY, Some(options.as_str()))
        .context("cannot mount the host's files")?;
    mount("tmpfs", "tmpfs", "/memory", "mode=755,size=90%")?;
    for path in ["/memory/upper", "/memory/work", "/memory/root"] {
        create_dir_all(path)?;
    }
    let layers = "lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work";
    mount("overlay", "overlay", "/memory/root", layers)?;
    std::env::set_current_dir("/memory/root").context("the overlay")?;
    kernel_mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .context("cannot move the root")?;
    nix::unistd::chroot(".").context("chroot")?;
    std::env::set_current_dir("/").context("the new root")?;
    furnish()?;
    for (index, path) in job.shares.iter().enumerate() {
        create_dir_all(path)?;
        mount(&job::share(index), "9p", &path.to_string_lossy(), &format!("{TRANSPORT},cache=none"))?;
    }
    let modules = Path::new("/lib/modules");
    create_dir_all(modules)?;
    kernel_mount(Some(&job.modules), modules, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("cannot mount {} at /lib/modules", job.modules.display()))
}

fn furnish() -> Result<()> {
    kernel_files()?;
    for (kind, path, options) in [
        ("devpts", "/dev/pts", "ptmxmode=666,mode=620"),
        ("tmpfs", "/dev/shm", "mode=1777"),
        // Whatever runs on the host does not run here.
        ("tmpfs", "/run", "mode=755"),
    ] {
        create_dir_all(path)?;
        mount(kind, kind, path, options)?;
    }
    create_dir_all("/run/netns")?;
    create_dir_all("/run/lock")?;
    for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        let link = Path::new("/dev").join(name);
        if !link.exists() {
            symlink(Path::new("/proc/self").join(target), &link)?;
        }
    }
    for (kind, path) in OPTIONAL {
        let _ = mount(kind, kind, path, "");
    }
    Ok(())
}

fn mount(source: &str, kind: &str, target: &str, options: &str) -> Result<()> {
    let flags = MsFlags::empty();
    kernel_mount(Some(source), target, Some(kind), flags, Some(options))
        .with_context(|| format!("cannot mount {kind} {source} at {target}"))
}
