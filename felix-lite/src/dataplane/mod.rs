//! The thread that owns routes and firewall in the kernel.
//!
//! It takes the core's changes in their order, writes them in batches, and tells the engine what the kernel has besides.
//! Netlink calls block, so they have a thread of their own and never hold up the engine.
//!
//! - `detour`: rules and tables for packets of egress gateways;
//! - `driver`: drivers of the kernel that pools ask for;
//! - `fast_path`: the flowtable of pods' connections;
//! - `firewall`: the tables `inet cairn` and `netdev cairn`;
//! - `host`: the node's own addresses and routes, read for the core;
//! - `nexthop`: nexthop objects and groups, shared by the routes that use them;
//! - `patience`: how fast something is repaired that somebody keeps changing;
//! - `quarrel`: who keeps changing what is repaired;
//! - `route`: routes of protocol 202;
//! - `sysctl`: settings that a node needs to forward;
//! - `tunnel`: tunnel devices, with the other nodes at their far ends;
//! - `wireguard`: key and peers of the device that encrypts;
//! - `worker`: the loop.
//!
//! Invariants: nothing is removed at the end of the thread (I2); what was there before is adopted, and swept only when
//! the engine says that its picture is complete.

mod detour;
mod driver;
mod fast_path;
mod firewall;
mod host;
mod nexthop;
mod patience;
mod quarrel;
mod route;
mod sysctl;
#[cfg(test)]
mod tests;
mod tunnel;
mod wireguard;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cairn_api::kinds::AttachmentMode;
use cairn_net::{Family, Prefix};
use felix_core::{
    Change, Detour, EgressSlot, Element, Endpoint, Host, Nat, Route, Tunnel, TunnelKind, TunnelPeer,
    WireguardPeer,
};
use tokio::sync::{mpsc, oneshot};

use crate::endpoint::EndpointError;
use crate::mailbox::{Writer, mailbox};
use crate::wireguard_key::KeyFile;
pub(crate) use firewall::InKernel;
use worker::Worker;

/// Events that may wait for the engine.
const QUEUE: usize = 16;

/// What the engine tells the thread, merged by key.
#[derive(Debug, Default)]
struct Orders {
    /// What leaves the pools gets these sources.
    nat: Option<Nat>,
    /// Elements that are wanted, or no longer.
    elements: BTreeMap<Element, bool>,
    /// Tunnel devices that are wanted, or no longer.
    tunnels: BTreeMap<TunnelKind, Option<Tunnel>>,
    /// Nodes at their far ends, or no longer.
    peers: BTreeMap<(TunnelKind, IpAddr), Option<TunnelPeer>>,
    /// Peers to whom packets are encrypted, or no longer.
    wireguard_peers: BTreeMap<String, Option<WireguardPeer>>,
    /// Ways of packets of egress gateways, or none any longer.
    detours: BTreeMap<(Family, EgressSlot), Option<Detour>>,
    /// Routes that are wanted, or no longer.
    routes: BTreeMap<Prefix, Option<Route>>,
    /// Whether established connections take the fast path, once that is known or changes.
    fast_path: Option<bool>,
    /// Attachments whose driver is wanted.
    drivers: BTreeSet<AttachmentMode>,
    /// Who wants another WireGuard key.
    rotations: Vec<oneshot::Sender<Result<(), String>>>,
    /// Who waits until all of this, and what was before, is written.
    waiting: Vec<Waiting>,
    /// The firewall's elements are complete: others may go.
    sweep_firewall: bool,
    /// The routes are complete: others of ours may go.
    sweep_routes: bool,
}

/// Who waits for what was ordered to be written. As many as the CNI server has calls under way.
#[derive(Debug)]
enum Waiting {
    /// Wants to know whether this endpoint's part is in the kernel.
    Endpoint(Endpoint, oneshot::Sender<Result<(), EndpointError>>),
    /// Wants to know when all was tried.
    Barrier(oneshot::Sender<()>),
}

/// What the thread tells the engine.
#[derive(Debug)]
pub(crate) enum DataplaneEvent {
    /// The node's own addresses, routes and interfaces, and the tunnels that can be used.
    Host(Host),
    /// The addresses on tunnel devices, with those that go with their device in a while.
    TunnelAddresses(BTreeSet<IpAddr>),
    /// The kernel was read and the firewall is in it.
    Ready,
    /// What is wrong in the kernel now.
    Faults(Vec<KernelFault>),
}

/// Something that is not in the kernel as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KernelFault {
    /// The kernel refuses it: what, and why.
    Refused(String),
    /// Somebody keeps changing it: what, and who.
    Contested(String),
    /// Another table drops what pods send each other: which.
    Blocked(String),
}

/// The engine's end of the thread.
#[derive(Debug)]
pub(crate) struct Dataplane {
    orders: Writer<Orders>,
    events: mpsc::Receiver<DataplaneEvent>,
}

impl Dataplane {
    /// Opens the kernel's sockets, sets what the node needs to forward, and starts the thread.
    ///
    /// # Errors
    /// If the kernel cannot be read, usually for lack of `CAP_NET_ADMIN`.
    pub(crate) fn start(keys: KeyFile) -> Result<Self, cairn_kernel::Error> {
        let (orders, reader) = mailbox();
        let (sender, events) = mpsc::channel(QUEUE);
        let worker = Worker::open(reader, sender, keys)?;
        let spawned = std::thread::Builder::new().name("dataplane".to_owned()).spawn(move || worker.run());
        spawned.map_err(|error| cairn_kernel::Error::refused("start", "the dataplane's thread", error))?;
        Ok(Self { orders, events })
    }

    /// Applies changes of drivers, elements, tunnels and routes; others are not its business.
    pub(crate) fn apply(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.orders.write(|orders| {
            for change in changes {
                match change {
                    Change::SetNat(nat) => orders.nat = Some(nat),
                    Change::UseDriver(mode) => drop(orders.drivers.insert(mode)),
                    Change::AddElement(element) => drop(orders.elements.insert(element, true)),
                    Change::RemoveElement(element) => drop(orders.elements.insert(element, false)),
                    Change::SetTunnel(kind, tunnel) => drop(orders.tunnels.insert(kind, Some(tunnel))),
                    Change::RemoveTunnel(kind) => drop(orders.tunnels.insert(kind, None)),
                    Change::SetPeer(key, peer) => drop(orders.peers.insert(key, Some(peer))),
                    Change::RemovePeer(key) => drop(orders.peers.insert(key, None)),
                    Change::SetWireguardPeer(name, peer) => {
                        drop(orders.wireguard_peers.insert(name, Some(peer)));
                    }
                    Change::RemoveWireguardPeer(name) => drop(orders.wireguard_peers.insert(name, None)),
                    Change::SetRoute(prefix, route) => drop(orders.routes.insert(prefix, Some(route))),
                    Change::RemoveRoute(prefix) => drop(orders.routes.insert(prefix, None)),
                    Change::SetDetour(key, detour) => drop(orders.detours.insert(key, Some(detour))),
                    Change::RemoveDetour(key) => drop(orders.detours.insert(key, None)),
                    Change::Settings(_)
                    | Change::Announce(_)
                    | Change::Withdraw(_)
                    | Change::Configure(_)
                    | Change::Report(_)
                    | Change::Retract(_) => {}
                }
            }
        });
    }

    /// Tells when the endpoint's elements and routes, applied before, are in the kernel.
    pub(crate) fn confirm(&self, endpoint: Endpoint) -> oneshot::Receiver<Result<(), EndpointError>> {
        let (answer, reply) = oneshot::channel();
        self.orders.write(|orders| orders.waiting.push(Waiting::Endpoint(endpoint, answer)));
        reply
    }

    /// Answers once everything applied before was tried.
    pub(crate) fn barrier(&self, answer: oneshot::Sender<()>) {
        self.orders.write(|orders| orders.waiting.push(Waiting::Barrier(answer)));
    }

    /// Gives WireGuard another key.
    pub(crate) fn rotate_wireguard_key(&self, answer: oneshot::Sender<Result<(), String>>) {
        self.orders.write(|orders| orders.rotations.push(answer));
    }

    /// Established connections of pods should take the fast path, or not.
    pub(crate) fn fast_path(&self, wanted: bool) {
        self.orders.write(|orders| orders.fast_path = Some(wanted));
    }

    /// The firewall's elements are complete.
    pub(crate) fn sweep_firewall(&self) {
        self.orders.write(|orders| orders.sweep_firewall = true);
    }

    /// The routes are complete.
    pub(crate) fn sweep_routes(&self) {
        self.orders.write(|orders| orders.sweep_routes = true);
    }

    /// The next event; `None` if the thread ended. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Option<DataplaneEvent> {
        self.events.recv().await
    }
}
