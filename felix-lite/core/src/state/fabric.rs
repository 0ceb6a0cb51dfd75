//! What follows for tunnels, and for the size of packets.

use std::net::IpAddr;

use cairn_api::kinds::NodeConfiguration;
use cairn_net::Family;

use super::State;
use crate::fabric::{Changes, Facts, Inputs, Network, Secured, TunnelKind, Wanted};
use crate::firewall::Element;
use crate::mtu::{Paths, with_room};
use crate::settings::Settings;
use crate::{Condition, Reason, Tunnel};

impl State {
    pub(super) fn derive_configuration(&mut self) {
        let objects = self.configurations.values().map(|object| &**object);
        self.configuration = NodeConfiguration::effective(objects, self.labels());
    }

    /// How packets travel between nodes, as far as it depends on what changed.
    pub(super) fn derive_fabric(&mut self, facts: Facts<'_>) -> Changes {
        let inputs = Inputs {
            node: &self.node,
            nodes: &self.nodes,
            pools: &self.pools,
            passing: &self.underlays.passing,
            configuration: &self.configuration,
            wireguard: &self.wireguard,
            host: &self.host,
            complete: self.complete,
        };
        let changes = self.network.update(inputs, facts);
        if let Some(before) = &changes.all {
            self.routes.mark_scope(before);
            self.routes.mark_scope(&self.network.fabric.scope());
            self.tunnel_peers.replace(self.network.peers());
            let elements = self.network.elements();
            self.put_elements(&elements, |element| {
                matches!(
                    element,
                    Element::Node(_)
                        | Element::TunnelPort(_)
                        | Element::TunnelProtocol(_)
                        | Element::Encrypted(_)
                )
            });
        } else {
            self.put_members(&changes);
        }
        self.routes.mark(changes.prefixes.iter().copied());
        changes
    }

    /// What follows from the other nodes that changed, each from itself alone.
    fn put_members(&mut self, changes: &Changes) {
        // What one has no longer may be another's now.
        for old in changes.members.values().flatten() {
            self.network.peers_of(old).into_keys().for_each(|key| self.tunnel_peers.put(&key, None));
            Network::elements_of(old).for_each(|element| self.elements.put(&element, None));
            old.addresses.into_iter().flatten().for_each(|address| self.routes.mark_hop(address));
        }
        for name in changes.members.keys().chain(&changes.peers) {
            self.routes.mark_node(name);
            let Some(member) = self.network.fabric.members.get(name) else { continue };
            member.addresses.into_iter().flatten().for_each(|address| self.routes.mark_hop(address));
            for (key, peer) in self.network.peers_of(member) {
                self.tunnel_peers.put(&key, Some(peer));
            }
            Network::elements_of(member).for_each(|element| self.elements.put(&element, Some(())));
        }
    }

    /// Are the ways to other nodes undecided? What an earlier run left in the kernel leads into tunnels as long as one is there, and is the
    /// best guess until all is known. Where there is none, plain routes are made at once: a datastore that is away for long must not keep BGP's
    /// news from the kernel.
    pub(super) fn undecided(&self) -> bool {
        !self.complete && (self.host.links.is_empty() || !self.host.tunnels.is_empty())
    }

    /// The tunnels with their MTU and addresses, and the MTU of pods. True if there are other conditions than before.
    pub(super) fn derive_tunnels(&mut self) -> bool {
        if !self.complete {
            return false;
        }
        let own = self.nodes.get(&self.node);
        let own = Family::ALL.map(|family| Some(own?.identity.address(family)?.addr));
        let paths = Paths::of(self.paths.least(), own, &self.host);
        let with_ipv6 = self.pools.values().any(|pool| pool.spec.cidr.family() == Family::Ipv6);
        let wanted = self.network.wanted();
        // One that no pool asks for any more leaves the devices before it is given back.
        let fits = |(family, address): &(&Family, &IpAddr)| {
            let pools = self.network.tunnel_pools().get(family);
            pools.is_some_and(|pools| pools.fit.values().any(|cidr| cidr.contains(**address)))
        };
        let own: Vec<IpAddr> =
            self.tunnel_addresses.iter().filter(fits).map(|(_, address)| *address).collect();
        let own_mtu = |wanted: &Wanted| match wanted.kind {
            TunnelKind::Wireguard => self.configuration.wireguard_mtu,
            TunnelKind::Ipip | TunnelKind::Vxlan(_) => None,
        };
        let through = |wanted| own_mtu(wanted).unwrap_or_else(|| paths.through(wanted, with_ipv6));
        let pods = paths.pods(wanted.iter().map(through), with_ipv6);
        let said = self.configuration.mtu.map(|mtu| with_room(mtu, wanted.iter()));
        let unsaid = wanted.iter().filter(|wanted| own_mtu(wanted).is_none());
        let conditions = self.packet_sizes(paths.too_small(unsaid, with_ipv6), said);
        let configuration = NodeConfiguration { mtu: said, ..self.configuration.clone() };
        self.settings.put(&(), Some(Settings::of(&configuration, pods)));
        let tunnels: Vec<(TunnelKind, Tunnel)> = wanted
            .iter()
            .map(|wanted| {
                let mtu = own_mtu(wanted).or(said).unwrap_or_else(|| through(wanted));
                let addresses = own.clone();
                let Wanted { local, vxlan, wireguard_port, .. } = *wanted;
                (wanted.kind, Tunnel { local, vxlan, wireguard_port, mtu, addresses })
            })
            .collect();
        self.tunnels.replace(tunnels);
        let differs = self.mtu_conditions != conditions;
        self.mtu_conditions = conditions;
        differs
    }

    /// What is to be said of sizes: which do not fit, unless an MTU is said, and of that whether it leaves no room.
    fn packet_sizes(
        &self,
        too_small: Vec<(Option<TunnelKind>, u32, u32)>,
        said: Option<u32>,
    ) -> Vec<Condition> {
        let condition = |message: String| {
            let subject = format!("Node/{}", self.node);
            Condition { subject, reason: Reason::PacketSize, message }
        };
        let Some((said, wanted)) = said.zip(self.configuration.mtu) else {
            let message = |(kind, fits, allowed): (Option<TunnelKind>, u32, u32)| {
                let through =
                    kind.map_or_else(|| "the paths to the other nodes".to_owned(), |kind| kind.to_string());
                condition(format!(
                    "{through} can carry packets of {fits} bytes, but those of pods may have {allowed}, for IP works with no less: larger ones are \
                     lost; give the links between the nodes a larger MTU"
                ))
            };
            return too_small.into_iter().map(message).collect();
        };
        let cut = (said < wanted).then(|| {
            condition(format!(
                "mtu {wanted} of the NodeConfiguration leaves no room for what encapsulation adds: {said} is in force"
            ))
        });
        cut.into_iter().collect()
    }

    /// Whom packets are encrypted to: all of them, or those whose prefixes, or who themselves, changed.
    pub(super) fn derive_wireguard_peers(&mut self, network: &Changes) {
        if !self.complete {
            return;
        }
        let changed = self.routes.take_peers();
        let fabric = &self.network.fabric;
        if network.all.is_some() {
            let names = fabric.secured.iter().flat_map(Secured::names);
            let peers: Vec<_> =
                names.filter_map(|name| Some((name.to_string(), self.routes.peer(fabric, name)?))).collect();
            self.wireguard_peers.replace(peers);
            return;
        }
        for name in changed.into_iter().chain(network.peers.iter().map(ToString::to_string)) {
            let peer = self.routes.peer(fabric, &name);
            self.wireguard_peers.put(&name, peer);
        }
    }
}
