//! Aggregates (RFC 4271 section 9.2.2.2).

use super::*;
use crate::speaker::AggregateConfig;
use crate::wire::{Community, Origin};

const WHOLE: &str = "10.8.0.0/15";

fn plain() -> AggregateConfig {
    AggregateConfig { prefix: prefix(WHOLE), summary_only: false, as_set: false, matching_med_only: false }
}

/// 1 (65001) and 4 (65004) - 2 (65002), which aggregates - 3 (65003).
fn fan(aggregates: Vec<AggregateConfig>) -> Sim {
    let mut sim = sim();
    let mut center = Config { aggregates, ..config(2, 65002) };
    for n in [1, 3, 4] {
        let asn = 65000 + u32::from(n);
        center = with_peer(center, n, open_peer(asn));
        sim.add(node(n), with_peer(config(n, asn), 2, open_peer(65002)));
    }
    sim.add(node(2), center);
    assert!(sim.run_until(Duration::from_secs(10), |sim| [1, 3, 4].iter().all(|n| is_up(sim, 2, *n))));
    sim.run(SOON);
    sim
}

fn reconfigure(sim: &mut Sim, aggregates: Vec<AggregateConfig>) {
    let config = Config { aggregates, ..sim.nodes[&node(2)].config.clone() };
    sim.configure(node(2), config);
    sim.run(SOON);
}

fn announce(sim: &mut Sim, n: u8, text: &str, med: Option<u32>, communities: &[Community]) {
    let communities = communities.to_vec();
    let route = OriginatedRoute { med, communities, ..OriginatedRoute::new(prefix(text)) };
    sim.input(node(n), Input::Originate { owner: "test".to_owned(), routes: vec![route], replace: false });
    sim.run(SOON);
}

#[test]
fn an_aggregate_exists_while_there_is_a_more_specific_route() {
    let mut sim = fan(vec![plain()]);
    assert!(!knows(&sim, 3, WHOLE));
    originate(&mut sim, 1, &["10.8.1.0/24", "10.10.0.0/24"]);
    originate(&mut sim, 4, &["10.9.1.0/24"]);
    sim.run(SOON);
    let attributes = &explain(&sim, 3, WHOLE)[0].route.attributes;
    assert_eq!(attributes.as_path.to_string(), "65002");
    assert!(attributes.atomic_aggregate);
    assert_eq!(attributes.aggregator.unwrap().to_string(), "AS65002 10.0.0.2");
    assert_eq!(attributes.origin, Origin::Igp);
    assert!(knows(&sim, 3, "10.8.1.0/24"));
    withdraw(&mut sim, 1, &["10.8.1.0/24"]);
    sim.run(SOON);
    assert!(knows(&sim, 3, WHOLE));
    withdraw(&mut sim, 4, &["10.9.1.0/24"]);
    sim.run(SOON);
    assert!(!knows(&sim, 3, WHOLE) && !knows(&sim, 2, WHOLE));
    assert!(knows(&sim, 3, "10.10.0.0/24"));
}

#[test]
fn the_set_of_all_as_and_communities_is_named_where_that_is_wanted() {
    let mut sim = fan(vec![AggregateConfig { as_set: true, ..plain() }]);
    announce(&mut sim, 1, "10.8.1.0/24", None, &[Community::new(1, 1)]);
    let path = |sim: &Sim, n: u8| explain(sim, n, WHOLE)[0].route.attributes.as_path.to_string();
    // One path is a sequence.
    assert_eq!(path(&sim, 3), "65002 65001");
    announce(&mut sim, 4, "10.9.1.0/24", None, &[Community::new(2, 2)]);
    assert_eq!(path(&sim, 3), "65002 {65001 65004}");
    let attributes = &explain(&sim, 3, WHOLE)[0].route.attributes;
    assert!(!attributes.atomic_aggregate);
    assert_eq!(
        attributes.communities.iter().collect::<Vec<_>>(),
        [Community::new(1, 1), Community::new(2, 2)]
    );
    // Whose AS is in it does not take it.
    assert!(!knows(&sim, 1, WHOLE));
    withdraw(&mut sim, 4, &["10.9.1.0/24"]);
    sim.run(SOON);
    assert_eq!(path(&sim, 3), "65002 65001");
}

#[test]
fn a_set_goes_only_if_all_that_it_stands_for_does() {
    let mut sim = fan(vec![AggregateConfig { as_set: true, ..plain() }]);
    let going = Community::GRACEFUL_SHUTDOWN;
    announce(&mut sim, 1, "10.8.1.0/24", None, &[Community::new(1, 1), going]);
    announce(&mut sim, 4, "10.9.1.0/24", None, &[Community::new(2, 2)]);
    let told = |sim: &Sim| -> Vec<Community> {
        explain(sim, 3, WHOLE)[0].route.attributes.communities.iter().collect()
    };
    assert_eq!(told(&sim), [Community::new(1, 1), Community::new(2, 2)]);
    announce(&mut sim, 4, "10.9.1.0/24", None, &[Community::new(2, 2), going]);
    assert_eq!(told(&sim), [Community::new(1, 1), Community::new(2, 2), going]);
}

#[test]
fn a_summary_alone_is_sent_and_what_it_stands_for_comes_back_without_it() {
    let mut sim = fan(vec![AggregateConfig { summary_only: true, ..plain() }]);
    originate(&mut sim, 1, &["10.8.1.0/24", "10.10.0.0/24"]);
    sim.run(SOON);
    let known = |sim: &Sim| [WHOLE, "10.8.1.0/24", "10.10.0.0/24"].map(|text| knows(sim, 3, text));
    assert_eq!(known(&sim), [true, false, true]);
    reconfigure(&mut sim, vec![plain()]);
    assert_eq!(known(&sim), [true, true, true]);
    reconfigure(&mut sim, Vec::new());
    assert_eq!(known(&sim), [false, true, true]);
    reconfigure(&mut sim, vec![AggregateConfig { summary_only: true, ..plain() }]);
    assert_eq!(known(&sim), [true, false, true]);
    assert_eq!(view(&sim, 2, 3).counters.established, 1);
}

#[test]
fn routes_of_different_med_are_not_aggregated_where_that_matters() {
    let mut sim = fan(vec![AggregateConfig { matching_med_only: true, ..plain() }]);
    announce(&mut sim, 1, "10.8.1.0/24", Some(5), &[]);
    assert_eq!(explain(&sim, 2, WHOLE)[0].route.attributes.med, Some(5));
    announce(&mut sim, 4, "10.9.1.0/24", Some(6), &[]);
    assert!(!knows(&sim, 2, WHOLE) && !knows(&sim, 3, WHOLE));
    announce(&mut sim, 4, "10.9.1.0/24", Some(5), &[]);
    assert!(knows(&sim, 3, WHOLE));
}

#[test]
fn a_smaller_aggregate_is_part_of_a_larger_one() {
    let larger = AggregateConfig { prefix: prefix("10.0.0.0/8"), summary_only: true, ..plain() };
    let mut sim = fan(vec![plain(), larger]);
    originate(&mut sim, 1, &["10.8.1.0/24"]);
    sim.run(SOON);
    assert!(knows(&sim, 2, WHOLE) && knows(&sim, 3, "10.0.0.0/8"));
    assert!(!knows(&sim, 3, WHOLE) && !knows(&sim, 3, "10.8.1.0/24"));
    withdraw(&mut sim, 1, &["10.8.1.0/24"]);
    sim.run(SOON);
    assert!(!knows(&sim, 2, WHOLE) && !knows(&sim, 3, "10.0.0.0/8"));
}

#[test]
fn an_aggregate_goes_on_and_goes_in_a_process_that_takes_over() {
    let mut sim = fan(vec![AggregateConfig { as_set: true, ..plain() }]);
    originate(&mut sim, 1, &["10.8.1.0/24"]);
    sim.run(SOON);
    let attributes = |sim: &Sim| explain(sim, 3, WHOLE)[0].route.attributes.clone();
    let (before, updates) = (attributes(&sim), view(&sim, 3, 2).counters.updates_received);
    sim.take_over(node(2)).unwrap();
    sim.run(SOON);
    assert_eq!(attributes(&sim), before);
    assert_eq!(view(&sim, 3, 2).counters.updates_received, updates, "nobody is told anything");
    withdraw(&mut sim, 1, &["10.8.1.0/24"]);
    sim.run(SOON);
    assert!(!knows(&sim, 3, WHOLE), "nothing is left of it");
}
