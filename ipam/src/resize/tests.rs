use cairn_api::core::{Node, NodeAddress, NodeState, Pod, PodIp, PodState};
use cairn_api::kinds::{
    AffinityState, Allocation, AllocationState, Attachment, AttachmentMode, BgpConfiguration, BgpFilter,
    BgpPeer, BlockAffinity, BlockSource, EgressGateway, FilterAction, FilterRule, IpPool, IpReservation,
    IpamBlock, MatchOperator, PrefixAdvertisement,
};
use cairn_api::{Kind, Metadata, Object, Timestamp, name};
use cairn_net::Prefix;

use super::*;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn object<K: Kind>(name: &str, spec: K) -> Object<K> {
    Object::new(Metadata::named(name), spec)
}

fn wish(cidr: &str, block_size: Option<u8>, to: Option<&str>) -> Wish {
    let cidr = (!cidr.is_empty()).then(|| prefix(cidr));
    Wish { pool: "p".to_owned(), cidr, block_size, to: to.map(str::to_owned) }
}

fn change(cidr: &str, to: Option<&str>, seen: &Seen) -> Change {
    Change::of(&wish(cidr, None, to), &seen.pools).unwrap()
}

fn entry(address: &str, node: &str, state: AllocationState, pod: &str) -> Allocation {
    Allocation {
        address: address.parse().unwrap(),
        node: node.to_owned(),
        state,
        handle: format!("net.{pod}.eth0"),
        pod: pod.to_owned(),
        since: Timestamp::from_unix(100),
    }
}

fn add_block(seen: &mut Seen, cidr: &str, node: &str, allocations: Vec<Allocation>) {
    let (cidr, pool) = (prefix(cidr), "p".to_owned());
    let name = name::of_prefix(cidr);
    let (node, state) = (node.to_owned(), AffinityState::Confirmed);
    seen.affinities.push(object(&name, BlockAffinity { cidr, node, pool: pool.clone(), state }));
    seen.blocks.push(object(&name, IpamBlock { cidr, pool, allocations }));
}

/// Pool `p`, 10.0.0.0/24: a block of n1 with two pods' addresses, and one of n2 at the end with one that rests.
fn seen() -> Seen {
    let mut seen = Seen {
        pools: vec![object("p", IpPool::of(prefix("10.0.0.0/24")))],
        learned: Some(Vec::new()),
        ..Seen::default()
    };
    let two = ["10.0.0.0", "10.0.0.1"].into_iter().zip(["shop/web-5d-x", "shop/web-5d-y"]);
    let two = two.map(|(address, pod)| entry(address, "n1", AllocationState::Assigned, pod)).collect();
    add_block(&mut seen, "10.0.0.0/26", "n1", two);
    let rests = vec![entry("10.0.0.193", "n2", AllocationState::Released, "shop/gone")];
    add_block(&mut seen, "10.0.0.192/26", "n2", rests);
    seen
}

fn now() -> Timestamp {
    Timestamp::from_unix(110)
}

fn words(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|found| format!("{}: {}", found.object, found.what)).collect()
}

fn steps(plan: &Plan) -> Vec<&'static str> {
    let word = |step: &Step| match step {
        Step::Create { .. } => "create",
        Step::Disable { .. } => "disable",
        Step::Empty { .. } => "empty",
        Step::Resize { enable: false, .. } => "resize",
        Step::Resize { enable: true, .. } => "resize and enable",
        Step::Delete { .. } => "delete",
    };
    plan.steps.iter().map(word).collect()
}

#[test]
fn what_a_wish_comes_down_to() {
    let seen = seen();
    let of = |cidr, size, to| Change::of(&wish(cidr, size, to), &seen.pools);
    assert!(matches!(of("10.0.0.0/23", None, None), Ok(Change::Widen { .. })));
    assert!(matches!(of("10.0.0.0/25", Some(26), None), Ok(Change::Narrow { enable: true, .. })));
    let Ok(Change::Move { spec, .. }) = of("10.9.0.0/24", Some(28), Some("q")) else { panic!("no move") };
    assert_eq!((spec.cidr, spec.block_size), (prefix("10.9.0.0/24"), Some(28)));
    for (cidr, size, to, why) in [
        ("", None, None, "nothing to change"),
        ("10.0.0.0/24", Some(26), None, "nothing to change"),
        ("fd00::/64", None, None, "cidr: fd00::/64: a range of ipv4"),
        ("", Some(27), None, "blockSize: 27: blocks of two sizes must not share addresses"),
        ("10.0.0.0/23", Some(27), Some("q"), "blockSize: 27: blocks of two sizes must not share addresses"),
        ("10.0.0.0/23", None, Some("q"), "to: \"q\": only for a range apart"),
        ("10.9.0.0/24", None, None, "to: none: 10.9.0.0/24 is apart from 10.0.0.0/24"),
        ("10.9.0.0/24", None, Some("p"), "to: \"p\": another name"),
        ("10.9.0.0/24", None, Some("Q_"), "to: \"Q_\""),
        ("10.9.0.0/24", Some(19), Some("q"), "spec.blockSize: \"19\": 20 to 32"),
        ("10.9.0.0/28", None, Some("q"), "spec.blockSize: \"26\": not shorter than"),
    ] {
        let error = of(cidr, size, to).unwrap_err();
        assert!(error.contains(why), "{cidr} {size:?} {to:?}: {error}");
    }
    let nameless = Change::of(&Wish { pool: "x".to_owned(), ..wish("10.0.0.0/23", None, None) }, &seen.pools);
    assert_eq!(nameless.unwrap_err(), "there is no IPPool \"x\"");
}

#[test]
fn pod_cidrs_decide_about_their_pools_blocks() {
    let mut seen = seen();
    seen.pools[0].spec.block_source = BlockSource::PodCidr;
    let of = |cidr, size, to| Change::of(&wish(cidr, size, to), &seen.pools).map(drop).unwrap_err();
    assert!(of("10.0.0.0/23", Some(26), None).contains("are nodes' pod CIDRs, and as large as these"));
    assert!(
        of("10.9.0.0/24", None, Some("q")).contains("stay in 10.0.0.0/24 until their Nodes are made anew")
    );

    let pod_cidrs = vec![prefix("10.0.0.128/26")];
    seen.nodes.push(object("n3", Node { pod_cidrs, ..Node::default() }));
    let planned = plan(&change("10.0.0.0/25", None, &seen), &seen, now());
    let wanted = "Node n3: its pod CIDR 10.0.0.128/26 is not in 10.0.0.0/25: it would have no addresses";
    assert_eq!(words(&planned.objections), [wanted]);
    let planned = plan(&change("10.0.0.0/23", None, &seen), &seen, now());
    assert!(planned.objections.is_empty() && planned.notes.is_empty(), "{planned:?}");
}

#[test]
fn each_kind_of_change_has_its_steps_from_where_it_has_got_to() {
    let mut seen = seen();
    let planned = |seen: &Seen, change: &Change| plan(change, seen, now());

    let widen = change("10.0.0.0/23", None, &seen);
    assert_eq!(steps(&planned(&seen, &widen)), ["resize"]);
    let narrow = change("10.0.0.0/25", None, &seen);
    assert_eq!(steps(&planned(&seen, &narrow)), ["disable", "empty", "resize and enable"]);
    let away = change("10.9.0.0/24", Some("q"), &seen);
    let whole = planned(&seen, &away);
    assert_eq!(steps(&whole), ["create", "disable", "empty", "delete"]);

    seen.pools[0].spec.disabled = true;
    assert_eq!(steps(&planned(&seen, &narrow)), ["empty", "resize and enable"], "goes on");
    let left_disabled = change("10.0.0.0/25", None, &seen);
    assert_eq!(steps(&planned(&seen, &left_disabled)), ["empty", "resize"], "somebody else did that");
    let Change::Move { spec, .. } = &away else { panic!("no move") };
    seen.pools.push(object("q", (**spec).clone()));
    let rest = planned(&seen, &away);
    assert_eq!(steps(&rest), ["empty", "delete"]);
    assert_eq!((rest.beyond(&whole), whole.beyond(&rest)), (None, Some(&whole.steps[0])));

    seen.pools.remove(0);
    assert_eq!(planned(&seen, &away).steps, []);
    assert!(planned(&seen, &away).objections.is_empty(), "it is done");
    assert_eq!(words(&planned(&seen, &narrow).objections), ["IPPool p: does not exist"]);
    seen.pools[0].spec.block_size = Some(28);
    let other = words(&planned(&seen, &away).objections);
    assert_eq!(other, ["IPPool q: exists, with cidr 10.9.0.0/24 and blocks of /28: take another name"]);
}

#[test]
fn what_somebody_else_changed_meanwhile_stops_it() {
    let mut seen = seen();
    let narrow = change("10.0.0.0/25", None, &seen);
    seen.pools[0].spec.cidr = prefix("10.0.0.0/23");
    let planned = plan(&narrow, &seen, now());
    assert!(planned.steps.is_empty());
    let wanted = "IPPool p: has cidr 10.0.0.0/23 now, and not 10.0.0.0/24: somebody else has changed it";
    assert_eq!(words(&planned.objections), [wanted]);
    seen.pools[0].spec.cidr = prefix("10.0.0.0/25");
    assert_eq!(plan(&narrow, &seen, now()).steps, [], "it is done");
    seen.pools[0].metadata.deletion_timestamp = Some(now());
    assert_eq!(words(&plan(&narrow, &seen, now()).objections), ["IPPool p: is being deleted"]);
}

/// One thing in the way of 10.0.0.0/23, which is wider than the pool's 10.0.0.0/24.
#[test]
fn a_range_that_something_else_has_is_refused_by_name() {
    type Add = fn(&mut Seen);
    let obstacles: [(Add, &str); 10] = [
        (
            |seen| seen.pools.push(object("q", IpPool::of(prefix("10.0.1.0/25")))),
            "IPPool q: its cidr 10.0.1.0/25 overlaps with 10.0.0.0/23",
        ),
        (
            |seen| {
                add_block(seen, "10.0.1.0/26", "n1", Vec::new());
                seen.affinities.last_mut().unwrap().spec.pool = "gone".to_owned();
            },
            "BlockAffinity 10-0-1-0-26: a block of 10.0.0.0/23 is still there, of pool gone (n1)",
        ),
        (
            |seen| {
                let reserved_cidrs = vec![prefix("10.0.0.0/16")];
                seen.reservations.push(object("r", IpReservation { reserved_cidrs }));
            },
            "IPReservation r: reserves 10.0.0.0/16, all of 10.0.0.0/23: no address would be given",
        ),
        (
            |seen| {
                let addresses =
                    vec![NodeAddress { kind: "ExternalIP".to_owned(), address: "10.0.1.9".to_owned() }];
                let node = object("n1", Node::default());
                seen.nodes
                    .push(Object { status: Some(NodeState { addresses, ..NodeState::default() }), ..node });
            },
            "Node n1: its address 10.0.1.9 is in 10.0.0.0/23",
        ),
        (
            |seen| {
                let peer_ip = Some("10.0.1.1".parse().unwrap());
                seen.peers.push(object("tor", BgpPeer { peer_ip, ..BgpPeer::default() }));
            },
            "BGPPeer tor: its address 10.0.1.1 is in 10.0.0.0/23",
        ),
        (
            |seen| {
                let gateway: EgressGateway =
                    serde_json::from_value(serde_json::json!({ "egressIPs": ["10.0.1.2"] })).unwrap();
                seen.gateways.push(object("g", gateway));
            },
            "EgressGateway g: its address 10.0.1.2 is in 10.0.0.0/23",
        ),
        (
            |seen| {
                let peer = serde_json::json!({
                    "publicKey": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
                    "allowedIPs": ["10.0.1.128/25"],
                });
                seen.wireguard.push(object("w", serde_json::from_value(peer).unwrap()));
            },
            "WireguardPeer w: 10.0.1.128/25 is behind it, and overlaps with 10.0.0.0/23",
        ),
        (
            |seen| seen.learned = Some(["0.0.0.0/0", "10.0.0.0/26", "10.0.1.0/24"].map(prefix).to_vec()),
            "BGP: a peer announces 10.0.1.0/24, which is in 10.0.0.0/23",
        ),
        (
            |seen| seen.pods.push(pod("other", "n1", &["10.0.1.7"])),
            "Pod shop/other: has 10.0.1.7, which is in 10.0.0.0/23 and was not given by Cairn",
        ),
        (
            |seen| {
                let (mode, subnet) = (AttachmentMode::Macvlan, Some(prefix("10.0.0.0/24")));
                seen.pools[0].spec.attachment = Attachment { mode, subnet, ..Attachment::default() };
            },
            "IPPool p: spec.attachment.subnet: \"10.0.0.0/24\": a range around 10.0.0.0/23",
        ),
    ];
    for (add, wanted) in obstacles {
        let mut seen = seen();
        let widen = change("10.0.0.0/23", None, &seen);
        assert!(plan(&widen, &seen, now()).objections.is_empty());
        add(&mut seen);
        assert_eq!(words(&plan(&widen, &seen, now()).objections), [wanted]);
        seen.pools[0].spec.cidr = prefix("10.0.0.0/23");
        assert!(
            plan(&widen, &seen, now()).objections.is_empty(),
            "once it is done it is not undone: {wanted}"
        );
    }
}

fn pod(name: &str, node: &str, addresses: &[&str]) -> Object<Pod> {
    let mut pod = object(name, Pod { node_name: node.to_owned(), ..Pod::default() });
    pod.metadata.namespace = "shop".to_owned();
    let pod_ips = addresses.iter().map(|ip| PodIp { ip: (*ip).to_owned() }).collect();
    pod.status = Some(PodState { phase: "Running".to_owned(), pod_ips });
    pod
}

fn owned(mut pod: Object<Pod>, kind: &str, name: &str, hash: &str) -> Object<Pod> {
    let owner = serde_json::json!({ "kind": kind, "name": name, "controller": true });
    pod.metadata.owner_references = vec![serde_json::json!({ "kind": "Other", "name": "x" }), owner];
    if !hash.is_empty() {
        pod.metadata.labels.insert("pod-template-hash".to_owned(), hash.to_owned());
    }
    pod
}

#[test]
fn who_holds_an_address_is_named_by_node_and_workload() {
    let mut seen = seen();
    seen.pods = vec![
        owned(pod("web-5d-x", "n1", &["10.0.0.0"]), "ReplicaSet", "web-5d", "5d"),
        owned(pod("db-0", "n2", &["10.0.0.99"]), "StatefulSet", "db", ""),
        pod("bare", "n2", &["10.0.0.98", "192.0.2.9"]),
    ];
    let mut tunnel = entry("10.0.0.200", "n2", AllocationState::Assigned, "");
    tunnel.handle = crate::Handle::of_tunnels(cairn_net::Family::Ipv4).to_string();
    seen.blocks[1].spec.allocations.push(tunnel);
    let planned = plan(&change("10.9.0.0/24", Some("q"), &seen), &seen, now());
    let held: Vec<_> = planned
        .holders
        .iter()
        .map(|holder| format!("{} {} {} {}", holder.node, holder.workload, holder.pod, holder.address))
        .collect();
    assert_eq!(
        held,
        [
            "n1 - shop/web-5d-y 10.0.0.1",
            "n1 deployment/web shop/web-5d-x 10.0.0.0",
            "n2 pod/bare shop/bare 10.0.0.98",
            "n2 statefulset/db shop/db-0 10.0.0.99",
            "n2 tunnel cairn/tunnel/ipv4 10.0.0.200",
        ]
    );
    assert_eq!((planned.left.in_use, planned.left.resting), (4, 1), "a tunnel takes another by itself");
    assert_eq!(planned.left.blocks, [("n1".to_owned(), 1)].into(), "the other block has a tunnel's alone");
}

#[test]
fn a_range_is_not_taken_from_under_addresses_in_use() {
    let mut seen = seen();
    let narrow = |seen: &Seen| change("10.0.0.128/25", None, seen);
    let planned = plan(&narrow(&seen), &seen, now());
    let wanted = [
        "IPPool p: 10.0.0.1 is not in 10.0.0.128/25 and in use: shop/web-5d-y on node n1",
        "IPPool p: 10.0.0.0 is not in 10.0.0.128/25 and in use: shop/web-5d-x on node n1",
    ];
    let mut found = words(&planned.objections);
    found.sort();
    let mut sorted = wanted.map(str::to_owned);
    sorted.sort();
    assert_eq!(found, sorted);
    // Whoever comes between the plan and the pool's being closed is waited for.
    let begun = narrow(&seen);
    seen.pools[0].spec.disabled = true;
    let planned = plan(&begun, &seen, now());
    assert!(planned.objections.is_empty() && planned.left.in_use == 2, "{planned:?}");
    assert!(!plan(&narrow(&seen), &seen, now()).objections.is_empty(), "but not from the start");
    // The other half has no address in use, but a block.
    let other = plan(&change("10.0.0.0/25", None, &seen), &seen, now());
    assert!(other.objections.is_empty() && other.left.blocks.contains_key("n2"), "{other:?}");
}

#[test]
fn what_does_not_follow_by_itself_is_noted() {
    let mut seen = seen();
    let rule = |cidr: &str| FilterRule {
        cidr: Some(prefix(cidr)),
        match_operator: Some(MatchOperator::In),
        ..serde_json::from_value(serde_json::json!({ "action": FilterAction::Accept })).unwrap()
    };
    let export_v4 = vec![rule("192.0.2.0/24"), rule("10.0.0.0/24"), rule("10.0.0.0/8")];
    seen.filters.push(object("f", BgpFilter { export_v4, ..BgpFilter::default() }));
    let advertisement = |cidr: &str| PrefixAdvertisement { cidr: prefix(cidr), communities: Vec::new() };
    let prefix_advertisements = vec![advertisement("10.0.0.0/24"), advertisement("10.0.0.0/8")];
    seen.bgp
        .push(object("default", BgpConfiguration { prefix_advertisements, ..BgpConfiguration::default() }));
    seen.reservations.push(object("r", IpReservation { reserved_cidrs: vec![prefix("10.0.1.0/28")] }));
    let pod_cidrs = vec![prefix("10.0.1.0/25")];
    seen.nodes.push(object("n3", Node { pod_cidrs, ..Node::default() }));
    let planned = plan(&change("10.0.0.0/23", None, &seen), &seen, now());
    assert!(planned.objections.is_empty(), "{planned:?}");
    assert_eq!(
        words(&planned.notes),
        [
            "BGPConfiguration default: prefixAdvertisements of 10.0.0.0/24 is not for all of 10.0.0.0/23: add it",
            "BGPFilter f: exportV4[1] is about 10.0.0.0/24 and not about all of 10.0.0.0/23: add a rule",
            "IPReservation r: reserves 10.0.1.0/28 of 10.0.0.0/23: nothing of it is given",
            "Node n3: its pod CIDR 10.0.1.0/25 overlaps with 10.0.0.0/23: nothing else may use it",
        ]
    );

    let mut naming = pod("web", "n1", &[]);
    naming.metadata.annotations.insert("cairn.network/ipv4-pools".to_owned(), "[\"p\"]".to_owned());
    seen.pods.push(naming);
    seen.learned = None;
    let notes = words(&plan(&change("10.9.0.0/24", Some("q"), &seen), &seen, now()).notes);
    let names = "Pod shop/web: its annotation cairn.network/ipv4-pools names p: let it name q";
    assert!(notes.iter().any(|note| note == names), "{notes:?}");
    assert!(notes.iter().any(|note| note.starts_with("BGP: no bgpd was asked")), "{notes:?}");
}

#[test]
fn a_plan_is_read_as_it_was_written() {
    let seen = seen();
    for change in [
        change("10.0.0.0/23", None, &seen),
        change("10.0.0.0/25", None, &seen),
        change("10.9.0.0/24", Some("q"), &seen),
    ] {
        let planned = plan(&change, &seen, now());
        let text = serde_json::to_string(&planned).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), planned, "{text}");
    }
}
