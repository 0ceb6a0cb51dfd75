//! Who the nodes are, which follows from their own objects and from the ranges that their addresses are to be of.

use std::collections::BTreeMap;

use cairn_api::Object;
use cairn_api::core::Node;
use cairn_api::kinds::{NatOutgoingExclusions, NodeConfiguration};
use cairn_net::Prefix;

use super::{State, put};
use crate::speaker::{self, Member};

impl State {
    pub(super) fn node_told(&mut self, name: String, node: Option<&Object<Node>>) {
        let member = node.map(|node| Member::of(node, &self.address_ranges(&node.metadata.labels)));
        self.node_updated(name, member);
    }

    pub(super) fn configuration_told(&mut self, name: String, told: Option<Box<Object<NodeConfiguration>>>) {
        let chooses = |object: &Object<NodeConfiguration>| object.spec.node_address_cidrs.is_some();
        let choice = self.configurations.get(&name).is_some_and(|old| chooses(old))
            || told.as_deref().is_some_and(chooses);
        if !put(&mut self.configurations, name, told) {
            return;
        }
        self.dirty.settings = true;
        if choice {
            self.choose_addresses();
        }
    }

    /// Of all nodes, for any of them may be meant.
    fn choose_addresses(&mut self) {
        let chosen = |(name, member): (&String, &Member)| {
            let new = member.clone().chosen(&self.address_ranges(&member.labels));
            (new != *member).then(|| (name.clone(), new))
        };
        let changed: Vec<(String, Member)> = self.nodes.iter().filter_map(chosen).collect();
        for (name, member) in changed {
            self.node_updated(name, Some(member));
        }
    }

    /// The ranges that addresses of a node with these labels are to be of.
    fn address_ranges(&self, labels: &BTreeMap<String, String>) -> Vec<Prefix> {
        let all = self.configurations.values().map(|object| &**object);
        NodeConfiguration::effective(all, labels).node_address_cidrs.unwrap_or_default()
    }

    fn node_updated(&mut self, name: String, member: Option<Member>) {
        // Most changes of a Node are heartbeats; only what counts is compared.
        if self.nodes.get(&name) == member.as_ref() {
            return;
        }
        let old = self.nodes.remove(&name);
        self.dirty.conditions |= self.identities.put(&name, member.as_ref());
        if name == self.node {
            (self.dirty.speaker, self.dirty.fabric) = (true, true);
            (self.dirty.settings, self.dirty.announcements, self.dirty.underlays) = (true, true, true);
        } else {
            let addresses = |member: &Member| member.addresses().collect::<Vec<_>>();
            old.iter().flat_map(addresses).for_each(|address| self.paths.remove(address));
            member.iter().flat_map(addresses).for_each(|address| self.paths.add(address));
            self.dirty.nodes.insert(name.clone());
        }
        // Of other nodes only where what goes to their addresses is not translated.
        let untranslated = self.configuration.nat_outgoing_exclusions;
        self.dirty.pools |=
            name == self.node || untranslated == Some(NatOutgoingExclusions::IpPoolsAndHostIps);
        let both = [old.as_ref(), member.as_ref()];
        // What is dirty already need not be asked for.
        self.dirty.speaker = self.dirty.speaker
            || both
                .into_iter()
                .flatten()
                .any(|member| speaker::concerns(self.speaker_inputs(), &name, member));
        if let Some(member) = member {
            self.nodes.insert(name, member);
        }
    }
}
