//! The other nodes, each with what it alone has: of two with one address, or one MAC, the first by name.
//!
//! Cost: one node's change is worked out without a look at the others, but those that claim the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::{Mac, Prefix};

use super::Addresses;
use super::tunnel::mac_of;
use crate::claims::Claims;
use crate::condition::{self, Condition, Reason};

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its addresses, as far as they are its own alone.
    pub(crate) addresses: Addresses,
    pub(crate) mac: Mac,
    /// As its object has them.
    told: Addresses,
    /// Those that it claims.
    claimed: Addresses,
}

/// The nodes whose members changed, with what they were.
pub(crate) type Touched = BTreeMap<Arc<str>, Option<Member>>;

/// All other nodes.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// This node's own.
    own: Addresses,
    own_mac: Option<(Mac, Arc<str>)>,
    by_name: HashMap<Arc<str>, Member>,
    macs: Claims<Mac>,
    addresses: Claims<IpAddr>,
    /// All that are claimed.
    in_order: BTreeSet<IpAddr>,
    /// How many have addresses of none, of either, of both families.
    shapes: [usize; 4],
    conditions: condition::ByNode,
}

impl Members {
    /// None yet.
    pub(super) fn new(node: &str, own: Addresses) -> Self {
        Self { own, own_mac: Some((mac_of(node), node.into())), ..Self::default() }
    }

    /// A node by name.
    pub(crate) fn get(&self, name: &str) -> Option<&Member> {
        self.by_name.get(name)
    }

    /// The node that has an address, and its name.
    pub(crate) fn at(&self, address: IpAddr) -> Option<(&str, &Member)> {
        let name = self.addresses.holder(&address)?;
        Some((name, self.by_name.get(name)?))
    }

    /// The first address of a node inside a prefix, and the node's name.
    pub(super) fn first_within(&self, prefix: Prefix) -> Option<(IpAddr, &str)> {
        let address = *self.in_order.range(prefix.addr()..=prefix.last()).next()?;
        Some((address, &**self.addresses.holder(&address)?))
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_name.values()
    }

    /// The addresses of all of them, in no order.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.keys().copied()
    }

    /// Which families there are nodes with: IPv4, IPv6, of each node.
    pub(super) fn families(&self) -> impl Iterator<Item = [bool; 2]> {
        const SHAPES: [[bool; 2]; 4] = [[false, false], [true, false], [false, true], [true, true]];
        SHAPES.into_iter().zip(self.shapes).filter(|(_, count)| *count > 0).map(|(families, _)| families)
    }

    /// What is wrong.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.values().flatten()
    }

    /// A node has these addresses, or is no more. True if other conditions follow.
    pub(super) fn put(&mut self, name: &str, told: Option<Addresses>, touched: &mut Touched) -> bool {
        let mac = mac_of(name);
        let before = self.by_name.get_key_value(name);
        let (name, before) = match before {
            Some((name, member)) => (Arc::clone(name), Some(member.clone())),
            None => (Arc::from(name), None),
        };
        let mut affected = vec![Arc::clone(&name)];
        match (&before, told) {
            (None, None) => return false,
            (Some(before), Some(told)) if before.told == told => return false,
            (Some(_), Some(told)) => {
                if let Some(member) = self.by_name.get_mut(&name) {
                    member.told = told;
                }
            }
            (None, Some(told)) => {
                self.shapes[0] += 1;
                let nothing = [None; 2];
                let member = Member { addresses: nothing, mac, told, claimed: nothing };
                self.by_name.insert(Arc::clone(&name), member);
                self.macs.insert(mac, &name);
                affected.extend(self.macs.claimants(&mac).iter().cloned());
                touched.entry(Arc::clone(&name)).or_insert(None);
            }
            (Some(_), None) => {
                affected.extend(self.macs.claimants(&mac).iter().cloned());
                self.macs.remove(&mac, &name);
            }
        }
        let gone = told.is_none();
        self.claim(&mut affected, gone.then_some(&name));
        affected.sort_unstable();
        affected.dedup();
        let mut news = false;
        for other in &affected {
            news |= self.judge(other, touched);
        }
        if gone && let Some(member) = self.by_name.remove(&name) {
            self.shapes[shape(&member.addresses)] -= 1;
            touched.entry(name).or_insert(before);
        }
        news
    }

    /// Brings the claims of some up to date, and adds those whose addresses that concerns.
    fn claim(&mut self, affected: &mut Vec<Arc<str>>, gone: Option<&Arc<str>>) {
        for name in affected.clone() {
            let Some(member) = self.by_name.get(&name) else { continue };
            let lost = gone == Some(&name) || self.mac_holder(member.mac) != Some(&name);
            let free = |address: &IpAddr| !lost && !self.own.contains(&Some(*address));
            let claimed = member.told.map(|address| address.filter(free));
            let old = std::mem::replace(
                &mut self.by_name.get_mut(&name).expect("was there a moment ago").claimed,
                claimed,
            );
            for (old, new) in old.into_iter().zip(claimed).filter(|(old, new)| old != new) {
                if let Some(address) = old {
                    affected.extend(self.addresses.claimants(&address).iter().cloned());
                    self.addresses.remove(&address, &name);
                    if self.addresses.holder(&address).is_none() {
                        self.in_order.remove(&address);
                    }
                }
                if let Some(address) = new {
                    self.addresses.insert(address, &name);
                    self.in_order.insert(address);
                    affected.extend(self.addresses.claimants(&address).iter().cloned());
                }
            }
        }
    }

    /// Who has a MAC; this node before all others.
    fn mac_holder(&self, mac: Mac) -> Option<&Arc<str>> {
        match &self.own_mac {
            Some((own, node)) if *own == mac => Some(node),
            _ => self.macs.holder(&mac),
        }
    }

    /// Works out which addresses a node has, and what is wrong with it. True if that is something else than before.
    fn judge(&mut self, name: &Arc<str>, touched: &mut Touched) -> bool {
        let Some(member) = self.by_name.get(name) else { return false };
        let has = |address: &IpAddr| self.addresses.is_of(address, name);
        let addresses = member.claimed.map(|address| address.filter(has));
        let conditions = self.what_is_wrong(name, member);
        if member.addresses != addresses {
            touched.entry(Arc::clone(name)).or_insert_with(|| Some(member.clone()));
            self.shapes[shape(&member.addresses)] -= 1;
            self.shapes[shape(&addresses)] += 1;
            if let Some(member) = self.by_name.get_mut(name) {
                member.addresses = addresses;
            }
        }
        condition::replace(&mut self.conditions, name, conditions)
    }

    fn what_is_wrong(&self, name: &Arc<str>, member: &Member) -> Vec<Condition> {
        let condition = |message| {
            let subject = format!("Node/{name}");
            Condition { subject, reason: Reason::Ambiguous, message }
        };
        let holder = self.mac_holder(member.mac).filter(|holder| *holder != name);
        if !self.macs.claimants(&member.mac).contains(name) {
            return Vec::new();
        }
        if let Some(other) = holder {
            let mac = member.mac;
            return vec![condition(format!(
                "its name gives the MAC {mac} of Node/{other}, too: no tunnel leads to it"
            ))];
        }
        let wrong = |address: &Option<IpAddr>| {
            let address = (*address)?;
            if self.own.contains(&Some(address)) {
                return Some(condition(format!(
                    "its address {address} is that of this node: no tunnel leads to it"
                )));
            }
            let other = self.addresses.holder(&address).filter(|holder| *holder != name)?;
            Some(condition(format!(
                "its address {address} is that of Node/{other}, too: no tunnel leads to it"
            )))
        };
        member.told.iter().filter_map(wrong).collect()
    }
}

/// The place of a node among the counts.
fn shape(addresses: &Addresses) -> usize {
    let [v4, v6] = addresses.map(|address| usize::from(address.is_some()));
    v4 + 2 * v6
}
