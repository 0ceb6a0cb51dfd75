//! How many octets a daemon exchanged with the API server, by the kernel's own count of its connections: what TLS and HTTP add is in it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use cairn_k8s::Cluster;

use crate::NODE;

/// Connections to the Service of the API server, whose port is 443.
const LINE: &str =
    "ss --oneline --numeric --tcp --info --processes --no-header state established dport = :443";

/// The connections that a daemon has, by its own end.
pub(crate) struct Connections(BTreeMap<String, Octets>);

#[derive(Clone, Copy, Default)]
pub(crate) struct Octets {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

impl Connections {
    pub(crate) fn of(cluster: &Cluster, daemon: &str) -> Result<Self> {
        let text = cluster.lab().run(NODE, LINE)?;
        let mark = format!("((\"{daemon}\",");
        let own = text.lines().filter(|line| line.contains(&mark));
        own.map(|line| read(line).with_context(|| format!("ss: {line}"))).collect::<Result<_>>().map(Self)
    }

    pub(crate) fn number(&self) -> usize {
        self.0.len()
    }

    /// Since an earlier look. What has ended in between is not known any more.
    pub(crate) fn since(&self, before: &Self) -> Octets {
        let mut octets = Octets::default();
        for (end, now) in &self.0 {
            let then = before.0.get(end).copied().unwrap_or_default();
            octets.received += now.received.saturating_sub(then.received);
            octets.sent += now.sent.saturating_sub(then.sent);
        }
        octets
    }

    /// All since each began.
    pub(crate) fn total(&self) -> Octets {
        self.since(&Self(BTreeMap::new()))
    }
}

/// `Recv-Q Send-Q local:port peer:port users:((...)) ... bytes_sent:N ... bytes_received:N ...`; a count that is zero is left out.
fn read(line: &str) -> Result<(String, Octets)> {
    let own = line.split_whitespace().nth(2).context("no address")?;
    let count = |name: &str| -> Result<u64> {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix(name));
        word.map_or(Ok(0), |word| word.parse().with_context(|| format!("{name}{word}")))
    };
    Ok((own.to_owned(), Octets { received: count("bytes_received:")?, sent: count("bytes_sent:")? }))
}
