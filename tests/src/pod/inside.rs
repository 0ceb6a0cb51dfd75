//! The runtime's part of a pod's life, run inside the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Map;

use super::cni::{Attachment, Chain};
use super::{Pod, Request, netns};

/// Where a node remembers its pods.
pub(super) const PODS: &str = "/run/lab/pods";

/// Makes the network namespace and runs the chain's ADD. What was done is undone when it fails.
///
/// # Errors
/// With the plugin's own message.
pub fn add(name: &str, request: &Request) -> Result<Pod> {
    let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    ensure!(plain && !name.is_empty(), "pod `{name}`: letters, digits and `-` only");
    let record = record(name);
    ensure!(!record.exists(), "pod `{name}` is there already");
    let chain = Chain::load()?;
    ip(&["netns", "add", name])?;
    let result = ip(&["-n", name, "link", "set", "lo", "up"]).and_then(|()| {
        let attachment = Attachment {
            container: container_id(name)?,
            pod: name.to_owned(),
            arguments: request.arguments.clone(),
            capabilities: request.capabilities.clone(),
        };
        let result = chain.add(&attachment)?;
        let addresses = addresses(&result)?;
        Ok(Pod { name: name.to_owned(), container: attachment.container, addresses, result })
    });
    match result {
        Ok(pod) => {
            fs::create_dir_all(PODS)?;
            fs::write(&record, serde_json::to_string(&pod)?)?;
            Ok(pod)
        }
        Err(error) => {
            ip(&["netns", "delete", name])?;
            Err(error)
        }
    }
}

/// Runs the chain's DEL and removes the network namespace.
///
/// # Errors
/// With the plugin's own message; then the pod is still remembered.
pub fn delete(name: &str) -> Result<()> {
    let record = record(name);
    let text = fs::read_to_string(&record).with_context(|| format!("there is no pod `{name}`"))?;
    let pod: Pod = serde_json::from_str(&text)?;
    let (arguments, capabilities) = (Vec::new(), Map::new());
    let attachment = Attachment { container: pod.container, pod: pod.name, arguments, capabilities };
    Chain::load()?.delete(&attachment, &pod.result)?;
    if Path::new(&netns(name)).exists() {
        ip(&["netns", "delete", name])?;
    }
    fs::remove_file(record)?;
    Ok(())
}

fn record(name: &str) -> PathBuf {
    Path::new(PODS).join(format!("{name}.json"))
}

/// 64 hexadecimal digits, as runtimes have them.
fn container_id(name: &str) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let tail: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("{now:032x}{tail:0>32}");
    Ok(id.get(..64).unwrap_or(&id).to_owned())
}

fn addresses(result: &serde_json::Value) -> Result<Vec<std::net::IpAddr>> {
    let ips = result["ips"].as_array().context("the CNI result has no `ips`")?;
    let texts = ips.iter().filter_map(|ip| ip["address"].as_str());
    texts
        .map(|text| {
            let address = text.split('/').next().unwrap_or_default();
            address.parse().with_context(|| format!("the CNI result has an address `{text}`"))
        })
        .collect()
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output =
        Command::new("ip").args(arguments).stdin(Stdio::null()).output().context("cannot start `ip`")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
