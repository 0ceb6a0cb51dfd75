//! Pods on a Cairn node: a network namespace each, wired up by the CNI chain of the node as a container runtime does it.

mod cni;
mod inside;

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::lab::{Lab, lab_program};

pub use inside::{add, delete};

/// The path, in the node, of a pod's network namespace.
pub fn netns(pod: &str) -> String {
    format!("/run/netns/{pod}")
}

/// A pod that was added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// The pod's name, and that of its network namespace in the node.
    pub name: String,
    /// Its container id, as CNI knows it.
    pub container: String,
    /// Its addresses, in the order of the CNI result.
    pub addresses: Vec<IpAddr>,
    /// The CNI result of the whole chain.
    pub result: serde_json::Value,
}

/// What a pod asks for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Annotations or arguments for `CNI_ARGS`, as `KEY=VALUE`.
    pub arguments: Vec<String>,
    /// What a runtime gives to plugins that declare the capability, by its name.
    pub capabilities: serde_json::Map<String, serde_json::Value>,
}

impl Lab {
    /// Adds a pod to a node: makes its network namespace and runs the node's CNI chain.
    ///
    /// # Errors
    /// With the plugin's own message where the chain fails; then neither namespace nor address is left.
    pub fn add_pod(&self, node: &str, pod: &str) -> Result<Pod> {
        self.add_pod_with(node, pod, &Request::default())
    }

    /// Adds a pod that asks for something.
    ///
    /// # Errors
    /// As [`Lab::add_pod`].
    pub fn add_pod_with(&self, node: &str, pod: &str, request: &Request) -> Result<Pod> {
        let mut words = vec!["add".to_owned(), pod.to_owned()];
        words.extend(request.arguments.iter().map(|argument| format!("--argument={argument}")));
        if !request.capabilities.is_empty() {
            words.push(format!("--capabilities={}", serde_json::to_string(&request.capabilities)?));
        }
        let text = self.pod_command(node, &words)?;
        serde_json::from_str(&text).with_context(|| format!("node {node}: pod {pod}: unreadable answer"))
    }

    /// Removes a pod and its network namespace.
    ///
    /// # Errors
    /// With the plugin's own message where the chain fails.
    pub fn delete_pod(&self, node: &str, pod: &str) -> Result<()> {
        self.pod_command(node, &["del".to_owned(), pod.to_owned()]).map(|_| ())
    }

    /// The pods of a node, by name.
    ///
    /// # Errors
    /// Where the node does not run.
    pub fn pods(&self, node: &str) -> Result<Vec<Pod>> {
        let process = self.process(node)?;
        let directory = format!("/proc/{}/root{}", process.pid, inside::PODS);
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
        let mut pods: Vec<Pod> = texts.filter_map(|text| serde_json::from_str(&text).ok()).collect();
        pods.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(pods)
    }

    fn pod_command(&self, node: &str, words: &[String]) -> Result<String> {
        let pid = self.process(node)?.pid.to_string();
        let output = std::process::Command::new(lab_program()?)
            .args(["pod-inside", "--pid", &pid])
            .args(words)
            .output()
            .context("cannot start cairn-lab")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "node {node}: pod {}: {}", words.join(" "), error.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
