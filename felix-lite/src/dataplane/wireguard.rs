//! Key and peers of the WireGuard device, kept equal to what the core wants.
//!
//! The device itself, its MTU and addresses are a tunnel's like others ([`super::tunnel`]), which has it compared every few seconds, for the
//! kernel tells nobody of changes of keys and peers.
//!
//! A route may lead to a peer once he has answered, which shows that he has this node's key as well: so nothing is lost while encryption is
//! switched on. Until then he is sent a packet to answer to. Who does not answer in time is taken for ready all the same: otherwise
//! whoever keeps handshakes from arriving would have everything sent unencrypted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use cairn_api::WireguardKey;
use cairn_kernel::Error;
use cairn_kernel::object::{IfIndex, LinkName};
use cairn_kernel::wireguard::{Device, DeviceChange, Peer, PeerChange, PublicKey, Wireguard};
use felix_core::{HostWireguard, WireguardPeer};
use tracing::{debug, warn};

use crate::wireguard_key::KeyFile;

/// How long a peer may take to answer.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether he has. With many peers, where a look takes long, no more often than that a tenth of the time goes into it.
const LOOK: Duration = Duration::from_millis(200);
/// When a change that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The keepalive of peers that have not answered yet: setting one makes the kernel send. Seconds.
const KNOCK: u16 = 25;

/// Key and peers of the device.
#[derive(Debug)]
pub(super) struct Encryption {
    file: KeyFile,
    client: Option<Wireguard>,
    /// Peers by the names of their objects.
    wanted: BTreeMap<String, WireguardPeer>,
    /// Whose keys these are.
    names: HashMap<PublicKey, String>,
    /// Names of peers that have been ready, with whichever key.
    known: BTreeSet<String>,
    /// The device, if it is there.
    device: Option<OnDevice>,
    /// Peers that may differ between what is wanted and what the device has.
    touched: BTreeSet<PublicKey>,
    /// All of them may.
    all: bool,
    /// What [`Self::told`] says is another.
    is_news: bool,
    /// How long the last look at the device took.
    took: Duration,
    /// When the device is read.
    due: Option<Instant>,
    fault: Option<String>,
}

/// What the kernel has, as far as it counts.
#[derive(Debug)]
struct OnDevice {
    name: LinkName,
    index: IfIndex,
    key: PublicKey,
    peers: BTreeMap<PublicKey, Known>,
    /// Those that have not answered yet.
    unready: BTreeSet<PublicKey>,
}

/// A peer on the device.
#[derive(Debug)]
struct Known {
    peer: Peer,
    since: Instant,
    ready: bool,
}

impl OnDevice {
    /// This node's key, and those of peers that are ready.
    fn told(&self) -> (WireguardKey, BTreeSet<WireguardKey>) {
        let ready = self.peers.iter().filter(|(_, known)| known.ready);
        (WireguardKey(self.key.0), ready.map(|(key, _)| WireguardKey(key.0)).collect())
    }
}

impl Encryption {
    /// Nothing is known of a device yet.
    pub(super) fn new(file: KeyFile) -> Self {
        Self {
            file,
            client: None,
            wanted: BTreeMap::new(),
            names: HashMap::new(),
            known: BTreeSet::new(),
            device: None,
            touched: BTreeSet::new(),
            all: true,
            is_news: false,
            took: Duration::ZERO,
            due: None,
            fault: None,
        }
    }

    /// Takes over a device that is there with its peers: they know this node.
    pub(super) fn adopt(&mut self, name: &LinkName) {
        match self.read(name) {
            Ok(()) => {
                if let Some(device) = &mut self.device {
                    device.peers.values_mut().for_each(|known| known.ready = true);
                    device.unready.clear();
                }
            }
            Err(error) => debug!(error, "a WireGuard device is there, but not as it should be"),
        }
    }

    /// Gives a device its key and its port, and looks what it has. Peers follow with the next [`Self::write`].
    ///
    /// Errors: a sentence that says what is in the way; what the device had stays.
    pub(super) fn configure(&mut self, name: &LinkName, port: u16) -> Result<(), String> {
        let key = self.file.load_or_make().map_err(|error| error.to_string())?;
        let change =
            DeviceChange { private_key: Some(key), listen_port: Some(port), ..DeviceChange::default() };
        let done = self.client().and_then(|client| client.change(name, &change));
        done.map_err(|error| explain(port, &error))?;
        self.read(name)
    }

    /// Makes another key and gives it to the device. What peers sent under the old one is still taken, and what goes to them waits until they
    /// know the new one.
    ///
    /// Errors: a sentence that says what is in the way; the old key stays.
    pub(super) fn rotate(&mut self, port: u16) -> Result<(), String> {
        let device = self.device.as_ref().ok_or("there is no WireGuard device on this node")?;
        let name = device.name.clone();
        self.file.replace().map_err(|error| error.to_string())?;
        self.configure(&name, port)
    }

    /// A device is gone, with all that was on it.
    pub(super) fn forget(&mut self, index: IfIndex) {
        if self.device.as_ref().is_some_and(|device| device.index == index) {
            (self.device, self.due, self.fault) = (None, None, None);
            self.known.clear();
            (self.all, self.is_news) = (true, true);
        }
    }

    /// Packets to somebody should be encrypted, or not, from the next [`Self::write`] on.
    pub(super) fn want(&mut self, name: &str, peer: Option<WireguardPeer>) {
        let old = match peer {
            Some(peer) => {
                let key = PublicKey(peer.key.0);
                self.touched.insert(key);
                self.names.insert(key, name.to_owned());
                self.wanted.insert(name.to_owned(), peer)
            }
            None => {
                self.is_news |= self.known.remove(name);
                self.wanted.remove(name)
            }
        };
        let Some(old) = old.map(|old| PublicKey(old.key.0)) else { return };
        self.touched.insert(old);
        let has_it = self.wanted.get(name).is_some_and(|peer| PublicKey(peer.key.0) == old);
        // Somebody else may have it by now.
        if !has_it && self.names.get(&old).is_some_and(|known| known == name) {
            self.names.remove(&old);
        }
    }

    /// Is there something else to be told than the last time this was asked?
    pub(super) const fn is_news(&mut self) -> bool {
        std::mem::replace(&mut self.is_news, false)
    }

    /// What the core is to know.
    pub(super) fn told(&self) -> Option<HostWireguard> {
        let (key, ready) = self.device.as_ref()?.told();
        Some(HostWireguard { key, ready, known: self.known.clone() })
    }

    /// What is wrong.
    pub(super) const fn fault(&self) -> Option<&String> {
        self.fault.as_ref()
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| self.device.is_some())
    }

    /// Everything is compared at the next [`Self::write`].
    pub(super) fn resync(&mut self) {
        self.due = Some(Instant::now());
    }

    /// Brings the peers up to date.
    pub(super) fn write(&mut self, now: Instant) {
        let Some(name) = self.device.as_ref().map(|device| device.name.clone()) else { return };
        let read = self.due.is_some_and(|due| due <= now);
        // After an error nobody knows what is there until it was read.
        let changed = self.all || !self.touched.is_empty();
        if !read && (!changed || self.fault.is_some()) {
            return;
        }
        let done = if read { self.read(&name) } else { Ok(()) };
        match done.and_then(|()| self.apply(&name, now)) {
            Ok(()) => {
                self.fault = None;
                let waits = self.device.as_ref().is_some_and(|device| !device.unready.is_empty());
                self.due = waits.then(|| now + LOOK.max(self.took * 10));
            }
            Err(error) => {
                if self.fault.as_ref() != Some(&error) {
                    warn!(error, "the peers of WireGuard are not up to date: trying again");
                    self.fault = Some(error);
                }
                self.due = Some(now + RETRY);
            }
        }
    }

    /// Writes what differs between the peers that are wanted and those that are known to be there.
    fn apply(&mut self, name: &LinkName, now: Instant) -> Result<(), String> {
        self.promote(now);
        let Some(device) = &self.device else { return Ok(()) };
        if self.all {
            self.touched.extend(self.names.keys().chain(device.peers.keys()));
        }
        let wanted = |key: &PublicKey| {
            let peer = self.wanted.get(self.names.get(key)?)?;
            Some(kernel_peer(peer, device.peers.get(key).is_some_and(|known| known.ready)))
        };
        let (mut peers, mut gone) = (Vec::new(), Vec::new());
        for key in &self.touched {
            let known = device.peers.get(key);
            match wanted(key) {
                Some(peer) if known.is_none_or(|known| known.peer != peer) => {
                    peers.push(PeerChange::Set(peer));
                }
                None if known.is_some() => gone.push(PeerChange::Remove(*key)),
                _ => {}
            }
        }
        // Before the others go: an address moves from one peer to the next in one step.
        peers.append(&mut gone);
        if !peers.is_empty() {
            debug!(peers = peers.len(), "peers of WireGuard change");
            let change = DeviceChange { peers, ..DeviceChange::default() };
            let done = self.client().and_then(|client| client.change(name, &change));
            done.map_err(|error| error.to_string())?;
            self.written(change.peers, now);
        }
        self.note_ready();
        self.touched.clear();
        self.all = false;
        Ok(())
    }

    /// Who had his time to answer is taken for ready.
    fn promote(&mut self, now: Instant) {
        let Some(device) = &mut self.device else { return };
        let peers = &device.peers;
        let late = |key: &&PublicKey| {
            peers.get(key).is_none_or(|known| now.duration_since(known.since) >= GRACE)
        };
        let late: Vec<PublicKey> = device.unready.iter().filter(late).copied().collect();
        for key in late {
            device.unready.remove(&key);
            if let Some(known) = device.peers.get_mut(&key) {
                known.ready = true;
            }
            self.touched.insert(key);
            self.is_news = true;
        }
    }

    /// The kernel has taken these changes.
    fn written(&mut self, changes: Vec<PeerChange>, now: Instant) {
        let Some(device) = &mut self.device else { return };
        for change in changes {
            match change {
                PeerChange::Remove(key) => {
                    self.is_news |= device.peers.remove(&key).is_some_and(|known| known.ready);
                    device.unready.remove(&key);
                }
                PeerChange::Set(peer) => {
                    let known = device.peers.get(&peer.public_key);
                    let (since, ready) = known.map_or((now, false), |known| (known.since, known.ready));
                    if !ready {
                        device.unready.insert(peer.public_key);
                    }
                    device.peers.insert(peer.public_key, Known { peer, since, ready });
                }
            }
        }
    }

    /// Remembers who is ready by name, for when he has another key.
    fn note_ready(&mut self) {
        let Some(device) = &self.device else { return };
        let ready = self.touched.iter().filter(|key| device.peers.get(key).is_some_and(|known| known.ready));
        for name in ready.filter_map(|key| self.names.get(key)) {
            if !self.known.contains(name) {
                self.known.insert(name.clone());
                self.is_news = true;
            }
        }
    }

    /// Reads the device. Since when a peer is there, and whether he was ready, is remembered.
    fn read(&mut self, name: &LinkName) -> Result<(), String> {
        let start = Instant::now();
        let found =
            self.client().and_then(|client| client.device(name)).map_err(|error| error.to_string())?;
        let Device { index, public_key, peers, .. } = found;
        let key = public_key.ok_or_else(|| format!("{name} has no key"))?;
        let told = self.device.as_ref().map(OnDevice::told);
        // With another key, or anew, the peers have to answer again.
        let before = self.device.take().filter(|before| before.key == key && before.index == index);
        let mut before = before.map(|before| before.peers).unwrap_or_default();
        let now = Instant::now();
        let known = |state: cairn_kernel::wireguard::PeerState| {
            let old = before.remove(&state.peer.public_key);
            let since = old.as_ref().map_or(now, |old| old.since);
            let ready = old.as_ref().is_some_and(|old| old.ready) || state.last_handshake.is_some();
            // Where he was last heard from is the kernel's business; where he should be was written once.
            let endpoint = old.map_or(state.peer.endpoint, |old| old.peer.endpoint);
            (state.peer.public_key, Known { peer: Peer { endpoint, ..state.peer }, since, ready })
        };
        let peers: BTreeMap<PublicKey, Known> = peers.into_iter().map(known).collect();
        let unready = peers.iter().filter(|(_, known)| !known.ready).map(|(key, _)| *key).collect();
        self.device = Some(OnDevice { name: name.clone(), index, key, peers, unready });
        self.is_news |= told != self.device.as_ref().map(OnDevice::told);
        self.all = true;
        self.took = start.elapsed();
        Ok(())
    }

    fn client(&mut self) -> Result<&mut Wireguard, Error> {
        match &mut self.client {
            Some(client) => Ok(client),
            none => Ok(none.insert(Wireguard::open()?)),
        }
    }
}

/// A peer as the kernel is to have him.
fn kernel_peer(peer: &WireguardPeer, is_ready: bool) -> Peer {
    let public_key = PublicKey(peer.key.0);
    let keepalive = if is_ready { peer.keepalive } else { KNOCK };
    let allowed_ips = peer.allowed.iter().copied().collect();
    Peer { public_key, endpoint: Some(peer.endpoint), keepalive, allowed_ips }
}

/// What the kernel says, in terms of what an operator can do about it.
fn explain(port: u16, error: &Error) -> String {
    match error.errno() {
        Some(nix::errno::Errno::EADDRINUSE) => {
            format!("UDP port {port} is in use by another program of this node: {error}")
        }
        _ => error.to_string(),
    }
}
