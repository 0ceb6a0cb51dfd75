//! A second interpreter of policies, written for plainness, and the property that the real one and what it keeps for a class
//! of prefixes say the same.

use std::sync::Arc;

use cairn_net::{Asn, Prefix};
use proptest::prelude::*;

use super::*;
use crate::wire::{AsPath, Attributes, Community, NextHop, Origin};

/// Attributes and next hop of an accepted route.
type Outcome = Option<(Attributes, Option<NextHopSetting>)>;

/// The rules by definition: prefix lists are searched from the front, everything is copied, nothing is shared.
fn interpret(policy: &Policy, accept_by_default: bool, view: &RouteView<'_>) -> Outcome {
    let mut state = (view.attributes.clone(), None);
    for filter in policy.filters() {
        match run(filter, view, &mut state) {
            Disposition::Accept => return Some(state),
            Disposition::Reject => return None,
            Disposition::Next => {}
        }
    }
    accept_by_default.then_some(state)
}

fn run(
    filter: &Filter,
    view: &RouteView<'_>,
    state: &mut (Attributes, Option<NextHopSetting>),
) -> Disposition {
    for rule in &filter.rules {
        if !holds(&rule.condition, view, &state.0) {
            continue;
        }
        if rule.then == Disposition::Reject {
            return Disposition::Reject;
        }
        for change in &rule.changes {
            make(change, state);
        }
        if let Some(called) = &rule.call
            && run(called, view, state) == Disposition::Reject
        {
            return Disposition::Reject;
        }
        if rule.then == Disposition::Accept {
            return Disposition::Accept;
        }
    }
    filter.default
}

fn listed(list: &PrefixList, prefix: Prefix) -> bool {
    list.entries().iter().find(|entry| entry.matches(prefix)).is_some_and(PrefixEntry::permits)
}

fn holds(condition: &Condition, view: &RouteView<'_>, attributes: &Attributes) -> bool {
    match condition {
        Condition::Always => true,
        Condition::All(all) => !all.iter().any(|one| !holds(one, view, attributes)),
        Condition::Any(any) => any.iter().filter(|one| holds(one, view, attributes)).count() > 0,
        Condition::Not(not) => !holds(not, view, attributes),
        Condition::Family(family) => view.prefix.family() == *family,
        Condition::Prefix(list) => listed(list, view.prefix),
        Condition::NextHop(list) => listed(list, Prefix::host(view.next_hop.addr)),
        Condition::Communities(set, Quantity::Any) => attributes.communities.iter().any(|community| {
            let alone =
                Attributes { communities: std::iter::once(community).collect(), ..Attributes::default() };
            set.matches(Quantity::Any, &alone)
        }),
        Condition::Med(range) => range.contains(&attributes.med.unwrap_or_default()),
        Condition::LocalPref(range) => range.contains(&attributes.local_pref.unwrap_or(100)),
        Condition::Tag(range) => range.contains(&attributes.marks.tag),
        Condition::Origin(origin) => attributes.origin == *origin,
        other => unreachable!("not generated: {other:?}"),
    }
}

fn make(change: &Change, (attributes, next_hop): &mut (Attributes, Option<NextHopSetting>)) {
    let sum = |value: u32, by: i64| u32::try_from((i64::from(value) + by).max(0)).unwrap_or(u32::MAX);
    match change {
        Change::LocalPref(value) => attributes.local_pref = Some(*value),
        Change::AdjustLocalPref(by) => {
            attributes.local_pref = Some(sum(attributes.local_pref.unwrap_or(100), *by));
        }
        Change::Med(value) => attributes.med = *value,
        Change::AdjustMed(by) => attributes.med = Some(sum(attributes.med.unwrap_or(0), *by)),
        Change::Tag(tag) => attributes.marks.tag = *tag,
        Change::NextHop(setting) => *next_hop = Some(*setting),
        Change::Communities(ListChange::Add(new)) => {
            let mut all: Vec<Community> = attributes.communities.iter().collect();
            for community in new {
                if !all.contains(community) {
                    all.push(*community);
                }
            }
            attributes.communities = all.into_iter().collect();
        }
        Change::Prepend(asns) => {
            let path = asns.iter().copied().chain(attributes.as_path.asns()).collect::<Vec<_>>();
            attributes.as_path = AsPath::sequence(path);
        }
        other => unreachable!("not generated: {other:?}"),
    }
}

fn prefix() -> impl Strategy<Value = Prefix> {
    let v4 = (0..4u32, 0..=32u8).prop_map(|(n, len)| (std::net::Ipv4Addr::from(n << 29 | n).into(), len));
    let v6 = (0..4u128, 0..=128u8).prop_map(|(n, len)| (std::net::Ipv6Addr::from(n << 125 | n).into(), len));
    prop_oneof![v4, v6].prop_map(|(addr, len)| Prefix::containing(addr, len).expect("in range"))
}

fn list() -> impl Strategy<Value = Arc<PrefixList>> {
    let entry = (prefix(), any::<bool>(), any::<bool>()).prop_map(|(prefix, longer, permit)| {
        if longer { PrefixEntry::or_longer(prefix, permit) } else { PrefixEntry::exact(prefix, permit) }
    });
    prop::collection::vec(entry, 0..6).prop_map(|entries| Arc::new(PrefixList::new(entries)))
}

/// Community n of few, so that sets and routes meet.
fn community() -> impl Strategy<Value = Community> {
    (0..5u32).prop_map(|n| Community(65001 << 16 | n))
}

fn set() -> impl Strategy<Value = Arc<CommunitySet>> {
    let ranges =
        (0..5u32, 0..5u32).prop_map(|(low, high)| FieldRanges([(65001, 65001), (low, high), (0, 0), (0, 0)]));
    (prop::collection::vec(community(), 0..3), prop::collection::vec(ranges, 0..2)).prop_map(
        |(exact, ranges)| {
            Arc::new(CommunitySet { standard: KindSet::new(exact, ranges), ..CommunitySet::default() })
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        Just(Condition::Always),
        prop::sample::select(&cairn_net::Family::ALL[..]).prop_map(Condition::Family),
        list().prop_map(Condition::Prefix),
        list().prop_map(Condition::NextHop),
        set().prop_map(|set| Condition::Communities(set, Quantity::Any)),
        (0..3u32, 0..3u32).prop_map(|(low, high)| Condition::Med(low..=high)),
        (98..102u32, 98..102u32).prop_map(|(low, high)| Condition::LocalPref(low..=high)),
        (0..3u32).prop_map(|tag| Condition::Tag(tag..=tag)),
        Just(Condition::Origin(Origin::Igp)),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Condition::Any),
            inner.prop_map(|condition| Condition::Not(Box::new(condition))),
        ]
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (98..102u32).prop_map(Change::LocalPref),
        (-101..3i64).prop_map(Change::AdjustLocalPref),
        prop::option::of(0..3u32).prop_map(Change::Med),
        (-2..3i64).prop_map(Change::AdjustMed),
        (0..3u32).prop_map(Change::Tag),
        Just(Change::NextHop(NextHopSetting::OwnAddress)),
        prop::collection::vec(community(), 1..3).prop_map(|new| Change::Communities(ListChange::Add(new))),
        (1..4u32).prop_map(|asn| Change::Prepend(vec![Asn(asn), Asn(asn + 1)])),
    ]
}

fn disposition() -> impl Strategy<Value = Disposition> {
    prop::sample::select(
        &[Disposition::Accept, Disposition::Reject, Disposition::Next, Disposition::Next][..],
    )
}

fn filter(called: Vec<Arc<Filter>>) -> impl Strategy<Value = Arc<Filter>> {
    let call = prop::option::of(prop::sample::select(called));
    let rule = (condition(), prop::collection::vec(change(), 0..3), call, disposition())
        .prop_map(|(condition, changes, call, then)| Rule { call, ..Rule::new(condition, changes, then) });
    (prop::collection::vec(rule, 0..4), disposition())
        .prop_map(|(rules, default)| Arc::new(Filter { name: "f".to_owned(), rules, default }))
}

fn policy() -> impl Strategy<Value = (Policy, bool)> {
    let leaf = Arc::new(Filter { name: "leaf".to_owned(), rules: Vec::new(), default: Disposition::Accept });
    let chain = filter(vec![leaf])
        .prop_flat_map(|first| {
            filter(vec![Arc::clone(&first)]).prop_map(move |second| vec![Arc::clone(&first), second])
        })
        .prop_flat_map(|called| prop::collection::vec(filter(called), 0..3));
    (chain, any::<bool>()).prop_map(|(chain, accept)| (Policy::new(chain, accept), accept))
}

fn attributes() -> impl Strategy<Value = Attributes> {
    (prop::option::of(0..3u32), prop::option::of(98..102u32), prop::collection::vec(community(), 0..3))
        .prop_map(|(med, local_pref, communities)| Attributes {
            med,
            local_pref,
            communities: communities.into_iter().collect(),
            as_path: AsPath::sequence([Asn(65001)]),
            ..Attributes::default()
        })
}

proptest! {
    #[test]
    fn evaluation_agrees_with_the_reference(
        (policy, accept) in policy(),
        attributes in attributes(),
        prefixes in prop::collection::vec(prefix(), 1..12),
    ) {
        let mut by_class: Vec<(PrefixClass, Outcome, Matched)> = Vec::new();
        for prefix in prefixes {
            let view = RouteView {
                prefix,
                attributes: &attributes,
                next_hop: NextHop::new("192.0.2.1".parse().expect("an address")),
                source: RouteSource::Local,
                peer: PolicyPeer { address: "192.0.2.9".parse().expect("an address"), kind: PeerType::External },
            };
            let found = match policy.evaluate(&view) {
                Verdict::Accept(accepted) => Some((accepted.attributes.into_owned(), accepted.next_hop)),
                Verdict::Reject(_) => None,
            };
            prop_assert_eq!(&found, &interpret(&policy, accept, &view), "{}", prefix);
            let (_, matched) = policy.evaluate_counted(&view);
            let class = policy.class(prefix).expect("few lists");
            match by_class.iter().find(|(known, ..)| *known == class) {
                Some((_, same, counted)) => prop_assert_eq!((same, counted), (&found, &matched)),
                None => by_class.push((class, found, matched)),
            }
        }
    }
}
