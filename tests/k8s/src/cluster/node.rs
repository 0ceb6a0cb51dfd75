//! A node of the cluster: containerd with the images in it, kubelet, kube-proxy.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::control::{PODS, joined};
use super::setup::PAUSE;
use super::topology::{CONFIGURATION, IMAGES, PKI};
use super::{Cluster, cgroup};
use crate::pki::Authority;
use crate::program::Program;

/// The cluster's DNS server: `manifests/coredns.yaml` says the same.
const DNS: &str = "10.96.0.10";

/// The container runtime, which is the distribution's.
pub const CONTAINERD: &str = "containerd";

const SOCKET: &str = "/run/containerd/containerd.sock";

/// Kubernetes' own default is 110, DaemonSets included: a benchmark has so many beside them.
const PODS_PER_NODE: u32 = 150;

impl Cluster {
    /// Starts containerd and gives it the images.
    pub(super) fn start_runtime(&self, node: &str) -> Result<()> {
        // As systemd leaves a machine: what is mounted later shows in containers that ask for it.
        self.lab.run(node, "mount --make-rshared /")?;
        self.write(node, "containerd.toml", &containerd())?;
        self.start_containerd(node)?;
        let images = std::fs::read_dir(self.state.join("images"))?.flatten();
        for image in images.map(|entry| entry.file_name()) {
            let path = Path::new(IMAGES).join(image);
            let import = format!("ctr --namespace k8s.io images import --all-platforms {}", path.display());
            self.lab.run(node, &import)?;
        }
        Ok(())
    }

    /// Starts a node's containerd (again), and waits until it answers. Containers go on without it.
    ///
    /// # Errors
    /// It does not answer in time.
    pub fn start_containerd(&self, node: &str) -> Result<()> {
        self.spawn(node, &[CONTAINERD.to_owned(), format!("--config={CONFIGURATION}/containerd.toml")])?;
        self.await_that("containerd answers", || self.lab.run(node, "ctr version").map(drop))
    }

    /// Starts a node's kubelet (again).
    ///
    /// # Errors
    /// The topology does not say where the node is.
    pub fn start_kubelet(&self, node: &str) -> Result<()> {
        let own: Vec<String> = self.addresses(node)?.iter().map(ToString::to_string).collect();
        ensure!(!own.is_empty(), "node {node} has no address");
        let labels = &self.lab.topology().nodes.get(node).context("no such node")?.labels;
        let rack = labels.get("rack").context("a node of the cluster has a label `rack`")?;
        self.spawn(
            node,
            &[
                Program::Kubelet.name().to_owned(),
                format!("--config={CONFIGURATION}/kubelet.yaml"),
                format!("--kubeconfig={PKI}/{}.kubeconfig", identity_name(node)),
                format!("--hostname-override={node}"),
                format!("--node-ip={}", own.join(",")),
                format!("--node-labels=topology.kubernetes.io/zone={rack}"),
            ],
        )
        .map(drop)
    }

    /// Makes a spare machine a node (again): containerd, kubelet, kube-proxy.
    ///
    /// # Errors
    /// What did not start.
    pub fn join(&self, node: &str) -> Result<()> {
        self.start_runtime(node)
            .and_then(|()| self.start_agents(node))
            .with_context(|| format!("node {node}"))
    }

    /// Starts kubelet and kube-proxy.
    pub(super) fn start_agents(&self, node: &str) -> Result<()> {
        self.start_kubelet(node)?;
        self.spawn(
            node,
            &[Program::KubeProxy.name().to_owned(), format!("--config={CONFIGURATION}/kube-proxy.yaml")],
        )
        .map(drop)
    }

    /// Writes what kubelet and kube-proxy read.
    pub(super) fn prepare_agents(&self, authority: &Authority, node: &str) -> Result<()> {
        let name = identity_name(node);
        let identity = authority.client(&name, &format!("system:node:{node}"), Some("system:nodes"))?;
        authority.kubeconfig(&name, &self.api_url()?, &identity)?;
        self.write(node, "kubelet.yaml", &kubelet(&cgroup::name(self.lab.name(), node)))?;
        let pods = joined(self.families, PODS);
        self.write(node, "kube-proxy.yaml", &kube_proxy(node, &pods))?;
        std::fs::create_dir_all(self.state.join(node).join("etc/manifests"))?;
        Ok(())
    }

    /// Writes a file below a node's [`CONFIGURATION`].
    pub(super) fn write(&self, node: &str, name: &str, text: &str) -> Result<()> {
        let path = self.state.join(node).join("etc").join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The name of the files by which a node's kubelet shows who it is.
fn identity_name(node: &str) -> String {
    format!("node-{node}")
}

/// Snapshots are overlays. Nothing here may need more than the lab has: no AppArmor, no controller for huge pages, and no right to make
/// processes less likely to be killed for memory than the lab is.
fn containerd() -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"#
    )
}

fn kubelet(cgroup: &str) -> String {
    // YAML takes JSON.
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": false },
            "x509": { "clientCAFile": format!("{PKI}/ca.crt") },
        },
        "authorization": { "mode": "AlwaysAllow" },
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{cgroup}"),
        // Where the machine has version 1, that is all there is.
        "failCgroupV1": false,
        "failSwapOn": false,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": false,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS],
        "resolvConf": "/etc/resolv.conf",
        "maxPods": PODS_PER_NODE,
        "staticPodPath": format!("{CONFIGURATION}/manifests"),
        "fileCheckFrequency": "1s",
        // The disk is the machine's, and its fill level nothing that pods could change.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%", "memory.available": "50Mi",
        },
        "nodeStatusUpdateFrequency": "5s",
    });
    configuration.to_string()
}

fn kube_proxy(node: &str, pods: &str) -> String {
    let configuration = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": { "kubeconfig": format!("{PKI}/kube-proxy.kubeconfig") },
        "mode": "nftables",
        "clusterCIDR": pods,
        "hostnameOverride": node,
        // These are settings of the whole machine.
        "conntrack": { "maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    });
    configuration.to_string()
}
