//! The bgpd of a node, asked through its own gRPC client.

use std::future::Future;

use anyhow::{Context, Result};
use bgpd_api::bfd::BfdSession;
use bgpd_api::client::{RouteQuery, SoftReset};
use bgpd_api::config::OriginatedRoute;
use bgpd_api::peer::Peer;
use bgpd_api::route::{Route, Table};
use bgpd_api::{Client, ClientError, DEFAULT_SOCKET};

use crate::lab::Lab;

impl Lab {
    /// The neighbours of a node's bgpd.
    ///
    /// # Errors
    /// Where the node or its bgpd does not run.
    pub fn peers(&self, node: &str) -> Result<Vec<Peer>> {
        self.ask(node, async |client| {
            let (mut peers, mut stream) = (Vec::new(), client.list_peers(None).await?);
            while let Some(peer) = stream.next().await? {
                peers.push(peer);
            }
            Ok(peers)
        })
    }

    /// The BFD sessions of a node's bgpd.
    ///
    /// # Errors
    /// As [`Lab::peers`].
    pub fn bfd_sessions(&self, node: &str) -> Result<Vec<BfdSession>> {
        self.ask(node, async |client| {
            let (mut sessions, mut stream) = (Vec::new(), client.list_bfd_sessions(None).await?);
            while let Some(page) = stream.next().await? {
                sessions.extend(page.sessions);
            }
            Ok(sessions)
        })
    }

    /// A table of a node's bgpd.
    ///
    /// # Errors
    /// As [`Lab::peers`].
    pub fn table(&self, node: &str, table: Table) -> Result<Vec<Route>> {
        self.ask(node, async |client| {
            let (mut routes, mut stream) = (Vec::new(), client.list_routes(RouteQuery::all(table)).await?);
            while let Some(page) = stream.next().await? {
                routes.extend(page.0);
            }
            Ok(routes)
        })
    }

    /// Asks all neighbours of a node for their routes again, and sends them its own again.
    ///
    /// # Errors
    /// As [`Lab::peers`].
    pub fn soft_reset(&self, node: &str) -> Result<()> {
        self.ask(node, async |client| client.soft_reset(None, SoftReset::Both).await)
    }

    /// Announces routes from a node, in the name of an owner.
    ///
    /// # Errors
    /// As [`Lab::peers`].
    pub fn originate(&self, node: &str, owner: &str, routes: Vec<OriginatedRoute>) -> Result<()> {
        self.ask(node, async |client| client.originate(owner, routes, true).await)
    }

    fn ask<T>(&self, node: &str, call: impl AsyncFnOnce(&mut Client) -> Result<T, ClientError>) -> Result<T> {
        // The node's files as its PID 1 sees them.
        let socket = format!("/proc/{}/root{DEFAULT_SOCKET}", self.process(node)?.pid);
        let work = async {
            let mut client = Client::connect(&socket).await?;
            call(&mut client).await
        };
        wait_for(work)?.with_context(|| format!("bgpd of node {node}"))
    }
}

fn wait_for<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}
