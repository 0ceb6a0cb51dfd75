//! The fabric as it follows from the facts, brought up to date by what changed of them.
//!
//! What concerns one node follows from that node, from the ground on which all stand (pools, settings, this node itself), and from those who claim the
//! same; so a change of one node costs what that node costs. Another ground has all of it derived anew, in the same way: node by node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::{Family, Prefix};

use super::derive::{self, Ground, Inputs, Use, Wanted, addresses};
use super::members::Touched;
use super::secured::{News, on_host};
use super::{Fabric, Member, Members, Scope, Secured, TunnelKind, TunnelPeer, TunnelPools};
use crate::condition::Condition;
use crate::firewall::Element;

/// The fabric, and what the shell has to do for it.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) fabric: Fabric,
    ground: Option<Ground>,
    /// The encapsulations that there are, with those on their way out.
    uses: BTreeSet<Use>,
    wanted: Vec<Wanted>,
}

/// Which facts changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The Node, or the WireguardPeer, of these names.
    pub(crate) names: &'a BTreeSet<String>,
    /// What the kernel has of WireGuard.
    pub(crate) keys: bool,
    /// Something else.
    pub(crate) ground: bool,
}

/// What changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Everything may be another; what mattered before.
    pub(crate) all: Option<Scope>,
    /// Other nodes whose addresses changed, with what they were.
    pub(crate) members: Touched,
    /// Those to whom packets are encrypted, or were, in another way.
    pub(crate) peers: BTreeSet<Arc<str>>,
    /// Prefixes that are, or were, said to be behind a peer.
    pub(crate) prefixes: BTreeSet<Prefix>,
    /// Something else is wrong.
    pub(crate) conditions: bool,
}

impl Network {
    /// Takes what changed.
    pub(crate) fn update(&mut self, inputs: Inputs<'_>, facts: Facts<'_>) -> Changes {
        let mut changes = Changes::default();
        let mut anew = false;
        if facts.ground || self.ground.is_none() {
            let scope = self.fabric.scope();
            anew = self.lay(Ground::of(inputs), inputs, &mut changes);
            changes.all = (changes.conditions || anew).then_some(scope);
        }
        if !self.is_needed() {
            return changes;
        }
        let before = self.shape();
        if anew {
            let all = inputs.nodes.keys().chain(inputs.wireguard.keys()).map(String::as_str).collect();
            self.put(inputs, &all, true, &mut changes);
        } else {
            let names = facts.names.iter().map(String::as_str).collect();
            self.put(inputs, &names, facts.keys, &mut changes);
        }
        if changes.all.is_some() || before != self.shape() {
            let uses = self.settle();
            // Devices and entries of all nodes follow from it.
            if uses && changes.all.is_none() {
                changes.all = Some(self.fabric.scope());
            }
        }
        changes
    }

    /// Takes another ground; true if what is known of the other nodes has to be put there anew.
    fn lay(&mut self, ground: Ground, inputs: Inputs<'_>, changes: &mut Changes) -> bool {
        let Some(old) = self.ground.as_ref().filter(|old| **old != ground) else {
            let first = self.ground.is_none();
            if first {
                self.stand(ground, inputs);
            }
            return first;
        };
        changes.conditions = true;
        let anew = (old.needed, old.own, &old.rules) != (ground.needed, ground.own, &ground.rules);
        if anew {
            self.stand(ground, inputs);
        } else {
            self.fabric.pools.clone_from(&ground.pools);
            self.fabric.subnets = ground.subnets;
            self.fabric.devices.clone_from(&ground.devices);
            self.ground = Some(ground);
        }
        anew
    }

    /// A ground without other nodes.
    fn stand(&mut self, ground: Ground, inputs: Inputs<'_>) {
        let rules = ground.rules.clone().filter(|_| ground.needed);
        self.fabric = Fabric {
            pools: ground.pools.clone(),
            own: ground.own,
            subnets: ground.subnets,
            members: Members::new(inputs.node, ground.own),
            devices: ground.devices.clone(),
            secured: rules.map(|rules| Secured::new(rules, inputs.node, ground.own)),
        };
        (self.uses, self.wanted) = (BTreeSet::new(), Vec::new());
        self.ground = Some(ground);
    }

    /// Takes the nodes and keys of these names, and, if `keys`, what the kernel has of WireGuard.
    fn put(&mut self, inputs: Inputs<'_>, names: &BTreeSet<&str>, keys: bool, changes: &mut Changes) {
        let Fabric { members, secured, .. } = &mut self.fabric;
        let others = || names.iter().filter(|name| ***name != *inputs.node);
        for name in others() {
            let told = inputs.nodes.get(*name).map(addresses);
            changes.conditions |= members.put(name, told, &mut changes.members);
        }
        let Some(secured) = secured else { return };
        let mut news = News::default();
        let touched = changes.members.keys().cloned();
        let mut named: BTreeSet<Arc<str>> = touched.chain(others().map(|name| Arc::from(*name))).collect();
        // What may be behind somebody depends on where nodes are.
        let moved = changes.members.iter().flat_map(|(name, old)| old.iter().chain(members.get(name)));
        named.extend(secured.stating(moved.flat_map(|member| member.addresses).flatten()));
        for name in &named {
            secured.put(name, inputs, members, &mut news);
        }
        if keys {
            secured.put_host(on_host(inputs), inputs, members, &mut news);
        }
        changes.conditions |= news.conditions;
        changes.peers.append(&mut news.peers);
        changes.prefixes.append(&mut news.prefixes);
    }

    /// What of the other nodes devices follow from.
    fn shape(&self) -> (Vec<[bool; 2]>, Option<Family>) {
        (self.fabric.members.families().collect(), self.fabric.secured.as_ref().map(Secured::outer))
    }

    /// Works out the devices. True if what follows for each node is something else than before.
    fn settle(&mut self) -> bool {
        let Some(ground) = &self.ground else { return false };
        let mut kinds = derive::kinds(&self.fabric, &ground.uses);
        let kept = derive::kept(&ground.devices, &kinds, &ground.uses);
        let uses: BTreeSet<Use> =
            ground.uses.iter().copied().chain(kept.iter().map(|(_, used)| *used)).collect();
        kinds.extend(kept);
        let wanted = derive::wanted(ground, &kinds, self.fabric.secured.as_ref());
        let differs = (&self.uses, &self.wanted) != (&uses, &wanted);
        (self.uses, self.wanted) = (uses, wanted);
        differs
    }

    fn is_needed(&self) -> bool {
        self.ground.as_ref().is_some_and(|ground| ground.needed)
    }

    /// Devices that there should be.
    pub(crate) fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// Pools that the addresses of tunnels may be of.
    pub(crate) fn tunnel_pools(&self) -> &BTreeMap<Family, TunnelPools> {
        const NONE: &BTreeMap<Family, TunnelPools> = &BTreeMap::new();
        self.ground.as_ref().map_or(NONE, |ground| &ground.tunnel_pools)
    }

    /// The entries of a node on the VXLAN devices.
    pub(crate) fn peers_of(&self, member: &Member) -> BTreeMap<(TunnelKind, IpAddr), TunnelPeer> {
        if self.ground.as_ref().is_some_and(|ground| ground.complete) {
            derive::peers_of(&self.fabric, &self.uses, member)
        } else {
            BTreeMap::new()
        }
    }

    /// The entries of all nodes.
    pub(crate) fn peers(&self) -> impl Iterator<Item = ((TunnelKind, IpAddr), TunnelPeer)> {
        self.fabric.members.iter().flat_map(|member| self.peers_of(member))
    }

    /// The elements of the firewall that follow from a node: encapsulated packets may come from there.
    pub(crate) fn elements_of(member: &Member) -> impl Iterator<Item = Element> + use<> {
        member.addresses.into_iter().flatten().map(Element::Node)
    }

    /// All elements of the firewall.
    pub(crate) fn elements(&self) -> BTreeSet<Element> {
        let Some(ground) = self.ground.as_ref().filter(|ground| ground.needed) else {
            return BTreeSet::new();
        };
        let mut elements = derive::elements(ground, &self.wanted, self.fabric.secured.as_ref());
        elements.extend(self.fabric.members.addresses().map(Element::Node));
        elements
    }

    /// What is wrong.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = Condition> {
        let ground = self.ground.iter().flat_map(|ground| &ground.conditions).cloned();
        let members = self.fabric.members.conditions().cloned();
        ground.chain(members).chain(self.fabric.secured.iter().flat_map(Secured::conditions))
    }
}
