//! All that decides about encryption: the rules, and who is known with a key.
//!
//! Cost: what changes of one object, or of one node, is worked out without a look at the others, but those that claim the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use cairn_api::kinds::{NodeConfiguration, UnencryptedPeers, WireguardPeer as KeyObject};
use cairn_api::{Object, WireguardKey};
use cairn_net::{Family, Mac, Prefix};

use super::derive::Inputs;
use super::stated::{Refused, Taken};
use super::tunnel::{TunnelKind, gateway, mac_of};
use super::wireguard::{
    Encrypted, HostWireguard, OwnAddresses, WireguardPeer, encrypts_nodes, is_on, is_on_for, port,
};
use super::{Addresses, Members, slot};
use crate::claims::Claims;
use crate::condition::{Condition, Reason};

/// So many of the nodes without a key are named.
const NAMED: usize = 5;

/// What the configuration says of encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    /// Pools whose packets are encrypted.
    pools: Vec<Prefix>,
    /// The ranges of all pools, with their names: what is in there is behind whoever has the block.
    ranges: Vec<(String, Prefix)>,
    /// What has no other way is refused.
    refuse: bool,
    /// Seconds.
    keepalive: u16,
    /// UDP port, here and at other nodes.
    pub(super) port: u16,
    /// Families whose packets between nodes' own addresses are encrypted.
    nodes: [bool; 2],
}

impl Rules {
    /// `None`: nothing is encrypted.
    pub(super) fn of(inputs: Inputs<'_>) -> Option<Self> {
        let configuration: &NodeConfiguration = inputs.configuration;
        if !is_on(configuration) {
            return None;
        }
        let cidrs = inputs.pools.values().map(|pool| pool.spec.cidr);
        let cidrs = cidrs.filter(|cidr| !inputs.passing.contains(cidr));
        let keepalive = configuration.wireguard_keep_alive.map_or(0, |time| time.get().as_secs());
        Some(Self {
            pools: cidrs.filter(|cidr| is_on_for(configuration, cidr.family())).collect(),
            ranges: inputs.pools.iter().map(|(name, pool)| (name.clone(), pool.spec.cidr)).collect(),
            refuse: configuration.wireguard_unencrypted_peers == Some(UnencryptedPeers::Refuse),
            keepalive: u16::try_from(keepalive).unwrap_or(u16::MAX),
            port: port(configuration),
            nodes: Family::ALL.map(|family| encrypts_nodes(configuration, family)),
        })
    }
}

/// Whom packets are encrypted to.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(super) rules: Rules,
    /// This node's name and addresses.
    node: String,
    own: Addresses,
    /// This node's own key, once it has one.
    own_key: Option<WireguardKey>,
    /// Keys and names of peers that routes may lead to.
    ready: BTreeSet<WireguardKey>,
    known: BTreeSet<String>,
    /// The key that each object has.
    told: HashMap<Arc<str>, WireguardKey>,
    keys: Claims<WireguardKey>,
    /// Addresses that objects say to be behind peers.
    statics: Claims<Prefix>,
    /// Peers of whose objects say such things, whether they may or not.
    stating: BTreeSet<Arc<str>>,
    /// Everybody whose key is known, by name.
    peers: HashMap<Arc<str>, Known>,
    /// How many of them are reached over IPv6.
    over_ipv6: usize,
    /// Nodes that have told no key.
    bare: BTreeSet<Arc<str>>,
    conditions: BTreeMap<Arc<str>, Vec<Condition>>,
}

/// A peer without the addresses that follow from blocks.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    is_node: bool,
    key: WireguardKey,
    endpoint: SocketAddr,
    mac: Mac,
    /// Its own, if it is a node.
    addresses: Addresses,
    /// What its object says to be behind it, as far as it may be.
    statics: Vec<Prefix>,
    refused: Vec<Refused>,
}

impl Known {
    /// Does its object say something to be behind it?
    const fn states(&self) -> bool {
        !self.statics.is_empty() || !self.refused.is_empty()
    }
}

/// What changed.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Peers with another key, another endpoint, or of another readiness.
    pub(super) peers: BTreeSet<Arc<str>>,
    /// Prefixes that are, or were, said to be behind them.
    pub(super) prefixes: BTreeSet<Prefix>,
    pub(super) conditions: bool,
}

impl Secured {
    /// Nobody is known yet.
    pub(super) fn new(rules: Rules, node: &str, own: Addresses) -> Self {
        Self {
            rules,
            node: node.to_owned(),
            own,
            own_key: None,
            ready: BTreeSet::new(),
            known: BTreeSet::new(),
            told: HashMap::new(),
            keys: Claims::default(),
            statics: Claims::default(),
            stating: BTreeSet::new(),
            peers: HashMap::new(),
            over_ipv6: 0,
            bare: BTreeSet::new(),
            conditions: BTreeMap::new(),
        }
    }

    /// What the kernel has of it is now this.
    pub(super) fn put_host(
        &mut self,
        host: Option<&HostWireguard>,
        inputs: Inputs<'_>,
        members: &Members,
        news: &mut News,
    ) {
        let own_key = host.map(|host| host.key);
        if self.own_key != own_key {
            let both = [self.own_key, own_key].into_iter().flatten();
            let affected: Vec<_> = both.flat_map(|key| self.keys.claimants(&key).to_vec()).collect();
            self.own_key = own_key;
            self.accept(affected, inputs, members, news);
        }
        let (no_keys, no_names) = (BTreeSet::new(), BTreeSet::new());
        let (ready, known) = host.map_or((&no_keys, &no_names), |host| (&host.ready, &host.known));
        let keys = self.ready.symmetric_difference(ready).filter_map(|key| self.keys.holder(key));
        news.peers.extend(keys.cloned());
        news.peers.extend(self.known.symmetric_difference(known).map(|name| Arc::from(name.as_str())));
        if self.ready != *ready {
            self.ready.clone_from(ready);
        }
        if self.known != *known {
            self.known.clone_from(known);
        }
    }

    /// The object or the member of this name changed.
    pub(super) fn put(&mut self, name: &Arc<str>, inputs: Inputs<'_>, members: &Members, news: &mut News) {
        let object = inputs.wireguard.get(&**name).filter(|_| **name != *inputs.node);
        let key = object.map(|object| object.spec.public_key);
        let old = self.told.get(name).copied();
        let mut affected = vec![Arc::clone(name)];
        if old != key {
            if let Some(old) = old {
                self.keys.remove(&old, name);
                self.told.remove(name);
                affected.extend(self.keys.claimants(&old).iter().cloned());
            }
            if let Some(key) = key {
                self.keys.insert(key, name);
                self.told.insert(Arc::clone(name), key);
                affected.extend(self.keys.claimants(&key).iter().cloned());
            }
        }
        self.accept(affected, inputs, members, news);
        let bare = members.get(name).is_some() && !self.peers.contains_key(name);
        news.conditions |= if bare { self.bare.insert(Arc::clone(name)) } else { self.bare.remove(name) };
    }

    /// Works out again which of these are peers.
    fn accept(
        &mut self,
        mut affected: Vec<Arc<str>>,
        inputs: Inputs<'_>,
        members: &Members,
        news: &mut News,
    ) {
        for name in affected.clone() {
            let object = inputs.wireguard.get(&*name);
            let new = object.and_then(|object| self.known(&name, object, members).ok());
            if self.peers.get(&name) == new.as_ref() {
                continue;
            }
            news.peers.insert(Arc::clone(&name));
            let old = match new.clone() {
                Some(known) => self.peers.insert(Arc::clone(&name), known),
                None => self.peers.remove(&name),
            };
            if new.as_ref().is_some_and(Known::states) {
                self.stating.insert(Arc::clone(&name));
            } else {
                self.stating.remove(&name);
            }
            for prefix in old.iter().flat_map(|known| &known.statics) {
                affected.extend(self.statics.claimants(prefix).iter().cloned());
                self.statics.remove(prefix, &name);
                news.prefixes.insert(*prefix);
            }
            for prefix in new.iter().flat_map(|known| &known.statics) {
                self.statics.insert(*prefix, &name);
                affected.extend(self.statics.claimants(prefix).iter().cloned());
                news.prefixes.insert(*prefix);
            }
            let over_ipv6 =
                |known: &Option<Known>| usize::from(known.as_ref().is_some_and(|k| k.endpoint.is_ipv6()));
            self.over_ipv6 = self.over_ipv6 + over_ipv6(&new) - over_ipv6(&old);
            let bare = members.get(&name).is_some() && new.is_none();
            news.conditions |=
                if bare { self.bare.insert(Arc::clone(&name)) } else { self.bare.remove(&name) };
        }
        affected.sort_unstable();
        affected.dedup();
        for name in affected {
            let conditions = self.what_is_wrong(&name, inputs, members);
            let known = self.conditions.get(&name).map_or(&[][..], Vec::as_slice);
            if known == conditions.as_slice() {
                continue;
            }
            news.conditions = true;
            if conditions.is_empty() {
                self.conditions.remove(&name);
            } else {
                self.conditions.insert(name, conditions);
            }
        }
    }

    /// The peer that an object makes, else why there is none.
    fn known(
        &self,
        name: &Arc<str>,
        object: &Object<KeyObject>,
        members: &Members,
    ) -> Result<Known, (Reason, String)> {
        let key = object.spec.public_key;
        let taken = |other: &str| {
            let message = format!("its key is that of {other}, too: nothing is encrypted to it");
            (Reason::Ambiguous, message)
        };
        match self.keys.holder(&key) {
            _ if self.own_key == Some(key) => return Err(taken(&self.node)),
            Some(other) if other != name => return Err(taken(other)),
            _ => {}
        }
        let member = members.get(name);
        let address = member.and_then(|member| endpoint_address(&self.own, &member.addresses));
        let endpoint =
            object.spec.endpoint.or(address.map(|address| SocketAddr::new(address, self.rules.port)));
        let endpoint = endpoint.ok_or_else(|| {
            let message = "neither spec.endpoint nor a Node of this name with an address of a family that this node has: \
                           nothing is encrypted to it";
            (Reason::AddressUnknown, message.to_owned())
        })?;
        let addresses = member.map(|member| member.addresses).unwrap_or_default();
        let nobodys = Taken { node: &self.node, own: &self.own, members, pools: &self.rules.ranges };
        let (statics, refused) = nobodys.sort(&object.spec.allowed_ips, endpoint.ip());
        let is_node = member.is_some();
        Ok(Known { is_node, key, endpoint, mac: mac_of(name), addresses, statics, refused })
    }

    fn what_is_wrong(&self, name: &Arc<str>, inputs: Inputs<'_>, members: &Members) -> Vec<Condition> {
        let condition = |(reason, message)| {
            let subject = format!("WireguardPeer/{name}");
            Condition { subject, reason, message }
        };
        let Some(object) = inputs.wireguard.get(&**name).filter(|_| self.told.contains_key(name)) else {
            return Vec::new();
        };
        let known = match self.known(name, object, members) {
            Ok(known) => known,
            Err(why) => return vec![condition(why)],
        };
        let elsewhere = |prefix: &Prefix| {
            let other = self.statics.holder(prefix).filter(|holder| *holder != name)?;
            let message = format!("spec.allowedIPs: {prefix} is behind {other}, too: it stays there");
            Some(condition((Reason::Ambiguous, message)))
        };
        let refused = known.refused.iter().map(|Refused { prefix, reason, why }| {
            let message = format!("spec.allowedIPs: {prefix} {why}: it is not behind this peer");
            condition((*reason, message))
        });
        refused.chain(known.statics.iter().filter_map(elsewhere)).collect()
    }

    /// What is wrong.
    pub(super) fn conditions(&self) -> impl Iterator<Item = Condition> {
        self.conditions.values().flatten().cloned().chain(self.unencrypted())
    }

    /// That there are nodes that have told no key.
    fn unencrypted(&self) -> Option<Condition> {
        let count = self.bare.len();
        if count == 0 {
            return None;
        }
        let mut list = self.bare.iter().take(NAMED).map(|name| &**name).collect::<Vec<_>>().join(", ");
        if count > NAMED {
            list.push_str(", ...");
        }
        let what = if self.rules.refuse {
            "nothing is sent to their pods or taken from them"
        } else {
            "it is sent unencrypted"
        };
        let message = format!(
            "no WireGuard key is known of {count} nodes ({list}), so that traffic of pods with them cannot be encrypted: {what}"
        );
        Some(Condition { subject: format!("Node/{}", self.node), reason: Reason::Unencrypted, message })
    }

    /// Is any encrypted packet to another host of IPv6?
    pub(super) const fn outer(&self) -> Family {
        if self.over_ipv6 > 0 || self.own[slot(Family::Ipv4)].is_none() { Family::Ipv6 } else { Family::Ipv4 }
    }

    /// The pools, where a prefix that no other route covers may not leave.
    pub(crate) fn refused_pools(&self) -> &[Prefix] {
        if self.rules.refuse { &self.rules.pools } else { &[] }
    }

    /// The pools whose packets are encrypted.
    pub(super) fn pools(&self) -> &[Prefix] {
        &self.rules.pools
    }

    /// Is it one that an object says to be behind a peer?
    pub(crate) fn is_static(&self, prefix: Prefix) -> bool {
        self.statics.holder(&prefix).is_some()
    }

    /// The peers of whose objects any says to be behind it what one of these addresses is in.
    pub(super) fn stating(&self, addresses: impl Iterator<Item = IpAddr>) -> BTreeSet<Arc<str>> {
        if self.stating.is_empty() {
            return BTreeSet::new();
        }
        let addresses: BTreeSet<IpAddr> = addresses.collect();
        let any_within = |prefix: &Prefix| addresses.range(prefix.addr()..=prefix.last()).next().is_some();
        let concerned = |name: &&Arc<str>| {
            let Some(known) = self.peers.get(*name) else { return false };
            known.statics.iter().chain(known.refused.iter().map(|refused| &refused.prefix)).any(any_within)
        };
        self.stating.iter().filter(concerned).cloned().collect()
    }

    /// Addresses that objects say to be behind peers.
    pub(crate) fn statics(&self) -> impl Iterator<Item = Prefix> {
        self.statics.keys().copied()
    }

    /// May the way of a prefix depend on all this?
    pub(crate) fn concerns(&self, prefix: Prefix) -> bool {
        self.rules.pools.iter().any(|cidr| cidr.covers(prefix)) || self.is_static(prefix)
    }

    /// Whom a prefix belongs to, if packets to him are encrypted.
    pub(crate) fn peer<'a>(&'a self, prefix: Prefix, node: Option<&'a str>) -> Option<&'a str> {
        let name = self.statics.holder(&prefix).map(|name| &**name).or(node)?;
        (self.concerns(prefix) && self.peers.contains_key(name)).then_some(name)
    }

    /// The way of a prefix that belongs to this node, or to nobody that is known.
    pub(crate) fn way(&self, prefix: Prefix, node: Option<&str>, device: Option<u32>) -> Encrypted {
        let family = prefix.family();
        let through = self.peer(prefix, node).and_then(|name| {
            let is_ready = |peer: &&Known| self.ready.contains(&peer.key) || self.known.contains(name);
            let peer = self.peers.get(name).filter(is_ready)?;
            Some(gateway(family, peer.endpoint.ip(), peer.mac, device?))
        });
        match through {
            Some(gateway) => Encrypted::Through(gateway),
            None if self.rules.refuse && self.concerns(prefix) => Encrypted::Refused,
            None => Encrypted::Unconcerned,
        }
    }

    /// A peer with the addresses behind it.
    pub(crate) fn peer_with(&self, name: &str, allowed: BTreeSet<Prefix>) -> Option<WireguardPeer> {
        let Known { is_node, key, endpoint, addresses, .. } = *self.peers.get(name)?;
        let sends = |family| self.own[slot(family)].filter(|_| self.rules.nodes[slot(family)]);
        let ways = Family::ALL.map(sends).into_iter().zip(addresses);
        let own =
            ways.filter_map(|(here, there)| Some(OwnAddresses { here: here?, there: there? })).collect();
        // Always taken, so that whether they are sent is the sender's choice alone: nobody has to know what the other one does.
        let mut allowed = allowed;
        allowed.extend(addresses.into_iter().flatten().map(Prefix::host));
        Some(WireguardPeer { is_node, key, endpoint, keepalive: self.rules.keepalive, allowed, own })
    }

    /// The names of all peers, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.peers.keys()
    }
}

/// What the kernel has of the device that encrypts.
pub(super) fn on_host(inputs: Inputs<'_>) -> Option<&HostWireguard> {
    inputs.host.wireguard.get(&TunnelKind::Wireguard)
}

/// Where a node is reached: over IPv4 where both have it.
fn endpoint_address(own: &Addresses, theirs: &Addresses) -> Option<IpAddr> {
    own.iter().zip(theirs).find_map(|(own, theirs)| own.and(*theirs))
}
