//! The network and what its nodes see of the host.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_lab::Topology;
use cairn_lab::gotools;
use cairn_lab::topology::Bind;

use super::setup::built;
use super::{CONTROL, SPARES, WORKERS};
use crate::program::Program;

/// Where the node of the control plane has the repository's `deploy`.
pub(super) const DEPLOY: &str = "/deploy";
/// Where each node has what is written for it alone.
pub(super) const CONFIGURATION: &str = "/etc/kubernetes";
/// Where each node has certificates and keys.
pub(super) const PKI: &str = "/etc/kubernetes/pki";
/// Where nodes have the images.
pub(super) const IMAGES: &str = "/images";

/// Settings of the whole machine that kubelet insists on writing, and what it wants there: a node is shown files that hold it already.
const SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// The topology, with what Kubernetes needs in its nodes.
pub(super) fn load(state: &Path) -> Result<Topology> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let mut topology = Topology::load(&repository.join("tests/topologies/kubernetes.clab.yml"))?;
    let machines: Vec<String> = machines(&topology).map(str::to_owned).collect();
    for (name, node) in &mut topology.nodes {
        let own = state.join(name);
        let programs: &[Program] = if name == CONTROL {
            node.binds.push(bind(own.join("etcd"), "/var/lib/etcd"));
            node.binds.push(read_only(repository.join("deploy"), DEPLOY));
            node.binds.push(read_only(built("cairnctl")?, "/usr/local/bin/cairnctl"));
            &[
                Program::Etcd,
                Program::KubeApiserver,
                Program::KubeControllerManager,
                Program::KubeScheduler,
                Program::Kubectl,
            ]
        } else if machines.contains(name) {
            node.binds.extend(of_worker(state, &own)?);
            &[Program::Kubelet, Program::KubeProxy]
        } else {
            continue;
        };
        node.binds.push(bind(own.join("etc"), CONFIGURATION));
        node.binds.push(read_only(state.join("pki"), PKI));
        for program in programs {
            let target = Path::new("/usr/local/bin").join(program.name());
            node.binds.push(read_only(program.path()?, target));
        }
    }
    Ok(topology)
}

fn of_worker(state: &Path, own: &Path) -> Result<Vec<Bind>> {
    let mut binds = vec![
        bind(own.join("containerd"), "/var/lib/containerd"),
        bind(own.join("kubelet"), "/var/lib/kubelet"),
        bind("/sys/fs/cgroup".into(), "/sys/fs/cgroup"),
        // kubelet reads there of processes that the kernel killed for want of memory.
        bind("/dev/kmsg".into(), "/dev/kmsg"),
        read_only(state.join("images"), IMAGES),
        // containerd before 2.0 brings a pod's loopback up by a plugin.
        read_only(gotools::directory()?.join("loopback"), "/opt/cni/bin/loopback"),
    ];
    for (name, _) in SETTINGS {
        binds.push(bind(setting(own, name), Path::new("/proc/sys").join(name)));
    }
    Ok(binds)
}

/// Makes what the nodes' binds begin with.
pub(super) fn make_directories(state: &Path, topology: &Topology) -> Result<()> {
    fs::create_dir_all(state.join("images"))?;
    fs::create_dir_all(state.join("logs"))?;
    for name in machines(topology).chain([CONTROL]) {
        let own = state.join(name);
        for directory in ["etcd", "etc", "containerd", "kubelet", "settings"] {
            fs::create_dir_all(own.join(directory))?;
        }
        for (name, value) in SETTINGS {
            fs::write(setting(&own, name), format!("{value}\n"))?;
        }
    }
    Ok(())
}

/// The file that stands for a setting of the machine.
fn setting(own: &Path, name: &str) -> PathBuf {
    own.join("settings").join(name.replace('/', "-"))
}

/// The names of the nodes that a cluster begins with.
pub(super) fn workers(topology: &Topology) -> impl Iterator<Item = &str> {
    of_group(topology, WORKERS)
}

/// The names of all that are nodes of the cluster, or can become so.
pub(super) fn machines(topology: &Topology) -> impl Iterator<Item = &str> {
    workers(topology).chain(of_group(topology, SPARES))
}

fn of_group<'a>(topology: &'a Topology, group: &'static str) -> impl Iterator<Item = &'a str> {
    let nodes = topology.nodes.iter();
    nodes.filter(move |(_, node)| node.group.as_deref() == Some(group)).map(|(name, _)| name.as_str())
}

/// The addresses of a node of the topology that has one link.
pub(super) fn addresses(topology: &Topology, node: &str) -> Result<Vec<IpAddr>> {
    let ends = topology.links.iter().flat_map(|link| &link.ends).filter(|end| end.node == node);
    let texts = ends.flat_map(|end| &end.addresses);
    texts
        .map(|text| {
            let address = text.split('/').next().unwrap_or_default();
            address.parse().with_context(|| format!("node {node} has an address `{text}`"))
        })
        .collect()
}

fn bind(source: PathBuf, target: impl Into<PathBuf>) -> Bind {
    Bind { source, target: target.into(), read_only: false }
}

fn read_only(source: PathBuf, target: impl Into<PathBuf>) -> Bind {
    Bind { source, target: target.into(), read_only: true }
}
