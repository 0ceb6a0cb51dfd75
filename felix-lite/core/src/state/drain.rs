//! What follows from this node's being emptied.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use cairn_api::kinds::Drain;
use cairn_net::Prefix;

use super::State;
use crate::announce::covering;
use crate::drain::{DrainCause, DrainState, Leaving, Signals};

impl State {
    /// How far the emptying of this node is; `None` while nobody wants that. Costs what its pods and blocks are.
    pub fn drain(&self) -> Option<DrainState> {
        let causes = self.drain_causes();
        if causes.is_empty() {
            return None;
        }
        let used = self.used_blocks().len();
        Some(DrainState {
            causes,
            wait: self.drain_settings().wait,
            waited: self.waited,
            addresses: self.holders.len(),
            egress: self.egress.held.len(),
            used,
            idle: self.blocks.len().saturating_sub(used),
        })
    }

    /// Why this node is being emptied; nothing, where it is not.
    pub fn drain_causes(&self) -> Vec<DrainCause> {
        let own = self.signals.get(&self.node);
        own.map(|signals| signals.causes(self.drain_settings())).unwrap_or_default()
    }

    /// For how long all is announced while this node is emptied.
    pub fn drain_wait(&self) -> std::time::Duration {
        self.drain_settings().wait.get()
    }

    pub(super) fn signals_updated(&mut self, name: &str, signals: Option<Signals>) {
        if self.signals.get(name) == signals.as_ref() {
            return;
        }
        self.dirty.announcements |= name == self.node;
        self.dirty.egress |= !self.gateways.is_empty();
        match signals {
            Some(signals) => self.signals.insert(name.to_owned(), signals),
            None => self.signals.remove(name),
        };
    }

    pub(super) fn drain_settings(&self) -> &Drain {
        static DEFAULTS: LazyLock<Drain> = LazyLock::new(Drain::default);
        self.bgp_settings().drain.as_ref().unwrap_or(&DEFAULTS)
    }

    pub(super) fn drains(&self) -> bool {
        !self.drain_causes().is_empty()
    }

    /// What is announced as leaving, and what no more, if this node is being emptied.
    pub(super) fn leaving(&self) -> Option<Leaving> {
        self.drains().then(|| {
            let used = if self.waited { self.used_blocks() } else { self.blocks.clone() };
            Leaving { withheld: self.blocks.difference(&used).copied().collect() }
        })
    }

    /// The node's blocks with an address that a pod has, or one of its tunnels: others send to that, too.
    fn used_blocks(&self) -> BTreeSet<Prefix> {
        let addresses = self.holders.keys().chain(self.tunnel_addresses.values());
        addresses.filter_map(|address: &IpAddr| covering(&self.blocks, *address)).collect()
    }
}
