//! Objects that make no sense: a condition, and everything else stays in force.

use cairn_api::core::{Secret, SecretBytes};
use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPassword, BgpPeer, BgpPeerStatus, EgressGateway, FilterAction,
    FilterOperation, FilterRule, IpPool, PrependAsPath, SecretKeyRef,
};
use cairn_api::{Metadata, Object, Selector};
use cairn_net::{Asn, RemoteAs};
use felix_core::{Reason, Update};

use crate::world::{Reader, bgp, complete, derived, ip, node, peer, pool, prefix};

fn to(address: &str) -> BgpPeer {
    BgpPeer {
        peer_ip: Some(address.parse().unwrap()),
        as_number: Some(RemoteAs::Number(Asn(65001))),
        ..BgpPeer::default()
    }
}

fn password(key: &str) -> Option<BgpPassword> {
    let (name, key) = ("bgp".to_owned(), key.to_owned());
    Some(BgpPassword { secret_key_ref: SecretKeyRef { name, key } })
}

/// A rule whose numbers cannot be prepended behind a match of the path.
fn impossible() -> BgpFilter {
    let prefix = vec![Asn(65001), Asn(65002)];
    let operation = FilterOperation { prepend_as_path: Some(PrependAsPath { prefix }), ..Default::default() };
    let rule = FilterRule {
        cidr: None,
        match_operator: None,
        prefix_length: None,
        source: None,
        peer_type: None,
        communities: None,
        as_path_prefix: vec![Asn(65001)],
        interface: String::new(),
        priority: None,
        action: FilterAction::Accept,
        operations: vec![operation],
    };
    BgpFilter { export_v4: vec![rule], ..BgpFilter::default() }
}

/// Two nodes, a router that all nodes peer with, and what its peer needs.
fn cluster() -> Vec<Update> {
    let mut secret = Secret::default();
    // The one word that stands for a password which is not shown, and so can be none.
    for (key, value) in [("good", "word"), ("mark", "<hidden>"), ("empty", "")] {
        secret.data.insert(key.to_owned(), SecretBytes(value.as_bytes().to_vec()));
    }
    let secret = Object::new(Metadata::namespaced("cairn-system", "bgp"), secret);
    let filter = Object::new(Metadata::named("impossible"), impossible());
    vec![
        node("a", &["192.0.2.1"], &[]),
        node("b", &["192.0.2.2"], &[]),
        peer("good", BgpPeer { password: password("good"), ..to("192.0.2.254") }),
        Update::Secret("cairn-system/bgp".to_owned(), Some(Box::new(secret))),
        Update::BgpFilter("impossible".to_owned(), Some(Box::new(filter))),
    ]
}

fn addresses(found: &Reader) -> Vec<String> {
    let config = found.config.as_ref().expect("there is a document");
    config.neighbors.iter().map(|neighbor| neighbor.address.to_string()).collect()
}

#[test]
fn a_peer_that_makes_no_sense_has_a_condition_and_all_other_sessions_stay() {
    let filters = |name: &str| vec![name.to_owned()];
    let bad = || to("192.0.2.253");
    for (case, spec, reason, words) in [
        ("no filter", BgpPeer { filters: filters("none"), ..bad() }, Reason::FilterMissing, "BGPPeer/bad"),
        ("filter", BgpPeer { filters: filters("impossible"), ..bad() }, Reason::Unsupported, "asPathPrefix"),
        ("no key", BgpPeer { password: password("none"), ..bad() }, Reason::SecretMissing, "no key none"),
        ("no password", BgpPeer { password: password("empty"), ..bad() }, Reason::Invalid, "1 to 80 bytes"),
        ("the mark", BgpPeer { password: password("mark"), ..bad() }, Reason::Invalid, "BGPPeer/bad"),
        (
            "itself",
            BgpPeer { node: "a".to_owned(), ..to("192.0.2.1") },
            Reason::OwnAddress,
            "peerIP 192.0.2.1",
        ),
    ] {
        let found = derived(cluster().into_iter().chain([peer("bad", spec)]));
        assert_eq!(addresses(&found), ["192.0.2.2", "192.0.2.254"], "{case}: {:?}", found.conditions);
        assert_eq!(found.conditions.len(), 1, "{case}: {:?}", found.conditions);
        assert!(found.has_condition(reason, words), "{case}: {:?}", found.conditions);
    }
}

#[test]
fn a_node_that_all_nodes_are_to_peer_with_leaves_itself_out_without_a_word() {
    let selector: Selector = "all()".parse().unwrap();
    for selector in [None, Some(selector)] {
        let spec = BgpPeer { node_selector: selector, ..to("192.0.2.1") };
        let found = derived(cluster().into_iter().chain([peer("reflector", spec)]));
        assert_eq!(addresses(&found), ["192.0.2.2", "192.0.2.254"]);
        assert!(found.conditions.is_empty(), "{:?}", found.conditions);
    }
}

#[test]
fn a_mesh_without_its_password_leaves_the_other_sessions() {
    let spec = BgpConfiguration { node_mesh_password: password("none"), ..BgpConfiguration::default() };
    let found = derived(cluster().into_iter().chain([bgp(spec)]));
    assert_eq!(addresses(&found), ["192.0.2.254"]);
    let words = "BGPConfiguration/default: SecretMissing: no session of the mesh";
    assert!(found.has_condition(Reason::SecretMissing, words), "{:?}", found.conditions);
}

#[test]
fn a_gateway_that_cannot_be_in_force_leaves_the_others() {
    let gateway = |name: &str, address: &str| {
        let spec = EgressGateway {
            egress_ips: vec![ip(address)],
            namespace_selector: Selector::default(),
            pod_selector: Selector::default(),
            destination_cidrs: Vec::new(),
            excluded_cidrs: Vec::new(),
            node_selector: Selector::default(),
        };
        Update::EgressGateway(name.to_owned(), Some(Box::new(Object::new(Metadata::named(name), spec))))
    };
    for (case, address, reason) in [
        ("of a pool", "10.0.0.7", Reason::CidrOverlap),
        ("of a node", "192.0.2.2", Reason::Ambiguous),
        ("of another gateway", "192.0.2.7", Reason::Ambiguous),
    ] {
        let mut state = complete();
        let facts = [
            pool("p", IpPool::of(prefix("10.0.0.0/16"))),
            gateway("good", "192.0.2.7"),
            gateway("other", address),
        ];
        cluster().into_iter().chain(facts).for_each(|fact| state.apply(fact));
        let mut found = Reader::default();
        found.read(&mut state);
        assert!(
            state.egress_claims().contains_key("good") && !state.egress_claims().contains_key("other"),
            "{case}"
        );
        assert!(found.has_condition(reason, "EgressGateway/other"), "{case}: {:?}", found.conditions);
    }
}

#[test]
fn what_others_say_of_an_object_changes_nothing() {
    let mut state = complete();
    cluster().into_iter().for_each(|fact| state.apply(fact));
    Reader::default().read(&mut state);
    let spec = BgpPeer { password: password("good"), ..to("192.0.2.254") };
    let mut metadata = Metadata::named("good");
    metadata.resource_version = "7".to_owned();
    let mut said = Object::new(metadata, spec);
    said.status = Some(BgpPeerStatus::default());
    state.apply(Update::BgpPeer("good".to_owned(), Some(Box::new(said))));
    assert!(state.changes().is_empty());
}
