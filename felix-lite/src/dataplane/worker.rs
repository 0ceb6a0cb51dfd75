//! The loop of the thread.

mod repair;

use std::collections::HashMap;
use std::time::Duration;

use cairn_daemon::timer::at;
use cairn_kernel::Error;
use cairn_kernel::monitor::{Event, Monitor, Topic};
use cairn_kernel::object::{Change as Kernel, IfIndex, Link, LinkFlags, Object as _};
use cairn_net::Prefix;
use felix_api::WORKLOAD;
use felix_core::{Element, Endpoint, Host, TunnelKind};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, warn};

use super::detour::{Detours, is_detour};
use super::driver::Drivers;
use super::fast_path::FastPath;
use super::firewall::Firewall;
use super::route::Routes;
use super::sysctl::Sysctls;
use super::tunnel::{Tunnels, is_tunnel};
use super::{DataplaneEvent, KernelFault, Orders, Waiting, host};
use crate::endpoint::{EndpointError, words};
use crate::mailbox::Reader;
use crate::wireguard_key::KeyFile;
use repair::Repairs;

/// When a write that failed as a whole is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Changes by others that come together are read together.
const SETTLE: Duration = Duration::from_millis(50);
/// How often tables of others, and settings that nobody tells of, are looked at.
const LOOK: Duration = Duration::from_secs(30);
/// Refusals that are reported.
const REPORTED: usize = 10;

/// The thread's state.
#[derive(Debug)]
pub(super) struct Worker {
    orders: Reader<Orders>,
    events: mpsc::Sender<DataplaneEvent>,
    routes: Routes,
    detours: Detours,
    firewall: Firewall,
    fast_path: FastPath,
    tunnels: Tunnels,
    drivers: Drivers,
    sysctls: Sysctls,
    waiting: Vec<Waiting>,
    /// Why the last write failed as a whole.
    firewall_fault: Option<Error>,
    /// When the firewall is compared with what it should be, because somebody changed it.
    firewall_at: Option<Instant>,
    repairs: Repairs,
    /// What other tables drop, as last looked at, and when they are looked at again.
    blocked: Vec<String>,
    look_at: Instant,
    reported: Vec<KernelFault>,
    retry_at: Option<Instant>,
    /// Interfaces that are no pods', and whether they can carry packets.
    links: HashMap<IfIndex, LinkFlags>,
    host_at: Option<Instant>,
}

impl Worker {
    /// Reads the kernel, and puts the firewall's rules in place.
    pub(super) fn open(
        orders: Reader<Orders>,
        events: mpsc::Sender<DataplaneEvent>,
        keys: KeyFile,
    ) -> Result<Self, Error> {
        // The firewall first: until its rules are there nothing of ours may forward.
        let mut firewall = Firewall::open()?;
        let tunnels = Tunnels::open(keys)?;
        let mut routes = Routes::open()?;
        let detours = Detours::open()?;
        let links = routes.rtnl().list::<Link>(None)?;
        let sysctls = Sysctls::open(&links);
        let mut fast_path = FastPath::open()?;
        for link in &links {
            let change = Kernel::Present(link.clone());
            fast_path.link_changed(&change);
            firewall.link_changed(&change);
        }
        let links = links.into_iter().filter(|link| !host::is_workload(link) && !is_tunnel(link));
        let links = links.map(|link| (link.index, link.flags)).collect();
        Ok(Self {
            orders,
            events,
            routes,
            detours,
            firewall,
            fast_path,
            tunnels,
            drivers: Drivers::default(),
            sysctls,
            waiting: Vec::new(),
            firewall_fault: None,
            firewall_at: None,
            repairs: Repairs::default(),
            blocked: Vec::new(),
            look_at: Instant::now(),
            reported: Vec::new(),
            retry_at: None,
            links,
            host_at: None,
        })
    }

    /// Runs until the engine ends.
    pub(super) fn run(self) {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.work()),
            Err(error) => error!(%error, "the dataplane's thread has no runtime"),
        }
    }

    async fn work(mut self) {
        match self.follow().await {
            Ok(()) | Err(Ended::Engine) => {}
            Err(Ended::Kernel(error)) => error!(%error, "the dataplane cannot follow the kernel"),
        }
    }

    async fn follow(&mut self) -> Result<(), Ended> {
        let topics = [
            Topic::Links,
            Topic::Settings,
            Topic::Addresses,
            Topic::Routes,
            Topic::Rules,
            Topic::Nexthops,
            Topic::Neighbours,
        ];
        let mut monitor = Monitor::open(&topics)?;
        self.routes.silence(&mut monitor)?;
        self.detours.silence(&mut monitor)?;
        self.tunnels.silence(&mut monitor)?;
        let mut table = Monitor::open_tables(Firewall::TABLES)?;
        table.ignore(self.firewall.socket())?;
        let mut fast_path = Monitor::open_tables(&[FastPath::TABLE])?;
        fast_path.ignore(self.fast_path.socket())?;
        // What was read before is compared once more: nobody told what changed until now.
        self.routes.resync();
        self.detours.resync();
        self.tunnels.resync();
        self.firewall_at = Some(Instant::now());
        self.tell_host().await?;
        self.tell(DataplaneEvent::Ready).await?;
        loop {
            let routes_at = self.routes.poll_timeout().map(Instant::from_std);
            let tunnels_at = self.tunnels.poll_timeout().map(Instant::from_std);
            let fast_path_at = self.fast_path.poll_timeout().map(Instant::from_std);
            let detours_at = self.detours.poll_timeout().map(Instant::from_std);
            let sysctls_at = self.sysctls.poll_timeout().map(Instant::from_std);
            let unclaimed_at = self.firewall.poll_timeout().map(Instant::from_std);
            let retry_at = [self.retry_at, routes_at, detours_at, tunnels_at, fast_path_at, sysctls_at];
            let retry_at = retry_at.into_iter().chain([self.repairs.until, unclaimed_at]).flatten().min();
            let (host_at, firewall_at) = (self.host_at, self.firewall_at);
            tokio::select! {
                orders = self.orders.collect() => match orders {
                    Some(orders) => self.take(orders),
                    None => return Ok(()),
                },
                event = monitor.next() => self.happened(event?, monitor.author()),
                event = table.next() => {
                    event?;
                    self.firewall_changed(table.author());
                }
                event = fast_path.next() => {
                    event?;
                    self.fast_path.table_changed();
                }
                () = at(firewall_at) => self.repair_firewall(),
                () = at(host_at) => {
                    self.host_at = None;
                    self.tell_host().await?;
                }
                () = at(retry_at) => {}
                () = tokio::time::sleep_until(self.look_at) => self.look(),
            }
            self.write();
            self.report().await?;
        }
    }

    /// Somebody else changed something in the kernel.
    fn happened(&mut self, event: Event, author: Option<u32>) {
        if let Event::Link(change) = &event {
            self.fast_path.link_changed(change);
            self.firewall.link_changed(change);
        }
        let host_changed = match event {
            Event::Link(change) if host::is_workload(change.object()) => {
                self.routes.pod_link_changed(&change);
                false
            }
            Event::Link(change)
                if is_tunnel(change.object()) || TunnelKind::is_device(&change.object().name) =>
            {
                self.routes.link_changed(change.object().index);
                self.detours.link_changed(change.object().index);
                self.tunnels.link_changed(&change);
                false
            }
            Event::Link(Kernel::Present(link)) => {
                self.sysctls.link_changed(&link);
                if self.links.insert(link.index, link.flags) != Some(link.flags) {
                    self.routes.link_changed(link.index);
                    self.detours.link_changed(link.index);
                }
                true
            }
            Event::Link(Kernel::Gone(link)) => {
                self.routes.link_changed(link.index);
                self.detours.link_changed(link.index);
                self.links.remove(&link.index).is_some()
            }
            Event::Settings(Some(index)) => {
                self.tunnels.settings_changed(index);
                self.links.contains_key(&index)
            }
            Event::Settings(None) => {
                self.sysctls.changed();
                self.tunnels.settings_of_all_changed();
                true
            }
            Event::Address(change) if self.tunnels.has(change.object().link) => {
                self.tunnels.address_changed(change);
                false
            }
            Event::Address(change) => self.links.contains_key(&change.object().link),
            Event::Route(change) if is_detour(&change.object().key()) => {
                self.detours.route_changed(change);
                false
            }
            Event::Rule(change) => {
                self.detours.rule_changed(change);
                false
            }
            Event::Route(change) => {
                let route = change.object();
                let changed = host::is_foreign(route) && !host::leads_to_pods(route, &self.links);
                self.routes.route_changed(change, author);
                changed
            }
            Event::Nexthop(change) => {
                self.routes.nexthop_changed(change);
                false
            }
            Event::Neighbour(change) => {
                self.tunnels.neighbour_changed(change);
                false
            }
            Event::Forwarding(change) => {
                self.tunnels.forwarding_changed(change);
                false
            }
            Event::Table => false,
            Event::Resync => {
                self.routes.resync();
                self.detours.resync();
                self.tunnels.resync();
                self.sysctls.changed();
                match self.routes.rtnl().list::<Link>(None) {
                    Ok(links) => self.firewall.links_are(&links),
                    Err(error) => warn!(%error, "the node's interfaces cannot be read"),
                }
                self.firewall_at.get_or_insert(Instant::now());
                true
            }
        };
        if host_changed && self.host_at.is_none() {
            self.host_at = Some(Instant::now() + SETTLE);
        }
    }

    /// Looks at what tables of others do to what pods send each other, and at settings that nobody tells of.
    fn look(&mut self) {
        self.look_at = Instant::now() + LOOK;
        self.sysctls.look(self.routes.rtnl());
        match self.firewall.blocked() {
            Ok(found) => self.blocked = found,
            Err(error) => warn!(%error, "the tables of others cannot be read"),
        }
    }

    fn take(&mut self, orders: Orders) {
        if let Some(nat) = orders.nat {
            self.firewall.translate(nat);
        }
        for (element, wanted) in &orders.elements {
            if *wanted {
                self.firewall.add(element);
            } else {
                self.firewall.remove(element);
            }
            match element {
                Element::Source { interface, address } if *wanted => {
                    self.fast_path.add_source(interface, *address);
                }
                Element::Source { interface, address } => self.fast_path.remove_source(interface, *address),
                Element::Limit { interface, direction, rate } => {
                    self.fast_path.limit(interface, (*direction, *rate), *wanted);
                }
                _ => {}
            }
        }
        for mode in orders.drivers {
            match self.drivers.ask(self.routes.rtnl(), mode) {
                Ok(true) => self.host_at = Some(Instant::now()),
                Ok(false) => {}
                Err(error) => warn!(%error, "whether the kernel has a driver is not known"),
            }
        }
        for (kind, tunnel) in orders.tunnels {
            self.firewall.tunnel_ends_at(kind, tunnel.as_ref().map(|tunnel| tunnel.local));
            self.tunnels.want(kind, tunnel);
        }
        for (key, peer) in orders.peers {
            self.tunnels.want_peer(key, peer);
        }
        for (name, peer) in orders.wireguard_peers {
            self.tunnels.want_wireguard_peer(name, peer);
        }
        for (key, detour) in orders.detours {
            self.detours.want(key, detour);
        }
        for (prefix, route) in orders.routes {
            self.routes.want(prefix, route);
        }
        for answer in orders.rotations {
            let _nobody_waits = answer.send(self.tunnels.rotate_wireguard_key());
        }
        self.waiting.extend(orders.waiting);
        if let Some(wanted) = orders.fast_path {
            self.fast_path.want(wanted);
        }
        if orders.sweep_firewall {
            self.firewall.sweep();
            self.fast_path.sweep();
            self.tunnels.sweep();
            self.detours.sweep();
        }
        if orders.sweep_routes {
            self.routes.sweep();
        }
    }

    /// The ways of marked packets before the elements that mark them. Elements before routes: a pod's source is known before it is reached (I1). Tunnels before routes, too, and what routes no longer need after
    /// them. An interface leaves the fast path before its source leaves the firewall, and
    /// is left out of it before its limit is in force.
    fn write(&mut self) {
        self.fast_path.leave();
        self.fast_path.exempt();
        let prepared = self.detours.prepare();
        self.firewall_fault = self.firewall.write().err();
        if let Some(error) = &self.firewall_fault {
            warn!(%error, "the firewall is not up to date");
        }
        let guarded = self.firewall_fault.is_none() && self.repairs.fault.is_none();
        let tunnels = self.tunnels.write(guarded);
        let written = self.routes.write();
        if let Err(error) = &written {
            warn!(%error, "routes are not up to date");
        }
        let detours = prepared.and(self.detours.finish());
        if let Err(error) = &detours {
            warn!(%error, "rules are not up to date");
        }
        let tunnels = tunnels.and(self.tunnels.finish());
        if let Err(error) = &tunnels {
            warn!(%error, "tunnels are not up to date");
        }
        if self.tunnels.is_news() && self.host_at.is_none() {
            self.host_at = Some(Instant::now());
        }
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Endpoint(endpoint, answer) => {
                    let _nobody_waits = answer.send(self.confirm(&endpoint));
                }
                Waiting::Barrier(answer) => {
                    let _nobody_waits = answer.send(());
                }
            }
        }
        self.fast_path.set_tunnels(self.tunnels.numbers());
        let now = std::time::Instant::now();
        self.fast_path.write(now);
        self.sysctls.write(self.routes.rtnl(), now);
        let faulty =
            written.is_err() || detours.is_err() || tunnels.is_err() || self.firewall_fault.is_some();
        self.retry_at = faulty.then(|| Instant::now() + RETRY);
    }

    /// Is all of an endpoint in the kernel?
    fn confirm(&self, endpoint: &Endpoint) -> Result<(), EndpointError> {
        let refused =
            |reason: String| EndpointError::Kernel { interface: endpoint.interface.clone(), reason };
        if let Some(missing) = endpoint.elements().find(|element| !self.firewall.has(element)) {
            let why = self.firewall_fault.as_ref().map(ToString::to_string);
            return Err(refused(
                why.unwrap_or_else(|| format!("{} is not in the firewall", words(&missing))),
            ));
        }
        for address in &endpoint.addresses {
            if let Some(reason) = self.routes.fault_of(Prefix::host(*address)) {
                return Err(refused(reason));
            }
        }
        Ok(())
    }

    async fn report(&mut self) -> Result<(), Ended> {
        self.repairs.expire(Instant::now());
        let firewall = self.firewall_fault.iter().chain(&self.repairs.fault).map(ToString::to_string);
        let refused = firewall
            .chain(self.fast_path.fault().cloned())
            .chain(self.sysctls.faults().take(REPORTED).cloned())
            .chain(
                self.tunnels
                    .faults()
                    .chain(self.routes.faults())
                    .chain(self.detours.faults())
                    .take(REPORTED)
                    .cloned(),
            )
            .map(KernelFault::Refused);
        let contested = self.routes.quarrels().take(REPORTED).chain(self.sysctls.quarrels()).cloned();
        let contested = contested.chain(self.firewall_quarrel());
        let blocked = self.blocked.iter().map(|chain| {
            KernelFault::Blocked(format!(
                "{chain} drops forwarded packets, pods' too: let interfaces {WORKLOAD}* through there, as docs/guide/host.md says"
            ))
        });
        let mut faults: Vec<_> =
            refused.chain(contested.map(KernelFault::Contested)).chain(blocked).collect();
        faults.sort_unstable();
        if faults != self.reported {
            self.reported.clone_from(&faults);
            self.tell(DataplaneEvent::Faults(faults)).await?;
        }
        Ok(())
    }

    async fn tell_host(&mut self) -> Result<(), Ended> {
        match host::read(self.routes.rtnl()) {
            Ok((host, on_tunnels)) => {
                let (tunnels, wireguard) = (self.tunnels.usable(), self.tunnels.wireguard());
                self.tell(DataplaneEvent::TunnelAddresses(on_tunnels)).await?;
                let lacking = self.drivers.lacking();
                self.tell(DataplaneEvent::Host(Host { tunnels, wireguard, lacking, ..host })).await
            }
            Err(error) => {
                warn!(%error, "the node's own addresses and routes cannot be read: trying again");
                self.host_at = Some(Instant::now() + RETRY);
                Ok(())
            }
        }
    }

    async fn tell(&self, event: DataplaneEvent) -> Result<(), Ended> {
        self.events.send(event).await.map_err(|_| Ended::Engine)
    }
}

/// Why the loop ends.
enum Ended {
    /// The engine is gone.
    Engine,
    /// The kernel's notifications cannot be read.
    Kernel(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}
