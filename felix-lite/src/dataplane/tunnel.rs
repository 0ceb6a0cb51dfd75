//! Tunnel devices in the kernel, kept equal to what the core wants.
//!
//! A device is made before routes lead into it, and stays for a while after the last one has left: other nodes change at their own pace, and
//! what they still send must be taken. For the same reason a new device is told to the core only when it has been there for a
//! moment. A device of ours is known by its group; one of somebody else's with our name is never touched.
//!
//! Addresses, neighbours and forwarding entries on a device are ours alone; three reconcilers of the kernel crate keep them.

mod device;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use cairn_kernel::monitor::Monitor;
use cairn_kernel::object::{Address, Change, Forwarding, IfIndex, Link, Neighbour};
use cairn_kernel::reconciler::{BackOff, Reconciler, Report, Rtnetlink};
use cairn_kernel::{Error, Rtnl};
use felix_core::{HostTunnel, HostWireguard, Tunnel, TunnelKind, TunnelPeer, WireguardPeer};
use tracing::{info, warn};

use device::Failure;
pub(super) use device::is_tunnel;

use super::wireguard::Encryption;
use crate::wireguard_key::KeyFile;

/// How long a new device waits for those of the other nodes, before routes lead into it.
const RIPENS: Duration = Duration::from_secs(1);
/// How long a device is kept that nothing leads into any more.
const LINGERS: Duration = Duration::from_secs(60);
/// When a device that could not be made is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often the key and the peers of WireGuard are compared with what they should be: nobody is told of their changes.
const COMPARE: Duration = Duration::from_secs(10);
/// So many repairs of a device in a row are made at once; then somebody means it, and they get slower.
const PATIENCE: u32 = 5;
/// The slowest repair.
const SLOWEST: Duration = Duration::from_secs(30);
/// After so long without a repair a quarrel is over.
const QUIET: Duration = Duration::from_secs(120);

/// Our tunnel devices with all that is on them.
#[derive(Debug)]
pub(super) struct Tunnels {
    rtnl: Rtnl,
    wanted: BTreeMap<TunnelKind, Tunnel>,
    peers: BTreeMap<(TunnelKind, IpAddr), TunnelPeer>,
    devices: BTreeMap<TunnelKind, Device>,
    /// Devices to be compared with the kernel, and not before when.
    pending: BTreeMap<TunnelKind, Instant>,
    repairs: BTreeMap<TunnelKind, Repairs>,
    /// Peers that are no longer wanted: they go once no route leads to them.
    released: BTreeMap<(TunnelKind, IpAddr), TunnelPeer>,
    addresses: Reconciler<Rtnetlink<Address>>,
    neighbours: Reconciler<Rtnetlink<Neighbour>>,
    entries: Reconciler<Rtnetlink<Forwarding>>,
    encryption: Encryption,
    /// Why a device is not as it should be.
    device_faults: BTreeMap<TunnelKind, String>,
    object_faults: BTreeSet<String>,
    /// What was told of the devices last.
    told: BTreeMap<TunnelKind, HostTunnel>,
    /// The addresses on them at that time, and whether others may have been there, too.
    told_addresses: (BTreeSet<(IfIndex, IpAddr)>, bool),
    told_keys: BTreeMap<TunnelKind, HostWireguard>,
    /// When WireGuard is compared with what it should be.
    compare_at: Option<Instant>,
    swept: bool,
    resync: bool,
}

/// A device that is there.
#[derive(Debug, Clone, Copy)]
struct Device {
    index: IfIndex,
    /// UDP port of VXLAN, else 0.
    port: u16,
    /// When routes may lead into it.
    ripe_at: Instant,
    /// When it goes, because nobody wants it.
    ends_at: Option<Instant>,
}

impl Device {
    /// What is told of it once it is ripe.
    const fn usable(&self) -> HostTunnel {
        HostTunnel { index: self.index.0, port: self.port }
    }
}

/// Repairs of a device in a row.
#[derive(Debug, Clone, Copy)]
struct Repairs {
    count: u32,
    last: Instant,
}

impl Tunnels {
    /// Adopts the devices that are there.
    pub(super) fn open(keys: KeyFile) -> Result<Self, Error> {
        let mut rtnl = Rtnl::open()?;
        let now = Instant::now();
        let mut devices = BTreeMap::new();
        let mut encryption = Encryption::open(keys)?;
        for link in rtnl.list::<Link>(None)? {
            if let Some(kind) = device::kind_of(&link) {
                let port = device::port_of(&link);
                if kind == TunnelKind::Wireguard {
                    encryption.adopt(&link.name.parse()?);
                }
                devices.insert(kind, Device { index: link.index, port, ripe_at: now, ends_at: None });
            }
        }
        let scope: Vec<IfIndex> = devices.values().map(|device| device.index).collect();
        let back_off = BackOff::default();
        let mut tunnels = Self {
            rtnl,
            wanted: BTreeMap::new(),
            peers: BTreeMap::new(),
            devices,
            pending: BTreeMap::new(),
            repairs: BTreeMap::new(),
            released: BTreeMap::new(),
            addresses: Reconciler::new(Rtnetlink::new(Rtnl::open()?, scope.clone()), back_off),
            neighbours: Reconciler::new(Rtnetlink::new(Rtnl::open()?, scope.clone()), back_off),
            entries: Reconciler::new(Rtnetlink::new(Rtnl::open()?, scope), back_off),
            encryption,
            device_faults: BTreeMap::new(),
            object_faults: BTreeSet::new(),
            told: BTreeMap::new(),
            told_addresses: (BTreeSet::new(), true),
            told_keys: BTreeMap::new(),
            compare_at: None,
            swept: false,
            resync: false,
        };
        tunnels.read()?;
        Ok(tunnels)
    }

    /// Lets the monitor leave out what is written here.
    pub(super) fn silence(&mut self, monitor: &mut Monitor) -> Result<(), Error> {
        monitor.ignore(self.rtnl.socket())?;
        monitor.ignore(self.addresses.backend().socket())?;
        monitor.ignore(self.neighbours.backend().socket())?;
        monitor.ignore(self.entries.backend().socket())
    }

    /// There should be this device, or none, from the next [`Self::write`] on.
    pub(super) fn want(&mut self, kind: TunnelKind, tunnel: Option<Tunnel>) {
        let now = Instant::now();
        match tunnel {
            Some(tunnel) => {
                if let Some(device) = self.devices.get_mut(&kind) {
                    device.ends_at = None;
                }
                self.wanted.insert(kind, tunnel);
                self.pending.insert(kind, now);
            }
            None => {
                self.wanted.remove(&kind);
                self.pending.remove(&kind);
                self.device_faults.remove(&kind);
                self.let_go(kind, now);
            }
        }
    }

    /// This node should be at the far end of a device, or no longer.
    pub(super) fn want_peer(&mut self, key: (TunnelKind, IpAddr), peer: Option<TunnelPeer>) {
        let old = match peer {
            Some(peer) => self.peers.insert(key, peer),
            None => self.peers.remove(&key),
        };
        if let Some(old) = old {
            self.released.insert(key, old);
        }
        self.place_peer(key);
    }

    /// Packets to somebody should be encrypted, or not.
    pub(super) fn want_wireguard_peer(&mut self, name: String, peer: Option<WireguardPeer>) {
        self.encryption.want(name, peer);
    }

    /// Gives WireGuard another key.
    ///
    /// Errors: a sentence that says what is in the way; the old key stays.
    pub(super) fn rotate_wireguard_key(&mut self) -> Result<(), String> {
        let wanted = self.wanted.get(&TunnelKind::Wireguard).and_then(|tunnel| tunnel.wireguard_port);
        self.encryption.rotate(wanted.ok_or("nothing is encrypted on this node")?)
    }

    /// The picture is complete: what is ours and not wanted goes.
    pub(super) fn sweep(&mut self) {
        self.swept = true;
        self.addresses.allow_prune(true);
        self.neighbours.allow_prune(true);
        self.entries.allow_prune(true);
        let now = Instant::now();
        for kind in TunnelKind::ALL {
            if !self.wanted.contains_key(&kind) {
                self.let_go(kind, now);
            }
        }
    }

    /// The devices that routes may lead into.
    pub(super) fn usable(&self) -> BTreeMap<TunnelKind, HostTunnel> {
        let now = Instant::now();
        let ripe = self.devices.iter().filter(|(_, device)| device.ripe_at <= now);
        ripe.map(|(kind, device)| (*kind, device.usable())).collect()
    }

    /// What is known of WireGuard on devices that routes may lead into.
    pub(super) fn wireguard(&self) -> BTreeMap<TunnelKind, HostWireguard> {
        self.encryption.told().into_iter().map(|told| (TunnelKind::Wireguard, told)).collect()
    }

    /// Is there something else to be told by [`Self::usable`] and [`Self::wireguard`] than the last time this was asked, or of the
    /// addresses on devices?
    pub(super) fn is_news(&mut self) -> bool {
        let (usable, keys) = (self.usable(), self.wireguard());
        let addresses = self.addresses.desired().map(|(key, _)| (key.link, key.addr)).collect();
        // What cannot be removed is there still, and what nobody wants goes with the sweep.
        let unsettled = self.resync || !self.swept || self.addresses.poll_timeout().is_some();
        let now = (addresses, unsettled);
        let news = self.told != usable || self.told_keys != keys || self.told_addresses != now;
        (self.told, self.told_keys, self.told_addresses) = (usable, keys, now);
        news
    }

    /// Is it the number of a device of ours?
    pub(super) fn has(&self, index: IfIndex) -> bool {
        self.devices.values().any(|device| device.index == index)
    }

    /// All that is wrong.
    pub(super) fn faults(&self) -> impl Iterator<Item = &String> {
        self.device_faults.values().chain(&self.object_faults).chain(self.encryption.faults())
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.devices.values().filter_map(|device| device.ends_at);
        // Also one that has just become ripe, until that was told.
        let untold =
            self.devices.iter().filter(|(kind, device)| self.told.get(kind) != Some(&device.usable()));
        let ripe = untold.map(|(_, device)| device.ripe_at);
        let engines =
            [self.addresses.poll_timeout(), self.neighbours.poll_timeout(), self.entries.poll_timeout()];
        let pending = self.pending.values().copied();
        let encryption = self.encryption.poll_timeout().filter(|_| self.swept);
        let encryption = encryption.into_iter().chain(self.compare_at).filter(|_| self.encrypts());
        engines.into_iter().flatten().chain(pending).chain(ends).chain(ripe).chain(encryption).min()
    }

    /// Somebody made, changed or deleted an interface with the name of a tunnel.
    pub(super) fn link_changed(&mut self, change: &Change<Link>) {
        let link = change.object();
        let Some(kind) = TunnelKind::ALL.into_iter().find(|kind| kind.device() == link.name) else { return };
        let ours = self.devices.get(&kind).is_some_and(|device| device.index == link.index);
        if ours && matches!(change, Change::Gone(_)) {
            // What was on it went along, and it has another number when it is back.
            self.forget_objects(kind);
        }
        if let Some(tunnel) = self.wanted.get(&kind) {
            let gone = matches!(change, Change::Gone(_));
            // Whoever goes on changing it neither postpones a repair that is due, nor do changes that need none count.
            let needless = if gone { !ours } else { ours && device::is_as_wanted(link, tunnel) };
            if !needless {
                self.repair_soon(kind);
            }
        } else if ours && matches!(change, Change::Gone(_)) {
            self.devices.remove(&kind);
            self.rescope();
        }
    }

    /// Settings of an interface were changed.
    pub(super) fn settings_changed(&mut self, index: IfIndex) {
        let kind = self.devices.iter().find(|(_, device)| device.index == index).map(|(kind, _)| *kind);
        let Some((kind, tunnel)) = kind.and_then(|kind| Some((kind, self.wanted.get(&kind)?))) else {
            return;
        };
        // Nobody minds a link that cannot be read now: what is wrong is found at the next repair.
        if let Ok(Some(link)) = self.rtnl.link(index)
            && !device::is_as_wanted(&link, tunnel)
        {
            self.repair_soon(kind);
        }
    }

    /// Somebody changed an address on a tunnel.
    pub(super) fn address_changed(&mut self, change: Change<Address>) {
        // One that nobody set is of the kernel's making, which it was told not to do.
        self.settings_changed(change.object().link);
        self.addresses.observe_object(change);
    }

    /// Somebody changed a neighbour on a tunnel.
    pub(super) fn neighbour_changed(&mut self, change: Change<Neighbour>) {
        self.neighbours.observe_object(change);
    }

    /// Somebody changed a forwarding entry of a tunnel.
    pub(super) fn forwarding_changed(&mut self, change: Change<Forwarding>) {
        self.entries.observe_object(change);
    }

    /// Notifications were lost: everything is read again at the next [`Self::write`].
    pub(super) fn resync(&mut self) {
        self.resync = true;
        let now = Instant::now();
        self.pending.extend(self.wanted.keys().map(|kind| (*kind, now)));
        self.encryption.resync();
    }

    /// Makes and mends devices and what is on them. Follow with the routes, and then with [`Self::finish`]. Unless `guarded`, that is while the
    /// firewall does not check yet who sends encapsulated packets, devices wait.
    pub(super) fn write(&mut self, guarded: bool) -> Result<(), Error> {
        let now = Instant::now();
        if self.compare_at.is_some_and(|at| at <= now) && self.encrypts() {
            self.compare_at = None;
            self.pending.entry(TunnelKind::Wireguard).or_insert(now);
        }
        let due: Vec<TunnelKind> =
            self.pending.iter().filter(|(_, at)| **at <= now).map(|(kind, _)| *kind).collect();
        for kind in due {
            if guarded {
                self.pending.remove(&kind);
                self.mend(kind, now);
            } else {
                self.pending.insert(kind, now + RETRY);
            }
        }
        // The peers of a device that nobody wants stay as long as it does: others may still send. So do those of an earlier run, until all
        // are known.
        if self.swept && self.encrypts() {
            self.encryption.write(now);
        } else if self.swept {
            self.encryption.let_go(now);
        }
        self.write_objects(now)
    }

    /// Takes away what nothing leads to any more.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let released = std::mem::take(&mut self.released);
        let any = !released.is_empty();
        for ((kind, remote), peer) in released {
            self.drop_peer(kind, remote, &peer);
        }
        let over = self.devices.iter().filter(|(_, device)| device.ends_at.is_some_and(|at| at <= now));
        let over: Vec<TunnelKind> = over.map(|(kind, _)| *kind).collect();
        for kind in over {
            self.end(kind, now);
        }
        if any { self.write_objects(now) } else { Ok(()) }
    }

    fn write_objects(&mut self, now: Instant) -> Result<(), Error> {
        let result = self.try_write_objects(now);
        // After an error nobody knows what is there.
        self.resync |= result.is_err();
        result
    }

    fn try_write_objects(&mut self, now: Instant) -> Result<(), Error> {
        if std::mem::take(&mut self.resync) {
            self.read()?;
        }
        let mut faults = BTreeSet::new();
        note(&mut faults, self.addresses.reconcile(now)?);
        note(&mut faults, self.neighbours.reconcile(now)?);
        note(&mut faults, self.entries.reconcile(now)?);
        let waits = self.addresses.poll_timeout().or(self.neighbours.poll_timeout());
        if waits.or(self.entries.poll_timeout()).is_none() {
            self.object_faults.clear();
        }
        for fault in faults.difference(&self.object_faults) {
            warn!(error = fault, "refused, and tried again");
        }
        self.object_faults.extend(faults);
        Ok(())
    }

    fn read(&mut self) -> Result<(), Error> {
        self.addresses.resync()?;
        self.neighbours.resync()?;
        self.entries.resync()
    }

    /// Makes a device as it should be.
    fn mend(&mut self, kind: TunnelKind, now: Instant) {
        let Some(tunnel) = self.wanted.get(&kind) else { return };
        let encryption = &mut self.encryption;
        let port = tunnel.wireguard_port;
        let mut configure = |name: &_| port.map_or(Ok(()), |port| encryption.configure(name, port));
        match device::ensure(&mut self.rtnl, kind, tunnel, &mut configure) {
            Ok(done) => {
                // What cannot be changed stays as it was: the key, the port.
                let name = kind.device().parse().map_err(|error: Error| error.to_string());
                let kept = if done.made { Ok(()) } else { name.and_then(|name| configure(&name)) };
                match kept {
                    Ok(()) => {
                        if self.device_faults.remove(&kind).is_some() {
                            info!(device = %kind, "the tunnel is as it should be now");
                        }
                        if kind == TunnelKind::Wireguard {
                            self.compare_at = Some(now + COMPARE);
                        }
                    }
                    Err(error) => self.failed(kind, error, now),
                }
                self.placed(kind, done, now);
            }
            Err(Failure { error, is_there }) => {
                self.failed(kind, error, now);
                // One that only cannot be read or changed goes on carrying packets.
                if is_there {
                    return;
                }
                // Its number is needed to know what was on it.
                self.forget_objects(kind);
                if self.devices.remove(&kind).is_some() {
                    self.rescope();
                }
            }
        }
    }

    /// Something of a device cannot be as it should; it is tried again.
    fn failed(&mut self, kind: TunnelKind, error: String, now: Instant) {
        if self.device_faults.get(&kind) != Some(&error) {
            warn!(device = %kind, error, "not as it should be, and tried again");
            self.device_faults.insert(kind, error);
        }
        self.pending.insert(kind, now + RETRY);
    }

    /// Is the device of WireGuard wanted?
    fn encrypts(&self) -> bool {
        self.wanted.contains_key(&TunnelKind::Wireguard)
    }

    /// A device is as it should be: what belongs on it is put there.
    fn placed(&mut self, kind: TunnelKind, done: device::Ensured, now: Instant) {
        let before = self.devices.get(&kind).copied();
        let moved = before.is_none_or(|before| before.index != done.index);
        // Who had a device before has peers that know of it.
        let ripe_at = before.map_or(now + RIPENS, |before| before.ripe_at);
        let device = Device { index: done.index, port: done.port, ripe_at, ends_at: None };
        if moved {
            self.forget_objects(kind);
        }
        self.devices.insert(kind, device);
        if moved {
            info!(device = %kind, index = done.index.0, "tunnel is in the kernel");
            self.rescope();
        }
        self.resync |= done.changed;
        self.place_addresses(kind);
        let keys: Vec<_> = self.peers.keys().filter(|(of, _)| *of == kind).copied().collect();
        keys.into_iter().for_each(|key| self.place_peer(key));
    }

    fn place_addresses(&mut self, kind: TunnelKind) {
        let (Some(device), Some(tunnel)) = (self.devices.get(&kind), self.wanted.get(&kind)) else { return };
        let wanted: Vec<Address> =
            tunnel.addresses.iter().map(|address| Address::host(device.index, *address)).collect();
        let index = device.index;
        let known: Vec<_> =
            self.addresses.desired().map(|(key, _)| *key).filter(|key| key.link == index).collect();
        for key in known.iter().filter(|key| !tunnel.addresses.contains(&key.addr)) {
            self.addresses.unset(key);
        }
        wanted.into_iter().for_each(|address| self.addresses.set_object(address));
    }

    fn place_peer(&mut self, key: (TunnelKind, IpAddr)) {
        let (Some(peer), Some(device)) = (self.peers.get(&key), self.devices.get(&key.0)) else { return };
        let index = device.index;
        self.entries.set_object(Forwarding { link: index, mac: peer.mac, remote: key.1 });
        for gateway in &peer.gateways {
            self.neighbours.set_object(Neighbour::permanent(index, *gateway, peer.mac));
        }
    }

    /// Takes away what a peer had and no longer has.
    fn drop_peer(&mut self, kind: TunnelKind, remote: IpAddr, old: &TunnelPeer) {
        use cairn_kernel::object::Object as _;
        let Some(index) = self.devices.get(&kind).map(|device| device.index) else { return };
        let of_kind = self.peers.range((kind, std::net::Ipv4Addr::UNSPECIFIED.into())..);
        let of_kind: Vec<_> = of_kind.take_while(|((of, _), _)| *of == kind).collect();
        let new = self.peers.get(&(kind, remote));
        let moved = || of_kind.iter().any(|(_, peer)| peer.mac == old.mac);
        if new.is_none_or(|new| new.mac != old.mac) && !moved() {
            let entry = Forwarding { link: index, mac: old.mac, remote };
            self.entries.unset(&entry.key());
        }
        for gateway in &old.gateways {
            let kept = |peer: &TunnelPeer| peer.gateways.contains(gateway);
            if !new.is_some_and(kept) && !of_kind.iter().any(|(_, peer)| kept(peer)) {
                self.neighbours.unset(&Neighbour::permanent(index, *gateway, old.mac).key());
            }
        }
    }

    /// The kernel lost all that was on a device along with it.
    fn forget_objects(&mut self, kind: TunnelKind) {
        let Some(index) = self.devices.get(&kind).map(|device| device.index) else { return };
        if kind == TunnelKind::Wireguard {
            self.encryption.forget(index);
        }
        let keys: Vec<_> =
            self.addresses.desired().map(|(key, _)| *key).filter(|key| key.link == index).collect();
        keys.iter().for_each(|key| self.addresses.unset(key));
        let keys: Vec<_> =
            self.neighbours.desired().map(|(key, _)| *key).filter(|key| key.link == index).collect();
        keys.iter().for_each(|key| self.neighbours.unset(key));
        let keys: Vec<_> =
            self.entries.desired().map(|(key, _)| *key).filter(|key| key.link == index).collect();
        keys.iter().for_each(|key| self.entries.unset(key));
    }

    fn rescope(&mut self) {
        let scope: Vec<IfIndex> = self.devices.values().map(|device| device.index).collect();
        self.addresses.backend().set_scope(scope.clone());
        self.neighbours.backend().set_scope(scope.clone());
        self.entries.backend().set_scope(scope);
    }

    /// A device that nobody wants goes after a while; before the sweep nobody knows.
    fn let_go(&mut self, kind: TunnelKind, now: Instant) {
        let Some(device) = self.devices.get_mut(&kind).filter(|_| self.swept) else { return };
        if device.ends_at.is_none() {
            device.ends_at = Some(now + LINGERS);
        }
    }

    fn end(&mut self, kind: TunnelKind, now: Instant) {
        match device::remove(&mut self.rtnl, kind) {
            Ok(()) => {
                info!(device = %kind, "tunnel is gone: no pool wants it");
                self.forget_objects(kind);
                self.devices.remove(&kind);
                self.rescope();
            }
            Err(error) => {
                warn!(device = %kind, %error, "a tunnel that nobody wants stays");
                if let Some(device) = self.devices.get_mut(&kind) {
                    device.ends_at = Some(now + RETRY);
                }
            }
        }
    }

    fn repair_soon(&mut self, kind: TunnelKind) {
        if !self.pending.contains_key(&kind) {
            let now = Instant::now();
            let at = now + self.patience(kind, now);
            self.pending.insert(kind, at);
        }
    }

    /// How long the next repair of a device waits.
    fn patience(&mut self, kind: TunnelKind, now: Instant) -> Duration {
        let repairs = self.repairs.entry(kind).or_insert(Repairs { count: 0, last: now });
        if now.duration_since(repairs.last) > QUIET {
            repairs.count = 0;
        }
        repairs.last = now;
        repairs.count = repairs.count.saturating_add(1);
        match repairs.count.checked_sub(PATIENCE + 1) {
            None => Duration::ZERO,
            Some(over) => SLOWEST.min(Duration::from_millis(100).saturating_mul(1 << over.min(16))),
        }
    }
}

/// Notes what was refused.
fn note<K>(faults: &mut BTreeSet<String>, report: Report<K, Error>) {
    faults.extend(report.failures.into_iter().map(|failure| failure.error.to_string()));
}
