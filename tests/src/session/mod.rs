//! BGP sessions as the routers themselves report them, whatever router it is.

mod bird;
mod cairn;
mod frr;
mod gobgp;

use std::net::IpAddr;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::image::Software;
use crate::lab::Lab;

/// One side's view of a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Session {
    /// The node that reports it.
    pub node: String,
    /// The neighbour's address.
    pub peer: IpAddr,
    /// The neighbour's AS number.
    pub remote_as: u32,
    /// The state in the router's own words.
    pub state: String,
    /// Whether routes can flow.
    pub established: bool,
    /// Why it is down or was last, where the router says so.
    pub last_error: Option<String>,
}

impl Lab {
    /// The sessions of one node; none for a plain host.
    ///
    /// # Errors
    /// Where the router does not answer.
    pub fn sessions(&self, node: &str) -> Result<Vec<Session>> {
        let sessions = match self.software(node) {
            Some(Software::Cairn) => {
                Ok(self.peers(node)?.iter().map(|peer| cairn::session(node, peer)).collect())
            }
            Some(Software::Bird) => bird::parse(node, &self.run(node, bird::COMMAND)?),
            Some(Software::Frr) => frr::parse(node, &self.run(node, frr::COMMAND)?),
            Some(Software::Gobgp) => gobgp::parse(node, &self.run(node, gobgp::COMMAND)?),
            Some(Software::Host) | None => Ok(Vec::new()),
        };
        sessions.with_context(|| format!("node {node}: sessions"))
    }

    /// The sessions of all nodes that run; a router that does not answer yet has none.
    pub fn all_sessions(&self) -> Vec<Session> {
        self.topology().nodes.keys().flat_map(|node| self.sessions(node).unwrap_or_default()).collect()
    }
}
