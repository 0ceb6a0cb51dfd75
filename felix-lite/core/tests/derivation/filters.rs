use bgpd_api::config::{PrefixRange, RouteSource, Verdict};
use cairn_api::kinds::{BgpFilter, BgpPeer, FilterAction, FilterRule, MatchOperator};
use cairn_api::{Metadata, Object};
use cairn_net::Family;
use felix_core::{Reason, Update};

use crate::sessions::{addresses, no_mesh, tor, with};
use crate::world::{Reader, peer, prefix};

fn rule(cidr: &str, operator: MatchOperator, action: FilterAction) -> FilterRule {
    FilterRule {
        cidr: Some(prefix(cidr)),
        match_operator: Some(operator),
        prefix_length: None,
        source: None,
        peer_type: None,
        communities: None,
        as_path_prefix: Vec::new(),
        interface: String::new(),
        priority: None,
        action,
        operations: Vec::new(),
    }
}

fn filtered(spec: BgpFilter) -> Reader {
    let object = Box::new(Object::new(Metadata::named("f"), spec));
    let peer_spec = BgpPeer { filters: vec!["f".to_owned()], ..tor() };
    with([no_mesh(), peer("tor", peer_spec), Update::BgpFilter("f".to_owned(), Some(object))])
}

/// Does the prefix set of the only filter rule of the import filter hold the prefix?
fn holds(set: &[PrefixRange], text: &str) -> bool {
    let candidate = prefix(text);
    set.iter().any(|range| {
        let (ge, le) = range.bounds();
        range.prefix.covers(candidate) && (ge..=le).contains(&candidate.len())
    })
}

#[test]
fn prefix_operators_select_what_they_say() {
    let all =
        ["0.0.0.0/0", "10.0.0.0/7", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "11.0.0.0/8", "192.0.2.0/24"];
    for (operator, expected) in [
        (MatchOperator::Equal, [false, false, true, false, false, false, false]),
        (MatchOperator::NotEqual, [true, true, false, true, true, true, true]),
        (MatchOperator::In, [false, false, true, true, true, false, false]),
        (MatchOperator::NotIn, [true, true, false, false, false, true, true]),
    ] {
        let rules = vec![rule("10.0.0.0/8", operator, FilterAction::Reject)];
        let found = filtered(BgpFilter { import_v4: rules, ..BgpFilter::default() });
        let config = found.config.as_ref().unwrap();
        let set = config.prefix_sets.values().next().unwrap();
        assert_eq!(all.map(|text| holds(set, text)), expected, "{operator:?}");
    }
}

#[test]
fn a_filter_comes_before_the_default_of_its_direction() {
    let found = filtered(BgpFilter {
        import_v4: vec![rule("10.0.0.0/8", MatchOperator::In, FilterAction::Reject)],
        export_v6: vec![rule("fd00::/8", MatchOperator::In, FilterAction::Accept)],
        ..BgpFilter::default()
    });
    let config = found.config.as_ref().unwrap();
    let options = &found.neighbor("192.0.2.254").options;
    let import = &config.filters[&options.import.as_ref().unwrap().0[0]];
    assert_eq!((import.rules.len(), import.default), (1, Verdict::Accept));
    assert_eq!(import.rules[0].condition.family, Some(Family::Ipv4));
    let export = &config.filters[&options.export.as_ref().unwrap().0[0]];
    let sources: Vec<_> = export.rules.iter().map(|rule| rule.condition.source).collect();
    assert_eq!((sources, export.default), (vec![None, Some(RouteSource::Local)], Verdict::Reject));
}

#[test]
fn a_missing_filter_means_no_session() {
    let spec = BgpPeer { filters: vec!["gone".to_owned()], ..tor() };
    let found = with([no_mesh(), peer("tor", spec)]);
    assert!(addresses(&found).is_empty() && found.has_condition(Reason::FilterMissing, "gone"));
}
