//! The root file system of a node: the host's, seen through an overlay whose changes live in memory, with private
//! `/run`, `/tmp` and whatever Cairn or a runtime keeps state in.
//!
//! Everything is mounted inside the node's own mount namespace, so that nothing of it outlives the node.

use std::fs::{File, create_dir_all};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount as kernel_mount, umount2};
use nix::unistd::pivot_root;

use super::spec::Spec;
use crate::topology::Bind;

/// Directories that start out empty in every node, whatever the host has there.
const PRIVATE: [&str; 8] =
    ["/run", "/tmp", "/var/tmp", "/var/log", "/var/lib/cairn", "/var/lib/cni", "/etc/cairn", "/etc/cni"];

/// Parts of the system that some hosts keep on a file system of their own, which an overlay of `/` does not show.
const MAYBE_MOUNTED: [&str; 4] = ["/usr", "/var", "/opt", "/home"];

/// Devices that every container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Builds the root of this node and moves into it.
pub(super) fn mount(spec: &Spec) -> Result<()> {
    kernel_mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("cannot make mounts private")?;
    let root = overlay(&spec.scratch)?;
    for path in MAYBE_MOUNTED.into_iter().filter(|path| is_mount_point(Path::new(path))) {
        bind(Path::new(path), &inside(&root, path), false)?;
    }
    for path in PRIVATE {
        memory(&inside(&root, path), "mode=755")?;
    }
    kernel_files(&root)?;
    identity(&root, &spec.hostname)?;
    for it in &spec.binds {
        attach(&root, it)?;
    }
    let old = inside(&root, "/.host");
    create_dir_all(&old)?;
    pivot_root(&root, &old).context("pivot_root")?;
    std::env::set_current_dir("/")?;
    umount2("/.host", MntFlags::MNT_DETACH).context("cannot let go of the host's root")?;
    std::fs::remove_dir("/.host")?;
    Ok(())
}

/// `path` of the node, as long as its root is mounted at `root`.
fn inside(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    root.join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()))
}

fn overlay(scratch: &Path) -> Result<PathBuf> {
    memory(scratch, "mode=755")?;
    let part = |name: &str| -> Result<PathBuf> {
        let path = scratch.join(name);
        create_dir_all(&path)?;
        Ok(path)
    };
    let (upper, work, root) = (part("upper")?, part("work")?, part("root")?);
    let options = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
    kernel_mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .context("cannot mount an overlay of the host's root")?;
    Ok(root)
}

fn memory(target: &Path, options: &str) -> Result<()> {
    create_dir_all(target).with_context(|| format!("cannot make {}", target.display()))?;
    kernel_mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), Some(options))
        .with_context(|| format!("cannot mount a tmpfs at {}", target.display()))
}

fn kernel_files(root: &Path) -> Result<()> {
    for (kind, path) in [("proc", "/proc"), ("sysfs", "/sys")] {
        kernel_mount(Some(kind), &inside(root, path), Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {path}"))?;
    }
    let devices = inside(root, "/dev");
    memory(&devices, "mode=755")?;
    for name in DEVICES {
        bind(&Path::new("/dev").join(name), &devices.join(name), false)?;
    }
    for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        symlink(Path::new("/proc/self").join(target), devices.join(name))?;
    }
    memory(&devices.join("shm"), "mode=1777")?;
    let terminals = devices.join("pts");
    create_dir_all(&terminals)?;
    let options = Some("newinstance,ptmxmode=0666,mode=0620");
    kernel_mount(Some("devpts"), &terminals, Some("devpts"), MsFlags::empty(), options).context("devpts")?;
    symlink("pts/ptmx", devices.join("ptmx"))?;
    Ok(())
}

fn identity(root: &Path, hostname: &str) -> Result<()> {
    let replace = |path: &str, text: String| -> Result<()> {
        let path = inside(root, path);
        // The host's may be a symbolic link into /run, which is empty here.
        if path.symlink_metadata().is_ok() {
            std::fs::remove_file(&path)?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    replace("/etc/hostname", format!("{hostname}\n"))?;
    replace("/etc/hosts", format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {hostname}\n"))?;
    replace("/etc/resolv.conf", String::new())?;
    create_dir_all(inside(root, "/run/lock"))?;
    Ok(())
}

/// Mounts one bind of the topology, a file or a directory.
fn attach(root: &Path, it: &Bind) -> Result<()> {
    let target = inside(root, &it.target);
    bind(&it.source, &target, it.read_only)
        .with_context(|| format!("bind {}:{}", it.source.display(), it.target.display()))
}

fn bind(source: &Path, target: &Path, read_only: bool) -> Result<()> {
    if source.is_dir() {
        create_dir_all(target)?;
    } else {
        create_dir_all(target.parent().unwrap_or(target))?;
        File::options().create(true).append(true).open(target)?;
    }
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    kernel_mount(Some(source), target, None::<&str>, flags, None::<&str>)?;
    if read_only {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        kernel_mount(None::<&str>, target, None::<&str>, flags, None::<&str>)?;
    }
    Ok(())
}

fn is_mount_point(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| Path::new(point) == path)
}
