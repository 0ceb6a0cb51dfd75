use std::sync::Arc;

use bgp_core::policy::{NextHopSetting, PeerType, Policy, PolicyPeer, RouteSource, RouteView, Verdict};
use bgp_core::wire::{AsPath, Attributes, NextHop};
use bgpd_api::config::{FilterChain, load_policies};
use cairn_net::Asn;

use crate::Compiled;

const SETS: &str = "\
prefixSets:
  pods: [{prefix: 10.0.0.0/8, le: 24}, {prefix: 'fd00::/8', le: 64}]
  hops: [192.0.2.1]
communitySets:
  ours: ['65001:100-199', '65001:*:2', 'rt:65000:*', 'rt:10.0.0.1:7', {regex: '^6500[23]:', kind: standard}]
asPathSets:
  through: ['65010 *', {regex: '_65020_'}]
";

fn policy(rules: &str) -> Arc<Policy> {
    let text = format!("{SETS}filters:\n  f:\n    rules:\n{rules}");
    let policies = load_policies(&text, "test").unwrap();
    Compiled::new(&policies, Asn(65001)).chain(&FilterChain(vec!["f".parse().unwrap()]))
}

fn attributes() -> Attributes {
    Attributes {
        as_path: AsPath::sequence([65010, 64512, 65030].map(Asn)),
        med: Some(10),
        communities: ["65001:150", "65002:1", "no-export"]
            .map(|text| text.parse().unwrap())
            .into_iter()
            .collect(),
        large_communities: std::iter::once("65001:7:2".parse().unwrap()).collect(),
        extended_communities: ["rt:65000:9", "ro:65000:9"]
            .map(|text| text.parse().unwrap())
            .into_iter()
            .collect(),
        ..Attributes::default()
    }
}

/// The attributes after the policy and what it says of the next hop; `None`: rejected.
fn run(
    policy: &Policy,
    prefix: &str,
    attributes: &Attributes,
) -> Option<(Attributes, Option<NextHopSetting>)> {
    let view = RouteView {
        prefix: prefix.parse().unwrap(),
        attributes,
        next_hop: NextHop::new("192.0.2.1".parse().unwrap()),
        source: RouteSource::Peer(PeerType::External),
        peer: PolicyPeer { address: "192.0.2.9".parse().unwrap(), kind: PeerType::Client },
    };
    match policy.evaluate(&view) {
        Verdict::Accept(accepted) => Some((accepted.attributes.into_owned(), accepted.next_hop)),
        Verdict::Reject(_) => None,
    }
}

fn matches(condition: &str) -> bool {
    let policy = policy(&format!("    - {{match: {{{condition}}}, then: accept}}\n"));
    run(&policy, "10.1.0.0/16", &attributes()).is_some()
}

#[test]
fn every_condition_asks_what_it_says() {
    for (holds, fails) in [
        ("family: ipv4", "family: ipv6"),
        ("prefixSet: pods", "prefixSet: hops"),
        ("communitySet: ours", "communitySet: {set: ours, quantity: all}"),
        ("not: {communitySet: {set: ours, quantity: none}}", "communitySet: {set: ours, quantity: exact}"),
        ("asPathSet: through", "not: {asPathSet: through}"),
        ("asPathLength: 3", "asPathLength: {ge: 4}"),
        ("nextHop: 192.0.2.0/24", "nextHop: 10.0.0.0/8"),
        ("nextHopSet: hops", "nextHopSet: pods"),
        ("origin: igp", "origin: egp"),
        ("med: {ge: 5, le: 10}", "med: {le: 9}"),
        ("localPreference: 100", "localPreference: 99"),
        ("tag: 0", "tag: {ge: 1}"),
        ("peer: [10.0.0.1, 192.0.2.0/28]", "peer: [192.0.2.8]"),
        ("peerType: ibgp", "peerType: ebgp"),
        ("peerType: client", "peerType: confederation"),
        ("source: ebgp", "source: ibgp"),
        ("source: learned", "source: local"),
        ("any: [{med: 1}, {med: 10}]", "any: []"),
    ] {
        assert!(matches(holds), "{holds}");
        assert!(!matches(fails), "{fails}");
    }
}

#[test]
fn every_action_does_what_it_says() {
    let set = |actions: &str| {
        let policy = policy(&format!("    - {{set: {{{actions}}}, then: accept}}\n"));
        run(&policy, "10.1.0.0/16", &attributes()).unwrap()
    };
    assert_eq!(set("localPreference: 7").0.local_pref, Some(7));
    assert_eq!(set("localPreference: {add: 7}").0.local_pref, Some(107));
    assert_eq!(set("localPreference: {subtract: 7}").0.local_pref, Some(93));
    assert_eq!(set("med: 7").0.med, Some(7));
    assert_eq!(set("med: {add: 7}").0.med, Some(17));
    assert_eq!(set("med: {subtract: 70}").0.med, Some(0));
    assert_eq!(set("med: none").0.med, None);
    assert_eq!(set("origin: incomplete").0.origin, bgp_core::wire::Origin::Incomplete);
    assert_eq!(set("weight: 7").0.marks.weight, 7);
    assert_eq!(set("tag: 7").0.marks.tag, 7);
    let path = |actions: &str| set(actions).0.as_path.to_string();
    assert_eq!(path("prepend: {count: 2}"), "65001 65001 65010 64512 65030");
    assert_eq!(path("prepend: {asn: 65009, count: 1}"), "65009 65010 64512 65030");
    assert_eq!(path("replaceAs: {asns: [64512-65009]}"), "65010 65001 65030");
    assert_eq!(path("replaceAs: {asns: ['*'], with: 65009}"), "65009 65009 65009");
    let next_hop = |text: &str| set(&format!("nextHop: {text}")).1.unwrap();
    assert_eq!(next_hop("self"), NextHopSetting::OwnAddress);
    assert_eq!(next_hop("peer"), NextHopSetting::PeerAddress);
    assert_eq!(next_hop("unchanged"), NextHopSetting::Unchanged);
    assert_eq!(next_hop("192.0.2.7"), NextHopSetting::Address("192.0.2.7".parse().unwrap()));
    let communities = |change: &str| {
        let (attributes, _) = set(&format!("communities: {{{change}}}"));
        [
            attributes.communities.to_string(),
            attributes.large_communities.to_string(),
            attributes.extended_communities.to_string(),
        ]
        .join(" | ")
    };
    assert_eq!(communities("clear: true, add: ['65001:1']"), "65001:1 |  | rt:65000:9 ro:65000:9");
    assert_eq!(communities("remove: ['65001:*', 'rt:*:*']"), "65002:1 no-export | 65001:7:2 | ro:65000:9");
    assert_eq!(
        communities("remove: [{regex: ':2$'}]"),
        "65001:150 65002:1 no-export |  | rt:65000:9 ro:65000:9"
    );
    assert_eq!(
        communities("add: ['65001:150', '1:2:3', 'ro:10.0.0.1:5', '0x4003000000000001']"),
        "65001:150 65002:1 no-export | 65001:7:2 1:2:3 | rt:65000:9 ro:65000:9 ro:10.0.0.1:5 0x4003000000000001"
    );
}

#[test]
fn filters_call_each_other_and_stand_in_chains() {
    let text = "\
filters:
  guard:
    rules:
    - {name: bad-med, match: {med: {ge: 100}}, then: reject}
    - {set: {tag: 5}, then: accept}
  first:
    rules:
    - {call: guard, then: next}
    default: next
  second:
    rules:
    - {match: {tag: 5}, set: {localPreference: 200}, then: accept}
";
    let compiled = Compiled::new(&load_policies(text, "test").unwrap(), Asn(65001));
    let chain = |names: &[&str]| {
        compiled.chain(&FilterChain(names.iter().map(|name| name.parse().unwrap()).collect()))
    };
    let both = chain(&["first", "second"]);
    assert_eq!(run(&both, "10.0.0.0/8", &attributes()).unwrap().0.local_pref, Some(200));
    let bad = Attributes { med: Some(100), ..attributes() };
    assert!(run(&both, "10.0.0.0/8", &bad).is_none());
    assert!(run(&chain(&["second"]), "10.0.0.0/8", &attributes()).is_none());
    assert!(run(&chain(&["first"]), "10.0.0.0/8", &attributes()).is_none(), "nobody decided");
    assert!(run(&chain(&["accept-all"]), "10.0.0.0/8", &bad).is_some());
    assert!(run(&chain(&["reject-all"]), "10.0.0.0/8", &attributes()).is_none());
    assert!(Arc::ptr_eq(&both, &chain(&["first", "second"])));
}

#[test]
fn the_guides_examples_are_valid() {
    let guide = include_str!("../../../docs/guide/policy.md");
    let examples: Vec<&str> =
        guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let policies =
            load_policies(example, "docs/guide/policy.md").unwrap_or_else(|error| panic!("{error}"));
        let compiled = Compiled::new(&policies, Asn(65001));
        for name in policies.filters.keys() {
            let policy = compiled.chain(&FilterChain::from(name.clone()));
            run(&policy, "10.244.1.0/24", &attributes());
        }
        assert!(!policies.filters.is_empty());
    }
}

#[test]
fn a_route_that_is_tried_and_about_to_go_is_the_last_choice_as_in_the_speaker() {
    let policy =
        policy("    - {match: {localPreference: 0}, set: {tag: 7}, then: accept}\n    - {then: accept}\n");
    let run = |more: &str| {
        let text = format!("{{prefix: 10.0.0.0/8, communities: [graceful-shutdown]{more}}}");
        let trial = crate::Trial::new(bgpd_api::config::load_route(&text, "test").unwrap());
        match trial.run(&policy).0 {
            Verdict::Accept(accepted) => (accepted.attributes.local_pref, accepted.attributes.marks.tag),
            Verdict::Reject(_) => panic!("{more} is rejected"),
        }
    };
    assert_eq!(run(""), (Some(0), 7));
    assert_eq!(run(", source: ebgp"), (Some(0), 7));
    // Only what comes from outside is lowered, and what a filter set stays.
    assert_eq!(run(", source: ibgp"), (None, 0));
    assert_eq!(run(", source: confederation"), (None, 0));
    assert_eq!(run(", localPreference: 50"), (Some(50), 0));
}
