//! What is left to read of a cluster that failed.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CONTROL, Cluster, topology};

/// Lines that an error message quotes of each log.
const TAIL: usize = 8;

/// What an administrator would look at first.
const LOOKS: [(&str, &[&str]); 6] = [
    ("pods", &["get", "pods", "--all-namespaces", "--output", "wide"]),
    ("nodes", &["describe", "nodes"]),
    ("events", &["get", "events", "--all-namespaces", "--sort-by", ".lastTimestamp"]),
    ("described", &["--namespace", "cairn-system", "describe", "pods"]),
    ("leases", &["--namespace", "cairn-system", "get", "leases", "--output", "yaml"]),
    ("cairn", &["get", "cairn", "--output", "yaml"]),
];

impl Cluster {
    /// The last lines of every program's log.
    pub(super) fn tails(&self) -> String {
        let mut text = String::new();
        for path in self.logs() {
            let log =
                fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
                text.push_str(&format!("{name}: {line}\n"));
            }
        }
        text
    }

    /// Copies logs and the state of cluster and nodes to where they outlive the cluster, and says where.
    pub fn keep_traces(&self) -> PathBuf {
        let base = std::env::var_os("CAIRN_LAB_OUT")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../out"), PathBuf::from);
        let place = base.join(self.lab.name());
        // What cannot be kept is lost; the error that led here counts more.
        let _ = fs::remove_dir_all(&place);
        let _ = fs::create_dir_all(&place);
        for path in self.logs() {
            let _ = fs::copy(&path, place.join(path.file_name().unwrap_or_default()));
        }
        if self.lab.process(CONTROL).is_ok() {
            for (name, words) in LOOKS {
                let text = self.kubectl(words).unwrap_or_else(|error| format!("{error:#}"));
                let _ = fs::write(place.join(format!("{name}.txt")), text);
            }
        }
        let _ = fs::copy(self.audit_log(), place.join("audit.log"));
        for name in topology::machines(self.lab.topology()) {
            let routes = "sh -c 'ip address; ip route; ip -6 route; ip nexthop; ip neighbour'";
            for (what, line) in [
                ("routes", routes),
                ("nft", "nft list ruleset"),
                ("pods", "sh -c 'tail -n 100 /var/log/pods/*/*/*'"),
            ] {
                let text = self.lab.run(name, line).unwrap_or_else(|error| format!("{error:#}"));
                let _ = fs::write(place.join(format!("{name}.{what}.txt")), text);
            }
        }
        place
    }

    fn logs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state.join("logs")).into_iter().flatten().flatten();
        let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        logs.sort();
        logs
    }
}
