//! Starts the parts of the daemon and waits for the end.
//!
//! Tasks: engine, bgpd client, one per watched kind, allocator, addresses of tunnels, the node's public key, reports on node, pools and objects, egress gateways and their members, CNI server, health; a thread for the
//! kernel. A part
//! that ends takes the daemon with it, to be started again by its supervisor: a half-dead daemon helps nobody, and the
//! kernel goes on forwarding meanwhile (I2).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use cairn_datastore::{AnyStore, ConnectError, Datastore, StoreUrl};
use cairn_ipam::{IpamError, NodeAllocator};
use cairn_verdict::Place;
use felix_core::State;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::args::Args;
use crate::bgp::Bgp;
use crate::dataplane::Dataplane;
use crate::endpoint::Endpoints;
use crate::engine::{Engine, Inputs, NodeFacts};
use crate::health::Health;
use crate::namespace::Namespaces;
use crate::store::Feed;
use crate::wireguard_key::KeyFile;
use crate::{cni, egress, egress_members, health, ipam, pool_status, status, tunnel_address, wireguard_peer};

/// MTU of pods before the node's interfaces are known: what every IPv6 link carries is too small to be useful, what
/// Ethernet carries is what nearly all nodes have. Bytes.
const FALLBACK_MTU: u32 = 1500;

/// Why the daemon ends in disorder.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// No runtime.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
    /// No directory for journals.
    #[error("cannot make {path}: {source}", path = path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Nothing says where the API server is.
    #[error("--datastore: {0}")]
    Store(#[from] ConnectError),
    /// The host has no name, and none was given.
    #[error("--node-name is not given, and the host's name cannot be used: {0}")]
    NodeName(String),
    /// The kernel's side does not start.
    #[error("cannot use the kernel: {0}")]
    Kernel(#[from] cairn_kernel::Error),
    /// The allocator's journal cannot be used.
    #[error(transparent)]
    Ipam(Box<IpamError>),
    /// The CNI server does not start.
    #[error(transparent)]
    Cni(#[from] cni::StartError),
    /// Nobody can ask for the daemon's health.
    #[error("--health-address {address}: {source}")]
    Health {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// A part ended.
    #[error("{0} ended")]
    Ended(&'static str),
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// See [`DaemonError`]. What is in the kernel stays in every case.
pub async fn run(args: Args) -> Result<(), DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Runtime)?;
    // A file at the limit of its size is an error of that write, not the end of the daemon.
    let _handled = signal(SignalKind::from_raw(nix::libc::SIGXFSZ)).map_err(DaemonError::Runtime)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let store = AnyStore::open(&args.datastore).await?;
    serve(args, store, stop).await
}

async fn serve<D: Datastore + Clone>(
    args: Args,
    store: D,
    stop: impl Future<Output = &'static str>,
) -> Result<(), DaemonError> {
    let node = node_name(args.node_name.clone())?;
    std::fs::create_dir_all(&args.data_dir)
        .map_err(|source| DaemonError::DataDir { path: args.data_dir.clone(), source })?;
    info!(node, version = env!("CARGO_PKG_VERSION"), "felix-lite starts");

    let allocator = Arc::new(
        NodeAllocator::open(store.clone(), &node, &args.data_dir.join("ipam"))
            .map_err(Box::new)
            .map_err(DaemonError::Ipam)?,
    );
    let (endpoints, requests) = Endpoints::new();
    let (snapshot_requests, snapshots) = mpsc::channel(4);
    let (facts, facts_seen) = watch::channel(NodeFacts::default());
    let (news, news_seen) = watch::channel(());
    let (tunnels, tunnels_seen) = watch::channel(tunnel_address::known(&allocator));
    let (ipam_faults, ipam_fault) = watch::channel(ipam::fault(&allocator));
    let inputs = Inputs {
        feed: Feed::start(&store, &node, &args.secret_namespace),
        bgp: Bgp::start(args.bgpd_socket.clone()),
        dataplane: Dataplane::start(KeyFile::in_directory(&args.data_dir))?,
        requests,
        snapshots,
        tunnel_addresses: tunnels_seen,
        ipam_fault,
    };
    let state = State::new(node.clone(), args.secret_namespace.clone());
    let engine = tokio::spawn(Engine::new(state, inputs, facts, news).run());
    let allocation =
        tokio::spawn(ipam::run(store.clone(), Arc::clone(&allocator), facts_seen.clone(), ipam_faults));
    let addressing = tokio::spawn(tunnel_address::run(Arc::clone(&allocator), facts_seen.clone(), tunnels));
    let publishing = tokio::spawn(wireguard_peer::run(store.clone(), node.clone(), facts_seen.clone()));
    let gateways = tokio::spawn(egress::run(store.clone(), node.clone(), facts_seen.clone()));
    let members = tokio::spawn(egress_members::run(store.clone(), node.clone(), facts_seen.clone()));
    let pools = tokio::spawn(pool_status::run(store.clone(), node.clone()));
    let verdicts = tokio::spawn(verdicts(args.clone(), store.clone(), node.clone()));
    let (namespaces, follow) = Namespaces::follow(&store);
    let names = tokio::spawn(follow);
    let (cni, turns) = mpsc::channel(4);
    let health = Health { endpoints: endpoints.clone(), snapshots: snapshot_requests.clone(), cni };
    let reports = tokio::spawn(status::run(store, node, news_seen, snapshot_requests));
    let served = cni_server(&args, endpoints, Arc::clone(&allocator), namespaces, facts_seen, turns);

    tokio::select! {
        signal = stop => {
            info!(signal, "felix-lite ends; what is in the kernel stays");
            // What the store is not told now it is told after the next start: the journal has it.
            let _told = tokio::time::timeout(std::time::Duration::from_secs(2), allocator.flush()).await;
            Ok(())
        }
        ended = engine => Err(DaemonError::Ended(ended.unwrap_or("engine"))),
        _ = allocation => Err(DaemonError::Ended("allocator")),
        _ = addressing => Err(DaemonError::Ended("addresses of tunnels")),
        _ = publishing => Err(DaemonError::Ended("public key")),
        _ = reports => Err(DaemonError::Ended("report")),
        _ = pools => Err(DaemonError::Ended("conditions of pools")),
        _ = verdicts => Err(DaemonError::Ended("conditions of objects")),
        _ = gateways => Err(DaemonError::Ended("egress gateways")),
        _ = members => Err(DaemonError::Ended("members of egress gateways")),
        _ = names => Err(DaemonError::Ended("namespaces")),
        Err(error) = tell_health(args.health_address, health) => Err(error),
        served = served => served.and(Err(DaemonError::Ended("CNI server"))),
    }
}

/// Says which objects make no sense, where there is no controller to do so: in a directory, in turn with all other nodes.
async fn verdicts<D: Datastore>(args: Args, store: D, node: String) {
    if !matches!(args.datastore, StoreUrl::Directory(_)) {
        return std::future::pending().await;
    }
    let secret_namespace = args.secret_namespace;
    let options = cairn_verdict::Options { secret_namespace, place: Place::Directory { node } };
    let (spoken, _unheard) = watch::channel(Arc::default());
    cairn_verdict::keep(&store, &options, &spoken).await;
}

/// Answers for the daemon's health for ever, if there is an address to do so.
async fn tell_health(address: Option<SocketAddr>, health: Health) -> Result<Infallible, DaemonError> {
    match address {
        None => std::future::pending().await,
        Some(address) => {
            health::serve(address, health).await.map_err(|source| DaemonError::Health { address, source })
        }
    }
}

/// Starts and runs the CNI server.
async fn cni_server<D: Datastore>(
    args: &Args,
    endpoints: Endpoints,
    allocator: Arc<NodeAllocator<D>>,
    namespaces: Namespaces,
    mut facts: watch::Receiver<NodeFacts>,
    turns: mpsc::Receiver<cni::Turn>,
) -> Result<(), DaemonError> {
    let config = cni::Config {
        socket: args.cni_socket.clone(),
        journal: args.data_dir.join("attachments"),
        spool: args.data_dir.join("cni-del"),
    };
    let (mtu, mtu_seen) = watch::channel(FALLBACK_MTU);
    let (attachments, attachments_seen) = watch::channel(facts.borrow().attachments.clone());
    let (not_ready, not_ready_seen) = watch::channel(facts.borrow().not_ready.clone());
    let follow = async move {
        let mut told = false;
        loop {
            let now = facts.borrow_and_update().clone();
            // What is known counts as news also where it is what was assumed: pods of an earlier run may have another.
            if let Some(known) = now.mtu {
                mtu.send_if_modified(|mtu| {
                    std::mem::replace(mtu, known) != known || !std::mem::replace(&mut told, true)
                });
            }
            attachments.send_replace(now.attachments);
            not_ready.send_replace(now.not_ready);
            if facts.changed().await.is_err() {
                return;
            }
        }
    };
    let serve = async move {
        let facts = cni::Facts { mtu: mtu_seen, attachments: attachments_seen, not_ready: not_ready_seen };
        let (server, listener) = cni::Server::start(config, endpoints, allocator, namespaces, facts).await?;
        tokio::select! {
            () = Arc::clone(&server).run(listener, turns, std::future::pending()) => {}
            () = server.follow_mtu() => {}
        }
        Ok(())
    };
    tokio::select! {
        () = follow => Ok(()),
        served = serve => served,
    }
}

/// The name given, else the host's.
fn node_name(given: Option<String>) -> Result<String, DaemonError> {
    let name = match given {
        Some(name) => name,
        None => std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map(|text| text.trim().to_lowercase())
            .map_err(|error| DaemonError::NodeName(error.to_string()))?,
    };
    if cairn_api::name::is_valid(&name) {
        return Ok(name);
    }
    Err(DaemonError::NodeName(format!("{name:?} is not a valid object name")))
}
