//! Roles and route leaks (RFC 9234).

use super::*;
use crate::rib::Rejection;
use crate::speaker::RoleConfig;
use crate::wire::Role;

const ROLES: [Role; 5] =
    [Role::Provider, Role::RouteServer, Role::RouteServerClient, Role::Customer, Role::Peer];

fn as_role(asn: u32, role: Option<Role>, strict: bool) -> PeerConfig {
    PeerConfig { role: role.map(|role| RoleConfig { role, strict }), ..open_peer(asn) }
}

/// Node 1 in this role towards node 2 in that one.
fn between(ours: Option<Role>, theirs: Option<Role>, strict: bool) -> Sim {
    let mut sim = sim();
    sim.add(node(1), with_peer(config(1, 65001), 2, as_role(65002, ours, strict)));
    sim.add(node(2), with_peer(config(2, 65002), 1, as_role(65001, theirs, false)));
    sim.run(Duration::from_secs(2));
    sim
}

#[test]
fn a_session_needs_roles_that_fit() {
    for ours in ROLES {
        for theirs in ROLES {
            let sim = between(Some(ours), Some(theirs), false);
            assert_eq!(is_up(&sim, 1, 2), ours.counterpart() == theirs, "{ours:?} and {theirs:?}");
            let mismatch = |n| downs(&sim, n).iter().any(|reason| reason.contains("Role Mismatch"));
            assert_eq!(mismatch(1) || mismatch(2), ours.counterpart() != theirs, "{ours:?} and {theirs:?}");
        }
    }
}

#[test]
fn a_peer_without_a_role_is_refused_in_strict_mode_only() {
    for ours in ROLES {
        assert!(is_up(&between(Some(ours), None, false), 1, 2));
        assert!(!is_up(&between(Some(ours), None, true), 1, 2));
    }
}

/// Node 1 between its peers; each of those announces a prefix. `of[i]` is what node 1 is to node i + 2.
fn star(of: &[Option<Role>]) -> Sim {
    let mut sim = sim();
    let mut centre = config(1, 65001);
    let nodes: Vec<u8> = (2..).take(of.len()).collect();
    for (n, role) in nodes.iter().zip(of) {
        centre = with_peer(centre, *n, as_role(65000 + u32::from(*n), *role, false));
    }
    sim.add(node(1), centre);
    for (n, role) in nodes.iter().zip(of) {
        let theirs = as_role(65001, role.map(Role::counterpart), true);
        sim.add(node(*n), with_peer(config(*n, 65000 + u32::from(*n)), 1, theirs));
        originate(&mut sim, *n, &[&format!("10.{n}.0.0/24")]);
    }
    assert!(sim.run_until(Duration::from_secs(5), |sim| nodes.iter().all(|n| is_up(sim, 1, *n))));
    sim.run(SOON);
    sim
}

fn mark(sim: &Sim, n: u8, text: &str) -> Option<Asn> {
    explain(sim, n, text).first().and_then(|route| route.route.attributes.only_to_customer)
}

#[test]
fn routes_from_above_and_beside_go_down_only_and_customers_routes_go_everywhere() {
    // Towards 2 we are a customer (it is our provider), towards 3 a peer, towards 4 a provider, towards 5 nothing known.
    let sim = star(&[Some(Role::Customer), Some(Role::Peer), Some(Role::Provider), None]);
    for (from, to) in [(2, 4), (2, 5), (3, 4), (3, 5), (4, 2), (4, 3), (4, 5), (5, 2), (5, 3), (5, 4)] {
        assert!(knows(&sim, to, &format!("10.{from}.0.0/24")), "from {from} to {to}");
    }
    for (from, to) in [(2, 3), (3, 2)] {
        assert!(!knows(&sim, to, &format!("10.{from}.0.0/24")), "a leak from {from} to {to}");
    }
    // Whoever sends downwards or sideways marks, and the first mark stays.
    assert_eq!(mark(&sim, 1, "10.2.0.0/24"), Some(Asn(65002)));
    assert_eq!(mark(&sim, 4, "10.2.0.0/24"), Some(Asn(65002)));
    assert_eq!(mark(&sim, 3, "10.4.0.0/24"), Some(Asn(65001)));
    assert_eq!(mark(&sim, 2, "10.4.0.0/24"), None);
    assert_eq!(mark(&sim, 5, "10.4.0.0/24"), None);
}

#[test]
fn a_route_server_marks_for_its_clients_and_takes_no_marked_route_from_them() {
    let sim = star(&[Some(Role::RouteServer), Some(Role::RouteServer)]);
    assert!(knows(&sim, 3, "10.2.0.0/24"));
    assert_eq!(mark(&sim, 3, "10.2.0.0/24"), Some(Asn(65001)));
    let sim = star(&[Some(Role::RouteServerClient), Some(Role::RouteServerClient)]);
    assert!(!knows(&sim, 3, "10.2.0.0/24"), "from one route server to another");
}

/// Node 2, which knows no roles, passes on what node 3 as its provider says to node 1, which takes node 2 for `role`'s counterpart.
fn leaked(role: Role) -> Vec<RouteView> {
    let mut sim = sim();
    sim.add(node(1), with_peer(config(1, 65001), 2, as_role(65002, Some(role), false)));
    let config_2 = with_peer(with_peer(config(2, 65002), 1, open_peer(65001)), 3, open_peer(65003));
    sim.add(node(2), config_2);
    let config_3 = with_peer(config(3, 65003), 2, as_role(65002, Some(Role::Provider), false));
    sim.add(node(3), config_3);
    originate(&mut sim, 3, &["10.3.0.0/24"]);
    assert!(sim.run_until(Duration::from_secs(5), |sim| is_up(sim, 1, 2) && is_up(sim, 2, 3)));
    sim.run(SOON);
    explain(&sim, 1, "10.3.0.0/24")
}

#[test]
fn a_marked_route_from_below_or_of_another_peer_is_a_leak() {
    for role in [Role::Provider, Role::RouteServer, Role::Peer] {
        let routes = leaked(role);
        assert_eq!(routes[0].rejection, Some(Rejection::RouteLeak), "{role:?}");
        assert_eq!(routes[0].route.attributes.only_to_customer, Some(Asn(65003)));
    }
    for role in [Role::Customer, Role::RouteServerClient] {
        assert_eq!(leaked(role)[0].rejection, None, "{role:?}");
    }
}

#[test]
fn a_changed_role_makes_the_session_anew() {
    let mut sim = between(Some(Role::Provider), None, false);
    let mut changed = sim.nodes[&node(1)].config.clone();
    changed.peers.get_mut(&node(2)).unwrap().role = Some(RoleConfig { role: Role::Peer, strict: false });
    sim.configure(node(1), changed);
    sim.run(Duration::from_secs(3));
    assert_eq!(view(&sim, 1, 2).counters.established, 2);
}
