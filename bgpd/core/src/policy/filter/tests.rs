use cairn_net::{Asn, Prefix};

use std::borrow::Cow;

use super::super::{
    Accepted, AsPathMatch, CommunityKinds, CommunitySet, CommunityText, Decider, FieldRanges, Hits, KindSet,
    ListChange, NextHopSetting, PeerType, Policy, PolicyPeer, PrefixEntry, PrefixList, Quantity, RouteSource,
    RouteView, Verdict,
};
use super::*;
use crate::wire::{AsPath, Attributes, Community, LargeCommunity, NextHop, Origin};

fn attributes() -> Attributes {
    Attributes {
        as_path: AsPath::sequence([65001, 65002, 65003].map(Asn)),
        communities: ["65001:1", "no-export"].map(|c| c.parse::<Community>().unwrap()).into_iter().collect(),
        large_communities: ["1:2:3".parse::<LargeCommunity>().unwrap()].into_iter().collect(),
        ..Attributes::default()
    }
}

fn view<'a>(prefix: &str, attributes: &'a Attributes) -> RouteView<'a> {
    RouteView {
        prefix: prefix.parse().unwrap(),
        attributes,
        next_hop: NextHop::new("192.0.2.1".parse().unwrap()),
        source: RouteSource::Peer(PeerType::External),
        peer: PolicyPeer { address: "192.0.2.9".parse().unwrap(), kind: PeerType::Client },
    }
}

fn rule(condition: Condition, changes: Vec<Change>, then: Disposition) -> Rule {
    Rule::new(condition, changes, then)
}

fn filter(rules: Vec<Rule>, default: Disposition) -> Policy {
    Policy::new(vec![named("test", rules, default)], false)
}

fn named(name: &str, rules: Vec<Rule>, default: Disposition) -> Arc<Filter> {
    Arc::new(Filter { name: name.to_owned(), rules, default })
}

fn accepted<'a>(verdict: &'a Verdict<'_>) -> &'a Accepted<'a> {
    match verdict {
        Verdict::Accept(accepted) => accepted,
        Verdict::Reject(decider) => panic!("rejected by {decider}"),
    }
}

fn holds(condition: &Condition) -> bool {
    let attributes = attributes();
    condition.holds(&view("10.1.0.0/16", &attributes), &attributes)
}

fn exact(communities: &[Community]) -> CommunitySet {
    CommunitySet { standard: KindSet::new(communities.to_vec(), Vec::new()), ..CommunitySet::default() }
}

fn text(pattern: &str) -> super::super::TextPattern {
    regex::bytes::RegexBuilder::new(pattern).unicode(false).build().unwrap().into()
}

#[test]
fn the_first_matching_rule_wins() {
    let list = PrefixList::new(vec![PrefixEntry::or_longer("10.0.0.0/8".parse::<Prefix>().unwrap(), true)]);
    let filter = filter(
        vec![
            rule(Condition::Prefix(Arc::new(list)), vec![], Disposition::Reject),
            rule(Condition::Always, vec![], Disposition::Accept),
        ],
        Disposition::Reject,
    );
    let attributes = attributes();
    let verdict = filter.evaluate(&view("10.1.0.0/16", &attributes));
    assert_eq!(verdict, Verdict::Reject(Decider { filter: Some("test"), rule: Some(0), name: None }));
    let verdict = filter.evaluate(&view("192.0.2.0/24", &attributes));
    assert_eq!(accepted(&verdict).decider.to_string(), "filter \"test\" rule 2");
}

#[test]
fn attributes_are_copied_only_when_changed() {
    let accept = filter(vec![], Disposition::Accept);
    let attributes = attributes();
    let route = view("10.1.0.0/16", &attributes);
    assert!(matches!(accepted(&accept.evaluate(&route)).attributes, Cow::Borrowed(_)));
    let change = filter(
        vec![rule(Condition::Always, vec![Change::LocalPref(200)], Disposition::Next)],
        Disposition::Accept,
    );
    let verdict = change.evaluate(&route);
    assert_eq!(accepted(&verdict).attributes.local_pref, Some(200));
    assert_eq!(attributes.local_pref, None);
}

#[test]
fn later_rules_see_the_changes_of_earlier_ones() {
    let filter = filter(
        vec![
            rule(Condition::Always, vec![Change::LocalPref(300)], Disposition::Next),
            rule(Condition::LocalPref(300..=300), vec![Change::Med(Some(7))], Disposition::Accept),
        ],
        Disposition::Reject,
    );
    let attributes = attributes();
    let verdict = filter.evaluate(&view("10.1.0.0/16", &attributes));
    assert_eq!(accepted(&verdict).attributes.med, Some(7));
}

#[test]
fn every_change_does_what_it_says() {
    let communities =
        |texts: &[&str]| texts.iter().map(|c| c.parse::<Community>().unwrap()).collect::<Vec<_>>();
    let changes = vec![
        Change::Med(None),
        Change::Origin(Origin::Incomplete),
        Change::NextHop(NextHopSetting::OwnAddress),
        Change::Prepend(vec![Asn(1), Asn(2)]),
        Change::Communities(ListChange::Remove(communities(&["no-export"]))),
        Change::Communities(ListChange::Add(communities(&["65001:1", "65001:2"]))),
        Change::LargeCommunities(ListChange::Replace(vec![])),
    ];
    let filter = filter(vec![rule(Condition::Always, changes, Disposition::Accept)], Disposition::Reject);
    let attributes = attributes();
    let verdict = filter.evaluate(&view("10.1.0.0/16", &attributes));
    let accepted = accepted(&verdict);
    assert_eq!(accepted.next_hop, Some(NextHopSetting::OwnAddress));
    assert_eq!(accepted.attributes.origin, Origin::Incomplete);
    assert_eq!(accepted.attributes.as_path.to_string(), "1 2 65001 65002 65003");
    assert_eq!(accepted.attributes.communities.to_string(), "65001:1 65001:2");
    assert!(accepted.attributes.large_communities.is_empty());
}

#[test]
fn communities_match_by_quantity() {
    let one: Community = "65001:1".parse().unwrap();
    let other: Community = "65001:9".parse().unwrap();
    let large = KindSet::new(vec!["1:2:3".parse().unwrap()], Vec::new());
    let all_of_it = CommunitySet { large, ..exact(&[one, Community::NO_EXPORT]) };
    for (set, quantity, expected) in [
        (exact(&[one, other]), Quantity::Any, true),
        (exact(&[other]), Quantity::Any, false),
        (exact(&[other]), Quantity::None, true),
        (exact(&[one]), Quantity::None, false),
        (exact(&[one, other]), Quantity::All, false),
        (exact(&[one, Community::NO_EXPORT]), Quantity::All, true),
        (exact(&[one, Community::NO_EXPORT]), Quantity::Exact, false),
        (all_of_it, Quantity::Exact, true),
        (CommunitySet::default(), Quantity::Any, false),
        (CommunitySet::default(), Quantity::None, true),
        (CommunitySet::default(), Quantity::Exact, false),
    ] {
        let found = holds(&Condition::Communities(Arc::new(set.clone()), quantity));
        assert_eq!(found, expected, "{set:?} {quantity:?}");
    }
}

#[test]
fn communities_match_by_ranges_and_text() {
    let any = |set: CommunitySet| holds(&Condition::Communities(Arc::new(set), Quantity::Any));
    let ranges = |fields| vec![FieldRanges(fields)];
    let all = (0, u32::MAX);
    let standard = |low, high| CommunitySet {
        standard: KindSet::new(Vec::new(), ranges([(65001, 65001), (low, high), all, all])),
        ..CommunitySet::default()
    };
    assert!(any(standard(0, 5)) && !any(standard(2, 5)));
    let large = CommunitySet {
        large: KindSet::new(Vec::new(), ranges([(1, 1), all, (3, 4), all])),
        ..CommunitySet::default()
    };
    assert!(any(large));
    let by_text = |pattern, kinds| CommunitySet {
        texts: vec![CommunityText { pattern: text(pattern), kinds }],
        ..CommunitySet::default()
    };
    assert!(any(by_text("^65001:[0-9]$", CommunityKinds::ALL)));
    assert!(any(by_text("^no-", CommunityKinds::ALL)));
    assert!(!any(by_text("^1:2:3$", CommunityKinds { large: false, ..CommunityKinds::ALL })));
}

#[test]
fn extended_communities_match_whatever_the_width_of_the_as() {
    let ranges = FieldRanges([(0, 1), (2, 2), (65000, 70000), (0, u32::MAX)]);
    let set = CommunitySet { extended: KindSet::new(Vec::new(), vec![ranges]), ..CommunitySet::default() };
    for (community, expected) in
        [("rt:65000:1", true), ("rt:70000:1", true), ("ro:65000:1", false), ("rt:0.0.253.232:1", false)]
    {
        let mut attributes = attributes();
        attributes.extended_communities = std::iter::once(community.parse().unwrap()).collect();
        assert_eq!(set.matches(Quantity::Any, &attributes), expected, "{community}");
    }
}

#[test]
fn a_set_takes_its_communities_away() {
    let set = CommunitySet {
        texts: vec![CommunityText { pattern: text("^(no-export|1:2:.*)$"), kinds: CommunityKinds::ALL }],
        ..CommunitySet::default()
    };
    let policy = filter(
        vec![rule(Condition::Always, vec![Change::RemoveCommunities(Arc::new(set))], Disposition::Accept)],
        Disposition::Reject,
    );
    let attributes = attributes();
    let verdict = policy.evaluate(&view("10.1.0.0/16", &attributes));
    assert_eq!(accepted(&verdict).attributes.communities.to_string(), "65001:1");
    assert!(accepted(&verdict).attributes.large_communities.is_empty());
}

#[test]
fn sums_stay_within_their_range() {
    let after = |change: Change| {
        let policy =
            filter(vec![rule(Condition::Always, vec![change], Disposition::Accept)], Disposition::Reject);
        let attributes = attributes();
        let verdict = policy.evaluate(&view("10.1.0.0/16", &attributes));
        let accepted = accepted(&verdict);
        (accepted.attributes.local_pref, accepted.attributes.med, accepted.med_set)
    };
    assert_eq!(after(Change::AdjustLocalPref(-30)), (Some(70), None, false));
    assert_eq!(after(Change::AdjustLocalPref(-300)), (Some(0), None, false));
    assert_eq!(after(Change::AdjustMed(7)), (None, Some(7), true));
    assert_eq!(after(Change::AdjustMed(i64::from(u32::MAX) + 1)), (None, Some(u32::MAX), true));
}

#[test]
fn a_called_filter_can_reject_and_change_but_not_accept() {
    let called = named(
        "called",
        vec![
            rule(Condition::Med(5..=5), vec![], Disposition::Reject),
            rule(Condition::Always, vec![Change::LocalPref(7)], Disposition::Accept),
        ],
        Disposition::Reject,
    );
    let calling = |med, then| {
        let call =
            Rule { call: Some(Arc::clone(&called)), ..rule(Condition::Always, vec![Change::Med(med)], then) };
        filter(
            vec![call, rule(Condition::Always, vec![Change::Weight(3)], Disposition::Accept)],
            Disposition::Reject,
        )
    };
    let attributes = attributes();
    let route = view("10.1.0.0/16", &attributes);
    let next = calling(None, Disposition::Next);
    let verdict = next.evaluate(&route);
    let after = &accepted(&verdict).attributes;
    assert_eq!((after.local_pref, after.marks.weight), (Some(7), 3));
    let rejected = calling(Some(5), Disposition::Accept);
    let decider = Decider { filter: Some("called"), rule: Some(0), name: None };
    assert_eq!(rejected.evaluate(&route), Verdict::Reject(decider));
    let accept = calling(None, Disposition::Accept);
    assert_eq!(accepted(&accept.evaluate(&route)).decider.filter, Some("test"));
}

#[test]
fn statements_that_match_are_counted() {
    let called =
        named("called", vec![rule(Condition::Always, vec![], Disposition::Next)], Disposition::Accept);
    let rules = vec![
        rule(Condition::LocalPref(5..=5), vec![], Disposition::Reject),
        Rule {
            name: Some("go on".to_owned()),
            call: Some(Arc::clone(&called)),
            ..rule(Condition::Always, vec![], Disposition::Next)
        },
    ];
    let policy = Policy::new(vec![named("test", rules, Disposition::Next), called], true);
    let names: Vec<String> = policy.statements().map(|statement| statement.to_string()).collect();
    let expected = [
        "filter \"test\" rule 1",
        "filter \"test\" rule 2 \"go on\"",
        "filter \"test\" default",
        "filter \"called\" rule 1",
        "filter \"called\" default",
        "policy default",
    ];
    assert_eq!(names, expected);
    let attributes = attributes();
    let route = view("10.1.0.0/16", &attributes);
    let hits = Hits::new(Some(&policy));
    let (verdict, matched) = policy.evaluate_counted(&route);
    hits.count(&matched);
    hits.count(&matched);
    assert_eq!(accepted(&verdict).decider.to_string(), "filter \"called\" default");
    assert_eq!(hits.read(), [0, 2, 2, 4, 4, 0]);
    hits.reset();
    assert_eq!(hits.read(), [0; 6]);
    let (_, steps) = policy.trace(&route);
    let steps: Vec<_> =
        steps.iter().map(|step| (step.statement.to_string(), step.depth, step.matched)).collect();
    assert_eq!(steps[0], (expected[0].to_owned(), 0, false));
    assert_eq!(steps[2], (expected[3].to_owned(), 1, true));
    assert_eq!(steps.len(), 7);
}

#[test]
fn as_numbers_are_replaced_in_place() {
    let change = Change::ReplaceAs { asns: vec![Asn(65002)..=Asn(65009)], with: Asn(1) };
    let policy =
        filter(vec![rule(Condition::Always, vec![change], Disposition::Accept)], Disposition::Reject);
    let attributes = attributes();
    let verdict = policy.evaluate(&view("10.1.0.0/16", &attributes));
    assert_eq!(accepted(&verdict).attributes.as_path.to_string(), "65001 1 1");
}

#[test]
fn as_paths_match_by_structure() {
    let path = |path: AsPathMatch| holds(&Condition::AsPath(path));
    assert!(path(AsPathMatch::Contains(Asn(65002))));
    assert!(!path(AsPathMatch::Contains(Asn(65009))));
    assert!(path(AsPathMatch::StartsWith(vec![Asn(65001), Asn(65002)])));
    assert!(!path(AsPathMatch::StartsWith(vec![Asn(65002)])));
    assert!(!path(AsPathMatch::StartsWith([65001, 65002, 65003, 65004].map(Asn).to_vec())));
    assert!(path(AsPathMatch::StartsWith(vec![])));
    assert!(path(AsPathMatch::OriginatedBy(Asn(65003))));
    assert!(path(AsPathMatch::Length(3..=3)));
    assert!(!path(AsPathMatch::Length(0..=2)));
    assert!(path(AsPathMatch::Text(text("^65001 .* 65003$"))));
    assert!(!path(AsPathMatch::Text(text("^65002"))));
}

#[test]
fn absent_med_and_local_pref_have_their_defaults() {
    assert!(holds(&Condition::Med(0..=0)));
    assert!(holds(&Condition::LocalPref(100..=100)));
}

#[test]
fn conditions_nest() {
    let next_hop = PrefixList::new(vec![PrefixEntry::exact("192.0.2.1/32".parse().unwrap(), true)]);
    assert!(holds(&Condition::All(vec![
        Condition::NextHop(Arc::new(next_hop)),
        Condition::Peer(Arc::new(PrefixList::new(vec![PrefixEntry::exact(
            "192.0.2.9/32".parse().unwrap(),
            true,
        )]))),
        Condition::PeerType(PeerType::Internal),
        Condition::PeerType(PeerType::Client),
        Condition::Not(Box::new(Condition::PeerType(PeerType::External))),
        Condition::Tag(0..=0),
        Condition::SourceAnyPeer,
        Condition::SourcePeer(PeerType::External),
        Condition::Not(Box::new(Condition::SourceLocal)),
        Condition::Any(vec![Condition::Origin(Origin::Egp), Condition::Origin(Origin::Igp)]),
    ])));
    assert!(!holds(&Condition::Any(vec![])));
}

#[test]
fn a_chain_ends_with_the_policys_default() {
    let undecided = named(
        "test",
        vec![rule(Condition::Always, vec![Change::LocalPref(1)], Disposition::Next)],
        Disposition::Next,
    );
    let attributes = attributes();
    let route = view("10.1.0.0/16", &attributes);
    let accept = Policy::new(vec![undecided.clone()], true);
    assert_eq!(accepted(&accept.evaluate(&route)).attributes.local_pref, Some(1));
    let reject = Policy::new(vec![undecided], false);
    assert_eq!(reject.evaluate(&route), Verdict::Reject(Decider::DEFAULT));
    assert!(matches!(Policy::reject_all().evaluate(&route), Verdict::Reject(_)));
    assert!(matches!(Policy::accept_all().evaluate(&route), Verdict::Accept(_)));
}
