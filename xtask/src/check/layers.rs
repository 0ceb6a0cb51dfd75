//! The layer rule of ARCHITECTURE.md section 2, on what cargo itself says of the dependencies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::workspace;

/// Which packages of the workspace each one may depend on (tests included). What is not listed depends on none.
const ALLOWED: [(&str, &[&str]); 26] = [
    ("cairn-net", &[]),
    ("cairn-kernel", &["cairn-net"]),
    ("cairn-api", &["cairn-net"]),
    ("bgp-core", &["cairn-net"]),
    ("bfd-core", &["cairn-net"]),
    ("bgpd-api", &["cairn-net"]),
    ("felix-api", &["cairn-net"]),
    ("cairn-datastore", &["cairn-net", "cairn-api"]),
    ("cairn-daemon", &[]),
    ("cairn-ipam", &["cairn-net", "cairn-api", "cairn-datastore"]),
    ("cairn-verdict", &["cairn-net", "cairn-api", "cairn-datastore"]),
    (
        "cairn-controller",
        &["cairn-net", "cairn-api", "cairn-datastore", "cairn-daemon", "cairn-ipam", "cairn-verdict"],
    ),
    ("felix-core", &["cairn-net", "cairn-api", "bgpd-api"]),
    ("bgpd-policy", &["cairn-net", "bgp-core", "bgpd-api"]),
    ("bgpd", &["cairn-net", "bgp-core", "bfd-core", "bgpd-api", "bgpd-policy", "cairn-kernel"]),
    (
        "felix-lite",
        &[
            "cairn-net",
            "cairn-api",
            "cairn-kernel",
            "cairn-datastore",
            "cairn-daemon",
            "cairn-ipam",
            "cairn-verdict",
            "felix-core",
            "felix-api",
            "bgpd-api",
        ],
    ),
    ("cairn-cni", &["cairn-net", "felix-api"]),
    (
        "cairnctl",
        &[
            "cairn-net",
            "cairn-api",
            "cairn-kernel",
            "cairn-datastore",
            "cairn-ipam",
            "bgp-core",
            "bgpd-api",
            "bgpd-policy",
            "felix-api",
        ],
    ),
    ("cairn-vm", &[]),
    (
        "cairn-lab",
        &[
            "cairn-net",
            "cairn-api",
            "cairn-kernel",
            "cairn-datastore",
            "cairn-ipam",
            "cairn-gotools",
            "bgp-core",
            "bgpd-api",
            "felix-core",
            "felix-api",
        ],
    ),
    ("cairn-gotools", &[]),
    ("cairn-k8s", &["cairn-api", "cairn-datastore", "cairn-gotools", "cairn-lab"]),
    ("bgp-core-fuzz", &["cairn-net", "cairn-api", "bgp-core", "bgpd-api", "bgpd-policy"]),
    ("bfd-core-fuzz", &["bfd-core"]),
    ("cairn-cni-fuzz", &["cairn-net", "cairn-cni", "felix-api"]),
    ("xtask", &["cairn-api"]),
];

/// Packages that are functions of their input and nothing else.
const CORES: [&str; 5] = ["cairn-net", "cairn-api", "bgp-core", "bfd-core", "felix-core"];

/// Runtimes, clocks and sockets: what no core may reach.
const IMPURE: [&str; 22] = [
    "async-std",
    "chrono",
    "clocksource",
    "coarsetime",
    "crossbeam-channel",
    "getrandom",
    "hyper",
    "inotify",
    "jiff",
    "mio",
    "netlink-sys",
    "nix",
    "quanta",
    "rand",
    "rtnetlink",
    "rustix",
    "smol",
    "socket2",
    "time",
    "tokio",
    "tonic",
    "web-time",
];

/// A core may take the vocabulary of a daemon's `api` package, whose client brings a runtime along; the walk ends there,
/// and the core's own clippy.toml bans the calls.
const VOCABULARY: &str = "bgpd-api";

/// Checks the rule and names every dependency that breaks it.
pub(super) fn run() -> Result<()> {
    let metadata = workspace::metadata()?;
    let graph = Graph::read(&metadata);
    let mut faults = Vec::new();
    for package in &graph.members {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| name == package) else {
            faults.push(format!(
                "package {package} has no place in the layer rule (xtask/src/check/layers.rs)"
            ));
            continue;
        };
        let unlisted =
            graph.all(package).filter(|name| graph.members.contains(*name) && !allowed.contains(name));
        faults.extend(
            unlisted.map(|name| format!("{package} depends on {name}, which lies above or beside it")),
        );
    }
    for core in CORES {
        faults.extend(graph.reaches(core).into_iter().filter(|(name, _)| IMPURE.contains(name)).map(
            |(name, path)| {
                format!("{core} is a core and must not reach {name} (through {})", path.join(" -> "))
            },
        ));
    }
    if !faults.is_empty() {
        bail!("the layer rule is broken:\n  {}", faults.join("\n  "));
    }
    println!("      {} packages obey the layer rule, {} cores are pure", graph.members.len(), CORES.len());
    Ok(())
}

/// Who depends on whom, by name.
struct Graph<'a> {
    members: BTreeSet<&'a str>,
    normal: BTreeMap<&'a str, BTreeSet<&'a str>>,
    development: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Graph<'a> {
    fn read(metadata: &'a Value) -> Self {
        let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let members = metadata["workspace_members"].as_array().map(Vec::as_slice).unwrap_or_default();
        let member_ids: BTreeSet<&str> = members.iter().filter_map(Value::as_str).collect();
        let mut graph =
            Self { members: BTreeSet::new(), normal: BTreeMap::new(), development: BTreeMap::new() };
        let mut names = BTreeMap::new();
        for package in packages {
            let (Some(id), Some(name)) = (package["id"].as_str(), package["name"].as_str()) else { continue };
            names.insert(id, name);
            if member_ids.contains(id) {
                graph.members.insert(name);
            }
        }
        let nodes = metadata["resolve"]["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        for node in nodes {
            let Some(name) = node["id"].as_str().and_then(|id| names.get(id)) else { continue };
            for dependency in node["deps"].as_array().map(Vec::as_slice).unwrap_or_default() {
                let Some(to) = dependency["pkg"].as_str().and_then(|id| names.get(id)) else { continue };
                for kind in dependency["dep_kinds"].as_array().map(Vec::as_slice).unwrap_or_default() {
                    let edges = match kind["kind"].as_str() {
                        None => &mut graph.normal,
                        Some("dev") => &mut graph.development,
                        // What a build script or macro uses never reaches the running program.
                        Some(_) => continue,
                    };
                    edges.entry(*name).or_default().insert(*to);
                }
            }
        }
        graph
    }

    /// Direct dependencies, those of tests included.
    fn all<'b>(&'b self, package: &str) -> impl Iterator<Item = &'a str> + 'b {
        let (normal, development) = (self.normal.get(package), self.development.get(package));
        normal.into_iter().flatten().chain(development.into_iter().flatten()).copied()
    }

    /// Every package that the library of `core` reaches, with the path to it.
    fn reaches(&self, core: &'a str) -> BTreeMap<&'a str, Vec<&'a str>> {
        let mut found = BTreeMap::new();
        let mut queue = VecDeque::from([vec![core]]);
        while let Some(path) = queue.pop_front() {
            let Some(last) = path.last().copied() else { continue };
            if last == VOCABULARY || found.contains_key(last) {
                continue;
            }
            for next in self.normal.get(last).into_iter().flatten() {
                queue.push_back(path.iter().copied().chain([*next]).collect());
            }
            found.insert(last, path);
        }
        found
    }
}
