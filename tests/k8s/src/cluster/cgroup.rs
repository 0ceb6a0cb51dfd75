//! The control groups that a node's kubelet keeps its pods in: they are the machine's, so they are made and removed from outside of the node.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

const ROOT: &str = "/sys/fs/cgroup";

/// How long the kernel may take to let go of a group whose processes were killed.
const EMPTIES: Duration = Duration::from_secs(30);

/// The group of a node, below the root of each hierarchy.
pub(super) fn name(cluster: &str, node: &str) -> String {
    format!("{}{node}", prefix(cluster))
}

/// Begins the names of a cluster's groups, and of no other's: no cluster has a `+` in its name. A `:` would do as well, but for those who read
/// `/proc/<pid>/cgroup`, whose fields it separates.
fn prefix(cluster: &str) -> String {
    format!("cairn-k8s-{cluster}+")
}

/// Makes a node's group in every hierarchy, the one named `systemd` included: kubelet looks for all of them.
pub(super) fn make(cluster: &str, node: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(name(cluster, node));
        fs::create_dir_all(&group).with_context(|| format!("cannot make {}", group.display()))?;
        // A group without processors and memory takes no process (cpuset of version 1).
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let above = hierarchy.join(file);
            if above.exists() {
                fs::write(group.join(file), fs::read(above)?)?;
            }
        }
    }
    Ok(())
}

/// The processes in a node's group and in those below it, in any hierarchy.
pub(super) fn processes(cluster: &str, node: &str) -> Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for hierarchy in hierarchies()? {
        collect(&hierarchy.join(name(cluster, node)), &mut found);
    }
    Ok(found)
}

/// A group that goes meanwhile has no processes.
fn collect(group: &Path, found: &mut BTreeSet<i32>) {
    let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    found.extend(processes.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
    }
}

/// Removes all groups of a cluster, whose processes were killed before.
pub(super) fn remove(cluster: &str) -> Result<()> {
    let prefix = prefix(cluster);
    let deadline = Instant::now() + EMPTIES;
    loop {
        let mut left = Vec::new();
        // Beside version 1 `unified` is a hierarchy without controllers, where the container runtime makes groups of the same name.
        for hierarchy in hierarchies()?.into_iter().chain([Path::new(ROOT).join("unified")]) {
            for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(&prefix) {
                    // What cannot go yet is tried again.
                    let _ = remove_tree(&entry.path());
                    left.extend(entry.path().exists().then(|| entry.path()));
                }
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "these control groups do not go: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Version 1 has a directory for each hierarchy, version 2 is one.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let entries = fs::read_dir(root).with_context(|| format!("cannot read {ROOT}"))?;
    // Links are other names of the same, and in `unified` kubelet looks for nothing.
    let found = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(found.map(|entry| entry.path()).filter(|path| !path.ends_with("unified")).collect())
}

/// Groups are removed from below; the files in them go by themselves.
fn remove_tree(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::{name, prefix};

    #[test]
    fn a_cluster_has_no_groups_of_one_whose_name_begins_with_its_own() {
        assert!(name("cluster", "node1").starts_with(&prefix("cluster")));
        for other in ["cluster-2", "cluster-node1", "cluster."] {
            assert!(!name(other, "node1").starts_with(&prefix("cluster")), "{other}");
        }
    }
}
