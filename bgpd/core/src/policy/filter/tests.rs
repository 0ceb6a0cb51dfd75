use cairn_net::{Asn, Prefix};

use super::super::{
    AsPathMatch, ListChange, ListMatch, NextHopSetting, PrefixEntry, PrefixList, RouteSource,
};
use super::*;
use crate::wire::{AsPath, Attributes, Community, LargeCommunity, NextHop, Origin, PeerKind};

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
        source: RouteSource::Peer(PeerKind::External),
        peer: PeerKind::Internal,
    }
}

fn rule(condition: Condition, changes: Vec<Change>, then: Disposition) -> Rule {
    Rule { condition, changes, then }
}

fn filter(rules: Vec<Rule>, default: Disposition) -> Filter {
    Filter { name: "test".to_owned(), rules, default }
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
    assert_eq!(verdict, Verdict::Reject(Decider { filter: Some("test"), rule: Some(0) }));
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
fn communities_match_any_or_all() {
    let one: Community = "65001:1".parse().unwrap();
    let other: Community = "65001:9".parse().unwrap();
    assert!(holds(&Condition::Communities(ListMatch::AnyOf(vec![one, other]))));
    assert!(!holds(&Condition::Communities(ListMatch::AllOf(vec![one, other]))));
    assert!(holds(&Condition::Communities(ListMatch::AllOf(vec![one, Community::NO_EXPORT]))));
    assert!(holds(&Condition::ExtendedCommunities(ListMatch::Empty)));
    assert!(!holds(&Condition::LargeCommunities(ListMatch::Empty)));
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
        Condition::Peer(PeerKind::Internal),
        Condition::SourceAnyPeer,
        Condition::SourcePeer(PeerKind::External),
        Condition::Not(Box::new(Condition::SourceLocal)),
        Condition::Any(vec![Condition::Origin(Origin::Egp), Condition::Origin(Origin::Igp)]),
    ])));
    assert!(!holds(&Condition::Any(vec![])));
}

#[test]
fn a_chain_ends_with_the_policys_default() {
    let undecided = Arc::new(filter(
        vec![rule(Condition::Always, vec![Change::LocalPref(1)], Disposition::Next)],
        Disposition::Next,
    ));
    let attributes = attributes();
    let route = view("10.1.0.0/16", &attributes);
    let accept = Policy { filters: vec![undecided.clone()], accept_by_default: true };
    assert_eq!(accepted(&accept.evaluate(&route)).attributes.local_pref, Some(1));
    let reject = Policy { filters: vec![undecided], accept_by_default: false };
    assert_eq!(reject.evaluate(&route), Verdict::Reject(Decider { filter: None, rule: None }));
    assert!(matches!(Policy::reject_all().evaluate(&route), Verdict::Reject(_)));
    assert!(matches!(Policy::accept_all().evaluate(&route), Verdict::Accept(_)));
}
