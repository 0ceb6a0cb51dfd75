//! The server's parts, its start, and the way from a request to its verb.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use cairn_datastore::Datastore;
use cairn_ipam::{Handle, NodeAllocator};
use felix_api::{Attachment, Code, Command, PROTOCOL, Refusal, Reply, Request, Spool};
use felix_core::PoolAttachment;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use super::journal::{Journal, JournalError, Record};
use super::listener::{ListenError, Listener, Turn};
use super::locks::Locks;
use super::wiring::{Moment, Wiring, WiringError};
use crate::endpoint::{EndpointError, Endpoints};
use crate::namespace::Namespaces;

/// Where the server finds and keeps things.
#[derive(Debug, Clone)]
pub struct Config {
    /// The socket, made anew at each start.
    pub socket: PathBuf,
    /// The file of the attachments there are.
    pub journal: PathBuf,
    /// DELs that the plugin kept while nobody listened.
    pub spool: PathBuf,
}

/// The CNI server of a node.
#[derive(Debug)]
pub struct Server<D> {
    pub(super) config: Config,
    pub(super) endpoints: Endpoints,
    pub(super) ipam: Arc<NodeAllocator<D>>,
    pub(super) journal: Journal,
    pub(super) spool: Spool,
    pub(super) wiring: Wiring,
    pub(super) locks: Locks,
    pub(super) namespaces: Namespaces,
    /// MTU for pods in bytes, unless a configuration names another.
    pub(super) mtu: watch::Receiver<u32>,
    /// How pods are attached, of pools where that is not by routes alone.
    pub(super) attachments: watch::Receiver<BTreeMap<String, PoolAttachment>>,
    /// A pod was made while the MTU changed.
    pub(super) outdated: Notify,
    /// Why the node is not ready for pods; `None`: it is.
    not_ready: watch::Receiver<Option<String>>,
}

/// What the server follows.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The MTU of the node's path, in bytes.
    pub mtu: watch::Receiver<u32>,
    /// How pods are attached, of pools where that is not by routes alone.
    pub attachments: watch::Receiver<BTreeMap<String, PoolAttachment>>,
    /// Why the node is not ready for pods; `None`: it is.
    pub not_ready: watch::Receiver<Option<String>>,
}

/// Why the server does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The kernel's links cannot be read.
    #[error(transparent)]
    Kernel(#[from] cairn_kernel::Error),
    /// The engine stopped.
    #[error(transparent)]
    Engine(#[from] EndpointError),
    /// The socket cannot be made.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl<D: Datastore + Send + Sync + 'static> Server<D> {
    /// Reads the journal, forgets the attachments whose interfaces are gone, hands the others to the engine, and carries out the DELs that
    /// wait. After that the socket is there, and `run` must follow soon.
    ///
    /// # Errors
    /// See [`StartError`]. A damaged record is logged and passed over.
    pub async fn start(
        config: Config,
        endpoints: Endpoints,
        ipam: Arc<NodeAllocator<D>>,
        namespaces: Namespaces,
        facts: Facts,
    ) -> Result<(Arc<Self>, Listener), StartError> {
        let (journal, whole) = Journal::open(&config.journal)?;
        if !whole {
            warn!(journal = %config.journal.display(), "damaged: an attachment's record may be missing");
        }
        let wiring = Wiring::start()?;
        let spool = Spool::new(&config.spool);
        let Facts { mtu, attachments, not_ready } = facts;
        let locks = Locks::default();
        let outdated = Notify::new();
        let server = Self {
            config,
            endpoints,
            ipam,
            journal,
            spool,
            wiring,
            locks,
            namespaces,
            mtu,
            attachments,
            outdated,
            not_ready,
        };
        server.restore(whole).await?;
        // From here on the plugin's second try waits for us instead of failing: what it kept before is read now (see felix_api::Spool).
        let listener = Listener::bind(&server.config.socket)?;
        server.unspool().await;
        Ok((Arc::new(server), listener))
    }

    /// Serves until `stop` completes, then finishes what is under way. Answers `turns` meanwhile.
    pub(crate) async fn run(
        self: Arc<Self>,
        listener: Listener,
        turns: mpsc::Receiver<Turn>,
        stop: impl Future<Output = ()>,
    ) {
        listener.serve(self, turns, stop).await;
    }

    /// Forgets attachments whose interface went with its namespace, and hands the others over.
    async fn restore(&self, complete: bool) -> Result<(), StartError> {
        let links = self.wiring.links().await?;
        let (alive, gone): (Vec<_>, Vec<_>) =
            self.journal.all().into_iter().partition(|record| links.contains(&record.interface));
        let strangers: Vec<_> =
            links.iter().filter(|link| alive.iter().all(|record| record.interface != **link)).collect();
        for link in &strangers {
            warn!(
                interface = link.as_str(),
                "no record of this workload interface: it is dropped from until DEL or ADD"
            );
        }
        // The ports of those that are gone lead to them still. They are taken away before anybody else can have the addresses.
        let ported: Vec<_> = gone.iter().filter(|record| !record.host_ports.is_empty()).collect();
        let known = alive.iter().chain(ported.iter().copied()).map(|record| record.endpoint()).collect();
        self.endpoints.restore(known).await?;
        for record in ported {
            self.endpoints.remove(&record.interface).await?;
            self.wiring.end_flows(record, Moment::Removed).await;
        }
        for record in &gone {
            info!(attachment = %record.attachment, owner = record.owner(), "forgotten: its interface went while nobody looked");
            self.forget(record).unwrap_or_else(|error| warn!(%error, "not forgotten"));
        }
        // A crash between assignment and record leaks an address. Whatever might still have an owner keeps it.
        if complete && strangers.is_empty() {
            let known: Vec<Handle> = alive.iter().map(|record| handle(record)).collect();
            match self.ipam.retain(|handle| known.contains(handle) || handle.is_tunnel()) {
                Ok(released) => {
                    for handle in released {
                        info!(%handle, "addresses without an attachment released");
                    }
                }
                Err(error) => warn!(%error, "addresses without an attachment are not released"),
            }
        }
        Ok(())
    }

    /// Carries out the DELs that were kept.
    async fn unspool(&self) {
        let (dels, errors) = self.spool.list();
        for error in errors {
            warn!(%error, "a DEL that was kept cannot be read");
        }
        for del in dels {
            match self.del(&del, None).await {
                Ok(()) => info!(attachment = %del.attachment, "DEL that was kept is done"),
                Err(refusal) => {
                    warn!(attachment = %del.attachment, %refusal, "DEL that was kept fails");
                    continue;
                }
            }
            self.spool.remove(&del.attachment).unwrap_or_else(|error| warn!(%error, "a kept DEL stays"));
        }
    }

    /// Answers one request. The namespace is the one that came with it.
    pub(super) async fn answer(&self, request: Request, netns: Option<File>) -> Reply {
        if request.version > PROTOCOL {
            let msg = format!("the request needs protocol {}, felix-lite speaks {PROTOCOL}", request.version);
            return Reply::Refused(
                Refusal::new(Code::INTERNAL, msg).because("felix-lite is older than the plugin"),
            );
        }
        let verb = request.command.verb();
        let done = |result: Result<(), Refusal>| result.map(|()| Reply::Done);
        let reply = match request.command {
            Command::Add(add) => self.add(*add, netns).await.map(Reply::Attached),
            Command::Del(del) => done(self.del(&del, netns).await),
            Command::Check(check) => done(self.check(&check, netns).await),
            Command::Gc(gc) => done(self.gc(&gc).await),
            Command::Status => done(self.status()),
            Command::RotateWireguardKey => done(self.rotate_wireguard_key().await),
        };
        reply.unwrap_or_else(|refusal| {
            warn!(verb, %refusal, "refused");
            Reply::Refused(refusal)
        })
    }

    async fn rotate_wireguard_key(&self) -> Result<(), Refusal> {
        let done = self.endpoints.rotate_wireguard_key().await;
        done.map_err(|reason| {
            Refusal::new(Code::NOT_AVAILABLE, "the node has no other WireGuard key").because(reason)
        })
    }

    /// STATUS. Pods that are there keep their connections whatever is missing, so this is never "limited connectivity".
    fn status(&self) -> Result<(), Refusal> {
        match &*self.not_ready.borrow() {
            None => Ok(()),
            Some(reason) => {
                Err(Refusal::new(Code::NOT_AVAILABLE, "the node is not ready for pods").because(reason))
            }
        }
    }

    /// The MTU for pods, in bytes.
    pub(super) fn mtu(&self) -> u32 {
        *self.mtu.borrow()
    }

    /// Gives back the addresses and drops the record, in this order: a crash in between repeats the first.
    pub(super) fn forget(&self, record: &Record) -> Result<(), Refusal> {
        self.ipam.release(&handle(record)).map_err(|error| Refusal::new(Code::IO, error.to_string()))?;
        self.journal.remove(&record.attachment).map_err(|error| Refusal::new(Code::IO, error.to_string()))
    }
}

/// Under which name an attachment has addresses.
pub(super) fn handle(record: &Record) -> Handle {
    handle_of(&record.network, &record.attachment)
}

pub(super) fn handle_of(network: &str, attachment: &Attachment) -> Handle {
    Handle::of_attachment(network, attachment.container.as_str(), attachment.ifname.as_str())
}

impl From<WiringError> for Refusal {
    fn from(error: WiringError) -> Self {
        let code = match &error {
            WiringError::InterfaceExists { .. } => Code::INTERFACE_EXISTS,
            WiringError::Mismatch { .. } => Code::CHECK_FAILED,
            WiringError::NotNetns { .. } => Code::INVALID_ENVIRONMENT,
            WiringError::Underlay { .. } => Code::NOT_AVAILABLE,
            WiringError::Kernel(_) => Code::KERNEL,
            WiringError::Stopping => Code::TRY_AGAIN,
        };
        Self::new(code, error.to_string())
    }
}

/// The engine's no, in CNI's terms.
pub(super) fn engine(error: &EndpointError) -> Refusal {
    let code = match error {
        EndpointError::Stopping => Code::TRY_AGAIN,
        EndpointError::AddressInUse { .. } => Code::IPAM,
        EndpointError::PortInUse { .. } => Code::PORT_IN_USE,
        EndpointError::Kernel { .. } => Code::KERNEL,
    };
    Refusal::new(code, error.to_string())
}
