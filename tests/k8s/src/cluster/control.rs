//! The control plane: etcd and three parts of Kubernetes, as processes of one node of the lab.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use cairn_lab::lab::Families;
use serde_json::json;

use super::topology::{self, CONFIGURATION, PKI};
use super::{CONTROL, Cluster};
use crate::pki::{Authority, Identity};
use crate::program::Program;

/// The addresses of Services, and the first of each, which is the API server's.
const SERVICES: [(&str, &str); 2] = [("10.96.0.0/16", "10.96.0.1"), ("fd10:96::/112", "fd10:96::1")];

/// The addresses of pods, as kube-proxy must know them; the pools of `manifests` are the same.
pub(super) const PODS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];

/// The range that each Node gets a pod CIDR of. Only pools that say so give addresses of these.
pub const NODES: [&str; 2] = ["10.245.0.0/16", "fd00:10:245::/48"];

/// etcd's address: nobody outside of the control plane's node reaches it.
const ETCD: &str = "http://127.0.0.1:2379";

/// What the API server logs of requests, and where, below [`CONFIGURATION`].
const AUDIT_POLICY: &str = "audit-policy.yaml";
const AUDIT_LOG: &str = "audit.log";

/// Whom it logs: the account that Cairn's daemons on nodes have.
pub const ACCOUNT: &str = "system:serviceaccount:cairn-system:cairn-node";

/// `first,second` of what there is for each family.
pub(super) fn joined(families: Families, each: [&str; 2]) -> String {
    let wanted: Vec<&str> = each.into_iter().filter(|text| families.wants(text)).collect();
    wanted.join(",")
}

impl Cluster {
    /// The URL that nodes and pods of the host's network know.
    pub(super) fn api_url(&self) -> Result<String> {
        match self.addresses(CONTROL)?.first().context("the control plane has no address")? {
            IpAddr::V4(address) => Ok(format!("https://{address}:6443")),
            IpAddr::V6(address) => Ok(format!("https://[{address}]:6443")),
        }
    }

    /// Starts all parts, and waits for the API server.
    pub(super) fn start_control_plane(&self, authority: &Authority) -> Result<()> {
        let url = self.api_url()?;
        let own = self.addresses(CONTROL)?.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut names = vec!["127.0.0.1", "localhost", "kubernetes.default.svc"];
        names.extend(own.iter().map(String::as_str));
        names.extend(SERVICES.iter().map(|(_, first)| *first));
        authority.server("apiserver", &names)?;
        authority.client("apiserver-kubelet", "apiserver-kubelet", Some("system:masters"))?;
        authority.token_keys()?;
        for (name, user, group) in [
            ("admin", "admin", Some("system:masters")),
            ("controller-manager", "system:kube-controller-manager", None),
            ("scheduler", "system:kube-scheduler", None),
            ("kube-proxy", "system:kube-proxy", None),
        ] {
            let identity: Identity = authority.client(name, user, group)?;
            authority.kubeconfig(name, &url, &identity)?;
        }
        self.write(CONTROL, AUDIT_POLICY, &audit_policy())?;
        self.spawn(CONTROL, &etcd())?;
        self.start_api_server()?;
        let services = joined(self.families, SERVICES.map(|(range, _)| range));
        self.spawn(CONTROL, &controller_manager(&services, &joined(self.families, NODES)))?;
        self.spawn(CONTROL, &scheduler()).map(drop)
    }

    /// Starts etcd again, and waits until the API server has it.
    ///
    /// # Errors
    /// It does not in time.
    pub fn start_etcd(&self) -> Result<()> {
        self.spawn(CONTROL, &etcd())?;
        self.await_that("the API server has its store", || {
            self.kubectl(&["get", "--raw", "/readyz"]).map(drop)
        })
    }

    /// Where the API server writes who of Cairn's daemons asked what: a line of JSON for each request.
    pub fn audit_log(&self) -> PathBuf {
        self.state.join(CONTROL).join("etc").join(AUDIT_LOG)
    }

    /// Starts the API server (again), and waits until it is ready. One that ends before is started once more, as by any supervisor.
    ///
    /// # Errors
    /// It does not become ready in time.
    pub fn start_api_server(&self) -> Result<()> {
        let services = joined(self.families, SERVICES.map(|(range, _)| range));
        let own = topology::addresses(self.lab.topology(), CONTROL)?;
        let address = own.first().context("the control plane has no address")?;
        let command = api_server(address, &services);
        let mut started = self.spawn(CONTROL, &command)?;
        self.await_that("the API server is ready", || {
            if self.has_ended(started) {
                started = self.spawn(CONTROL, &command)?;
                bail!("it ended, and was started again");
            }
            self.kubectl(&["get", "--raw", "/readyz"]).map(drop)
        })
    }
}

fn etcd() -> Vec<String> {
    let mut words = words(Program::Etcd, &["--data-dir=/var/lib/etcd", "--log-level=warn"]);
    words.extend(["listen", "advertise"].map(|what| format!("--{what}-client-urls={ETCD}")));
    // What is written here is not worth a disk's flush.
    words.push("--unsafe-no-fsync".to_owned());
    words
}

fn api_server(address: &IpAddr, services: &str) -> Vec<String> {
    let mut words = words(
        Program::KubeApiserver,
        &[
            "--secure-port=6443",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged",
            "--profiling=false",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        ],
    );
    words.push(format!("--etcd-servers={ETCD}"));
    words.push(format!("--advertise-address={address}"));
    words.push(format!("--service-cluster-ip-range={services}"));
    words.push(format!("--audit-policy-file={CONFIGURATION}/{AUDIT_POLICY}"));
    words.push(format!("--audit-log-path={CONFIGURATION}/{AUDIT_LOG}"));
    words.extend(["--audit-log-maxsize=100", "--audit-log-maxbackup=1"].map(str::to_owned));
    for (flag, file) in [
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("client-ca-file", "ca.crt"),
        ("kubelet-client-certificate", "apiserver-kubelet.crt"),
        ("kubelet-client-key", "apiserver-kubelet.key"),
        ("service-account-key-file", "service-accounts.pub"),
        ("service-account-signing-key-file", "service-accounts.key"),
    ] {
        words.push(format!("--{flag}={PKI}/{file}"));
    }
    words
}

/// What the daemons on nodes ask, without what is in it; a watch is written when it begins and when it ends.
fn audit_policy() -> String {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata", "users": [ACCOUNT] }, { "level": "None" }],
    });
    policy.to_string()
}

fn controller_manager(services: &str, nodes: &str) -> Vec<String> {
    let mut words = words(
        Program::KubeControllerManager,
        &[
            "--leader-elect=false",
            "--use-service-account-credentials",
            // /24 and /64 of each node.
            "--allocate-node-cidrs=true",
            "--configure-cloud-routes=false",
            "--node-monitor-grace-period=20s",
        ],
    );
    words.push(format!("--service-cluster-ip-range={services}"));
    words.push(format!("--cluster-cidr={nodes}"));
    words.push(format!("--service-account-private-key-file={PKI}/service-accounts.key"));
    words.push(format!("--root-ca-file={PKI}/ca.crt"));
    words.extend(client("controller-manager"));
    words
}

fn scheduler() -> Vec<String> {
    let mut words = words(Program::KubeScheduler, &["--leader-elect=false"]);
    words.extend(client("scheduler"));
    words
}

/// With which certificate a part speaks to the API server, and asks it who others are.
fn client(name: &str) -> impl Iterator<Item = String> {
    let flags = ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"];
    flags.into_iter().map(move |flag| format!("--{flag}={PKI}/{name}.kubeconfig"))
}

fn words(program: Program, arguments: &[&str]) -> Vec<String> {
    std::iter::once(program.name()).chain(arguments.iter().copied()).map(str::to_owned).collect()
}
