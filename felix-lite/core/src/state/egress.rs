//! What follows for egress gateways.

use cairn_net::Family;

use super::State;
use crate::egress::{self, Inputs};
use crate::fabric::{Secured, Way};
use crate::firewall::Element;
use crate::route::Gateway;

impl State {
    /// Whether this node has other addresses than before, and whether there are other conditions.
    pub(super) fn derive_egress(&mut self) -> (bool, bool) {
        // What is not known yet may be there, and what an earlier run left holds until it is.
        if !self.complete {
            return (false, false);
        }
        let drain = self.drain_settings();
        let signals = |name: &str| self.signals.get(name);
        let drains = |name: &str| signals(name).is_some_and(|signals| signals.drains(drain));
        let is_able =
            |name: &str| signals(name).is_none_or(|signals| !signals.is_unready() && !signals.drains(drain));
        let learned = |prefix| self.routes.next_hops(prefix).is_some();
        // Whose blocks are learned; asked for by a node that is emptied alone.
        let is_heard = |name: &str| {
            self.claims.values().any(|(block, node)| node == name && self.routes.next_hops(*block).is_some())
        };
        let derived = egress::derive(&Inputs {
            node: &self.node,
            gateways: &self.gateways,
            members: &self.members,
            nodes: &self.nodes,
            pools: &self.pools,
            pods: &self.pods,
            namespaces: &self.namespaces,
            endpoints: &self.endpoints,
            drains: &drains,
            is_able: &is_able,
            is_heard: &is_heard,
            waited: self.waited && drains(&self.node),
            is_local: &|address| self.holders.contains_key(&address),
            learned: &learned,
            way: &|node, family| self.egress_way(node, family),
        });
        self.put_elements(&derived.elements, |element| {
            matches!(
                element,
                Element::EgressMember { .. }
                    | Element::EgressDestination { .. }
                    | Element::EgressExcluded { .. }
                    | Element::EgressExempt(_)
                    | Element::EgressAddress { .. }
            )
        });
        self.detours.replace(derived.detours.clone());
        let differs = (self.egress.held != derived.held, self.egress.conditions != derived.conditions);
        self.routes.set_held(derived.held.clone());
        self.egress = derived;
        differs
    }

    /// The way of packets that are for nobody at the node that they are led to: through a tunnel, or over a link that both are on. Any router in
    /// between would send them elsewhere.
    fn egress_way(&self, node: &str, family: Family) -> Result<Gateway, String> {
        let member = self.nodes.get(node).ok_or("it does not exist")?;
        let fabric = &self.network.fabric;
        let refused = fabric.secured.iter().flat_map(Secured::refused_pools);
        if refused.into_iter().any(|pool| pool.family() == family) {
            let why = "wireguardUnencryptedPeers is Refuse, and WireGuard carries packets to a node's own pods only";
            return Err(why.to_owned());
        }
        let modes = fabric.pools.iter().find(|(cidr, _)| cidr.family() == family).map(|(_, modes)| *modes);
        let hop = fabric.next_hop(node, family).or_else(|| fabric.any_address(node));
        if let Some((modes, hop)) = modes.zip(hop) {
            match fabric.way(modes, family, hop) {
                Way::Tunnel(gateway) => return Ok(gateway),
                Way::Missing => return Err("the tunnel to it is not there yet".to_owned()),
                Way::Plain => {}
            }
        }
        let address = member.identity.address(family).map(|own| own.addr);
        address.and_then(|address| self.routes.neighbour(address)).ok_or_else(|| {
            "it is on no link of this node; a pool with vxlanMode or ipipMode CrossSubnet leads a tunnel there".to_owned()
        })
    }
}
