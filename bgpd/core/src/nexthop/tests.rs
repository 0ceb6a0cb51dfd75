//! Lookups: longest prefix, recursion, loops.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::*;

/// Routes of the kernel as `prefix metric interface [gateway]`; without an interface `blackhole` or refused.
fn kernel(routes: &[(&str, u32, u32, &str)]) -> KernelTable {
    let route = |(prefix, metric, interface, via): &(&str, u32, u32, &str)| {
        let gateway = Gateway { address: via.parse().ok(), interface: *interface, onlink: false };
        let target = match (interface, via) {
            (0, &"blackhole") => KernelTarget::Blackhole,
            (0, _) => KernelTarget::Refused,
            _ => KernelTarget::Gateways([gateway].into()),
        };
        (prefix.parse().unwrap(), KernelRoute { metric: *metric, protocol: 4, target })
    };
    routes.iter().map(route).collect()
}

struct World {
    kernel: KernelTable,
    /// Next hops; a blackhole has none.
    learned: BTreeMap<Prefix, Vec<IpAddr>>,
    resolve_via_default: bool,
}

impl World {
    fn new(routes: &[(&str, u32, u32, &str)], learned: &[(&str, &[&str])]) -> Self {
        let learned = learned.iter().map(|(prefix, hops)| {
            (prefix.parse().unwrap(), hops.iter().map(|hop| hop.parse().unwrap()).collect())
        });
        Self { kernel: kernel(routes), learned: learned.collect(), resolve_via_default: true }
    }

    fn resolve(&self, address: &str) -> Result<Resolution, Unresolved> {
        self.found(address).way
    }

    fn found(&self, address: &str) -> Found {
        let lookup = Lookup {
            options: NextHopTracking { resolve_via_default: self.resolve_via_default },
            kernel: &self.kernel,
            own: &|address| address == IpAddr::from([10, 0, 0, 1]),
            learned: &|prefix, towards| {
                let hops = self.learned.get(&prefix)?;
                let learned = if hops.is_empty() {
                    Learned::Blackhole
                } else {
                    Learned::Through(SmallVec::from_slice(hops))
                };
                (!hops.contains(&towards)).then_some(learned)
            },
            link: &|_| 7,
        };
        Lookups::new(lookup).resolve(address.parse().unwrap())
    }

    /// Metric and gateways as `address%interface`.
    fn way(&self, address: &str) -> (u32, Vec<String>) {
        let found = self.resolve(address).unwrap();
        let text = |gateway: &Gateway| format!("{}%{}", gateway.address.unwrap(), gateway.interface);
        (found.reach.metric, found.gateways.iter().map(text).collect())
    }
}

#[test]
fn a_connected_next_hop_costs_nothing_whatever_the_routes_metric() {
    let world = World::new(&[("192.0.2.0/24", 100, 2, ""), ("2001:db8::/64", 256, 2, "")], &[]);
    for address in ["192.0.2.9", "2001:db8::9"] {
        assert_eq!(world.way(address), (0, vec![format!("{address}%2")]));
        assert!(world.resolve(address).unwrap().reach.connected);
    }
}

#[test]
fn the_longest_prefix_decides_and_gives_metric_and_gateway() {
    let world = World::new(
        &[
            ("10.0.0.0/8", 20, 2, "192.0.2.1"),
            ("10.9.0.0/16", 30, 3, "192.0.2.2"),
            ("0.0.0.0/0", 5, 4, "192.0.2.3"),
        ],
        &[],
    );
    assert_eq!(world.way("10.9.1.1"), (30, vec!["192.0.2.2%3".to_owned()]));
    assert_eq!(world.way("10.8.1.1"), (20, vec!["192.0.2.1%2".to_owned()]));
    assert_eq!(world.way("172.16.0.1"), (5, vec!["192.0.2.3%4".to_owned()]));
    assert_eq!(world.resolve("10.9.1.1").unwrap().prefix, "10.9.0.0/16".parse().unwrap());
}

#[test]
fn the_default_route_is_a_way_only_where_it_may_be() {
    let mut world = World::new(&[("0.0.0.0/0", 5, 4, "192.0.2.3")], &[("::/0", &["fe80::1"])]);
    assert!(world.resolve("172.16.0.1").is_ok() && world.resolve("2001:db8::1").is_ok());
    world.resolve_via_default = false;
    assert_eq!(world.resolve("172.16.0.1"), Err(Unresolved::OnlyDefault));
    assert_eq!(world.resolve("2001:db8::1"), Err(Unresolved::OnlyDefault));
}

#[test]
fn nothing_and_nowhere_are_told_apart() {
    let world = World::new(&[("0.0.0.0/0", 5, 4, "192.0.2.3"), ("10.9.0.0/16", 0, 0, "")], &[]);
    // A more specific way to nowhere is what packets would take.
    assert_eq!(world.resolve("10.9.1.1"), Err(Unresolved::Refused("10.9.0.0/16".parse().unwrap())));
    assert_eq!(world.resolve("2001:db8::1"), Err(Unresolved::NoRoute));
}

#[test]
fn a_learned_route_is_followed_to_its_own_next_hops() {
    let world = World::new(
        &[("192.0.2.0/24", 0, 2, ""), ("198.51.100.0/24", 40, 3, "192.0.2.254")],
        &[("10.9.0.0/16", &["10.8.0.1"]), ("10.8.0.0/16", &["192.0.2.7", "198.51.100.7"])],
    );
    // The cheapest of the ways is what it costs.
    assert_eq!(world.way("10.9.0.1"), (0, vec!["192.0.2.7%2".to_owned(), "192.0.2.254%3".to_owned()]));
    let found = world.resolve("10.9.0.1").unwrap();
    assert_eq!((found.by, found.reach.connected), (ResolvedBy::Bgp, false));
}

#[test]
fn the_kernels_route_comes_before_a_learned_one_to_the_same_prefix() {
    let world = World::new(&[("10.9.0.0/16", 7, 2, "192.0.2.1")], &[("10.9.0.0/16", &["192.0.2.99"])]);
    assert_eq!(world.way("10.9.0.1").0, 7);
}

#[test]
fn a_route_through_itself_is_passed_over() {
    // The next hop lies in the very prefix that is announced with it.
    let mut world = World::new(&[("0.0.0.0/0", 9, 4, "192.0.2.3")], &[("10.9.0.0/16", &["10.9.0.1"])]);
    assert_eq!(world.way("10.9.0.1").0, 9);
    world.kernel = KernelTable::default();
    assert_eq!(world.resolve("10.9.0.1"), Err(Unresolved::NoRoute));
}

#[test]
fn a_blackhole_is_a_way_and_where_it_ends() {
    let mut world = World::new(
        &[("192.0.2.1/32", 7, 0, "blackhole"), ("198.51.100.0/24", 40, 3, "192.0.2.254")],
        &[
            ("10.9.0.0/16", &["192.0.2.1"]),
            ("10.8.0.0/16", &["192.0.2.1", "198.51.100.7"]),
            ("10.7.0.1/32", &[]),
        ],
    );
    // The kernel's own, one behind a learned route, and a learned one (RFC 7999).
    for (address, metric, by) in [
        ("192.0.2.1", 7, ResolvedBy::Kernel(4)),
        ("10.9.0.1", 7, ResolvedBy::Bgp),
        ("10.7.0.1", 0, ResolvedBy::Bgp),
    ] {
        let found = world.resolve(address).unwrap();
        assert_eq!(
            (found.reach, found.by),
            (Reach { metric, connected: false, own: false }, by),
            "{address}"
        );
        assert!(found.discards && found.gateways.is_empty(), "{address}");
    }
    // Beside another way it does not count.
    assert_eq!(world.way("10.8.0.1"), (40, vec!["192.0.2.254%3".to_owned()]));
    assert!(!world.resolve("10.8.0.1").unwrap().discards);
    // What is refused is no way.
    world.kernel = kernel(&[("192.0.2.1/32", 7, 0, "")]);
    assert_eq!(world.resolve("192.0.2.1"), Err(Unresolved::Refused("192.0.2.1/32".parse().unwrap())));
}

#[test]
fn an_address_of_our_own_is_the_end_of_the_way_and_no_way_to_others() {
    let mut world = World::new(&[], &[("10.9.0.0/16", &["10.0.0.1"])]);
    let own = world.resolve("10.0.0.1").unwrap();
    assert_eq!((own.by, own.reach), (ResolvedBy::Own, Reach { metric: 0, connected: true, own: true }));
    assert!(own.gateways.is_empty());
    assert_eq!(world.resolve("10.9.0.1"), Err(Unresolved::Loop));
    // Beside another next hop it is passed over.
    world.kernel = kernel(&[("192.0.2.0/24", 0, 2, "")]);
    world.learned.insert(
        "10.9.0.0/16".parse().unwrap(),
        ["10.0.0.1", "192.0.2.7"].map(|hop| hop.parse().unwrap()).to_vec(),
    );
    assert_eq!(world.way("10.9.0.1"), (0, vec!["192.0.2.7%2".to_owned()]));
}

#[test]
fn circles_of_learned_routes_end() {
    let circle =
        [("10.1.0.0/16", &["10.2.0.1"][..]), ("10.2.0.0/16", &["10.3.0.1"]), ("10.3.0.0/16", &["10.1.0.1"])];
    let mut world = World::new(&[], &circle);
    assert_eq!(world.resolve("10.1.0.1"), Err(Unresolved::Loop));
    // Whoever is left when the circle closes goes by what is shorter.
    world.kernel = kernel(&[("0.0.0.0/0", 9, 4, "192.0.2.3")]);
    for address in ["10.1.0.1", "10.2.0.1", "10.3.0.1"] {
        assert_eq!(world.way(address).0, 9);
    }
}

#[test]
fn a_chain_of_learned_routes_has_a_bound() {
    let chain = [
        ("10.1.0.0/16", &["10.2.0.1"][..]),
        ("10.2.0.0/16", &["10.3.0.1"]),
        ("10.3.0.0/16", &["10.4.0.1"]),
        ("10.4.0.0/16", &["192.0.2.1"]),
    ];
    let world = World::new(&[("192.0.2.0/24", 0, 2, "")], &chain);
    assert!(world.resolve("10.2.0.1").is_ok());
    assert_eq!(world.resolve("10.1.0.1"), Err(Unresolved::Loop));
}

#[test]
fn many_routes_that_lead_through_each_other_cost_a_look_at_each() {
    const MANY: u8 = 64;
    // Each of 64 prefixes is reached through a next hop in each of the others.
    let hop = |n: u8| IpAddr::from([10, n, 0, 1]);
    let calls = std::cell::Cell::new(0_u32);
    let kernel = kernel(&[("0.0.0.0/0", 9, 4, "192.0.2.3")]);
    let lookup = Lookup {
        options: NextHopTracking::default(),
        kernel: &kernel,
        own: &|_| false,
        learned: &|prefix, towards| {
            calls.set(calls.get() + 1);
            let hops = (0..MANY).map(hop).filter(|hop| *hop != towards && !prefix.contains(*hop)).collect();
            (prefix.len() == 16 && prefix.contains(towards)).then_some(Learned::Through(hops))
        },
        link: &|_| 0,
    };
    let mut lookups = Lookups::new(lookup);
    for n in 0..MANY {
        let found = lookups.resolve(hop(n));
        assert_eq!(found.way.unwrap().gateways.len(), 1);
        assert_eq!(found.passed, Passed::Many);
    }
    // 33 lengths for each next hop, once for each number of others that may follow.
    assert!(calls.get() <= 33 * 4 * u32::from(MANY), "{}", calls.get());
}

#[test]
fn a_lookup_names_the_next_hops_that_it_came_by() {
    let mut world = World::new(
        &[("192.0.2.0/24", 0, 2, "")],
        &[("10.9.0.0/16", &["10.8.0.1", "172.16.0.1"]), ("10.8.0.0/16", &["192.0.2.7"])],
    );
    let passed = |world: &World, address: &str| match world.found(address).passed {
        Passed::These(these) => these.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Passed::Many => "many".to_owned(),
    };
    assert_eq!(passed(&world, "192.0.2.9"), "");
    assert_eq!(passed(&world, "10.9.0.1"), "10.8.0.1 192.0.2.7 172.16.0.1");
    // Also where none was of use.
    world.kernel = KernelTable::default();
    assert_eq!(passed(&world, "10.8.0.1"), "192.0.2.7");
}

#[test]
fn a_link_local_next_hop_is_on_its_link() {
    let world = World::new(&[], &[("2001:db8::/32", &["fe80::1"])]);
    let found = world.resolve("fe80::9").unwrap();
    assert_eq!((found.by, found.reach, found.gateways[0].interface), (ResolvedBy::Link, Reach::ASSUMED, 7));
    assert_eq!(world.way("2001:db8::5"), (0, vec!["fe80::1%7".to_owned()]));
}

#[test]
fn a_table_knows_what_is_news() {
    let mut table = kernel(&[("10.0.0.0/8", 1, 2, "")]);
    let same = table.get("10.0.0.0/8".parse().unwrap()).cloned();
    assert!(!table.set("10.0.0.0/8".parse().unwrap(), same.clone()));
    assert!(table.set("10.0.0.0/8".parse().unwrap(), same.map(|route| KernelRoute { metric: 2, ..route })));
    assert!(!table.set("11.0.0.0/8".parse().unwrap(), None));
    assert!(table.set("10.0.0.0/8".parse().unwrap(), None));
    assert!(table.is_empty());
}
