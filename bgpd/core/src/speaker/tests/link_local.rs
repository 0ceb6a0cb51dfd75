//! Sessions over link-local addresses (RFC 8950, RFC 2545).

use super::*;

fn link_local(n: u8) -> IpAddr {
    ip(&format!("fe80::{n}"))
}

/// A speaker without any address of its own but the link-local ones.
fn bare(n: u8, asn: u32, peers: &[(u8, u32)]) -> Config {
    let mut config = Config { next_hop_addresses: Vec::new(), ..config(n, asn) };
    for (peer, asn) in peers {
        config.peers.insert(link_local(*peer), open_peer(*asn));
    }
    config
}

#[test]
fn a_link_local_session_announces_itself_for_both_families() {
    let mut sim = sim();
    sim.add(link_local(1), bare(1, 65001, &[(2, 65002)]));
    sim.add(link_local(2), bare(2, 65002, &[(1, 65001), (3, 65002)]));
    sim.add(link_local(3), bare(3, 65002, &[(2, 65002)]));
    let prefixes = ["10.1.0.0/24", "2001:db8:1::/48"];
    let routes = prefixes.iter().map(|text| OriginatedRoute::new(prefix(text))).collect();
    sim.input(link_local(1), Input::Originate { owner: "test".to_owned(), routes, replace: false });
    let hops = |sim: &Sim, n: u8, text: &str| {
        sim.nodes[&link_local(n)].routes.get(&prefix(text)).map(|best| best.next_hops.to_vec())
    };
    let known = |sim: &Sim| prefixes.iter().all(|text| hops(sim, 3, text).is_some());
    assert!(sim.run_until(Duration::from_secs(10), known));
    for text in prefixes {
        assert_eq!(hops(&sim, 2, text), Some(vec![link_local(1)]), "{text}");
        // A link-local next hop means nothing on another link, not even inside the AS.
        assert_eq!(hops(&sim, 3, text), Some(vec![link_local(2)]), "{text}");
    }
}
