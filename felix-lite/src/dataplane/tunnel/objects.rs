//! What is on tunnel devices: their addresses, and for each other node a neighbour and a forwarding entry.
//!
//! All of it is ours alone; three reconcilers of the kernel crate keep it. What one node needs is found without a look at the others, however many
//! there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Instant;

use cairn_kernel::monitor::Monitor;
use cairn_kernel::object::{Address, Change, Forwarding, IfIndex, Neighbour, Object as _};
use cairn_kernel::reconciler::{BackOff, Reconciler, Report, Rtnetlink};
use cairn_kernel::{Error, Rtnl};
use cairn_net::Mac;
use felix_core::{Tunnel, TunnelKind, TunnelPeer};
use tracing::warn;

/// The node at a device's far end that has this outer address.
type PeerKey = (TunnelKind, IpAddr);

/// What is on the devices.
#[derive(Debug)]
pub(super) struct Objects {
    /// The numbers of the devices that are there.
    numbers: BTreeMap<TunnelKind, IfIndex>,
    peers: BTreeMap<PeerKey, TunnelPeer>,
    /// How many peers have a MAC, or a gateway: it goes with the last of them.
    macs: Users<(TunnelKind, Mac)>,
    gateways: Users<PeerKey>,
    /// Peers that are no longer wanted: they go once no route leads to them.
    released: BTreeMap<PeerKey, TunnelPeer>,
    addresses: Reconciler<Rtnetlink<Address>>,
    neighbours: Reconciler<Rtnetlink<Neighbour>>,
    entries: Reconciler<Rtnetlink<Forwarding>>,
    faults: BTreeSet<String>,
    resync: bool,
}

impl Objects {
    /// Adopts what is on these devices.
    pub(super) fn open(numbers: BTreeMap<TunnelKind, IfIndex>) -> Result<Self, Error> {
        let scope: Vec<IfIndex> = numbers.values().copied().collect();
        let back_off = BackOff::default();
        let mut objects = Self {
            numbers,
            peers: BTreeMap::new(),
            macs: Users::default(),
            gateways: Users::default(),
            released: BTreeMap::new(),
            addresses: Reconciler::new(Rtnetlink::new(Rtnl::open()?, scope.clone()), back_off),
            neighbours: Reconciler::new(Rtnetlink::new(Rtnl::open()?, scope.clone()), back_off),
            entries: Reconciler::new(Rtnetlink::new(Rtnl::open()?, scope), back_off),
            faults: BTreeSet::new(),
            resync: false,
        };
        objects.read()?;
        Ok(objects)
    }

    /// Lets the monitor leave out what is written here.
    pub(super) fn silence(&mut self, monitor: &mut Monitor) -> Result<(), Error> {
        monitor.ignore(self.addresses.backend().socket())?;
        monitor.ignore(self.neighbours.backend().socket())?;
        monitor.ignore(self.entries.backend().socket())
    }

    /// What is ours and not wanted goes from now on.
    pub(super) fn sweep(&mut self) {
        self.addresses.allow_prune(true);
        self.neighbours.allow_prune(true);
        self.entries.allow_prune(true);
    }

    /// Everything is read again at the next [`Self::write`].
    pub(super) const fn resync(&mut self) {
        self.resync = true;
    }

    /// What is wrong.
    pub(super) fn faults(&self) -> impl Iterator<Item = &String> {
        self.faults.iter()
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let engines =
            [self.addresses.poll_timeout(), self.neighbours.poll_timeout(), self.entries.poll_timeout()];
        engines.into_iter().flatten().min()
    }

    /// The addresses that devices should have, and whether others may be there, too: what cannot be removed is there still.
    pub(super) fn addresses(&self) -> (BTreeSet<(IfIndex, IpAddr)>, bool) {
        let wanted = self.addresses.desired().map(|(key, _)| (key.link, key.addr)).collect();
        (wanted, self.resync || self.addresses.poll_timeout().is_some())
    }

    /// Somebody changed an address.
    pub(super) fn address_changed(&mut self, change: Change<Address>) {
        self.addresses.observe_object(change);
    }

    /// Somebody changed a neighbour.
    pub(super) fn neighbour_changed(&mut self, change: Change<Neighbour>) {
        self.neighbours.observe_object(change);
    }

    /// Somebody changed a forwarding entry.
    pub(super) fn forwarding_changed(&mut self, change: Change<Forwarding>) {
        self.entries.observe_object(change);
    }

    /// This node should be at the far end of a device, or no longer. One that was there before goes with [`Self::release`].
    pub(super) fn want_peer(&mut self, key: PeerKey, peer: Option<TunnelPeer>) {
        if let Some(peer) = &peer {
            self.count(key.0, peer);
        }
        let old = match peer {
            Some(peer) => self.peers.insert(key, peer),
            None => self.peers.remove(&key),
        };
        if let Some(old) = old {
            self.macs.remove((key.0, old.mac));
            old.gateways.iter().for_each(|gateway| self.gateways.remove((key.0, *gateway)));
            self.released.insert(key, old);
        }
        self.place_peer(key);
    }

    fn count(&mut self, kind: TunnelKind, peer: &TunnelPeer) {
        self.macs.add((kind, peer.mac));
        peer.gateways.iter().for_each(|gateway| self.gateways.add((kind, *gateway)));
    }

    /// A device is there: what belongs on it is put there.
    pub(super) fn place(&mut self, kind: TunnelKind, index: IfIndex, tunnel: Option<&Tunnel>) {
        if self.numbers.insert(kind, index) != Some(index) {
            self.rescope();
        }
        if let Some(tunnel) = tunnel {
            self.place_addresses(index, tunnel);
        }
        let keys: Vec<_> = self.peers.keys().filter(|(of, _)| *of == kind).copied().collect();
        keys.into_iter().for_each(|key| self.place_peer(key));
    }

    fn place_addresses(&mut self, index: IfIndex, tunnel: &Tunnel) {
        let known: Vec<_> =
            self.addresses.desired().map(|(key, _)| *key).filter(|key| key.link == index).collect();
        for key in known.iter().filter(|key| !tunnel.addresses.contains(&key.addr)) {
            self.addresses.unset(key);
        }
        for address in &tunnel.addresses {
            self.addresses.set_object(Address::host(index, *address));
        }
    }

    fn place_peer(&mut self, key: PeerKey) {
        let (Some(peer), Some(index)) = (self.peers.get(&key), self.numbers.get(&key.0)) else { return };
        self.entries.set_object(Forwarding { link: *index, mac: peer.mac, remote: key.1 });
        for gateway in &peer.gateways {
            self.neighbours.set_object(Neighbour::permanent(*index, *gateway, peer.mac));
        }
    }

    /// Takes away what nothing leads to any more, and writes that.
    pub(super) fn release(&mut self, now: Instant) -> Result<(), Error> {
        let released = std::mem::take(&mut self.released);
        if released.is_empty() {
            return Ok(());
        }
        for ((kind, remote), peer) in released {
            self.drop_peer(kind, remote, &peer);
        }
        self.write(now)
    }

    /// Takes away what a peer had, and no other one has.
    fn drop_peer(&mut self, kind: TunnelKind, remote: IpAddr, old: &TunnelPeer) {
        let Some(index) = self.numbers.get(&kind).copied() else { return };
        if !self.macs.has(&(kind, old.mac)) {
            self.entries.unset(&Forwarding { link: index, mac: old.mac, remote }.key());
        }
        for gateway in old.gateways.iter().filter(|gateway| !self.gateways.has(&(kind, **gateway))) {
            self.neighbours.unset(&Neighbour::permanent(index, *gateway, old.mac).key());
        }
    }

    /// The kernel lost all that was on a device along with it, or the device is another one.
    pub(super) fn forget(&mut self, kind: TunnelKind) {
        let Some(index) = self.numbers.remove(&kind) else { return };
        let keys: Vec<_> =
            self.addresses.desired().map(|(key, _)| *key).filter(|key| key.link == index).collect();
        keys.iter().for_each(|key| self.addresses.unset(key));
        let keys: Vec<_> =
            self.neighbours.desired().map(|(key, _)| *key).filter(|key| key.link == index).collect();
        keys.iter().for_each(|key| self.neighbours.unset(key));
        let keys: Vec<_> =
            self.entries.desired().map(|(key, _)| *key).filter(|key| key.link == index).collect();
        keys.iter().for_each(|key| self.entries.unset(key));
        self.rescope();
    }

    fn rescope(&mut self) {
        let scope: Vec<IfIndex> = self.numbers.values().copied().collect();
        self.addresses.backend().set_scope(scope.clone());
        self.neighbours.backend().set_scope(scope.clone());
        self.entries.backend().set_scope(scope);
    }

    /// Brings the kernel up to date.
    pub(super) fn write(&mut self, now: Instant) -> Result<(), Error> {
        let result = self.try_write(now);
        // After an error nobody knows what is there.
        self.resync |= result.is_err();
        result
    }

    fn try_write(&mut self, now: Instant) -> Result<(), Error> {
        if std::mem::take(&mut self.resync) {
            self.read()?;
        }
        let mut faults = BTreeSet::new();
        note(&mut faults, self.addresses.reconcile(now)?);
        note(&mut faults, self.neighbours.reconcile(now)?);
        note(&mut faults, self.entries.reconcile(now)?);
        if self.poll_timeout().is_none() {
            self.faults.clear();
        }
        for fault in faults.difference(&self.faults) {
            warn!(error = fault, "refused, and tried again");
        }
        self.faults.extend(faults);
        Ok(())
    }

    fn read(&mut self) -> Result<(), Error> {
        self.addresses.resync()?;
        self.neighbours.resync()?;
        self.entries.resync()
    }
}

/// Notes what was refused.
fn note<K>(faults: &mut BTreeSet<String>, report: Report<K, Error>) {
    faults.extend(report.failures.into_iter().map(|failure| failure.error.to_string()));
}

/// How often something is used.
#[derive(Debug)]
struct Users<K>(HashMap<K, usize>);

impl<K> Default for Users<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Users<K> {
    fn add(&mut self, key: K) {
        *self.0.entry(key).or_insert(0) += 1;
    }

    fn remove(&mut self, key: K) {
        if let std::collections::hash_map::Entry::Occupied(mut entry) = self.0.entry(key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    fn has(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }
}
