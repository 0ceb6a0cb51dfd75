//! The one owner of the core's state: facts in, changes out.
//!
//! ```text
//! datastore watches --+                      +--> dataplane thread --> kernel
//! CNI server ---------+--> engine (State) ---+
//! bgpd's routes ------+                      +--> bgpd task --> bgpd
//! kernel's addresses -+
//! ```
//!
//! One task; every queue into it is bounded. It never waits for the kernel or for bgpd: who waits for an endpoint is
//! answered when the dataplane reports.

mod drain;
mod egress;
mod facts;
mod ready;
mod sync;

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgpd_api::peer::{Peer, PeerEvent, SessionState};
use bgpd_api::route::RouteSource;
use cairn_api::WireguardKey;
use cairn_api::kinds::Flowtable;
use cairn_daemon::timer::at;
use cairn_net::Family;
use felix_core::{Change, Condition, Endpoint, NextHop, State, TunnelKind, Update};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::bgp::{Bgp, BgpEvent, Stale};
use crate::dataplane::{Dataplane, DataplaneEvent, KernelFault};
use crate::endpoint::{EndpointError, Request};
use crate::store::{Feed, FeedEvent};
use drain::DrainClock;
use ready::BgpdClock;
use sync::Progress;

pub(crate) use facts::{EgressFacts, Encryption, NodeFacts, Snapshot};
pub(crate) use ready::Readiness;

/// How many events of one source are taken before what follows from them is worked out.
const BATCH: usize = 64;

/// Everything the engine listens to.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) feed: Feed,
    pub(crate) bgp: Bgp,
    pub(crate) dataplane: Dataplane,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) snapshots: mpsc::Receiver<oneshot::Sender<Snapshot>>,
    /// What the allocator gave to the node's tunnels.
    pub(crate) tunnel_addresses: watch::Receiver<BTreeMap<Family, IpAddr>>,
    /// Why the allocator could give no address; `None`: there are pools.
    pub(crate) ipam_fault: watch::Receiver<Option<String>>,
}

/// An endpoint that is being programmed, and who waits for it.
type Programmed = (String, Result<(), EndpointError>, oneshot::Sender<Result<(), EndpointError>>);

/// The engine.
#[derive(Debug)]
pub(crate) struct Engine {
    state: State,
    inputs: Inputs,
    stale: Stale,
    progress: Progress,
    programming: JoinSet<Programmed>,
    peers: BTreeMap<IpAddr, Peer>,
    bgpd_fault: Option<String>,
    bgpd_clock: BgpdClock,
    readiness: Readiness,
    kernel_faults: Vec<KernelFault>,
    wireguard_key: Option<WireguardKey>,
    drain_clock: DrainClock,
    facts: watch::Sender<NodeFacts>,
    /// Raised whenever a snapshot would differ.
    news: watch::Sender<()>,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub(crate) fn new(
        state: State,
        inputs: Inputs,
        facts: watch::Sender<NodeFacts>,
        news: watch::Sender<()>,
    ) -> Self {
        Self {
            state,
            inputs,
            stale: Stale::default(),
            progress: Progress::default(),
            programming: JoinSet::new(),
            peers: BTreeMap::new(),
            bgpd_fault: None,
            bgpd_clock: BgpdClock::default(),
            readiness: Readiness::unknown(),
            kernel_faults: Vec::new(),
            wireguard_key: None,
            drain_clock: DrainClock::default(),
            facts,
            news,
        }
    }

    /// Runs until one of its sources ends, which none does in order; gives its name.
    pub(crate) async fn run(mut self) -> &'static str {
        self.look_at_readiness();
        // What the journal has of an earlier run is on the devices that are adopted.
        self.tunnels_addressed();
        loop {
            tokio::select! {
                event = self.inputs.feed.next() => match event {
                    Some(event) => self.fed(event),
                    None => return "datastore",
                },
                event = self.inputs.bgp.next() => match event {
                    Some(event) => self.heard(event),
                    None => return "bgpd client",
                },
                event = self.inputs.dataplane.next() => match event {
                    Some(event) => self.seen(event),
                    None => return "dataplane",
                },
                Some(request) = self.inputs.requests.recv() => self.asked(request),
                Some(done) = self.programming.join_next() => {
                    if let Ok(done) = done {
                        self.programmed(done);
                    }
                }
                Ok(()) = self.inputs.tunnel_addresses.changed() => self.tunnels_addressed(),
                Ok(()) = self.inputs.ipam_fault.changed() => {}
                Some(answer) = self.inputs.snapshots.recv() => {
                    let _nobody_waits = answer.send(self.snapshot());
                }
                () = at(self.drain_clock.next()) => {}
                () = at(self.bgpd_clock.next()) => {}
            }
            self.drain();
            self.look_at_drain_clock();
            self.dispatch();
            self.look_at_readiness();
        }
    }

    /// Takes what waits already, so that one calculation serves many facts.
    fn drain(&mut self) {
        for _ in 0..BATCH {
            match self.inputs.feed.try_next() {
                Some(event) => self.fed(event),
                None => break,
            }
        }
        for _ in 0..BATCH {
            match self.inputs.bgp.try_next() {
                Some(event) => self.heard(event),
                None => break,
            }
        }
    }

    fn tunnels_addressed(&mut self) {
        let addresses = self.inputs.tunnel_addresses.borrow_and_update().clone();
        self.state.apply(Update::TunnelAddresses(addresses));
    }

    fn fed(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Facts(facts) => {
                facts.into_iter().for_each(|fact| self.state.apply(fact));
            }
            FeedEvent::Unread(kind, objects) => {
                for (name, reason) in &objects {
                    warn!(
                        object = format!("{kind}/{name}"),
                        reason,
                        "cannot be read: bgpd and the kernel keep what they have, and the node is not ready for pods, until it can be"
                    );
                }
                self.progress.unread(kind, objects);
                self.news.send_replace(());
            }
            FeedEvent::Listed => {
                self.progress.kind_listed();
                self.progressed();
            }
        }
    }

    fn heard(&mut self, event: BgpEvent) {
        match event {
            BgpEvent::Connected => {
                info!("connected to bgpd");
                self.bgpd_fault = None;
                self.peers.clear();
                self.stale.begin(self.state.learned());
            }
            BgpEvent::Disconnected(error) => {
                if self.bgpd_fault.as_ref() != Some(&error) {
                    warn!(error, "bgpd is away: its routes stay in the kernel");
                }
                self.bgpd_fault = Some(error);
                self.peers.clear();
            }
            BgpEvent::Applied(result) => self.bgpd_fault = result.err(),
            BgpEvent::Routes(update) => {
                for change in update.changes {
                    self.stale.confirm(change.prefix);
                    // What this node originates itself is not learned.
                    let learned = change.best.filter(|best| matches!(best.source, RouteSource::Peer(_)));
                    let next_hops = learned
                        .map(|best| best.hops().map(|(address, index)| NextHop { address, index }).collect());
                    self.state.apply(Update::Learned(change.prefix, next_hops));
                }
                for prefix in self.stale.end_of_rib(update.end_of_rib) {
                    debug!(%prefix, "bgpd no longer has it");
                    self.state.apply(Update::Learned(prefix, None));
                }
                if !update.end_of_rib.is_empty() {
                    self.progress.end_of_rib(update.end_of_rib);
                    self.progressed();
                }
            }
            BgpEvent::Peer(event) => self.peer_changed(*event),
        }
        self.tell_egress();
        self.news.send_replace(());
    }

    fn peer_changed(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Changed(peer) => {
                let before = self.peers.insert(peer.address, (*peer).clone());
                let was_up = before.is_some_and(|before| before.state == SessionState::Established);
                match (was_up, peer.state == SessionState::Established) {
                    (false, true) => info!(peer = %peer.address, asn = %peer.remote_as, "session is up"),
                    (true, false) => warn!(peer = %peer.address, reason = peer.last_error, "session is down"),
                    _ => {}
                }
            }
            PeerEvent::Removed(address) => drop(self.peers.remove(&address)),
            PeerEvent::InSync => {}
        }
    }

    fn seen(&mut self, event: DataplaneEvent) {
        match event {
            DataplaneEvent::Host(host) => {
                let usable = host.tunnels.contains_key(&TunnelKind::Wireguard);
                let device = host.wireguard.get(&TunnelKind::Wireguard).filter(|_| usable);
                self.wireguard_key = device.map(|device| device.key);
                self.state.apply(Update::Host(Box::new(host)));
                self.progress.host_seen();
                self.progressed();
            }
            DataplaneEvent::TunnelAddresses(addresses) => {
                let addresses = Some(addresses);
                self.facts.send_if_modified(|facts| {
                    let differs = facts.on_tunnels != addresses;
                    facts.on_tunnels = addresses;
                    differs
                });
            }
            DataplaneEvent::Ready => {
                self.progress.dataplane_ready();
                self.progressed();
            }
            DataplaneEvent::Faults(faults) => self.kernel_faults = faults,
        }
        self.news.send_replace(());
    }

    fn asked(&mut self, request: Request) {
        match request {
            Request::Turn(answer) => return self.inputs.dataplane.barrier(answer),
            Request::RotateWireguardKey(answer) => {
                return self.inputs.dataplane.rotate_wireguard_key(answer);
            }
            Request::Add(endpoint, answer) => self.add(endpoint, answer),
            Request::Remove(interface, answer) => {
                self.state.apply(Update::Endpoint(interface, None));
                self.dispatch();
                self.inputs.dataplane.barrier(answer);
            }
            Request::Restore(endpoints, answer) => {
                info!(count = endpoints.len(), "endpoints restored from the journal");
                for endpoint in endpoints {
                    self.state.apply(Update::Endpoint(endpoint.interface.clone(), Some(endpoint)));
                }
                self.progress.endpoints_restored();
                self.dispatch();
                self.progressed();
                self.inputs.dataplane.barrier(answer);
            }
            Request::List(answer) => {
                let mut all: Vec<Endpoint> = self.state.endpoints().cloned().collect();
                all.sort_by(|a, b| a.interface.cmp(&b.interface));
                let _nobody_waits = answer.send(all);
            }
        }
        self.news.send_replace(());
    }

    fn add(&mut self, endpoint: Endpoint, answer: oneshot::Sender<Result<(), EndpointError>>) {
        let taken = endpoint.addresses.iter().find_map(|address| {
            let holder = self.state.holder(*address).filter(|holder| *holder != endpoint.interface)?;
            Some((*address, holder.to_owned()))
        });
        if let Some((address, holder)) = taken {
            let error = EndpointError::AddressInUse { address, owner: endpoint.owner, holder };
            let _nobody_waits = answer.send(Err(error));
            return;
        }
        // The scheduler sees to it that pods do not quarrel about ports; others that make pods may not.
        if let Some((port, holder)) = self.state.taken_port(&endpoint) {
            let holder = self.state.endpoint(holder).map_or(holder, |pod| pod.owner.as_str()).to_owned();
            let _nobody_waits =
                answer.send(Err(EndpointError::PortInUse { port, owner: endpoint.owner, holder }));
            return;
        }
        self.state.apply(Update::Endpoint(endpoint.interface.clone(), Some(endpoint.clone())));
        self.dispatch();
        let interface = endpoint.interface.clone();
        let done = self.inputs.dataplane.confirm(endpoint);
        self.programming.spawn(async move {
            let result = done.await.unwrap_or(Err(EndpointError::Stopping));
            (interface, result, answer)
        });
    }

    fn programmed(&mut self, (interface, result, answer): Programmed) {
        if let Err(error) = &result {
            warn!(interface, %error, "endpoint is not programmed");
            self.state.apply(Update::Endpoint(interface, None));
        }
        let _nobody_waits = answer.send(result);
    }

    /// Passes on what follows from the facts.
    fn dispatch(&mut self) {
        let changes = self.state.changes();
        self.tell_egress();
        if changes.is_empty() {
            return;
        }
        let mut kernel = Vec::new();
        for change in changes {
            match change {
                Change::Settings(settings) => {
                    self.inputs.dataplane.fast_path(settings.flowtable == Flowtable::Software);
                    self.facts.send_modify(|facts| {
                        facts.warm_addresses = settings.warm_addresses;
                        facts.mtu = settings.mtu;
                    });
                }
                Change::Announce(route) => self.inputs.bgp.announce(route),
                Change::Withdraw(prefix) => self.inputs.bgp.withdraw(prefix),
                Change::Configure(config) => self.inputs.bgp.configure(config),
                // While objects are still being read, much seems to be missing.
                Change::Report(_) | Change::Retract(_) if !self.progress.is_picture_told() => {}
                Change::Report(condition) => report(&condition),
                Change::Retract(condition) => {
                    info!(subject = condition.subject, reason = %condition.reason, "no longer: {}", condition.message);
                }
                change @ (Change::SetNat(_)
                | Change::UseDriver(_)
                | Change::AddElement(_)
                | Change::RemoveElement(_)
                | Change::SetTunnel(..)
                | Change::RemoveTunnel(_)
                | Change::SetPeer(..)
                | Change::RemovePeer(_)
                | Change::SetWireguardPeer(..)
                | Change::RemoveWireguardPeer(_)
                | Change::SetDetour(..)
                | Change::RemoveDetour(_)
                | Change::SetRoute(..)
                | Change::RemoveRoute(_)) => kernel.push(change),
            }
        }
        let encryption = self.encryption();
        let (labels, tunnel_pools) = (self.state.labels(), self.state.tunnel_pools());
        let (attachments, pod_cidrs) = (self.state.attachments(), self.state.pod_cidrs());
        self.facts.send_if_modified(|facts| {
            let differs = facts.labels != *labels
                || facts.pod_cidrs != pod_cidrs
                || facts.attachments != *attachments
                || facts.tunnel_pools != *tunnel_pools
                || facts.encryption != encryption;
            if differs {
                facts.encryption = encryption;
                facts.labels.clone_from(labels);
                facts.pod_cidrs = pod_cidrs.to_vec();
                facts.attachments.clone_from(attachments);
                facts.tunnel_pools.clone_from(tunnel_pools);
            }
            differs
        });
        self.inputs.dataplane.apply(kernel);
        self.news.send_replace(());
    }

    /// A source became complete: what that allows is done once.
    fn progressed(&mut self) {
        if self.progress.facts_completed() {
            self.state.apply(Update::Complete);
        }
        self.dispatch();
        if self.progress.picture_completed() {
            info!("datastore and endpoints are in sync");
            self.state.conditions().for_each(report);
            self.inputs.bgp.ready();
            self.inputs.dataplane.sweep_firewall();
        }
        if self.progress.routes_completed() {
            info!("routes are in sync");
            self.inputs.dataplane.sweep_routes();
        }
        self.tell_egress();
        let (complete, encryption) = (self.progress.is_complete(), self.encryption());
        self.facts.send_if_modified(|facts| {
            let differs = facts.complete != complete || facts.encryption != encryption;
            (facts.complete, facts.encryption) = (complete, encryption);
            differs
        });
    }

    /// Until the picture is complete nobody knows whether anything is to be encrypted.
    fn encryption(&self) -> Encryption {
        match (self.progress.is_picture_told(), self.state.encrypts()) {
            (false, _) => Encryption::Unknown,
            (true, false) => Encryption::Off,
            (true, true) => Encryption::On(self.wireguard_key),
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            conditions: self.state.conditions().cloned().collect(),
            peers: self.peers.values().cloned().collect(),
            bgp_peers: self.state.bgp_peers().clone(),
            blocks: self.state.blocks().collect(),
            routes: self.state.route_count(),
            endpoints: self.state.endpoints().count(),
            readiness: self.readiness.clone(),
            unread: self.progress.unread_objects().collect(),
            in_sync: self.progress.is_in_sync(),
            bgpd_fault: self.bgpd_fault.clone(),
            kernel_faults: self.kernel_faults.clone(),
            wireguard_key: self.wireguard_key.filter(|_| self.state.encrypts()),
            drain: self.state.drain(),
        }
    }
}

fn report(condition: &Condition) {
    warn!(subject = condition.subject, reason = %condition.reason, "{}", condition.message);
}
