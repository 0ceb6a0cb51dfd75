use super::*;
use crate::speaker::Interface;
use crate::wire::NextHop;

fn interface(addresses: &[&str]) -> Interface {
    Interface { addresses: addresses.iter().map(|addr| ip(addr)).collect() }
}

/// Node 1 in AS 65001 and node 2 in this AS, over IPv4, with a route of each family at node 1 and no configured next hop.
fn pair_without_next_hops(asn: u32) -> Sim {
    let mut sim = sim();
    let bare = |config: Config| Config { next_hop_addresses: Vec::new(), ..config };
    sim.add(node(1), with_peer(bare(config(1, 65001)), 2, open_peer(asn)));
    sim.add(node(2), with_peer(bare(config(2, asn)), 1, open_peer(65001)));
    originate(&mut sim, 1, &["10.1.0.0/24", "fd01::/64"]);
    sim.run(Duration::from_secs(3));
    assert!(is_up(&sim, 1, 2) && knows(&sim, 2, "10.1.0.0/24"));
    sim
}

fn tell(sim: &mut Sim, interfaces: &[Interface]) {
    sim.input(node(1), Input::InterfacesChanged(interfaces.to_vec()));
    sim.run(SOON);
}

fn next_hop(sim: &Sim) -> NextHop {
    explain(sim, 2, "fd01::/64")[0].route.next_hop
}

#[test]
fn the_next_hop_of_the_other_family_follows_the_interface_of_the_session() {
    let mut sim = pair_without_next_hops(65002);
    assert!(!knows(&sim, 2, "fd01::/64"), "there is no address to send");
    let notes = view(&sim, 1, 2).notes;
    assert!(notes.iter().any(|note| note.contains("the session's interface has none")), "{notes:?}");

    let elsewhere = interface(&["192.0.2.9", "2001:db8::9", "fe80::9"]);
    tell(&mut sim, std::slice::from_ref(&elsewhere));
    assert!(!knows(&sim, 2, "fd01::/64"), "another interface's address is another link's");

    let here = |addr| interface(&["10.0.0.1", "fe80::1", addr]);
    tell(&mut sim, &[elsewhere.clone(), here("fd00::1")]);
    assert_eq!(next_hop(&sim), NextHop::new(ip("fd00::1")));
    assert_eq!(view(&sim, 1, 2).notes, Vec::<String>::new());

    let updates = view(&sim, 2, 1).counters.updates_received;
    tell(&mut sim, &[elsewhere.clone(), here("fd00::1"), interface(&["198.51.100.1"])]);
    assert_eq!(view(&sim, 2, 1).counters.updates_received, updates, "nothing changed for this session");

    tell(&mut sim, &[elsewhere.clone(), here("fd00::7")]);
    assert_eq!(next_hop(&sim).addr, ip("fd00::7"));
    assert_eq!(view(&sim, 2, 1).counters.updates_received, updates + 1, "only the IPv6 route is sent again");

    sim.take_over(node(1)).unwrap();
    sim.run(Duration::from_secs(60));
    assert_eq!(next_hop(&sim).addr, ip("fd00::7"));
    assert_eq!(view(&sim, 2, 1).counters.updates_received, updates + 1, "a new process knows the interfaces");

    tell(&mut sim, &[elsewhere]);
    assert!(!knows(&sim, 2, "fd01::/64") && knows(&sim, 2, "10.1.0.0/24"));
}

#[test]
fn a_configured_next_hop_comes_before_the_interfaces() {
    let mut sim = pair_without_next_hops(65002);
    tell(&mut sim, &[interface(&["10.0.0.1", "fe80::1", "fd00::1"])]);
    let config = sim.nodes[&node(1)].config.clone();
    sim.configure(node(1), Config { next_hop_addresses: vec![ip("2001:db8::1")], ..config });
    sim.run(SOON);
    assert_eq!(next_hop(&sim), NextHop::new(ip("2001:db8::1")));
}

#[test]
fn no_peer_with_a_global_address_gets_a_link_local_next_hop() {
    for asn in [65001, 65002] {
        let mut sim = pair_without_next_hops(asn);
        tell(&mut sim, &[interface(&["10.0.0.1", "fe80::1", "fd00::1"])]);
        assert_eq!(next_hop(&sim), NextHop::new(ip("fd00::1")));
    }
}
