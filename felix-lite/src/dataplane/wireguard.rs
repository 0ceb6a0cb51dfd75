//! Key and peers of the WireGuard device, kept equal to what the core wants.
//!
//! The device itself, its MTU and addresses are a tunnel's like others ([`super::tunnel`]), which has it compared every few seconds, for the
//! kernel tells nobody of changes of keys and peers.
//!
//! A route may lead to a peer once he has answered, which shows that he has this node's key as well: so nothing is lost while encryption is
//! switched on. Until then he is sent a packet to answer to. Who does not answer in time is taken for ready all the same: otherwise
//! whoever keeps handshakes from arriving would have everything sent unencrypted.

mod answers;
mod clock;
mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cairn_api::{Timestamp, WireguardKey};
use cairn_kernel::Error;
use cairn_kernel::object::{IfIndex, LinkName};
use cairn_kernel::wireguard::{Device, DeviceChange, Peer, PeerChange, PublicKey, Wireguard};
use cairn_net::Prefix;
use felix_api::MARK;
use felix_core::{HostWireguard, OwnAddresses, WireguardPeer};
use tracing::{debug, warn};

use answers::Answers;
use clock::Clock;
use nodes::NodeRoutes;

use crate::wireguard_key::KeyFile;

/// How long a peer may take to answer.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether he has.
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
    /// Names of peers that have been ready, with whichever key.
    known: BTreeSet<String>,
    /// The device, if it is there.
    device: Option<OnDevice>,
    /// May there be something else to be told than before?
    changed: bool,
    /// What is to be written.
    changes: Changes,
    /// When the device is read.
    due: Option<Instant>,
    fault: Option<String>,
    clock: Clock,
    /// What the time of day keeps peers from.
    refused: Option<String>,
    /// Ways to other nodes' own addresses.
    nodes: NodeRoutes,
}

/// What is wanted otherwise than before.
#[derive(Debug)]
enum Changes {
    /// Everything is to be compared with what is there.
    Everything,
    /// Peers of these names, and keys that are or were those of one of them.
    Some { names: BTreeSet<String>, keys: BTreeSet<PublicKey> },
}

impl Default for Changes {
    fn default() -> Self {
        Self::Some { names: BTreeSet::new(), keys: BTreeSet::new() }
    }
}

impl Changes {
    /// With more than these a comparison of everything is cheaper, and the lists have a bound.
    const MANY: usize = 256;

    /// Of a name that had this key.
    fn note(&mut self, name: String, key: Option<PublicKey>) {
        let Self::Some { names, keys } = self else { return };
        names.insert(name);
        keys.extend(key);
        if names.len().max(keys.len()) > Self::MANY {
            *self = Self::Everything;
        }
    }

    const fn is_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }

    fn is_none(&self) -> bool {
        matches!(self, Self::Some { names, .. } if names.is_empty())
    }

    /// Those of the peers that are concerned.
    fn among<'a>(
        &'a self,
        wanted: &'a BTreeMap<String, WireguardPeer>,
    ) -> Box<dyn Iterator<Item = (&'a String, &'a WireguardPeer)> + 'a> {
        match self {
            Self::Everything => Box::new(wanted.iter()),
            Self::Some { names, .. } => Box::new(names.iter().filter_map(|name| wanted.get_key_value(name))),
        }
    }
}

/// What the kernel has, as far as it counts.
#[derive(Debug)]
struct OnDevice {
    name: LinkName,
    index: IfIndex,
    key: PublicKey,
    peers: BTreeMap<PublicKey, Known>,
}

/// A peer on the device.
#[derive(Debug)]
struct Known {
    peer: Peer,
    since: Instant,
    ready: bool,
    answers: Answers,
}

impl Known {
    /// Is exactly this prefix one of those behind it?
    fn is_behind(&self, prefix: Prefix) -> bool {
        self.peer.allowed_ips.binary_search(&prefix).is_ok()
    }
}

impl Encryption {
    /// Nothing is known of a device yet.
    pub(super) fn open(file: KeyFile) -> Result<Self, Error> {
        Ok(Self {
            file,
            client: None,
            wanted: BTreeMap::new(),
            known: BTreeSet::new(),
            device: None,
            changed: false,
            changes: Changes::default(),
            due: None,
            fault: None,
            clock: Clock::new(time_of_day(), Instant::now()),
            refused: None,
            nodes: NodeRoutes::open()?,
        })
    }

    /// Takes over a device that is there with its peers: they know this node.
    pub(super) fn adopt(&mut self, name: &LinkName) {
        match self.read(name) {
            Ok(()) => {
                let peers = self.device.iter_mut().flat_map(|device| device.peers.values_mut());
                peers.for_each(|known| known.ready = true);
            }
            Err(error) => debug!(error, "a WireGuard device is there, but not as it should be"),
        }
    }

    /// Gives a device its key and its port, and looks what it has. Peers follow with the next [`Self::write`].
    ///
    /// Errors: a sentence that says what is in the way; what the device had stays.
    pub(super) fn configure(&mut self, name: &LinkName, port: u16) -> Result<(), String> {
        let key = self.file.load_or_make().map_err(|error| error.to_string())?;
        let change = DeviceChange {
            private_key: Some(key),
            listen_port: Some(port),
            mark: Some(MARK),
            ..DeviceChange::default()
        };
        let done = self.client().and_then(|client| client.change(name, &change));
        done.map_err(|error| explain(port, &error))?;
        self.changes = Changes::Everything;
        self.nodes.resync();
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
        self.configure(&name, port)?;
        self.clock.renew();
        self.refused = None;
        Ok(())
    }

    /// Makes another key where the time of day was set back so that peers take no handshakes by this one. Hosts outside of the cluster would have
    /// to be told of it by hand: where there are any that is left to their operator.
    pub(super) fn follow_clock(&mut self, port: u16) {
        let Some(until) = self.clock.read(time_of_day(), Instant::now()) else {
            self.refused = None;
            return;
        };
        let outside = self.wanted.iter().find(|(_, peer)| !peer.is_node).map(|(name, _)| name);
        let done = match outside {
            Some(name) => Err(format!("WireguardPeer/{name} would have to be told another key by hand")),
            None => self.rotate(port),
        };
        let until = Timestamp::from_unix(until.as_secs());
        if let Err(why) = done {
            let refused = format!(
                "the time of day was set back, and peers take no handshakes of this node until it is {until} again, or until its key is replaced \
                 (cairnctl node rotate-wireguard-key): {why}"
            );
            if self.refused.as_ref() != Some(&refused) {
                warn!(refused, "encrypted sessions end within minutes");
                self.refused = Some(refused);
            }
        } else {
            warn!(%until, "the time of day was set back: peers would take no handshakes by the old key until it is this again");
        }
    }

    /// A device is gone, with all that was on it.
    pub(super) fn forget(&mut self, index: IfIndex) {
        if self.device.as_ref().is_some_and(|device| device.index == index) {
            (self.device, self.due, self.fault) = (None, None, None);
            self.known.clear();
            self.changed = true;
        }
    }

    /// Packets to somebody should be encrypted, or not, from the next [`Self::write`] on.
    pub(super) fn want(&mut self, name: String, peer: Option<WireguardPeer>) {
        let before = match peer {
            Some(peer) => self.wanted.insert(name.clone(), peer),
            None => {
                self.changed |= self.known.remove(&name);
                self.wanted.remove(&name)
            }
        };
        self.changes.note(name, before.map(|peer| PublicKey(peer.key.0)));
    }

    /// What the core is to know.
    pub(super) fn told(&self) -> Option<HostWireguard> {
        let device = self.device.as_ref()?;
        let ready = device.peers.iter().filter(|(_, known)| known.ready);
        let ready: BTreeSet<WireguardKey> = ready.map(|(key, _)| WireguardKey(key.0)).collect();
        Some(HostWireguard { key: WireguardKey(device.key.0), ready, known: self.known.clone() })
    }

    /// May [`Self::told`] be other than when this was asked last?
    pub(super) const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.changed, false)
    }

    /// What is wrong.
    pub(super) fn faults(&self) -> impl Iterator<Item = &String> {
        self.fault.iter().chain(&self.refused).chain(self.nodes.fault())
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.due.filter(|_| self.device.is_some());
        due.into_iter().chain(self.nodes.poll_timeout()).min()
    }

    /// Everything is compared at the next [`Self::write`].
    pub(super) fn resync(&mut self) {
        self.due = Some(Instant::now());
        self.nodes.resync();
    }

    /// Brings the peers up to date.
    pub(super) fn write(&mut self, now: Instant) {
        // Before peers go: whoever is no longer one is reached in another way. And after they came.
        self.lead_to_nodes(now);
        self.write_peers(now);
        self.lead_to_nodes(now);
    }

    /// Nothing is to be encrypted any more: packets to other nodes leave the tunnel before it goes.
    pub(super) fn let_go(&mut self, now: Instant) {
        self.nodes.write(BTreeSet::new(), IfIndex(0), now);
    }

    /// Leads packets to other nodes' own addresses to those who are there.
    fn lead_to_nodes(&mut self, now: Instant) {
        let Some(device) = &self.device else { return self.let_go(now) };
        let by_option = self.wanted.values().filter(|peer| !peer.own.is_empty());
        let ways = by_option.flat_map(|peer| {
            let known = device.peers.get(&PublicKey(peer.key.0));
            let known = known.filter(|known| known.answers.is_there(now));
            let is_behind = move |way: &&OwnAddresses| {
                known.is_some_and(|known| known.is_behind(Prefix::host(way.there)))
            };
            peer.own.iter().filter(is_behind).copied()
        });
        let (ways, index) = (ways.collect(), device.index);
        self.nodes.write(ways, index, now);
    }

    fn write_peers(&mut self, now: Instant) {
        let Some(name) = self.device.as_ref().map(|device| device.name.clone()) else { return };
        let read = self.due.is_some_and(|due| due <= now);
        // After an error nobody knows what is there until it was read.
        if !read && (self.changes.is_none() || self.fault.is_some()) {
            return;
        }
        self.changed = true;
        let done = if read { self.read(&name) } else { Ok(()) };
        if read {
            self.changes = Changes::Everything;
        }
        match done.and_then(|()| self.apply(&name, now)) {
            Ok(()) => {
                self.note_ready();
                (self.changes, self.fault) = (Changes::default(), None);
                let mut peers = self.device.iter().flat_map(|device| device.peers.values());
                // Whoever does not answer in time is looked at with everything else.
                let is_new =
                    |known: &Known| !known.answers.has_answered() && now.duration_since(known.since) < GRACE;
                self.due = peers.any(|known| !known.ready || is_new(known)).then(|| now + LOOK);
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

    /// Remembers who is ready by name, for when he has another key.
    fn note_ready(&mut self) {
        let Some(device) = &self.device else { return };
        let is_ready =
            |peer: &WireguardPeer| device.peers.get(&PublicKey(peer.key.0)).is_some_and(|known| known.ready);
        let ready = self.changes.among(&self.wanted).filter(|(_, peer)| is_ready(peer));
        let new: Vec<String> =
            ready.filter(|(name, _)| !self.known.contains(*name)).map(|(name, _)| name.clone()).collect();
        self.known.extend(new);
    }

    /// Writes what differs between the peers that are wanted and those that are known to be there, as far as anything has changed: of thousands of
    /// peers that is mostly one.
    fn apply(&mut self, name: &LinkName, now: Instant) -> Result<(), String> {
        let Some(device) = &mut self.device else { return Ok(()) };
        if self.changes.is_everything() {
            let peers = device.peers.values_mut();
            peers.for_each(|known| known.ready |= now.duration_since(known.since) >= GRACE);
        }
        let is_ready = |key: &PublicKey| device.peers.get(key).is_some_and(|known| known.ready);
        // Packets to a node that has fallen silent take another way: only a knock shows that it is back.
        let is_there =
            |key: &PublicKey| device.peers.get(key).is_some_and(|known| known.answers.is_there(now));
        let wanted = self.changes.among(&self.wanted).map(|(_, peer)| {
            kernel_peer(peer, |key| is_ready(key) && (peer.own.is_empty() || is_there(key)))
        });
        let wanted: BTreeMap<PublicKey, Peer> = wanted.map(|peer| (peer.public_key, peer)).collect();
        let left: Vec<PublicKey> = match &self.changes {
            Changes::Everything => device.peers.keys().copied().collect(),
            Changes::Some { keys, .. } => {
                keys.iter().filter(|key| device.peers.contains_key(*key)).copied().collect()
            }
        };
        // A key may have become that of a name that has not changed since.
        let has_moved = |key: &PublicKey| {
            !self.changes.is_everything() && self.wanted.values().any(|peer| peer.key.0 == key.0)
        };
        let gone = left.into_iter().filter(|key| !wanted.contains_key(key) && !has_moved(key));
        let differs =
            |peer: &&Peer| device.peers.get(&peer.public_key).is_none_or(|known| known.peer != **peer);
        // Before the others go: an address moves from one peer to the next in one step.
        let set = wanted.values().filter(differs).cloned().map(PeerChange::Set);
        let peers: Vec<PeerChange> = set.chain(gone.map(PeerChange::Remove)).collect();
        if peers.is_empty() {
            return Ok(());
        }
        debug!(peers = peers.len(), "peers of WireGuard change");
        let change = DeviceChange { peers, ..DeviceChange::default() };
        self.client().and_then(|client| client.change(name, &change)).map_err(|error| error.to_string())?;
        let Some(device) = &mut self.device else { return Ok(()) };
        for change in change.peers {
            match change {
                PeerChange::Remove(key) => drop(device.peers.remove(&key)),
                PeerChange::Set(peer) => {
                    let new =
                        || Known { peer: peer.clone(), since: now, ready: false, answers: Answers::none() };
                    let known = device.peers.entry(peer.public_key).or_insert_with(new);
                    known.peer = peer;
                }
            }
        }
        Ok(())
    }

    /// Reads the device. Since when a peer is there, and whether he was ready, is remembered.
    fn read(&mut self, name: &LinkName) -> Result<(), String> {
        let found =
            self.client().and_then(|client| client.device(name)).map_err(|error| error.to_string())?;
        let Device { index, public_key, peers, .. } = found;
        let key = public_key.ok_or_else(|| format!("{name} has no key"))?;
        let same_device = |before: &OnDevice| before.index == index;
        let rekeyed = self.device.as_ref().is_some_and(|before| same_device(before) && before.key != key);
        // With another key, or anew, the peers have to answer again.
        let before = self.device.take().filter(|before| before.key == key && before.index == index);
        let mut before = before.map(|before| before.peers).unwrap_or_default();
        let now = Instant::now();
        let known = |state: cairn_kernel::wireguard::PeerState| {
            let old = before.remove(&state.peer.public_key);
            let since = old.as_ref().map_or(now, |old| old.since);
            let ready = old.as_ref().is_some_and(|old| old.ready) || state.last_handshake.is_some();
            // Where he was last heard from is the kernel's business; where he should be was written once.
            let endpoint = old.as_ref().map_or(state.peer.endpoint, |old| old.peer.endpoint);
            let first = || Answers::first(&state, rekeyed);
            let answers = old.map_or_else(first, |old| old.answers.next(&state, now));
            let peer = Peer { endpoint, ..state.peer };
            (peer.public_key, Known { peer, since, ready, answers })
        };
        let peers = peers.into_iter().map(known).collect();
        self.device = Some(OnDevice { name: name.clone(), index, key, peers });
        self.changed = true;
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
fn kernel_peer(peer: &WireguardPeer, is_ready: impl Fn(&PublicKey) -> bool) -> Peer {
    let public_key = PublicKey(peer.key.0);
    let keepalive = if is_ready(&public_key) { peer.keepalive } else { KNOCK };
    let allowed_ips = peer.allowed.iter().copied().collect();
    Peer { public_key, endpoint: Some(peer.endpoint), keepalive, allowed_ips }
}

/// Since 1970.
fn time_of_day() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_changes_concern_their_peers_and_many_concern_all() {
        let mut changes = Changes::default();
        assert!(changes.is_none() && !changes.is_everything());
        changes.note("a".to_owned(), None);
        changes.note("b".to_owned(), Some(PublicKey([2; 32])));
        let Changes::Some { names, keys } = &changes else { panic!("{changes:?}") };
        assert!(names.iter().eq(["a", "b"]) && keys.iter().eq(&[PublicKey([2; 32])]));
        assert!(!changes.is_none());
        for number in 0..=Changes::MANY {
            changes.note(number.to_string(), None);
        }
        assert!(changes.is_everything() && !changes.is_none());
        changes.note("c".to_owned(), None);
        assert!(changes.is_everything(), "until all of them were compared");
    }
}
