use std::sync::Arc;

use bgp_core::policy::{Change, ListChange, NextHopSetting};
use bgpd_api::config::{AsPathToken, AsReplacement, NextHopAction, NumberChange, SetActions};
use cairn_net::Asn;

use crate::community::{self, split};
use crate::compile::Compiler;
use crate::condition::origin;

impl Compiler<'_> {
    /// The changes in the order that the document promises.
    pub(crate) fn changes(&self, set: &SetActions) -> Vec<Change> {
        let mut changes = Vec::new();
        changes.extend(set.weight.map(Change::Weight));
        changes.extend(set.tag.map(Change::Tag));
        changes.extend(set.local_preference.and_then(|change| match change {
            NumberChange::Set(value) => Some(Change::LocalPref(value)),
            NumberChange::Add(value) => Some(Change::AdjustLocalPref(value.into())),
            NumberChange::Subtract(value) => Some(Change::AdjustLocalPref(-i64::from(value))),
            // No valid document says so: every route has a preference.
            NumberChange::Remove => None,
        }));
        changes.extend(set.med.map(|change| match change {
            NumberChange::Set(value) => Change::Med(Some(value)),
            NumberChange::Add(value) => Change::AdjustMed(value.into()),
            NumberChange::Subtract(value) => Change::AdjustMed(-i64::from(value)),
            NumberChange::Remove => Change::Med(None),
        }));
        changes.extend(set.origin.map(|value| Change::Origin(origin(value))));
        changes.extend(set.next_hop.map(|next_hop| {
            Change::NextHop(match next_hop {
                NextHopAction::Itself => NextHopSetting::OwnAddress,
                NextHopAction::Peer => NextHopSetting::PeerAddress,
                NextHopAction::Unchanged => NextHopSetting::Unchanged,
                NextHopAction::Address(addr) => NextHopSetting::Address(addr),
            })
        }));
        changes.extend(set.replace_as.as_ref().map(|replacement| self.replacement(replacement)));
        changes.extend(set.prepend.map(|prepend| {
            let asn = prepend.asn.unwrap_or(self.local_as);
            Change::Prepend(vec![asn; prepend.count.into()])
        }));
        community_changes(set, &mut changes);
        changes
    }

    fn replacement(&self, replacement: &AsReplacement) -> Change {
        let range = |token: &AsPathToken| match *token {
            AsPathToken::Range(low, high) => low..=high,
            AsPathToken::Any => Asn(0)..=Asn(u32::MAX),
        };
        Change::ReplaceAs {
            asns: replacement.asns.iter().map(range).collect(),
            with: replacement.with.unwrap_or(self.local_as),
        }
    }
}

fn community_changes(set: &SetActions, changes: &mut Vec<Change>) {
    let communities = &set.communities;
    if communities.clear {
        changes.push(Change::Communities(ListChange::Replace(Vec::new())));
        changes.push(Change::LargeCommunities(ListChange::Replace(Vec::new())));
    }
    if !communities.remove.is_empty() {
        changes.push(Change::RemoveCommunities(Arc::new(community::set(&communities.remove))));
    }
    let add = split(&communities.add);
    changes.extend(some(add.standard).map(|list| Change::Communities(ListChange::Add(list))));
    changes.extend(some(add.large).map(|list| Change::LargeCommunities(ListChange::Add(list))));
    changes.extend(some(add.extended).map(|list| Change::ExtendedCommunities(ListChange::Add(list))));
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
