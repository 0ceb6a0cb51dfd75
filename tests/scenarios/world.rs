//! A lab for one scenario: brought up, watched, taken down, and its traces kept when the scenario fails.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cairn_lab::image::Software;
use cairn_lab::lab::{Families, Options};
use cairn_lab::pod::{Pod, Request};
use cairn_lab::probe::Report;
use cairn_lab::{Lab, Topology, status};

use crate::wait::eventually;

/// How long routing may take to settle: daemons start, sessions are made, hold times (9 s in the topologies) run out.
pub(crate) const SETTLES: Duration = Duration::from_secs(60);

/// What the captures hold: BGP, BFD, ICMP of both versions, ARP.
const FILTER: &str = "tcp port 179 or udp port 3784 or udp port 4784 or icmp or icmp6 or arp";

/// A running lab with one scenario's name.
pub(crate) struct World {
    lab: Lab,
    pub(crate) families: Families,
    captures: Vec<Child>,
}

impl Deref for World {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }
}

/// Runs a scenario in a topology; keeps logs and captures if it fails.
pub(crate) fn play(
    topology: &str,
    scenario: &str,
    families: Families,
    body: impl FnOnce(&mut World) -> Result<()>,
) -> Result<()> {
    play_with(topology, scenario, families, &[], body)
}

/// As [`play`], with variables for the topology file.
pub(crate) fn play_with(
    topology: &str,
    scenario: &str,
    families: Families,
    variables: &[(&str, &str)],
    body: impl FnOnce(&mut World) -> Result<()>,
) -> Result<()> {
    let mut world = World::up(topology, scenario, families, variables)?;
    match body(&mut world) {
        Ok(()) => Ok(()),
        Err(error) => {
            let place = world.keep_traces();
            Err(error.context(format!("scenario {} failed; traces: {}", world.name(), place.display())))
        }
    }
}

impl World {
    fn up(topology: &str, scenario: &str, families: Families, variables: &[(&str, &str)]) -> Result<Self> {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies").join(format!("{topology}.clab.yml"));
        let mut values = BTreeMap::from([("CAIRN_FAMILY".to_owned(), families.name().to_owned())]);
        values.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let topology = Topology::load_with(&file, &values)?;
        let name = format!("{scenario}-{}", families.name());
        Lab::down_by_name(&name)?;
        let lab = Lab::up(topology, &Options { families, name: Some(name) })?;
        let mut world = Self { lab, families, captures: Vec::new() };
        let nodes: Vec<String> = world.topology().nodes.keys().cloned().collect();
        for node in nodes {
            world.capture(&node)?;
        }
        world.await_seed()?;
        Ok(world)
    }

    /// The objects that nodes begin with may be on their way into the store still: there might be no directory yet for what is written now, or it would be
    /// written over.
    fn await_seed(&self) -> Result<()> {
        if !self.topology().nodes.values().any(|node| node.env.contains_key("CAIRN_SEED")) {
            return Ok(());
        }
        let seeded = self.directory().join("volumes/objects/.seeded");
        eventually(SETTLES, || {
            ensure!(seeded.exists(), "{} is not there", seeded.display());
            Ok(())
        })
        .map(drop)
    }

    /// Starts a capture of a node's control traffic; it ends with the node.
    fn capture(&mut self, node: &str) -> Result<()> {
        let mut command = self.lab.command(node, None)?;
        command.args([
            "tcpdump",
            "-i",
            "any",
            "-Z",
            "root",
            "-s",
            "256",
            "-U",
            "--immediate-mode",
            "-w",
            "/run/lab/capture.pcap",
            FILTER,
        ]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        self.captures.push(child);
        Ok(())
    }

    /// Brings a killed node back, with its capture.
    pub(crate) fn bring_back(&mut self, node: &str) -> Result<()> {
        self.lab.revive(node)?;
        self.capture(node)
    }

    /// Copies logs, captures and the lab's status to where they outlive the lab.
    fn keep_traces(&self) -> PathBuf {
        let base = std::env::var_os("CAIRN_LAB_OUT")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("out"), PathBuf::from);
        let place = base.join(self.name());
        // What cannot be kept is lost; the scenario's own error counts more.
        let _ = std::fs::remove_dir_all(&place);
        let _ = std::fs::create_dir_all(&place);
        let _ = std::fs::write(place.join("status.txt"), status::text(&self.lab));
        let _ = std::fs::write(place.join("graph.svg"), cairn_lab::graph::svg(&self.lab));
        for node in self.topology().nodes.keys() {
            let _ = std::fs::copy(self.log_path(node), place.join(format!("{node}.log")));
            if let Ok(process) = self.process(node) {
                let root = format!("/proc/{}/root/run/lab/capture.pcap", process.pid);
                let _ = std::fs::copy(root, place.join(format!("{node}.pcap")));
            }
            for (what, line) in [
                ("routes", "sh -c 'ip route; ip -6 route; ip nexthop; ip neighbour'"),
                ("nft", "sh -c 'nft list ruleset || true'"),
            ] {
                let text = self.run(node, line).unwrap_or_else(|error| format!("{error:#}"));
                let _ = std::fs::write(place.join(format!("{node}.{what}.txt")), text);
            }
        }
        let objects = self.directory().join("volumes/objects");
        if objects.exists() {
            let target = place.join("objects");
            let _ = std::process::Command::new("cp").arg("-r").args([&objects, &target]).status();
        }
        place
    }

    /// The Cairn nodes, by name.
    pub(crate) fn cairn_nodes(&self) -> Vec<String> {
        self.running(Software::Cairn)
    }

    /// Waits until a node has so many sessions and all of them are established.
    pub(crate) fn await_sessions(&self, node: &str, count: usize) -> Result<()> {
        eventually(SETTLES, || {
            let sessions = self.sessions(node)?;
            let up = sessions.iter().filter(|session| session.established).count();
            ensure!(
                up == count && sessions.len() == count,
                "node {node}: not {count} established sessions: {sessions:?}"
            );
            Ok(())
        })
        .map(|_| ())
    }

    /// Has a new bgpd take over from the one that runs on a node, and waits until it alone runs. `config`: its file on the node.
    pub(crate) fn take_over(&self, node: &str, config: &str) -> Result<()> {
        let old = self.processes(node, "bgpd")?;
        let start = format!("bgpd --take-over --install-routes --config {config} >>/proc/1/fd/1 2>&1 &");
        self.run(node, &format!("sh -c '{start}'"))?;
        eventually(SETTLES, || {
            let now = self.processes(node, "bgpd")?;
            ensure!(now.len() == 1 && now != old, "node {node}: {old:?} ran, {now:?} run");
            Ok(())
        })
        .map(drop)
    }

    /// Sessions that a node of `two-racks` has: one with each ToR, which carries what families there are.
    pub(crate) const SESSIONS_WITH_TORS: usize = 2;

    /// Adds a pod as soon as the node's daemon serves.
    pub(crate) fn pod(&self, node: &str, name: &str) -> Result<PodOn> {
        self.pod_with(node, name, &Request::default())
    }

    /// Adds a pod that asks for something.
    pub(crate) fn pod_with(&self, node: &str, name: &str, request: &Request) -> Result<PodOn> {
        let mut added = None;
        eventually(SETTLES, || {
            added = Some(self.add_pod_with(node, name, request)?);
            Ok(())
        })?;
        let pod = added.context("the pod was added")?;
        let (four, six) = match self.families {
            Families::Ipv4 => (1, 0),
            Families::Ipv6 => (0, 1),
            Families::Dual => (1, 1),
        };
        let count =
            |version_6: bool| pod.addresses.iter().filter(|address| address.is_ipv6() == version_6).count();
        ensure!(
            (count(false), count(true)) == (four, six),
            "pod {name} has the addresses {:?}",
            pod.addresses
        );
        Ok(PodOn { node: node.to_owned(), pod })
    }

    /// Sends some echo requests from a pod, or from the node itself.
    pub(crate) fn ping(&self, node: &str, pod: Option<&str>, address: IpAddr, count: u64) -> Result<Report> {
        let words = [
            "cairn-lab",
            "probe",
            "ping",
            &address.to_string(),
            "--count",
            &count.to_string(),
            "--interval",
            "20",
        ];
        let output = self.exec_in(node, pod, &words)?;
        ensure!(!output.stdout.is_empty(), "{}", output.stderr.trim());
        Report::parse(&output.stdout)
    }

    /// Fails unless every request from one pod to all addresses of another is answered.
    pub(crate) fn reaches(&self, from: &PodOn, to: &PodOn) -> Result<()> {
        for address in &to.pod.addresses {
            let report = self.ping(&from.node, Some(&from.pod.name), *address, 3)?;
            if report.lost() > 0 {
                bail!(
                    "{} on {} does not reach {address} ({} on {}): {report:?}",
                    from.pod.name,
                    from.node,
                    to.pod.name,
                    to.node
                );
            }
        }
        Ok(())
    }

    /// Waits until every one of the pods reaches every other.
    pub(crate) fn all_reach_all(&self, pods: &[PodOn]) -> Result<Duration> {
        eventually(SETTLES, || {
            for from in pods {
                for to in pods.iter().filter(|to| to.pod.name != from.pod.name) {
                    self.reaches(from, to)?;
                }
            }
            Ok(())
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("traces: {}", self.keep_traces().display());
        }
        if let Err(error) = self.lab.down() {
            eprintln!("lab {} is not down: {error:#}", self.name());
        }
        for mut capture in self.captures.drain(..) {
            // It ended with its node; this collects it.
            let _ = capture.wait();
        }
    }
}

/// A pod, and the node it is on.
#[derive(Clone, Debug)]
pub(crate) struct PodOn {
    pub(crate) node: String,
    pub(crate) pod: Pod,
}
