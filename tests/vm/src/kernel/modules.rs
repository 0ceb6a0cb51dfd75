//! The modules that the guest loads before it sees any file of the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{image, package};

/// The directory with them, uncompressed and numbered.
pub(super) const EARLY: &str = "early";

/// What makes devices, console ports and the host's files visible; whatever else is needed is loaded when it is used.
const NEEDED: [&str; 6] = ["virtio_pci", "virtio_console", "virtio_rng", "9pnet_virtio", "9p", "overlay"];

/// Writes the index that `modprobe` uses in the guest, and unpacks the early modules.
pub(super) fn prepare(directory: &Path, version: &str) -> Result<()> {
    let base = package::base(directory);
    let status = Command::new("depmod").arg("-b").arg(&base).arg(version).status();
    let status = status.context("cannot start depmod (package kmod)")?;
    ensure!(status.success(), "depmod failed: {status}");
    let modules = base.join("lib/modules").join(version);
    let text = std::fs::read_to_string(modules.join("modules.dep")).context("depmod wrote no modules.dep")?;
    let early = directory.join(EARLY);
    std::fs::create_dir(&early)?;
    for (path, number) in load_order(&text, &NEEDED).iter().zip(0..) {
        let data = std::fs::read(modules.join(path)).with_context(|| format!("cannot read {path}"))?;
        let data = match path.rsplit_once('.') {
            Some((_, "xz")) => image::decompress("xz", &data)?,
            Some((_, "zst")) => image::decompress("zstd", &data)?,
            _ => data,
        };
        std::fs::write(early.join(format!("{number:02}-{}.ko", name(path))), data)?;
    }
    Ok(())
}

/// The files of a directory in the order of their names.
pub(super) fn listed(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("no {}", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Each module after those it depends on. A module that is not there is part of the kernel itself.
fn load_order(index: &str, wanted: &[&str]) -> Vec<String> {
    // `path: dependency dependency`, the last one to be loaded first (modules.dep(5)).
    let lines = index.lines().filter_map(|line| line.split_once(':'));
    let all: BTreeMap<String, (&str, &str)> = lines.map(|(path, rest)| (name(path), (path, rest))).collect();
    let mut order: Vec<String> = Vec::new();
    for (path, rest) in wanted.iter().filter_map(|name| all.get(*name)) {
        let paths = rest.split_whitespace().rev().chain(std::iter::once(*path));
        for path in paths {
            if !order.iter().any(|known| known == path) {
                order.push(path.to_owned());
            }
        }
    }
    order
}

/// The module's name: its file's, without `.ko.xz` and with underscores.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split(".ko").next().unwrap_or_default().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::load_order;

    #[test]
    fn dependencies_come_first_and_once() {
        let index = "kernel/net/9p/9pnet.ko.xz:\n\
                     kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/drivers/virtio/virtio-ring.ko.xz\n\
                     kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz\n\
                     kernel/drivers/virtio/virtio-ring.ko.xz:\n\
                     kernel/fs/netfs/netfs.ko.xz:\n";
        let order = load_order(index, &["overlay", "9pnet_virtio", "9p"]);
        assert_eq!(
            order,
            [
                "kernel/drivers/virtio/virtio-ring.ko.xz",
                "kernel/net/9p/9pnet.ko.xz",
                "kernel/net/9p/9pnet_virtio.ko.xz",
                "kernel/fs/netfs/netfs.ko.xz",
                "kernel/fs/9p/9p.ko.xz",
            ]
        );
    }
}
