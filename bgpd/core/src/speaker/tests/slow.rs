use super::*;

fn prefixes(from: u32, to: u32) -> Vec<Prefix> {
    (from..to)
        .map(|n| Prefix::new(IpAddr::from((0x0b00_0000 + (n << 8)).to_be_bytes()), 24).unwrap())
        .collect()
}

fn set(sim: &mut Sim, n: u8, med: u32, prefixes: &[Prefix]) {
    let route = |prefix: &Prefix| OriginatedRoute { med: Some(med), ..OriginatedRoute::new(*prefix) };
    let routes = prefixes.iter().map(route).collect();
    sim.input(node(n), Input::Originate { owner: "test".to_owned(), routes, replace: true });
}

#[test]
fn a_peer_that_reads_nothing_costs_little_and_ends_with_the_right_table() {
    let mut sim = pair(65002);
    sim.stall(node(1));
    // Far more than a log keeps: 40 times 30,000 prefixes of four octets and more each.
    for round in 0..40 {
        set(&mut sim, 1, round, &prefixes(round * 100, 30_000 + round * 100));
    }
    sim.unstall(node(1));
    sim.run(Duration::from_secs(2));
    let routes = &sim.nodes[&node(2)].routes;
    assert_eq!(routes.keys().copied().collect::<Vec<_>>(), prefixes(3900, 33_900));
    let speaker = sim.nodes[&node(2)].speaker.as_ref().unwrap();
    assert!(
        prefixes(3900, 33_900)
            .iter()
            .all(|prefix| speaker.explain(*prefix)[0].route.attributes.med == Some(39))
    );
    // It was sent about once, not forty times.
    assert!(sim.nodes[&node(1)].sent[&node(2)] < 12 << 20, "{}", sim.nodes[&node(1)].sent[&node(2)]);
}

#[test]
fn a_late_joiner_ends_with_the_right_table_whatever_changes_meanwhile() {
    let mut sim = pair(65002);
    let mut config = sim.nodes[&node(1)].config.clone();
    set(&mut sim, 1, 1, &prefixes(0, 40_000));
    config = with_peer(config, 3, open_peer(65003));
    sim.configure(node(1), config);
    sim.budget = 4 << 10;
    sim.add(node(3), with_peer(super::config(3, 65003), 1, open_peer(65001)));
    for round in 0..50 {
        sim.run(Duration::from_millis(1));
        set(&mut sim, 1, round, &prefixes(round * 700, 20_000 + round * 400));
    }
    sim.run(Duration::from_secs(2));
    for n in [2, 3] {
        let routes: Vec<_> = sim.nodes[&node(n)].routes.keys().copied().collect();
        assert_eq!(routes, prefixes(49 * 700, 20_000 + 49 * 400), "node {n}");
    }
}

#[test]
fn a_peer_that_never_reads_is_given_up_in_the_end() {
    let mut sim = pair(65002);
    sim.stall(node(1));
    originate(&mut sim, 1, &["10.1.0.0/24"]);
    sim.run(Duration::from_secs(700));
    assert!(downs(&sim, 1).iter().any(|reason| reason.contains("send hold time")) || !is_up(&sim, 1, 2));
}
