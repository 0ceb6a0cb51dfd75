use std::time::Duration;

use bgpd_api::config::Community;
use cairn_api::annotation::DRAIN;
use cairn_api::core::{Node, NodeCondition, NodeState, Taint};
use cairn_api::kinds::{AffinityState, BgpConfiguration, Drain};
use cairn_api::{GoDuration, Object};
use cairn_net::Family;
use felix_core::{DrainCause, State, Update};

use crate::egress::gateway;
use crate::world::{Reader, affinity, bgp, complete, endpoint, ip, learned, node, prefix};

const GRACEFUL_SHUTDOWN: Community = Community::Standard(0xffff_0000);

/// A node's object with something else about it.
fn node_with(name: &str, change: impl FnOnce(&mut Object<Node>)) -> Update {
    let Update::Node(name, Some(mut object)) = node(name, &[address(name)], &[]) else { unreachable!() };
    change(&mut object);
    Update::Node(name, Some(object))
}

fn address(name: &str) -> &'static str {
    match name {
        "a" => "192.0.2.1",
        "b" => "192.0.2.2",
        _ => "192.0.2.3",
    }
}

fn cordoned(name: &str) -> Update {
    node_with(name, |node| node.spec.unschedulable = true)
}

fn tainted(name: &str, key: &str) -> Update {
    node_with(name, |node| node.spec.taints = vec![Taint { key: key.to_owned(), ..Taint::default() }])
}

fn with_condition(name: &str, kind: &str, status: &str, message: &str) -> Update {
    let [kind, status, message] = [kind, status, message].map(ToOwned::to_owned);
    let conditions = vec![NodeCondition { kind, status, message }];
    node_with(name, |node| node.status = Some(NodeState { conditions, ..NodeState::default() }))
}

/// Node `a` with two blocks of IPv4, of which one has a pod, and one of IPv6 without.
fn ground() -> [Update; 5] {
    let confirmed = |block| affinity(block, "a", AffinityState::Confirmed);
    [
        node("a", &[address("a")], &[]),
        confirmed("10.0.0.0/26"),
        confirmed("10.0.0.64/26"),
        confirmed("fd00::40/122"),
        endpoint("crn1", &["10.0.0.1"]),
    ]
}

fn apply(state: &mut State, reader: &mut Reader, facts: impl IntoIterator<Item = Update>) -> usize {
    facts.into_iter().for_each(|fact| state.apply(fact));
    reader.read(state)
}

fn begin() -> (State, Reader) {
    let (mut state, mut reader) = (complete(), Reader::default());
    apply(&mut state, &mut reader, ground());
    (state, reader)
}

/// What is announced, and whether all of it, or nothing, is marked as leaving.
fn announced(reader: &Reader) -> (Vec<String>, bool) {
    let is_marked = |communities: &[Community]| communities.contains(&GRACEFUL_SHUTDOWN);
    let marked = reader.announced.values().filter(|route| is_marked(&route.communities)).count();
    assert!(marked == 0 || marked == reader.announced.len(), "{:?}", reader.announced);
    (reader.announced.keys().map(ToString::to_string).collect(), marked > 0)
}

fn texts(prefixes: &[&str]) -> Vec<String> {
    prefixes.iter().map(|text| (*text).to_owned()).collect()
}

const ALL: [&str; 3] = ["10.0.0.0/26", "10.0.0.64/26", "fd00::40/122"];

#[test]
fn all_is_marked_then_what_nothing_uses_is_withdrawn_and_all_comes_back() {
    let (mut state, mut reader) = begin();
    assert_eq!(announced(&reader), (texts(&ALL), false));
    let before = reader.clone();
    assert!(state.drain().is_none() && state.drain_causes().is_empty());

    apply(&mut state, &mut reader, [cordoned("a")]);
    assert_eq!(announced(&reader), (texts(&ALL), true));
    assert!(
        reader.announced.values().all(|route| route.local_preference.is_none()),
        "bgpd's own choice stays"
    );
    assert_eq!((&reader.config, &reader.routes), (&before.config, &before.routes), "nothing else changes");
    assert_eq!(state.drain_causes(), [DrainCause::Cordoned]);
    assert_eq!(state.drain_wait(), Duration::from_secs(30));

    apply(&mut state, &mut reader, [Update::DrainWaited(true)]);
    assert_eq!(announced(&reader), (texts(&["10.0.0.0/26"]), true));
    let drain = state.drain().unwrap();
    assert_eq!((drain.waited, drain.addresses, drain.used, drain.idle), (true, 1, 1, 2));
    assert!(!drain.is_over());

    // A pod that starts there all the same is reached, and so is what borrowed an address of another's block.
    apply(&mut state, &mut reader, [endpoint("crn2", &["10.0.0.65", "fd00::41", "10.9.0.7"])]);
    let now = ["10.0.0.0/26", "10.0.0.64/26", "10.9.0.7/32", "fd00::40/122"];
    assert_eq!(announced(&reader), (texts(&now), true));
    for interface in ["crn1", "crn2"] {
        apply(&mut state, &mut reader, [Update::Endpoint(interface.to_owned(), None)]);
    }
    assert_eq!(announced(&reader), (Vec::new(), false));
    assert!(state.drain().unwrap().is_over());

    apply(&mut state, &mut reader, ground());
    assert!(state.drain().is_none());
    assert_eq!(reader, before, "as if nothing had been");
}

#[test]
fn the_address_of_a_tunnel_keeps_its_block_announced() {
    let (mut state, mut reader) = begin();
    let tunnel = Update::TunnelAddresses([(Family::Ipv4, ip("10.0.0.70"))].into());
    apply(&mut state, &mut reader, [cordoned("a"), Update::DrainWaited(true), tunnel]);
    assert_eq!(announced(&reader), (texts(&["10.0.0.0/26", "10.0.0.64/26"]), true));
    apply(&mut state, &mut reader, [Update::TunnelAddresses([].into())]);
    assert_eq!(announced(&reader), (texts(&["10.0.0.0/26"]), true));
}

#[test]
fn that_it_has_waited_means_nothing_for_a_node_that_is_not_emptied() {
    let (mut state, mut reader) = begin();
    assert_eq!(apply(&mut state, &mut reader, [Update::DrainWaited(true)]), 0);
    // Nor does what another node is about to do.
    apply(&mut state, &mut reader, [cordoned("b"), node("b", &[address("b")], &[])]);
    let before = reader.announced.clone();
    apply(&mut state, &mut reader, [cordoned("b")]);
    assert_eq!(reader.announced, before);
}

#[test]
fn what_counts_is_configured() {
    let shutdown = "container runtime is down, node is shutting down";
    let other = Drain { taints: vec!["example.com/leaving".to_owned()], ..Drain::default() };
    let none = Drain {
        on_cordon: false,
        on_shutdown: false,
        taints: Vec::new(),
        conditions: Vec::new(),
        ..Drain::default()
    };
    let cases = [
        (cordoned("a"), Some(DrainCause::Cordoned)),
        (with_condition("a", "Ready", "False", shutdown), Some(DrainCause::ShuttingDown)),
        (with_condition("a", "Ready", "False", "container runtime is down"), None),
        (with_condition("a", "Ready", "True", ""), None),
        (
            with_condition("a", "DrainInProgress", "True", ""),
            Some(DrainCause::Condition("DrainInProgress".to_owned())),
        ),
        (with_condition("a", "DrainInProgress", "False", ""), None),
        (with_condition("a", "MemoryPressure", "True", ""), None),
        (
            tainted("a", "karpenter.sh/disrupted"),
            Some(DrainCause::Tainted("karpenter.sh/disrupted".to_owned())),
        ),
        (
            tainted("a", "ToBeDeletedByClusterAutoscaler"),
            Some(DrainCause::Tainted("ToBeDeletedByClusterAutoscaler".to_owned())),
        ),
        (tainted("a", "node.kubernetes.io/not-ready"), None),
        (tainted("a", "node-role.kubernetes.io/control-plane"), None),
    ];
    for (fact, cause) in cases {
        let (mut state, mut reader) = begin();
        apply(&mut state, &mut reader, [fact]);
        assert_eq!(state.drain_causes(), Vec::from_iter(cause.clone()));
        assert_eq!(announced(&reader), (texts(&ALL), cause.is_some()));
        let config = |drain: &Drain| {
            bgp(BgpConfiguration { drain: Some(drain.clone()), ..BgpConfiguration::default() })
        };
        apply(&mut state, &mut reader, [config(&none)]);
        assert_eq!(announced(&reader), (texts(&ALL), false), "{cause:?}");
        apply(&mut state, &mut reader, [config(&other), tainted("a", "example.com/leaving")]);
        assert_eq!(state.drain_causes(), [DrainCause::Tainted("example.com/leaving".to_owned())]);
        // What an operator asks for counts whatever is configured.
        let asked = |why| node("a", &[address("a")], &[(DRAIN, why)]);
        apply(&mut state, &mut reader, [config(&none), asked("new disk")]);
        assert_eq!(state.drain_causes(), [DrainCause::Requested("new disk".to_owned())]);
        assert_eq!(announced(&reader), (texts(&ALL), true));
        apply(&mut state, &mut reader, [asked("false")]);
        assert_eq!(announced(&reader), (texts(&ALL), false));
    }
    let wait = GoDuration::new(Duration::from_secs(7));
    let (mut state, mut reader) = begin();
    let drain = Some(Drain { wait, ..Drain::default() });
    apply(&mut state, &mut reader, [bgp(BgpConfiguration { drain, ..BgpConfiguration::default() })]);
    assert_eq!(state.drain_wait(), Duration::from_secs(7));
}

#[test]
fn the_addresses_of_a_gateway_move_once_the_node_has_waited_and_somebody_can_take_them() {
    let (mut state, mut reader) = begin();
    let held = prefix("203.0.113.1/32");
    let facts = [node("b", &[address("b")], &[]), gateway("g", &["203.0.113.1"], Some("a"), |_| {})];
    apply(&mut state, &mut reader, facts);
    let candidate = |state: &State| state.egress_claims()["g"].candidate;
    assert!(candidate(&state) && reader.announced.contains_key(&held));

    apply(&mut state, &mut reader, [cordoned("a")]);
    assert!(candidate(&state), "it keeps them while it waits");
    assert!(reader.announced[&held].communities.contains(&GRACEFUL_SHUTDOWN));
    apply(&mut state, &mut reader, [Update::DrainWaited(true)]);
    assert!(candidate(&state), "of the other one nothing is heard");
    let block =
        [affinity("10.0.9.0/26", "b", AffinityState::Confirmed), learned("10.0.9.0/26", &["192.0.2.254"])];
    apply(&mut state, &mut reader, block);
    assert!(!candidate(&state), "it gives them back");
    assert_eq!(state.drain().unwrap().egress, 1);

    // Where there is nobody else who could take them, it goes on.
    let unable = [
        cordoned("b"),
        with_condition("b", "Ready", "Unknown", "Kubelet stopped posting node status."),
        tainted("b", "node.kubernetes.io/unreachable"),
        Update::Node("b".to_owned(), None),
    ];
    for fact in unable {
        apply(&mut state, &mut reader, [fact.clone()]);
        assert!(candidate(&state), "{fact:?}");
        apply(&mut state, &mut reader, [node("b", &[address("b")], &[])]);
        assert!(!candidate(&state), "{fact:?}");
    }

    // What it does not have it does not take.
    apply(
        &mut state,
        &mut reader,
        [gateway("g", &["203.0.113.1"], None, |_| {}), Update::DrainWaited(false)],
    );
    assert!(!candidate(&state));
    apply(&mut state, &mut reader, [node("a", &[address("a")], &[])]);
    assert!(candidate(&state));
}

#[test]
fn others_do_not_wait_for_a_candidate_that_is_being_emptied() {
    let (mut state, mut reader) = begin();
    let facts = ["b", "c"].map(|name| node(name, &[address(name)], &[]));
    apply(&mut state, &mut reader, facts);
    let selected = |spec: &mut cairn_api::kinds::EgressGateway| {
        spec.node_selector = "name in {'a', 'b', 'c'}".parse().unwrap();
    };
    // Of many gateways one has other candidates before this node.
    let names: Vec<String> = (0..20).map(|number| format!("g{number}")).collect();
    for (number, name) in (1..).zip(&names) {
        apply(&mut state, &mut reader, [gateway(name, &[&format!("203.0.113.{number}")], None, selected)]);
    }
    let before: Vec<u32> = names.iter().map(|name| state.egress_claims()[name].rank).collect();
    assert!(before.contains(&2), "{before:?}");
    apply(&mut state, &mut reader, [cordoned("b"), cordoned("c")]);
    assert!(names.iter().all(|name| state.egress_claims()[name].rank == 0));
}
