use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use cairn_net::Asn;

use super::community_set::CommunitySet;
use super::condition::DEFAULT_LOCAL_PREF;
use super::route::Accepted;
use crate::wire::{Attributes, Community, ExtendedCommunity, LargeCommunity, Origin, WireElement, WireList};

/// A change to a route's attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets LOCAL_PREF; higher is better.
    LocalPref(u32),
    /// Adds to LOCAL_PREF, as far as its range goes; an absent one counts as [`DEFAULT_LOCAL_PREF`].
    AdjustLocalPref(i64),
    /// Sets MULTI_EXIT_DISC, or removes it.
    Med(Option<u32>),
    /// Adds to MULTI_EXIT_DISC, as far as its range goes; an absent one counts as zero.
    AdjustMed(i64),
    /// Sets ORIGIN.
    Origin(Origin),
    /// Sets the next hop.
    NextHop(NextHopSetting),
    /// Puts AS numbers in front of the path, the first of them foremost.
    Prepend(Vec<Asn>),
    /// Puts another AS in the place of those in any of the ranges.
    ReplaceAs {
        /// Which.
        asns: Vec<RangeInclusive<Asn>>,
        /// By what.
        with: Asn,
    },
    /// Changes COMMUNITIES.
    Communities(ListChange<Community>),
    /// Changes EXTENDED COMMUNITIES.
    ExtendedCommunities(ListChange<ExtendedCommunity>),
    /// Changes LARGE COMMUNITIES.
    LargeCommunities(ListChange<LargeCommunity>),
    /// Removes every community that is in the set.
    RemoveCommunities(Arc<CommunitySet>),
    /// Sets the weight: the first step of best-path selection, known to this speaker only.
    Weight(u32),
    /// Sets the tag, a number for other policies of this speaker.
    Tag(u32),
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

/// A sum that stays within the range of the attribute.
fn adjusted(value: u32, by: i64) -> u32 {
    let sum = i64::from(value).saturating_add(by).clamp(0, u32::MAX.into());
    u32::try_from(sum).unwrap_or(u32::MAX)
}

impl Change {
    pub(super) fn apply(&self, route: &mut Accepted<'_>) {
        match self {
            Self::NextHop(setting) => {
                route.next_hop = Some(*setting);
                return;
            }
            Self::Med(_) | Self::AdjustMed(_) => route.med_set = true,
            _ => {}
        }
        let attributes: &mut Attributes = Cow::to_mut(&mut route.attributes);
        match self {
            Self::NextHop(_) => {}
            Self::LocalPref(value) => attributes.local_pref = Some(*value),
            Self::AdjustLocalPref(by) => {
                attributes.local_pref =
                    Some(adjusted(attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF), *by));
            }
            Self::Med(value) => attributes.med = *value,
            Self::AdjustMed(by) => attributes.med = Some(adjusted(attributes.med.unwrap_or(0), *by)),
            Self::Origin(origin) => attributes.origin = *origin,
            Self::Prepend(asns) => {
                for asn in asns.iter().rev() {
                    attributes.as_path = attributes.as_path.prepended(*asn, 1);
                }
            }
            Self::ReplaceAs { asns, with } => {
                let replaced =
                    |asn: Asn| if asns.iter().any(|range| range.contains(&asn)) { *with } else { asn };
                attributes.as_path = attributes.as_path.mapped(replaced);
            }
            Self::Communities(change) => change.apply(&mut attributes.communities),
            Self::ExtendedCommunities(change) => change.apply(&mut attributes.extended_communities),
            Self::LargeCommunities(change) => change.apply(&mut attributes.large_communities),
            Self::RemoveCommunities(set) => set.remove_from(attributes),
            Self::Weight(weight) => attributes.marks.weight = *weight,
            Self::Tag(tag) => attributes.marks.tag = *tag,
        }
    }
}
