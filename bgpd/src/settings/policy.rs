//! Filters of the document as policies of the speaker.

use std::collections::BTreeMap;
use std::sync::Arc;

use bgp_core::policy::{
    AsPathMatch, Change, CommunitySet, Condition, Disposition, Filter, KindSet, ListChange, NextHopSetting,
    PathToken, PeerType, Policy, PrefixEntry, PrefixList, Quantity, Rule,
};
use bgp_core::wire::{Community as Standard, LargeCommunity, Origin as WireOrigin};
use bgpd_api::config::{
    self, AsPathPattern, AsPathToken, Community, Config, Match, Name, NextHopAction, Origin, PrefixRange,
    RouteSource, SetActions, Verdict,
};

/// Every filter of the document, ready to run. A set that several filters use exists once.
pub(super) fn filters(config: &Config) -> BTreeMap<Name, Arc<Filter>> {
    let sets = Sets::new(config);
    config.filters.iter().map(|(name, filter)| (name.clone(), Arc::new(sets.filter(name, filter)))).collect()
}

/// The policy that a neighbour names; `None` if it names none, which leaves it to RFC 8212.
pub(super) fn policy(name: Option<&Name>, filters: &BTreeMap<Name, Arc<Filter>>) -> Option<Arc<Policy>> {
    let policy = match name?.as_str() {
        "accept-all" => Policy::accept_all(),
        // The document is valid, so every name is defined; one that is not lets nothing pass.
        _ => Policy::new(filters.get(name?).cloned().into_iter().collect(), false),
    };
    Some(Arc::new(policy))
}

struct Sets<'a> {
    config: &'a Config,
    prefixes: BTreeMap<&'a Name, Arc<PrefixList>>,
}

impl<'a> Sets<'a> {
    fn new(config: &'a Config) -> Self {
        let prefixes =
            config.prefix_sets.iter().map(|(name, ranges)| (name, Arc::new(prefix_list(ranges)))).collect();
        Self { config, prefixes }
    }

    fn filter(&self, name: &Name, filter: &config::Filter) -> Filter {
        let rules = filter.rules.iter().map(|rule| {
            Rule::new(self.condition(&rule.condition), self.changes(&rule.set), disposition(rule.then))
        });
        Filter {
            name: name.as_str().to_owned(),
            rules: rules.collect(),
            default: disposition(filter.default),
        }
    }

    fn condition(&self, wanted: &Match) -> Condition {
        let mut all = Vec::new();
        all.extend(wanted.family.map(Condition::Family));
        all.extend(wanted.source.map(|source| match source {
            RouteSource::Local => Condition::SourceLocal,
            RouteSource::Ebgp => Condition::SourcePeer(PeerType::External),
            RouteSource::Ibgp => Condition::SourcePeer(PeerType::Internal),
        }));
        all.extend(wanted.prefix_set.as_ref().map(|name| {
            let list = self.prefixes.get(name).cloned().unwrap_or_default();
            Condition::Prefix(list)
        }));
        all.extend(wanted.next_hop.map(|prefix| {
            Condition::NextHop(Arc::new(PrefixList::new(vec![PrefixEntry::or_longer(prefix, true)])))
        }));
        all.extend(wanted.community_set.as_ref().map(|name| self.communities(name)));
        all.extend(wanted.as_path_set.as_ref().map(|name| self.as_paths(name)));
        if all.len() == 1 { all.swap_remove(0) } else { Condition::All(all) }
    }

    fn communities(&self, name: &Name) -> Condition {
        let set = self.config.community_sets.get(name).map(Vec::as_slice).unwrap_or_default();
        let (standard, large) = split(set);
        let set = CommunitySet {
            standard: KindSet::new(standard, Vec::new()),
            large: KindSet::new(large, Vec::new()),
            ..CommunitySet::default()
        };
        Condition::Communities(Arc::new(set), Quantity::Any)
    }

    fn as_paths(&self, name: &Name) -> Condition {
        let patterns = self.config.as_path_sets.get(name).into_iter().flatten();
        Condition::Any(patterns.map(|pattern| Condition::AsPath(as_path(pattern))).collect())
    }

    fn changes(&self, set: &SetActions) -> Vec<Change> {
        let mut changes = Vec::new();
        changes.extend(set.local_preference.map(Change::LocalPref));
        changes.extend(set.med.map(|med| Change::Med(Some(med))));
        changes.extend(set.origin.map(|origin| {
            Change::Origin(match origin {
                Origin::Igp => WireOrigin::Igp,
                Origin::Egp => WireOrigin::Egp,
                Origin::Incomplete => WireOrigin::Incomplete,
            })
        }));
        changes.extend(set.next_hop.map(|next_hop| {
            Change::NextHop(match next_hop {
                NextHopAction::Itself => NextHopSetting::OwnAddress,
                NextHopAction::Address(addr) => NextHopSetting::Address(addr),
            })
        }));
        changes.extend(set.prepend.map(|prepend| {
            let asn = prepend.asn.unwrap_or(self.config.local_as);
            Change::Prepend(vec![asn; prepend.count.into()])
        }));
        if set.communities.clear {
            changes.push(Change::Communities(ListChange::Replace(Vec::new())));
            changes.push(Change::LargeCommunities(ListChange::Replace(Vec::new())));
        }
        let (standard, large) = split(&set.communities.remove);
        changes.extend(some(standard).map(|list| Change::Communities(ListChange::Remove(list))));
        changes.extend(some(large).map(|list| Change::LargeCommunities(ListChange::Remove(list))));
        let (standard, large) = split(&set.communities.add);
        changes.extend(some(standard).map(|list| Change::Communities(ListChange::Add(list))));
        changes.extend(some(large).map(|list| Change::LargeCommunities(ListChange::Add(list))));
        changes
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn prefix_list(ranges: &[PrefixRange]) -> PrefixList {
    // A range that is not valid cannot be in a valid document; were it there, it would match nothing.
    ranges.iter().filter_map(|range| PrefixEntry::new(range.prefix, range.ge, range.le, true).ok()).collect()
}

/// The communities of a list as the speaker has them: standard and large apart.
pub(super) fn split(communities: &[Community]) -> (Vec<Standard>, Vec<LargeCommunity>) {
    let mut parts = (Vec::new(), Vec::new());
    for community in communities {
        match *community {
            Community::Standard(value) => parts.0.push(Standard(value)),
            Community::Large(global, local1, local2) => {
                parts.1.push(LargeCommunity { global, local1, local2 });
            }
        }
    }
    parts
}

fn as_path(pattern: &AsPathPattern) -> AsPathMatch {
    let tokens = pattern.0.iter().map(|token| match *token {
        AsPathToken::Any => PathToken::AnyNumber,
        AsPathToken::Range(low, high) => PathToken::One(low..=high),
    });
    AsPathMatch::Pattern(tokens.collect())
}

fn disposition(verdict: Verdict) -> Disposition {
    match verdict {
        Verdict::Accept => Disposition::Accept,
        Verdict::Reject => Disposition::Reject,
        Verdict::Next => Disposition::Next,
    }
}
