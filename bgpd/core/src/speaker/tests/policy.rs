use std::sync::Arc;

use super::*;
use crate::policy::{Change, Condition, Disposition, Filter, Policy, PrefixEntry, PrefixList, Rule};
use crate::rib::Rejection;
use crate::speaker::RibKind;

/// Rejects one prefix, sets MED 77 on the others.
fn all_but(text: &str) -> Option<Arc<Policy>> {
    let list = Arc::new(PrefixList::new(vec![PrefixEntry::exact(prefix(text), true)]));
    let rules = vec![
        Rule::new(Condition::Prefix(list), Vec::new(), Disposition::Reject),
        Rule::new(Condition::Always, vec![Change::Med(Some(77))], Disposition::Accept),
    ];
    let filter = Filter { name: "all-but".to_owned(), rules, default: Disposition::Reject };
    Some(Arc::new(Policy::new(vec![Arc::new(filter)], false)))
}

fn change(sim: &mut Sim, n: u8, peer: u8, change: impl FnOnce(&mut PeerConfig)) {
    let mut config = sim.nodes[&node(n)].config.clone();
    change(config.peers.get_mut(&node(peer)).unwrap());
    sim.configure(node(n), config);
}

#[test]
fn an_external_peer_without_policy_exchanges_nothing_and_says_why() {
    let mut sim = pair(65002);
    originate(&mut sim, 1, &["10.1.0.0/24"]);
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(SOON);
    assert!(knows(&sim, 1, "10.2.0.0/24"));
    change(&mut sim, 1, 2, |peer| (peer.import, peer.export) = (None, None));
    sim.run(SOON);
    assert!(!knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 2, "10.1.0.0/24"));
    assert_eq!(explain(&sim, 1, "10.2.0.0/24")[0].rejection, Some(Rejection::NoPolicy));
    let notes = view(&sim, 1, 2).notes;
    assert!(notes.len() == 2 && notes.iter().all(|note| note.contains("RFC 8212")), "{notes:?}");
    change(&mut sim, 1, 2, |peer| peer.ebgp_requires_policy = Some(false));
    sim.run(SOON);
    assert!(knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 2, "10.1.0.0/24"));
    assert_eq!(view(&sim, 1, 2).counters.established, 1);
}

#[test]
fn a_new_export_policy_tells_the_peer_the_difference() {
    let mut sim = pair(65002);
    originate(&mut sim, 1, &["10.1.0.0/24", "10.1.1.0/24"]);
    sim.run(SOON);
    change(&mut sim, 1, 2, |peer| peer.export = all_but("10.1.1.0/24"));
    sim.run(SOON);
    assert!(knows(&sim, 2, "10.1.0.0/24") && !knows(&sim, 2, "10.1.1.0/24"));
    assert_eq!(explain(&sim, 2, "10.1.0.0/24")[0].route.attributes.med, Some(77));
    change(&mut sim, 1, 2, |peer| peer.export = all_but("10.1.0.0/24"));
    sim.run(SOON);
    assert!(!knows(&sim, 2, "10.1.0.0/24") && knows(&sim, 2, "10.1.1.0/24"));
    assert_eq!(view(&sim, 1, 2).counters.established, 1);
    let speaker = sim.nodes[&node(1)].speaker.as_ref().unwrap();
    let told = speaker.routes(RibKind::AdjRibOut(node(2)));
    assert_eq!(told.iter().map(|route| route.prefix).collect::<Vec<_>>(), [prefix("10.1.1.0/24")]);
    assert_eq!(view(&sim, 1, 2).families[0].advertised, 1);
}

#[test]
fn a_new_import_policy_judges_what_is_there() {
    let mut sim = pair(65002);
    originate(&mut sim, 1, &["10.1.0.0/24", "10.1.1.0/24"]);
    sim.run(SOON);
    change(&mut sim, 2, 1, |peer| peer.import = all_but("10.1.1.0/24"));
    assert!(knows(&sim, 2, "10.1.0.0/24") && !knows(&sim, 2, "10.1.1.0/24"));
    let rejected = explain(&sim, 2, "10.1.1.0/24");
    assert_eq!(rejected[0].rejection, Some(Rejection::Policy));
    assert_eq!(explain(&sim, 2, "10.1.0.0/24")[0].route.attributes.med, Some(77));
    let counts = view(&sim, 2, 1).families[0].counts;
    assert_eq!((counts.received, counts.accepted), (2, 1));
}

#[test]
fn well_known_communities_keep_routes_where_they_belong() {
    use crate::wire::Community;
    let mut sim = sim();
    let mut middle = with_peer(config(1, 65001), 2, open_peer(65002));
    middle = with_peer(middle, 3, open_peer(65001));
    sim.add(node(1), middle);
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65001)));
    sim.add(node(3), with_peer(config(3, 65001), 1, open_peer(65001)));
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2) && is_up(sim, 1, 3)));
    let route = |text, community| OriginatedRoute {
        communities: vec![community],
        ..OriginatedRoute::new(prefix(text))
    };
    let routes = vec![
        route("10.1.0.0/24", Community::NO_EXPORT),
        route("10.1.1.0/24", Community::NO_ADVERTISE),
        route("10.1.2.0/24", Community::new(65001, 1)),
    ];
    sim.input(node(1), Input::Originate { owner: "test".to_owned(), routes, replace: true });
    sim.run(SOON);
    let known = |n| sim.nodes[&node(n)].routes.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(known(2), ["10.1.2.0/24"]);
    assert_eq!(known(3), ["10.1.0.0/24", "10.1.2.0/24"]);
}

#[test]
fn looking_at_a_policy_agrees_with_what_became_of_the_routes() {
    use crate::speaker::{BlackholeConfig, PolicyDirection, PolicyPage};
    use crate::wire::Community;
    let mut sim = pair(65002);
    change(&mut sim, 1, 2, |peer| peer.blackhole = Some(BlackholeConfig { min_len: [32, 128] }));
    let route = |text, community| OriginatedRoute {
        communities: vec![community],
        ..OriginatedRoute::new(prefix(text))
    };
    let routes = vec![
        route("10.1.0.0/24", Community::GRACEFUL_SHUTDOWN),
        route("10.2.0.1/32", Community::BLACKHOLE),
        route("10.3.0.0/24", Community::BLACKHOLE),
        route("10.4.0.0/24", Community::new(65002, 1)),
    ];
    sim.input(node(2), Input::Originate { owner: "test".to_owned(), routes, replace: true });
    sim.run(SOON);
    let speaker = sim.nodes[&node(1)].speaker.as_ref().unwrap();
    for (text, local_pref) in
        [("10.1.0.0/24", Some(0)), ("10.2.0.1/32", None), ("10.3.0.0/24", None), ("10.4.0.0/24", None)]
    {
        let real = &explain(&sim, 1, text)[0];
        let said = &speaker.explain_policy(node(2), PolicyDirection::Import, prefix(text)).unwrap()[0];
        assert_eq!(said.after.is_some(), real.rejection.is_none(), "{text}");
        assert_eq!(
            said.reason,
            real.rejection.map(|reason| reason.to_string()).unwrap_or_default(),
            "{text}"
        );
        if let Some(after) = &said.after {
            assert_eq!(after.attributes, real.route.attributes, "{text}");
            assert_eq!(after.attributes.local_pref, local_pref, "{text}");
        }
    }
    // The same policy as a candidate changes nothing.
    let same = Arc::new(Policy::accept_all());
    let from = (PolicyPage::default(), 100);
    let (differences, tally, _) = speaker.test_policy(node(2), PolicyDirection::Import, &same, from).unwrap();
    assert_eq!((differences.len(), tally.examined, tally.accepted_then), (0, 4, 3));
}
