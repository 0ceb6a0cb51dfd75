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

/// RFC 4486 subcode 8: what it has missed would take more memory than its routes are worth. It begins anew with the table.
#[test]
fn a_peer_that_misses_more_than_is_remembered_is_cut_off_and_begins_anew() {
    let mut sim = pair(65002);
    sim.nodes.get_mut(&node(1)).unwrap().speaker.as_mut().unwrap().missed_allowance = 1000;
    sim.stall(node(1));
    // Prefixes that come and go, each with some 450 octets of its own: 27 MB, of which the log keeps 16.
    let communities: Vec<crate::wire::Community> =
        (0..100).map(|n| format!("65001:{n}").parse().unwrap()).collect();
    for round in 0..60 {
        let route = |(med, prefix): (u32, Prefix)| OriginatedRoute {
            med: Some(med),
            communities: communities.clone(),
            ..OriginatedRoute::new(prefix)
        };
        let routes = (0..).zip(prefixes(round * 1000, (round + 1) * 1000)).map(route).collect();
        sim.input(node(1), Input::Originate { owner: "test".to_owned(), routes, replace: true });
    }
    sim.run(SOON);
    for n in [1, 2] {
        let reasons = downs(&sim, n);
        assert!(reasons.iter().any(|reason| reason.contains("Out of Resources")), "node {n}: {reasons:?}");
    }
    sim.unstall(node(1));
    assert!(sim.run_until(Duration::from_mins(10), |sim| is_up(sim, 1, 2)), "{:?}", downs(&sim, 1));
    sim.run(Duration::from_secs(2));
    let routes: Vec<_> = sim.nodes[&node(2)].routes.keys().copied().collect();
    assert_eq!(routes, prefixes(59_000, 60_000));
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

/// Two speakers with these timers, of which node 2 reads nothing once there is something to be read.
fn deaf_after(hold: Duration, send_hold: Option<Duration>) -> Sim {
    let mut sim = sim();
    let peer = |asn| {
        let mut peer = open_peer(asn);
        (peer.timers.hold, peer.timers.send_hold) = (hold, send_hold);
        peer
    };
    sim.add(node(1), with_peer(config(1, 65001), 2, peer(65002)));
    sim.add(node(2), with_peer(config(2, 65002), 1, peer(65001)));
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2)));
    sim.run(Duration::from_secs(1));
    sim.stall(node(1));
    originate(&mut sim, 1, &["10.1.0.0/24"]);
    sim
}

/// RFC 9687: with a hold time of zero nothing else would ever notice.
#[test]
fn a_peer_that_never_reads_is_given_up_after_the_send_hold_time() {
    let minutes = Duration::from_mins;
    for (hold, send_hold, limit) in [
        (Duration::ZERO, None, minutes(8)),
        (Duration::ZERO, Some(minutes(1)), minutes(1)),
        (minutes(5), None, minutes(10)),
    ] {
        let mut sim = deaf_after(hold, send_hold);
        // Node 2 hears nothing either; only where its hold time is longer it is node 1 who ends the session.
        sim.cut.insert((node(2), node(1)));
        sim.nodes.get_mut(&node(2)).unwrap().speaker = None;
        sim.run(limit - Duration::from_secs(1));
        let given_up = |sim: &Sim| downs(sim, 1).iter().any(|reason| reason.contains("send hold time"));
        assert!(!given_up(&sim), "{hold:?} {send_hold:?}: too early");
        if hold.is_zero() {
            sim.run(Duration::from_secs(2));
            assert!(given_up(&sim), "{hold:?} {send_hold:?}: {:?}", downs(&sim, 1));
        }
    }
}

#[test]
fn a_send_hold_time_of_zero_waits_for_ever_and_none_is_shorter_than_the_hold_time() {
    let timers = |send_hold| crate::speaker::TimerConfig { send_hold, ..Default::default() };
    let seconds = Duration::from_secs;
    assert_eq!(timers(Some(Duration::ZERO)).send_hold(seconds(90)), None);
    assert_eq!(timers(Some(seconds(5))).send_hold(seconds(90)), Some(seconds(90)));
    assert_eq!(timers(None).send_hold(seconds(3)), Some(seconds(480)));
    assert_eq!(timers(None).send_hold(seconds(600)), Some(seconds(1200)));
}
