//! What the daemons on nodes asked the API server, by its own log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use anyhow::{Context, Result, ensure};
use cairn_k8s::Cluster;
use cairn_k8s::cluster::ACCOUNT;
use serde_json::Value;

/// A place in the log.
#[derive(Clone, Copy)]
pub(crate) struct Mark(u64);

/// What was asked since then.
#[derive(Default)]
pub(crate) struct Requests {
    /// Watches that began, by resource.
    pub(crate) watches: BTreeMap<String, u64>,
    /// Everything else: reads and writes.
    pub(crate) others: u64,
}

impl Requests {
    pub(crate) fn watches(&self) -> u64 {
        self.watches.values().sum()
    }
}

/// The end of the log as it is now.
pub(crate) fn mark(cluster: &Cluster) -> Result<Mark> {
    let path = cluster.audit_log();
    let length = std::fs::metadata(&path).with_context(|| path.display().to_string())?.len();
    Ok(Mark(length))
}

/// What was asked since a mark.
pub(crate) fn since(cluster: &Cluster, mark: Mark) -> Result<Requests> {
    let path = cluster.audit_log();
    let mut file = File::open(&path).with_context(|| path.display().to_string())?;
    ensure!(file.metadata()?.len() >= mark.0, "{} was begun anew", path.display());
    file.seek(SeekFrom::Start(mark.0))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let mut requests = Requests::default();
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let event: Value = serde_json::from_str(line).with_context(|| format!("audit log: {line}"))?;
        if event["user"]["username"] != ACCOUNT {
            continue;
        }
        // A watch is told of when it begins, anything else when it is answered.
        match (event["verb"].as_str(), event["stage"].as_str()) {
            (Some("watch"), Some("ResponseStarted")) => {
                let resource = event["objectRef"]["resource"].as_str().unwrap_or("?").to_owned();
                *requests.watches.entry(resource).or_default() += 1;
            }
            (Some("watch"), _) => {}
            (_, Some("ResponseComplete")) => requests.others += 1,
            _ => {}
        }
    }
    Ok(requests)
}
