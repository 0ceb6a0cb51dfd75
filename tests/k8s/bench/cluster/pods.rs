//! Pods that start at once on one node: how long that takes, and which part of it is Cairn's.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cairn_k8s::Cluster;
use cairn_k8s::cluster::CONTROL;
use serde_json::json;

use crate::NODE;
use crate::process::Usage;

/// How long all of them may take to start, or to end.
const PATIENCE: &str = "--timeout=1200s";

const NAME: &str = "start";

/// What it took.
pub(crate) struct Start {
    pub(crate) pods: usize,
    /// From the Deployment to the last pod that is ready. Seconds.
    pub(crate) ready: f64,
    /// From its deletion to the last pod that is gone. Seconds.
    pub(crate) gone: f64,
    /// felix-lite's time for each ADD, in order. Milliseconds.
    pub(crate) adds: Vec<f64>,
    /// kubelet's mean time for a pod's sandbox. Milliseconds.
    pub(crate) sandbox: f64,
    /// felix-lite's CPU time while they start. Seconds.
    pub(crate) cpu: f64,
}

impl Start {
    pub(crate) fn per_second(&self) -> f64 {
        self.pods as f64 / self.ready
    }

    /// So many hundredths of all ADDs took no longer. Milliseconds.
    pub(crate) fn add(&self, hundredths: usize) -> f64 {
        let last = self.adds.len().saturating_sub(1);
        self.adds.get(last * hundredths / 100).copied().unwrap_or_default()
    }
}

pub(crate) fn measure(cluster: &Cluster, number: usize) -> Result<Start> {
    eprintln!("{number} pods on {NODE} ...");
    let felix = cluster.daemon(NODE, "felix-lite")?;
    let (before, sandboxes) = (Usage::of(felix)?, Sandboxes::read(cluster)?);
    let began = Instant::now();
    cluster.apply(&deployment(number))?;
    let condition = format!("--for=jsonpath={{.status.readyReplicas}}={number}");
    let deployment = format!("deployment/{NAME}");
    cluster.kubectl(&["wait", &condition, &deployment, PATIENCE])?;
    let ready = began.elapsed().as_secs_f64();
    let cpu = Usage::of(felix)?.cpu_since(&before);
    let sandbox = Sandboxes::read(cluster)?.mean_since(&sandboxes)?;
    let adds = adds(cluster)?;
    ensure!(adds.len() >= number, "felix-lite logged {} ADDs of {number}", adds.len());
    let began = Instant::now();
    cluster.kubectl(&["delete", &deployment, "--cascade=foreground", PATIENCE])?;
    Ok(Start { pods: number, ready, gone: began.elapsed().as_secs_f64(), adds, sandbox, cpu })
}

/// Pods that do nothing, so that what is measured is how they start.
fn deployment(number: usize) -> String {
    let labels = json!({ "app": NAME });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": NAME, "namespace": "default" },
        "spec": {
            "replicas": number,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "automountServiceAccountToken": false,
                    "nodeSelector": { "kubernetes.io/hostname": NODE },
                    "containers": [{ "name": "pause", "image": "localhost/cairn-pause:dev" }],
                },
            },
        },
    });
    deployment.to_string()
}

/// How long felix-lite took for the ADD of each of these pods, by its log, in order. Milliseconds.
fn adds(cluster: &Cluster) -> Result<Vec<f64>> {
    let field = format!("spec.nodeName={NODE}");
    let namespace = ["--namespace", "cairn-system"];
    let find = ["get", "pods", "--selector", "app.kubernetes.io/name=cairn-node", "--field-selector", &field];
    let pods = cluster.json(&[&namespace[..], &find].concat())?;
    let pod = pods["items"][0]["metadata"]["name"].as_str().context("the DaemonSet has a pod there")?;
    let log = cluster.kubectl(&[&namespace[..], &["logs", pod, "--container", "felix-lite"]].concat())?;
    let mark = format!("default/{NAME}-");
    let mut times = Vec::new();
    for line in log.lines().filter(|line| line.contains(" ADD ") && line.contains(&mark)) {
        let word = line.split("took_us=").nth(1).and_then(|rest| rest.split_whitespace().next());
        let micros: f64 =
            word.and_then(|word| word.parse().ok()).with_context(|| format!("no time: {line}"))?;
        times.push(micros / 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// What kubelet's metrics say of the sandboxes that it had made.
struct Sandboxes {
    seconds: f64,
    number: f64,
}

impl Sandboxes {
    fn read(cluster: &Cluster) -> Result<Self> {
        let own = cluster.addresses(NODE)?;
        let url = format!("https://{}:10250/metrics", own.first().context("the node has an address")?);
        let pki = "/etc/kubernetes/pki/apiserver-kubelet";
        // kubelet signs its own certificate.
        let line =
            format!("curl --silent --show-error --fail --insecure --cert {pki}.crt --key {pki}.key {url}");
        let text = cluster.lab().run(CONTROL, &line)?;
        // No line before the first sandbox. The metric that is named after sandboxes, kubelet_run_podsandbox_duration_seconds, is of no use: its
        // time is taken as soon as it begins.
        let value = |what: &str| -> f64 {
            let name = format!(
                "kubelet_runtime_operations_duration_seconds_{what}{{operation_type=\"run_podsandbox\"}} "
            );
            text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
        };
        Ok(Self { seconds: value("sum"), number: value("count") })
    }

    /// Milliseconds.
    fn mean_since(&self, before: &Self) -> Result<f64> {
        let number = self.number - before.number;
        ensure!(number > 0.0, "kubelet counted no sandbox");
        Ok((self.seconds - before.seconds) / number * 1000.0)
    }
}
