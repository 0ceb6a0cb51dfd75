//! The seam between the CNI server and the rest of the daemon: [`Endpoints`].
//!
//! The CNI server owns a pod's veth pair, addresses and journal; the engine owns the host's routes and firewall.
//! Invariant I1 is kept here: [`Endpoints::add`] returns only once the endpoint's source addresses, ports of the node and limits are in the
//! kernel's firewall and its routes in the kernel's table.

use cairn_net::HostPort;
use felix_core::{Element, Endpoint};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// How many requests may wait; beyond that a caller waits for its turn.
const QUEUE: usize = 64;

/// Why an endpoint was not programmed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// The daemon is stopping: what was in the kernel stays there.
    #[error("felix-lite is stopping")]
    Stopping,
    /// The address belongs to another endpoint of this node.
    #[error("address {address} of {owner} is already in use on {holder}")]
    AddressInUse {
        /// The address asked for.
        address: std::net::IpAddr,
        /// Who asked.
        owner: String,
        /// The interface that has it.
        holder: String,
    },
    /// A port of the node leads to another endpoint, for one of the addresses at least that it is asked for.
    #[error("{port} of this node is asked for by {owner}, and leads to {holder} already")]
    PortInUse {
        /// The port asked for.
        port: HostPort,
        /// Who asked.
        owner: String,
        /// Who has it.
        holder: String,
    },
    /// The kernel refused a route or a set element.
    #[error("interface {interface}: {reason}")]
    Kernel {
        /// The host end of the veth pair.
        interface: String,
        /// Which object, and the kernel's error.
        reason: String,
    },
}

/// What an element is to a pod, for messages.
pub(crate) fn words(element: &Element) -> String {
    match element {
        Element::Source { address, .. } => format!("source {address}"),
        Element::HostPort { transport, host_port, target, .. } => {
            format!("{transport} port {host_port} of the node to {target}")
        }
        Element::Limit { direction, rate, .. } => format!("limit {direction:?} {rate}"),
        other => format!("{other:?}"),
    }
}

/// A request to the engine, and where the answer goes.
#[derive(Debug)]
pub(crate) enum Request {
    /// Programs an endpoint; an endpoint with the same interface is replaced.
    Add(Endpoint, oneshot::Sender<Result<(), EndpointError>>),
    /// Removes the endpoint of an interface; answers once the kernel has forgotten it.
    Remove(String, oneshot::Sender<()>),
    /// The endpoints that the journal knows, once after start.
    Restore(Vec<Endpoint>, oneshot::Sender<()>),
    /// Answers once engine and dataplane have taken a turn.
    Turn(oneshot::Sender<()>),
    /// Gives WireGuard another key.
    RotateWireguardKey(oneshot::Sender<Result<(), String>>),
    /// What is registered.
    List(oneshot::Sender<Vec<Endpoint>>),
}

/// The CNI server's handle on the engine; clones share one queue.
#[derive(Debug, Clone)]
pub struct Endpoints {
    requests: mpsc::Sender<Request>,
}

impl Endpoints {
    /// A handle, and the queue that the engine serves.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, queue) = mpsc::channel(QUEUE);
        (Self { requests }, queue)
    }

    /// Registers an endpoint, and waits until its firewall elements and routes are in the kernel.
    /// The interface must exist and be up. Idempotent: the same endpoint again only waits.
    ///
    /// # Errors
    /// See [`EndpointError`]; after an error nothing of the endpoint remains.
    pub async fn add(&self, endpoint: Endpoint) -> Result<(), EndpointError> {
        self.ask(|answer| Request::Add(endpoint, answer)).await?
    }

    /// Forgets the endpoint of an interface, and waits until its routes and firewall elements are gone.
    /// An unknown interface is no error. Call it before the link is deleted.
    ///
    /// # Errors
    /// [`EndpointError::Stopping`].
    pub async fn remove(&self, interface: &str) -> Result<(), EndpointError> {
        self.ask(|answer| Request::Remove(interface.to_owned(), answer)).await
    }

    /// Hands over all endpoints that the journal knows, exactly once after start. Until then nothing that is
    /// in the kernel is swept, so that pods keep their routes over a restart (I2).
    ///
    /// # Errors
    /// [`EndpointError::Stopping`].
    pub async fn restore(&self, endpoints: Vec<Endpoint>) -> Result<(), EndpointError> {
        self.ask(|answer| Request::Restore(endpoints, answer)).await
    }

    /// The endpoints registered now.
    ///
    /// # Errors
    /// [`EndpointError::Stopping`].
    pub async fn list(&self) -> Result<Vec<Endpoint>, EndpointError> {
        self.ask(Request::List).await
    }

    /// Gives the node another WireGuard key, and waits until its device has it.
    ///
    /// # Errors
    /// A sentence that says what is in the way.
    pub(crate) async fn rotate_wireguard_key(&self) -> Result<(), String> {
        self.ask(Request::RotateWireguardKey).await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Waits until engine and dataplane have taken a turn: a sign of life.
    pub(crate) async fn turn(&self) -> Result<(), EndpointError> {
        self.ask(Request::Turn).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, EndpointError> {
        let (answer, reply) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| EndpointError::Stopping)?;
        reply.await.map_err(|_| EndpointError::Stopping)
    }
}
