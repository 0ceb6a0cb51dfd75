//! Whether there are routes that others depend on.
//!
//! Each list is counted as the Loc-RIB changes, so that a change costs a look at each list, and nothing is searched.

use std::sync::Arc;

use cairn_net::{Families, Prefix};

use super::peer::{Peer, PeerId};
use super::{Config, Speaker};
use crate::policy::PrefixList;
use crate::rib::{Outbound, Table};

/// The lists, with how many prefixes of the Loc-RIB each permits.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    lists: Vec<(Arc<PrefixList>, usize)>,
    /// One of them began or ceased to hold.
    flipped: bool,
}

impl Conditions {
    /// The lists of a configuration, counted in a table.
    pub(super) fn new(config: &Config, table: &Table) -> Self {
        let mut lists: Vec<(Arc<PrefixList>, usize)> = Vec::new();
        let peers = config.peers.values().chain(config.listen_ranges.iter().map(|range| &range.peer));
        for list in peers.flat_map(|peer| peer.outbound.conditions()) {
            if !lists.iter().any(|(known, _)| known == list) {
                lists.push((Arc::clone(list), 0));
            }
        }
        if !lists.is_empty() {
            for (net, entry) in table.nets.iter() {
                if table.best(net).is_some() {
                    count(&mut lists, entry.prefix).for_each(|number| *number += 1);
                }
            }
        }
        Self { lists, flipped: false }
    }

    /// A prefix came into the Loc-RIB, or went.
    pub(super) fn note(&mut self, prefix: Prefix, came: bool) {
        let mut flipped = false;
        for number in count(&mut self.lists, prefix) {
            let before = *number;
            *number = if came { before + 1 } else { before.saturating_sub(1) };
            flipped |= (before == 0) != (*number == 0);
        }
        self.flipped |= flipped;
    }

    fn holds(&self, list: &Arc<PrefixList>) -> bool {
        self.lists.iter().any(|(known, number)| known == list && *number > 0)
    }

    /// What is done to routes to a peer, as things are.
    pub(super) fn outbound(&self, config: &Config, peer: &Peer, families: Families) -> Outbound {
        let options = &peer.config.outbound;
        let default = options.default_originate.as_ref();
        let default = default.is_some_and(|default| default.condition.iter().all(|list| self.holds(list)));
        let needs_peer_as = options.as_override || options.remove_private_as.is_some();
        let withheld = options.conditional.iter().filter(|rule| self.holds(&rule.condition) != rule.exist);
        Outbound {
            remove_private_as: options.remove_private_as,
            as_override: options.as_override,
            peer_as: needs_peer_as.then_some(peer.config.asn),
            graceful_shutdown: options.graceful_shutdown,
            send_communities: options.send_communities,
            default_originate: if default { families } else { Families::NONE },
            withheld: withheld.map(|rule| Arc::clone(&rule.routes)).collect(),
            summarised: config.summary_only().collect(),
        }
    }
}

fn count(lists: &mut [(Arc<PrefixList>, usize)], prefix: Prefix) -> impl Iterator<Item = &mut usize> {
    lists.iter_mut().filter(move |(list, _)| list.permits(prefix)).map(|(_, number)| number)
}

impl Speaker {
    /// Sends and withdraws what depends on a condition that changed.
    pub(super) fn follow_conditions(&mut self) {
        if !std::mem::take(&mut self.rib.conditions.flipped) {
            return;
        }
        let depends =
            |peer: &Peer| peer.session.is_some() && peer.config.outbound.conditions().next().is_some();
        let ids: Vec<PeerId> =
            self.peers.iter().filter(|(_, peer)| depends(peer)).map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.regroup(id));
    }
}
