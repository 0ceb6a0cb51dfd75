//! Tunnel devices in the kernel, kept equal to what the core wants.
//!
//! A device is made before routes lead into it, and stays for a while after the last one has left: other nodes change at their own pace, and
//! what they still send must be taken. For the same reason a new device is told to the core only when it has been there for a
//! moment. A device of ours is known by its group; one of somebody else's with our name is never touched.
//!
//! - `device`: one device: made, mended, recognised, removed;
//! - `notice`: what others did to devices and to what is on them;
//! - `objects`: addresses, neighbours and forwarding entries on devices;
//! - `offload`: who adds the checksums of what VXLAN carries.

mod device;
mod notice;
mod objects;
mod offload;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use cairn_kernel::monitor::Monitor;
use cairn_kernel::object::{IfIndex, Link, LinkName};
use cairn_kernel::{Error, Rtnl};
use felix_core::{HostTunnel, HostWireguard, Tunnel, TunnelKind, TunnelPeer, WireguardPeer};
use tracing::{info, warn};

use device::Failure;
pub(super) use device::is_tunnel;
use objects::Objects;
use offload::Offload;

use super::patience::Patience;
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

/// Our tunnel devices with all that is on them.
#[derive(Debug)]
pub(super) struct Tunnels {
    rtnl: Rtnl,
    wanted: BTreeMap<TunnelKind, Tunnel>,
    devices: BTreeMap<TunnelKind, Device>,
    /// Devices to be compared with the kernel, and not before when.
    pending: BTreeMap<TunnelKind, Instant>,
    patience: Patience<TunnelKind>,
    offload: Offload,
    objects: Objects,
    encryption: Encryption,
    /// Why a device is not as it should be.
    faults: BTreeMap<TunnelKind, String>,
    /// What was told of the devices last.
    told: BTreeMap<TunnelKind, HostTunnel>,
    /// The addresses on them at that time, and whether others may have been there, too.
    told_addresses: (BTreeSet<(IfIndex, IpAddr)>, bool),
    told_keys: BTreeMap<TunnelKind, HostWireguard>,
    /// When WireGuard is compared with what it should be.
    compare_at: Option<Instant>,
    swept: bool,
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
        let numbers = devices.iter().map(|(kind, device): (&TunnelKind, &Device)| (*kind, device.index));
        Ok(Self {
            rtnl,
            wanted: BTreeMap::new(),
            objects: Objects::open(numbers.collect())?,
            devices,
            pending: BTreeMap::new(),
            patience: Patience::default(),
            offload: Offload::default(),
            encryption,
            faults: BTreeMap::new(),
            told: BTreeMap::new(),
            told_addresses: (BTreeSet::new(), true),
            told_keys: BTreeMap::new(),
            compare_at: None,
            swept: false,
        })
    }

    /// Lets the monitor leave out what is written here.
    pub(super) fn silence(&mut self, monitor: &mut Monitor) -> Result<(), Error> {
        monitor.ignore(self.rtnl.socket())?;
        self.objects.silence(monitor)
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
                self.faults.remove(&kind);
                self.let_go(kind, now);
            }
        }
    }

    /// This node should be at the far end of a device, or no longer.
    pub(super) fn want_peer(&mut self, key: (TunnelKind, IpAddr), peer: Option<TunnelPeer>) {
        self.objects.want_peer(key, peer);
    }

    /// Packets to somebody should be encrypted, or not.
    pub(super) fn want_wireguard_peer(&mut self, name: String, peer: Option<WireguardPeer>) {
        self.encryption.want(name, peer);
    }

    /// Gives WireGuard another key.
    ///
    /// Errors: a sentence that says what is in the way; the old key stays.
    pub(super) fn rotate_wireguard_key(&mut self) -> Result<(), String> {
        let port = self.wireguard_port().ok_or("nothing is encrypted on this node")?;
        self.encryption.rotate(port)
    }

    /// The picture is complete: what is ours and not wanted goes.
    pub(super) fn sweep(&mut self) {
        self.swept = true;
        self.objects.sweep();
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
        let usable = self.usable();
        // What nobody wants goes with the sweep.
        let (addresses, unsettled) = self.objects.addresses();
        let now = (addresses, unsettled || !self.swept);
        let news = self.told != usable || self.told_addresses != now;
        (self.told, self.told_addresses) = (usable, now);
        // Of thousands of keys nothing is collected unless one may have changed.
        if !self.encryption.take_changed() {
            return news;
        }
        let keys = self.wireguard();
        let other = self.told_keys != keys;
        self.told_keys = keys;
        news || other
    }

    /// The devices that are there.
    pub(super) fn numbers(&self) -> BTreeMap<TunnelKind, IfIndex> {
        self.devices.iter().map(|(kind, device)| (*kind, device.index)).collect()
    }

    /// Is it the number of a device of ours?
    pub(super) fn has(&self, index: IfIndex) -> bool {
        self.devices.values().any(|device| device.index == index)
    }

    /// All that is wrong.
    pub(super) fn faults(&self) -> impl Iterator<Item = &String> {
        self.faults.values().chain(self.objects.faults()).chain(self.encryption.faults())
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.devices.values().filter_map(|device| device.ends_at);
        // Also one that has just become ripe, until that was told.
        let untold =
            self.devices.iter().filter(|(kind, device)| self.told.get(kind) != Some(&device.usable()));
        let ripe = untold.map(|(_, device)| device.ripe_at);
        let pending = self.pending.values().copied();
        let encryption = self.encryption.poll_timeout().filter(|_| self.swept);
        let encryption = encryption.into_iter().chain(self.compare_at).filter(|_| self.encrypts());
        self.objects.poll_timeout().into_iter().chain(pending).chain(ends).chain(ripe).chain(encryption).min()
    }

    /// Makes and mends devices and what is on them. Follow with the routes, and then with [`Self::finish`]. Unless `guarded`, that is while the
    /// firewall does not check yet who sends encapsulated packets, devices wait.
    pub(super) fn write(&mut self, guarded: bool) -> Result<(), Error> {
        let now = Instant::now();
        if self.compare_at.is_some_and(|at| at <= now) && self.encrypts() {
            self.compare_at = None;
            self.pending.entry(TunnelKind::Wireguard).or_insert(now);
            if let Some(port) = self.wireguard_port() {
                self.encryption.follow_clock(port);
            }
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
        self.objects.write(now)
    }

    /// Takes away what nothing leads to any more.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let written = self.objects.release(now);
        let over = self.devices.iter().filter(|(_, device)| device.ends_at.is_some_and(|at| at <= now));
        let over: Vec<TunnelKind> = over.map(|(kind, _)| *kind).collect();
        for kind in over {
            self.end(kind, now);
        }
        written
    }

    /// Makes a device as it should be.
    fn mend(&mut self, kind: TunnelKind, now: Instant) {
        let Some(tunnel) = self.wanted.get(&kind) else { return };
        let encryption = &mut self.encryption;
        let port = tunnel.wireguard_port;
        let mut configure = |name: &LinkName| port.map_or(Ok(()), |port| encryption.configure(name, port));
        match device::ensure(&mut self.rtnl, kind, tunnel, &mut configure) {
            Ok(done) => {
                // What cannot be changed stays as it was: the key, the port, who adds checksums.
                let name = kind.device().parse::<LinkName>().map_err(|error| error.to_string());
                let kept = name.and_then(|name| {
                    if !done.made {
                        configure(&name)?;
                    }
                    self.offload.ensure(&name, tunnel)
                });
                match kept {
                    Ok(()) => {
                        if self.faults.remove(&kind).is_some() {
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
                self.devices.remove(&kind);
            }
        }
    }

    /// Something of a device cannot be as it should; it is tried again.
    fn failed(&mut self, kind: TunnelKind, error: String, now: Instant) {
        if self.faults.get(&kind) != Some(&error) {
            warn!(device = %kind, error, "not as it should be, and tried again");
            self.faults.insert(kind, error);
        }
        self.pending.insert(kind, now + RETRY);
    }

    /// The UDP port of the device of WireGuard, if that is wanted.
    fn wireguard_port(&self) -> Option<u16> {
        self.wanted.get(&TunnelKind::Wireguard)?.wireguard_port
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
        }
        if done.changed {
            self.objects.resync();
        }
        self.objects.place(kind, done.index, self.wanted.get(&kind));
    }

    /// The kernel lost all that was on a device along with it.
    fn forget_objects(&mut self, kind: TunnelKind) {
        if kind == TunnelKind::Wireguard
            && let Some(device) = self.devices.get(&kind)
        {
            self.encryption.forget(device.index);
        }
        self.objects.forget(kind);
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
            }
            Err(error) => {
                warn!(device = %kind, %error, "a tunnel that nobody wants stays");
                if let Some(device) = self.devices.get_mut(&kind) {
                    device.ends_at = Some(now + RETRY);
                }
            }
        }
    }
}
