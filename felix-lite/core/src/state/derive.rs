//! What follows from the facts, and what of it is new.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cairn_api::kinds::BgpConfiguration;
use cairn_net::{Family, Prefix};

use super::{DEFAULT, State};
use crate::announce::Policy;
use crate::firewall::{self, Element};
use crate::settings::Settings;
use crate::speaker::{self, Inputs, Secrets};
use crate::{Change, Condition, Reason};

impl State {
    /// What changed since the last call, in the order that [`Change`] documents.
    pub fn changes(&mut self) -> Vec<Change> {
        let dirty = std::mem::take(&mut self.dirty);
        if dirty.settings {
            self.derive_settings();
        }
        if dirty.speaker {
            self.derive_speaker();
        }
        if dirty.pools {
            self.derive_pools();
        }
        if dirty.announcements {
            self.derive_announcements();
        } else {
            self.derive_addresses(&dirty.addresses);
        }
        let routes = self.routes.take();
        if dirty.conditions || dirty.speaker || dirty.pools || self.routes.unresolved_changed() {
            self.derive_conditions();
        }

        let (settings, config) = (self.settings.take(), self.config.take());
        let (elements, announced, conditions) =
            (self.elements.take(), self.announced.take(), self.conditions.take());
        let mut changes: Vec<Change> =
            settings.set.into_iter().map(|((), settings)| Change::Settings(settings)).collect();
        changes.extend(elements.set.into_iter().map(|(element, ())| Change::AddElement(element)));
        changes.extend(routes.set.into_iter().map(|(prefix, route)| Change::SetRoute(prefix, route)));
        changes.extend(announced.set.into_iter().map(|(_, route)| Change::Announce(route)));
        changes.extend(config.set.into_iter().map(|((), config)| Change::Configure(config)));
        changes.extend(conditions.set.into_iter().map(|(condition, ())| Change::Report(condition)));
        changes.extend(conditions.removed.into_iter().map(|(condition, ())| Change::Retract(condition)));
        changes.extend(announced.removed.into_iter().rev().map(|(prefix, _)| Change::Withdraw(prefix)));
        changes.extend(routes.removed.into_iter().rev().map(|(prefix, _)| Change::RemoveRoute(prefix)));
        changes
            .extend(elements.removed.into_iter().rev().map(|(element, ())| Change::RemoveElement(element)));
        changes
    }

    fn derive_settings(&mut self) {
        let labels = self.nodes.get(&self.node).map(|me| me.labels.clone()).unwrap_or_default();
        self.settings.put(&(), Some(Settings::of(&self.configurations, &labels)));
    }

    fn derive_speaker(&mut self) {
        let default = BgpConfiguration::default();
        let (config, conditions) = speaker::config(Inputs {
            node: &self.node,
            nodes: &self.nodes,
            bgp: self.bgp.get(DEFAULT).map_or(&default, |object| &object.spec),
            peers: &self.peers,
            filters: &self.filters,
            secrets: Secrets { namespace: &self.secret_namespace, by_name: &self.secrets },
            host: &self.host,
        });
        self.config.put(&(), config.map(Box::new));
        self.speaker_conditions = conditions;
    }

    fn derive_pools(&mut self) {
        let (wanted, conditions) = firewall::pools(&self.pools, &self.host);
        let is_source = |element: &Element| matches!(element, Element::Source { .. });
        let wanted: BTreeSet<Element> = wanted.into_iter().collect();
        let known = self.elements.iter().map(|(element, ())| element).filter(|element| !is_source(element));
        let gone: Vec<Element> = known.filter(|element| !wanted.contains(element)).cloned().collect();
        for element in gone {
            self.elements.put(&element, None);
        }
        for element in wanted {
            self.elements.put(&element, Some(()));
        }
        self.pool_conditions = conditions;
    }

    fn derive_announcements(&mut self) {
        let default = BgpConfiguration::default();
        let policy = self.policy(&default);
        let blocks = self.blocks.iter().filter_map(|block| policy.block(*block));
        let borrowed = self.holders.keys().filter_map(|address| policy.address(*address));
        let routes: Vec<_> = blocks.chain(borrowed).map(|route| (route.prefix, route)).collect();
        self.announced.replace(routes);
    }

    fn derive_addresses(&mut self, addresses: &BTreeSet<IpAddr>) {
        let default = BgpConfiguration::default();
        for address in addresses {
            let prefix = Prefix::host(*address);
            if self.blocks.contains(&prefix) {
                continue;
            }
            let held = self.holders.contains_key(address);
            let route = held.then(|| self.policy(&default).address(*address)).flatten();
            self.announced.put(&prefix, route);
        }
    }

    fn policy<'a>(&'a self, default: &'a BgpConfiguration) -> Policy<'a> {
        let me = self.nodes.get(&self.node);
        let address = |family| Some(me?.identity.address(family)?.addr);
        Policy {
            blocks: &self.blocks,
            pools: &self.pools,
            bgp: self.bgp.get(DEFAULT).map_or(default, |object| &object.spec),
            next_hop: Family::ALL.map(address),
        }
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
        let all = self.speaker_conditions.iter().chain(&self.pool_conditions).cloned();
        let all: Vec<_> =
            all.chain(conflicts).chain(shared).chain(unresolved).map(|found| (found, ())).collect();
        self.conditions.replace(all);
    }
}
