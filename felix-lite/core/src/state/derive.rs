//! What follows from the facts, and what of it is new.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use cairn_api::kinds::{BgpConfiguration, NatOutgoingExclusions};
use cairn_net::{Family, Prefix};

use super::{DEFAULT, State};
use crate::announce::Policy;
use crate::drain::Leaving;
use crate::fabric::{Facts, Secured};
use crate::firewall::{self, Element};
use crate::nat;
use crate::pod_cidr::{self, Blocks};
use crate::reverse_path::{self, Ways};
use crate::speaker::{self, Inputs, Member, Secrets};
use crate::underlay;
use crate::{Change, Condition, Reason};

impl State {
    /// What changed since the last call, in the order that [`Change`] documents.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut dirty = std::mem::take(&mut self.dirty);
        if dirty.settings {
            self.derive_configuration();
        }
        if dirty.underlays && self.derive_underlays() {
            (dirty.pools, dirty.announcements, dirty.fabric) = (true, true, true);
        }
        let ground = dirty.fabric || dirty.settings;
        let network = self.derive_fabric(Facts { names: &dirty.nodes, keys: dirty.keys, ground });
        dirty.conditions |= network.conditions;
        // What is behind peers is answered as it is.
        dirty.pools |= network.all.is_some() || !network.prefixes.is_empty();
        if dirty.speaker {
            self.derive_speaker();
        }
        if dirty.pools || dirty.settings {
            self.derive_pools();
        }
        // The ways to other nodes follow from much: all that is looked at again.
        let fabric = network.all.is_some() || dirty.keys || !dirty.nodes.is_empty();
        let moved = fabric || ground || dirty.pools || dirty.tunnels || self.routes.will_resolve();
        if dirty.egress || (moved && !self.gateways.is_empty()) {
            let (addresses, conditions) = self.derive_egress();
            dirty.announcements |= addresses;
            dirty.conditions |= conditions;
        }
        // An address may be the first one, or the last, in a block that is withdrawn while nothing uses it.
        dirty.announcements |= !dirty.addresses.is_empty() && self.drains();
        if dirty.announcements {
            self.derive_announcements();
        } else {
            self.derive_addresses(&dirty.addresses);
        }
        if self.routes.will_resolve() {
            self.paths.expire();
        }
        let routes = self.routes.take(&self.network.fabric, self.undecided());
        let paths = self.paths.look_up(|address| self.routes.path_mtu(address));
        if paths || ground || network.all.is_some() || dirty.tunnels {
            dirty.conditions |= self.derive_tunnels();
        }
        self.derive_wireguard_peers(&network);
        if dirty.conditions
            || dirty.speaker
            || dirty.pools
            || ground
            || network.all.is_some()
            || dirty.underlays
            || self.routes.unresolved_changed()
            || self.routes.spread_changed()
        {
            self.derive_conditions();
        }

        let (settings, config, nat) = (self.settings.take(), self.config.take(), self.nat.take());
        let (elements, announced, conditions) =
            (self.elements.take(), self.announced.take(), self.conditions.take());
        let (tunnels, peers) = (self.tunnels.take(), self.tunnel_peers.take());
        let (wireguard, detours) = (self.wireguard_peers.take(), self.detours.take());
        let mut changes: Vec<Change> =
            settings.set.into_iter().map(|((), settings)| Change::Settings(settings)).collect();
        changes.extend(nat.set.into_iter().map(|((), nat)| Change::SetNat(nat)));
        // One that is no longer asked for is there all the same.
        changes.extend(self.drivers.take().set.into_iter().map(|(mode, ())| Change::UseDriver(mode)));
        changes.extend(elements.set.into_iter().map(|(element, ())| Change::AddElement(element)));
        changes.extend(tunnels.set.into_iter().map(|(kind, tunnel)| Change::SetTunnel(kind, tunnel)));
        changes.extend(peers.set.into_iter().map(|(key, peer)| Change::SetPeer(key, peer)));
        changes.extend(wireguard.set.into_iter().map(|(name, peer)| Change::SetWireguardPeer(name, peer)));
        changes.extend(routes.set.into_iter().map(|(prefix, route)| Change::SetRoute(prefix, route)));
        changes.extend(detours.set.into_iter().map(|(key, detour)| Change::SetDetour(key, detour)));
        changes.extend(announced.set.into_iter().map(|(_, route)| Change::Announce(route)));
        changes.extend(config.set.into_iter().map(|((), config)| Change::Configure(config)));
        changes.extend(conditions.set.into_iter().map(|(condition, ())| Change::Report(condition)));
        changes.extend(conditions.removed.into_iter().map(|(condition, ())| Change::Retract(condition)));
        changes.extend(announced.removed.into_iter().rev().map(|(prefix, _)| Change::Withdraw(prefix)));
        changes.extend(detours.removed.into_iter().rev().map(|(key, _)| Change::RemoveDetour(key)));
        changes.extend(routes.removed.into_iter().rev().map(|(prefix, _)| Change::RemoveRoute(prefix)));
        changes
            .extend(wireguard.removed.into_iter().rev().map(|(name, _)| Change::RemoveWireguardPeer(name)));
        changes.extend(peers.removed.into_iter().rev().map(|(key, _)| Change::RemovePeer(key)));
        changes.extend(tunnels.removed.into_iter().rev().map(|(kind, _)| Change::RemoveTunnel(kind)));
        changes
            .extend(elements.removed.into_iter().rev().map(|(element, ())| Change::RemoveElement(element)));
        changes
    }

    fn derive_speaker(&mut self) {
        let (config, conditions, demands) = speaker::config(self.speaker_inputs());
        self.config.put(&(), config.map(Box::new));
        (self.speaker_conditions, self.demands) = (conditions, demands);
    }

    /// All that bgpd's document follows from.
    pub(super) fn speaker_inputs(&self) -> Inputs<'_> {
        Inputs {
            node: &self.node,
            nodes: &self.nodes,
            bgp: self.bgp_settings(),
            peers: &self.peers,
            filters: &self.filters,
            secrets: Secrets { namespace: &self.secret_namespace, by_name: &self.secrets },
            host: &self.host,
            ipv4_pods: self.pools.values().any(|pool| pool.spec.cidr.family() == Family::Ipv4),
        }
    }

    pub(super) fn bgp_settings(&self) -> &BgpConfiguration {
        static DEFAULTS: LazyLock<BgpConfiguration> = LazyLock::new(BgpConfiguration::default);
        self.bgp.get(DEFAULT).map_or(&DEFAULTS, |object| &object.spec)
    }

    fn derive_pools(&mut self) {
        // What is behind a host that packets are encrypted to is answered by it as it is: no other address would come back through here.
        let behind = self.network.fabric.secured.iter().flat_map(Secured::statics);
        let said = self.configuration.nat_outgoing_excluded_cidrs.iter().flatten().copied();
        let hosts =
            self.configuration.nat_outgoing_exclusions == Some(NatOutgoingExclusions::IpPoolsAndHostIps);
        let hosts = self.nodes.values().filter(|_| hosts).flat_map(Member::addresses).map(Prefix::host);
        let outside: Vec<Prefix> = behind.chain(said).chain(hosts).collect();
        let (wanted, mut conditions) = firewall::pools(&self.pools, &outside, &self.underlays, &self.host);
        // Before all is known it would be another than that which is in force.
        if self.complete {
            let has = |address| self.host.receives(address) || self.addresses().any(|own| own == address);
            let (nat, wrong) = nat::derive(&self.configuration, &self.node, has);
            self.nat.put(&(), Some(nat));
            conditions.extend(wrong);
        }
        self.put_elements(&wanted.into_iter().collect(), |element| {
            matches!(element, Element::Pool(_) | Element::Masquerade(_))
        });
        self.pool_conditions = conditions;
    }

    /// True if there are other ranges than before that are as no others.
    fn derive_underlays(&mut self) -> bool {
        let derived = underlay::derive(underlay::Inputs {
            pools: &self.pools,
            me: self.nodes.get(&self.node),
            host: &self.host,
        });
        let before = std::mem::replace(&mut self.underlays, derived);
        self.drivers.replace(self.underlays.drivers.iter().map(|mode| (*mode, ())).collect::<Vec<_>>());
        if (&before.on_link, &before.passing) == (&self.underlays.on_link, &self.underlays.passing) {
            return false;
        }
        self.place_blocks();
        true
    }

    /// Own blocks lead nowhere but for their pods. Where pods are found on the link, those of other nodes may be in them, too: which blocks
    /// these are is not known before all pools are.
    pub(super) fn place_blocks(&mut self) {
        let on_link = |block: &Prefix| self.underlays.on_link.iter().any(|cidr| cidr.covers(*block));
        let routed = |block: &Prefix| self.complete && !on_link(block);
        let blocks = self.blocks.iter().copied().filter(routed).collect();
        self.routes.set_blocks(blocks);
    }

    /// Makes the elements of some kinds these.
    pub(super) fn put_elements(&mut self, wanted: &BTreeSet<Element>, of_kind: impl Fn(&Element) -> bool) {
        let known = self.elements.iter().map(|(element, ())| element).filter(|element| of_kind(element));
        let gone: Vec<Element> = known.filter(|element| !wanted.contains(element)).cloned().collect();
        for element in gone {
            self.elements.put(&element, None);
        }
        for element in wanted {
            self.elements.put(element, Some(()));
        }
    }

    fn derive_announcements(&mut self) {
        let policy = self.policy(self.leaving());
        let blocks = self.blocks.iter().filter_map(|block| policy.block(*block));
        let borrowed = self.holders.keys().filter_map(|address| policy.address(*address));
        let egress = self.egress.held.iter().filter_map(|prefix| policy.egress(*prefix));
        let routes: Vec<_> =
            blocks.chain(borrowed).chain(egress).map(|route| (route.prefix, route)).collect();
        self.announced.replace(routes);
    }

    fn derive_addresses(&mut self, addresses: &BTreeSet<IpAddr>) {
        for address in addresses {
            let prefix = Prefix::host(*address);
            if self.blocks.contains(&prefix) {
                continue;
            }
            let held = self.holders.contains_key(address);
            let route = held.then(|| self.policy(None).address(*address)).flatten();
            self.announced.put(&prefix, route);
        }
    }

    fn policy(&self, leaving: Option<Leaving>) -> Policy<'_> {
        let me = self.nodes.get(&self.node);
        let address = |family| Some(me?.identity.address(family)?.addr);
        Policy {
            blocks: &self.blocks,
            pools: &self.pools,
            on_link: &self.underlays.on_link,
            bgp: self.bgp_settings(),
            next_hop: Family::ALL.map(address),
            leaving,
        }
    }

    /// What uplinks drop of what IPv4 pods send each other.
    fn filtered(&self) -> Option<Condition> {
        if !self.pools.values().any(|pool| pool.spec.cidr.family() == Family::Ipv4) {
            return None;
        }
        let own = self.nodes.get(&self.node)?.identity.address(Family::Ipv4).map(|own| own.addr);
        let ways =
            Ways { tunnels: !self.network.wanted().is_empty(), spread: self.routes.spread().collect() };
        reverse_path::condition(&self.node, own, &self.host, ways)
    }

    fn derive_conditions(&mut self) {
        let conflicts = self.blocks.iter().filter_map(|block| {
            let next_hops: Vec<_> = self.routes.next_hops(*block)?.iter().map(|hop| hop.address).collect();
            Some(Condition {
                subject: format!("BlockAffinity/{}", cairn_api::name::of_prefix(*block)),
                reason: Reason::BlockConflict,
                message: format!(
                    "{block} is this node's, but it is announced with next hop {next_hops:?}, too: ignored"
                ),
            })
        });
        let shared =
            self.holders.iter().filter(|(_, holders)| holders.len() > 1).map(|(address, holders)| {
                Condition {
                    subject: format!("Node/{}", self.node),
                    reason: Reason::Ambiguous,
                    message: format!(
                        "{address} belongs to the interfaces {}: the first one has the route",
                        holders.join(", ")
                    ),
                }
            });
        let unresolved = self.routes.unresolved().map(|next_hop| Condition {
            subject: format!("Node/{}", self.node),
            reason: Reason::NextHopUnreachable,
            message: format!(
                "no route of this node leads to next hop {next_hop}: routes through it are not installed"
            ),
        });
        let me = self.nodes.get(&self.node);
        let blocks = Blocks { own: &self.blocks, others: &self.claimed, owners: &self.claims };
        let pod_cidrs = me.map(|me| pod_cidr::conditions(&self.pools, me, blocks)).unwrap_or_default();
        let all = self.speaker_conditions.iter().chain(self.identities.conditions());
        let all = all.chain(&self.pool_conditions).chain(&self.mtu_conditions).cloned();
        let all = all
            .chain(self.underlays.conditions.iter().chain(&self.egress.conditions).cloned())
            .chain(self.network.conditions())
            .chain(pod_cidrs)
            .chain(self.filtered());
        let all: Vec<_> =
            all.chain(conflicts).chain(shared).chain(unresolved).map(|found| (found, ())).collect();
        self.conditions.replace(all);
    }
}
