use std::borrow::Cow;
use std::net::IpAddr;

use cairn_net::Asn;

use super::route::Accepted;
use crate::wire::{Attributes, Community, ExtendedCommunity, LargeCommunity, Origin, WireElement, WireList};

/// A change to a route's attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets LOCAL_PREF; higher is better.
    LocalPref(u32),
    /// Sets MULTI_EXIT_DISC, or removes it.
    Med(Option<u32>),
    /// Sets ORIGIN.
    Origin(Origin),
    /// Sets the next hop.
    NextHop(NextHopSetting),
    /// Puts AS numbers in front of the path, the first of them foremost.
    Prepend(Vec<Asn>),
    /// Changes COMMUNITIES.
    Communities(ListChange<Community>),
    /// Changes EXTENDED COMMUNITIES.
    ExtendedCommunities(ListChange<ExtendedCommunity>),
    /// Changes LARGE COMMUNITIES.
    LargeCommunities(ListChange<LargeCommunity>),
}

/// Which next hop a route gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NextHopSetting {
    /// Our own address on the session.
    OwnAddress,
    /// The peer's address on the session.
    PeerAddress,
    /// The one that the route has.
    Unchanged,
    /// This one.
    Address(IpAddr),
}

/// A change to a list of communities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListChange<T> {
    /// Appends those that are not there yet.
    Add(Vec<T>),
    /// Removes each of these.
    Remove(Vec<T>),
    /// Replaces the whole list; an empty one removes the attribute.
    Replace(Vec<T>),
}

impl<T: WireElement + PartialEq> ListChange<T> {
    fn apply(&self, list: &mut WireList<T>) {
        *list = match self {
            Self::Add(new) => {
                let mut elements: Vec<T> = list.iter().collect();
                for element in new {
                    if !elements.contains(element) {
                        elements.push(*element);
                    }
                }
                elements.into_iter().collect()
            }
            Self::Remove(old) => list.iter().filter(|element| !old.contains(element)).collect(),
            Self::Replace(new) => new.iter().copied().collect(),
        };
    }
}

impl Change {
    pub(super) fn apply(&self, route: &mut Accepted<'_>) {
        if let Self::NextHop(setting) = self {
            route.next_hop = Some(*setting);
            return;
        }
        let attributes: &mut Attributes = Cow::to_mut(&mut route.attributes);
        match self {
            Self::LocalPref(value) => attributes.local_pref = Some(*value),
            Self::Med(value) => attributes.med = *value,
            Self::Origin(origin) => attributes.origin = *origin,
            Self::NextHop(setting) => route.next_hop = Some(*setting),
            Self::Prepend(asns) => {
                for asn in asns.iter().rev() {
                    attributes.as_path = attributes.as_path.prepended(*asn, 1);
                }
            }
            Self::Communities(change) => change.apply(&mut attributes.communities),
            Self::ExtendedCommunities(change) => change.apply(&mut attributes.extended_communities),
            Self::LargeCommunities(change) => change.apply(&mut attributes.large_communities),
        }
    }
}
