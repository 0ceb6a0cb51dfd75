//! A picture of a running lab: nodes in layers, links with their interfaces, and each BGP session in the colour of its state.
//!
//! Layers come from the label `graph-level`, as with containerlab's own graphs; nodes without one go to the bottom.

mod layout;
mod svg;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::image::Software;
use crate::lab::Lab;
use crate::session::Session;

/// What the picture shows of a node.
struct Node {
    name: String,
    software: Software,
    running: bool,
    level: u32,
    group: Option<String>,
    pods: Vec<String>,
}

/// A BGP session between two nodes, seen from both sides.
struct Edge {
    ends: [String; 2],
    established: bool,
    state: String,
}

/// The picture as an SVG document.
pub fn svg(lab: &Lab) -> String {
    let topology = lab.topology();
    let nodes: Vec<Node> = topology
        .nodes
        .iter()
        .map(|(name, node)| Node {
            name: name.clone(),
            software: Software::of(&node.image),
            running: lab.process(name).is_ok(),
            level: node.labels.get("graph-level").and_then(|level| level.parse().ok()).unwrap_or(u32::MAX),
            group: node.group.clone(),
            pods: lab.pods(name).unwrap_or_default().iter().map(|pod| pod.name.clone()).collect(),
        })
        .collect();
    let edges = edges(&lab.all_sessions(), &owners(lab));
    svg::draw(topology, &layout::place(&nodes), &nodes, &edges)
}

/// Which node has which address: what the file says, and what the nodes' interfaces have besides.
fn owners(lab: &Lab) -> BTreeMap<IpAddr, String> {
    let mut owners = BTreeMap::new();
    for name in lab.topology().nodes.keys() {
        for interface in lab.interfaces(name).unwrap_or_default() {
            owners.extend(interface.addresses.iter().map(|address| (*address, name.clone())));
        }
    }
    owners
}

/// Joins the two sides of each session.
fn edges(sessions: &[Session], owners: &BTreeMap<IpAddr, String>) -> Vec<Edge> {
    let mut edges: BTreeMap<[String; 2], Edge> = BTreeMap::new();
    for session in sessions {
        let Some(peer) = owners.get(&session.peer) else { continue };
        let mut ends = [session.node.clone(), peer.clone()];
        ends.sort();
        let edge = edges.entry(ends.clone()).or_insert_with(|| Edge {
            ends,
            established: true,
            state: "Established".to_owned(),
        });
        if !session.established {
            edge.established = false;
            edge.state.clone_from(&session.state);
        }
    }
    edges.into_values().collect()
}
