//! Peers whose AS is known from their OPEN alone.

use super::*;
use crate::speaker::{Confederation, LocalAs, RemoteAs};

/// An external peer of whatever AS.
fn external() -> PeerConfig {
    PeerConfig { remote_as: RemoteAs::External, ..open_peer(0) }
}

/// Node 1 of AS 65001, which takes any external peer at node 2, and node 2 of this AS, which takes node 1 by the same rule.
fn of_any_as(asn: u32) -> Sim {
    let mut sim = sim();
    sim.add(node(1), with_peer(config(1, 65001), 2, external()));
    sim.add(node(2), with_peer(config(2, asn), 1, external()));
    sim
}

fn comes_up(sim: &mut Sim) -> bool {
    sim.run_until(Duration::from_secs(5), |sim| is_up(sim, 1, 2))
}

#[test]
fn an_external_peer_of_any_as_comes_up_and_its_as_is_learned() {
    let mut sim = of_any_as(4_200_000_002);
    assert_eq!(view(&sim, 1, 2).asn, Asn::ZERO, "nobody knows it yet");
    assert!(comes_up(&mut sim));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(SOON);
    assert_eq!((view(&sim, 1, 2).asn, view(&sim, 2, 1).asn), (Asn(4_200_000_002), Asn(65001)));
    assert!(knows(&sim, 1, "10.2.0.0/24"));
    let up = sim.nodes[&node(1)].changes.iter().find_map(|(_, _, change)| match change {
        PeerChange::Up { asn, .. } => Some(*asn),
        _ => None,
    });
    assert_eq!(up, Some(Asn(4_200_000_002)));
}

#[test]
fn an_internal_peer_is_refused_where_an_external_one_is_wanted() {
    let mut sim = sim();
    sim.add(node(1), with_peer(config(1, 65001), 2, external()));
    sim.add(node(2), with_peer(config(2, 65001), 1, open_peer(65001)));
    sim.run(Duration::from_secs(3));
    assert!(!is_up(&sim, 1, 2));
    let (reasons, told) = (downs(&sim, 1), downs(&sim, 2));
    let clear = "wrong AS: the peer says AS 65001, the configuration says an external AS, other than 65001";
    assert!(reasons.iter().any(|reason| reason == clear), "{reasons:?}");
    assert!(told.iter().any(|reason| reason.contains("Bad Peer AS")), "{told:?}");
    assert_eq!(view(&sim, 1, 2).asn, Asn::ZERO);
}

#[test]
fn members_of_the_confederation_and_the_as_that_is_shown_are_not_external() {
    for (asn, comes) in [(65002, false), (65000, false), (65010, false), (65009, true)] {
        let mut sim = sim();
        let members = [Asn(65002)].into();
        let confederation = Some(Confederation { identifier: Asn(65000), members });
        let local_as = Some(LocalAs { asn: Asn(65010), no_prepend: false, replace_as: false });
        let us = Config { confederation, ..config(1, 65001) };
        sim.add(node(1), with_peer(us, 2, PeerConfig { local_as, ..external() }));
        sim.add(node(2), with_peer(config(2, asn), 1, open_peer(65010)));
        assert_eq!(comes_up(&mut sim), comes, "{asn}");
    }
}

#[test]
fn a_new_configuration_keeps_the_session_as_long_as_its_as_fits() {
    let mut sim = of_any_as(65002);
    assert!(comes_up(&mut sim));
    let described = |peer: PeerConfig| PeerConfig { description: "uplink".to_owned(), ..peer };
    let one_of = |asn| PeerConfig { remote_as: RemoteAs::OneOf(vec![Asn(asn)..=Asn(asn)]), ..open_peer(asn) };
    for peer in [described(external()), open_peer(65002), one_of(65002), external()] {
        sim.configure(node(1), with_peer(config(1, 65001), 2, peer));
        sim.run(Duration::from_secs(1));
        assert_eq!((view(&sim, 1, 2).asn, view(&sim, 2, 1).counters.established), (Asn(65002), 1));
    }
    sim.configure(node(1), with_peer(config(1, 65001), 2, open_peer(65003)));
    sim.run(Duration::from_secs(3));
    assert!(!is_up(&sim, 1, 2), "it is another AS");
    // Ours becomes what theirs is: no external peer any more.
    sim.configure(node(1), with_peer(config(1, 65001), 2, external()));
    assert!(sim.run_until(Duration::from_secs(60), |sim| is_up(sim, 1, 2)));
    sim.configure(node(1), with_peer(config(1, 65002), 2, external()));
    sim.run(Duration::from_secs(3));
    assert!(!is_up(&sim, 1, 2));
    assert_eq!(view(&sim, 1, 2).asn, Asn::ZERO);
}

#[test]
fn a_new_process_knows_the_as_and_the_peer_notices_nothing() {
    let mut sim = of_any_as(65002);
    assert!(comes_up(&mut sim));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(SOON);
    sim.take_over(node(1)).unwrap();
    assert_eq!(view(&sim, 1, 2).asn, Asn(65002));
    sim.run(Duration::from_secs(120));
    assert!(knows(&sim, 1, "10.2.0.0/24"));
    assert_eq!(view(&sim, 2, 1).counters.established, 1);
}

#[test]
fn what_was_kept_of_a_router_of_another_as_goes_when_the_next_one_comes() {
    let restart = Some(crate::speaker::GracefulRestartConfig::default());
    let us = Config { graceful_restart: restart.clone(), ..config(1, 65001) };
    let router = |asn| {
        let config = Config { graceful_restart: restart.clone(), ..config(2, asn) };
        with_peer(config, 1, external())
    };
    let mut sim = sim();
    sim.add(node(1), with_peer(us, 2, external()));
    sim.add(node(2), router(65002));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    assert!(sim.run_until(Duration::from_secs(60), |sim| knows(sim, 1, "10.2.0.0/24")));
    sim.kill(node(2));
    sim.run(Duration::from_secs(1));
    assert!(knows(&sim, 1, "10.2.0.0/24"), "it may come back");
    sim.configure(node(2), router(65003));
    sim.start(node(2));
    assert!(sim.run_until(Duration::from_secs(60), |sim| is_up(sim, 1, 2)));
    sim.run(SOON);
    assert_eq!(view(&sim, 1, 2).asn, Asn(65003));
    assert!(!knows(&sim, 1, "10.2.0.0/24"), "it was another router's");
}
