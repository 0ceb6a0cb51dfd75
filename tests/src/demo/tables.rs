//! What the demo prints besides the matrix.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Result;

use super::matrix::DemoPod;
use crate::lab::Lab;

/// The group of nodes that have pods, in the demo's topology.
const CLUSTER: &str = "node";

/// Nodes that have pods.
pub(super) fn cluster_nodes(lab: &Lab) -> Vec<String> {
    let nodes = lab.topology().nodes.iter();
    nodes.filter(|(_, node)| node.group.as_deref() == Some(CLUSTER)).map(|(name, _)| name.clone()).collect()
}

/// Nodes with their pods.
pub(super) fn nodes(lab: &Lab, pods: &[DemoPod]) -> String {
    let mut text = format!("{:<8} {:<8} {:<12} pods\n", "node", "rack", "runs");
    for (name, node) in &lab.topology().nodes {
        let rack = node.labels.get("rack").map_or("", String::as_str);
        let runs = if node.group.as_deref() == Some(CLUSTER) { "bgpd, felix-lite" } else { "bgpd" };
        let _ = writeln!(text, "{name:<8} {rack:<8} {runs}");
        for pod in pods.iter().filter(|pod| &pod.node == name) {
            let addresses: Vec<String> = pod.pod.addresses.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "{:30} {:<8} {}", "", pod.pod.name, addresses.join("  "));
        }
    }
    text
}

/// One line for each side of each session.
pub(super) fn sessions(lab: &Lab) -> Result<String> {
    let mut owners: BTreeMap<IpAddr, &String> = BTreeMap::new();
    for node in lab.topology().nodes.keys() {
        for interface in lab.interfaces(node)? {
            owners.extend(interface.addresses.iter().map(|address| (*address, node)));
        }
    }
    let mut text = format!("{:<8} {:<8} {:<16} {:<8} state\n", "node", "peer", "address", "peer AS");
    for session in lab.all_sessions() {
        let peer = owners.get(&session.peer).map_or("?", |owner| owner.as_str());
        let address = session.peer.to_string();
        let _ = writeln!(
            text,
            "{:<8} {peer:<8} {address:<16} {:<8} {}",
            session.node, session.remote_as, session.state
        );
    }
    Ok(text)
}

/// The routes that Cairn wrote into the kernels, as `ip` shows them.
pub(super) fn routes(lab: &Lab) -> Result<String> {
    let mut text = "routes that Cairn wrote into the kernels (protocol 202)\n".to_owned();
    for node in lab.topology().nodes.keys() {
        let _ = writeln!(text, "  {node}");
        for version in ["-4", "-6"] {
            let list = lab.run(node, &format!("ip {version} route show proto 202"))?;
            for line in list.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
                let _ = writeln!(text, "    {}", line.replace('\t', "  ").trim_end());
            }
        }
    }
    Ok(text)
}

/// What to try in a demo that was left running.
pub(super) fn how_to_look_around(lab: &Lab) -> String {
    let program = std::env::current_exe().map_or("cairn-lab".to_owned(), |path| path.display().to_string());
    let name = lab.name();
    format!(
        "\nThe network is left running. Look around:\n\n  \
         {program} status {name}\n  \
         {program} graph --lab {name} demo.svg\n  \
         {program} exec --lab {name} node1 ip route\n  \
         {program} exec --lab {name} tor1 cairnctl --help\n  \
         {program} exec --lab {name} --pod pod1-a node1 ip address\n  \
         {program} pod --lab {name} add node1 another\n  \
         {program} logs --lab {name} node1\n\nEnd it:\n\n  {program} down {name}\n"
    )
}
