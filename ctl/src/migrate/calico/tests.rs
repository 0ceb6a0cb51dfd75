use cairn_api::load;
use serde_json::json;

use super::super::write;
use super::*;

/// A dump of a cluster in both forms of Calico's API.
const CRD: &str = include_str!("../../../tests/calico/crd.yaml");
const V3: &str = include_str!("../../../tests/calico/v3.json");

fn of_text(text: &str, options: Options) -> Translation {
    translate(load::dump("dump", text).unwrap(), options)
}

fn of(documents: Vec<Value>) -> Translation {
    translate(documents, Options::default())
}

/// Is it what the file says?
fn golden(name: &str, found: &str) {
    let path = format!("{}/tests/calico/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{path} differs; UPDATE_GOLDEN=1 rewrites it:\n{found}");
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let mut object =
        json!({ "apiVersion": "crd.projectcalico.org/v1", "kind": kind, "metadata": { "name": name } });
    object["spec"] = spec;
    object
}

/// What was found of an outcome, as `object field`.
fn found(translation: &Translation, outcome: Outcome) -> Vec<String> {
    let of_outcome = translation.notes.iter().filter(|note| note.outcome == outcome);
    of_outcome.map(|note| format!("{} {}", note.object, note.field).trim_end().to_owned()).collect()
}

fn pools(translation: &Translation) -> Vec<(String, bool)> {
    let objects = translation.objects.iter();
    objects
        .filter_map(|object| match object {
            Translated::Pool(pool) => Some((pool.metadata.name.clone(), pool.spec.disabled)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_whole_cluster_is_translated_with_a_finding_for_all_that_is_not() {
    let translation = of_text(CRD, Options::default());
    golden("objects.yaml", &write::text(&translation.objects).unwrap());
    let mut lines = String::new();
    for note in &translation.notes {
        let Note { outcome, object, field, value, rule } = note;
        lines.push_str(&format!("{outcome} | {object} | {field} | {value} | {rule}\n"));
    }
    golden("findings.txt", &lines);
}

#[test]
fn both_forms_of_the_api_say_the_same() {
    let (crd, v3) = (of_text(CRD, Options::default()), of_text(V3, Options::default()));
    assert_eq!(crd.objects, v3.objects);
    assert_eq!(crd.notes, v3.notes);
    let both = format!("{CRD}\n---\n{V3}");
    assert_eq!(of_text(&both, Options::default()).objects, crd.objects, "what is there twice counts once");
}

#[test]
fn what_is_made_is_read_again_as_it_was() {
    for object in of_text(CRD, Options::default()).objects {
        let text = write::text(std::slice::from_ref(&object)).unwrap();
        let read: Result<Translated, _> = match &object {
            Translated::Pool(_) => load::object("f", &text).map(Translated::Pool),
            Translated::Reservation(_) => load::object("f", &text).map(Translated::Reservation),
            Translated::Ipam(_) => load::object("f", &text).map(Translated::Ipam),
            Translated::Filter(_) => load::object("f", &text).map(Translated::Filter),
            Translated::Configuration(_) => load::object("f", &text).map(Translated::Configuration),
            Translated::NodeConfiguration(_) => load::object("f", &text).map(Translated::NodeConfiguration),
            Translated::Peer(_) => load::object("f", &text).map(Translated::Peer),
            Translated::Annotations(_) => Ok(object.clone()),
        };
        assert_eq!(read.as_ref(), Ok(&object), "{text}");
    }
}

#[test]
fn no_pool_is_used_while_nobody_knows_what_is_in_use() {
    let pool = || object("IPPool", "p", json!({ "cidr": "10.0.0.0/24" }));
    let blind = of(vec![pool()]);
    assert_eq!(
        (pools(&blind), found(&blind, Outcome::Refused)),
        (vec![], vec!["IPPool p spec.cidr".to_owned()])
    );
    let apart = translate(vec![pool()], Options { disable_pools: true });
    assert_eq!((pools(&apart), found(&apart, Outcome::Refused)), (vec![("p".to_owned(), true)], vec![]));

    let block = |cidr: &str| object("IPAMBlock", cidr, json!({ "cidr": cidr }));
    let known = of(vec![pool(), block("10.0.0.0/26")]);
    assert_eq!(pools(&known), [("p".to_owned(), false)]);
    assert_eq!(
        found(&known, Outcome::ByHand),
        ["IPAMConfiguration default spec.autoAllocateBlocks"],
        "Calico may claim more"
    );
    let blocks = (0..4).map(|number| block(&format!("10.0.0.{}/26", number * 64)));
    let full = of([pool()].into_iter().chain(blocks).collect());
    assert!(found(&full, Outcome::ByHand).contains(&"IPPool p spec.cidr".to_owned()), "nothing to claim");
}

#[test]
fn affinities_and_handles_alone_do_not_say_what_is_in_use() {
    let affinity = object("BlockAffinity", "a", json!({ "cidr": "10.0.0.0/26", "deleted": "false" }));
    let handle = object("IPAMHandle", "h", json!({ "block": { "10.0.0.64/26": 1 } }));
    let gone = object("IPAMBlock", "gone", json!({ "cidr": "10.0.0.128/26", "deleted": true }));
    let pool = object("IPPool", "p", json!({ "cidr": "10.0.0.0/24" }));
    let translation = of(vec![affinity, handle, gone, pool]);
    assert_eq!(
        (pools(&translation), found(&translation, Outcome::Refused)),
        (vec![], vec!["IPPool p spec.cidr".to_owned()])
    );
    assert_eq!(translation.objects.len(), 1, "they are reserved all the same");
}

#[test]
fn no_pool_is_used_if_some_of_what_calico_holds_is_refused() {
    let good = || object("IPAMBlock", "good", json!({ "cidr": "10.0.0.0/26" }));
    let pool = || object("IPPool", "p", json!({ "cidr": "10.0.0.0/24" }));
    let nameless = object("IPAMBlock", "", json!({ "cidr": "10.0.0.64/26" }));
    for (odd, refused) in [
        (object("IPAMBlock", "odd", json!({ "cidr": "10.0.0.1/26" })), "IPAMBlock odd spec.cidr"),
        (object("IPAMBlock", "good", json!({ "cidr": "10.0.0.64/26" })), "IPAMBlock good"),
        (object("BlockAffinity", "odd", json!({})), "BlockAffinity odd spec.cidr"),
        (object("IPAMHandle", "odd", json!({ "block": { "x": 1 } })), "IPAMHandle odd spec.block"),
        (nameless, "a document"),
    ] {
        let documents = vec![pool(), good(), odd];
        let used = of(documents.clone());
        assert_eq!(
            (pools(&used), found(&used, Outcome::Refused)),
            (vec![], vec![refused.to_owned(), "IPPool p spec.cidr".to_owned()])
        );
        let apart = translate(documents, Options { disable_pools: true });
        assert_eq!(
            (pools(&apart), found(&apart, Outcome::Refused)),
            (vec![("p".to_owned(), true)], vec![refused.to_owned()])
        );
    }
}

#[test]
fn every_block_that_calico_may_use_is_reserved() {
    let documents = vec![
        object("IPAMBlock", "a", json!({ "cidr": "10.0.0.0/26" })),
        object("IPAMBlock", "gone", json!({ "cidr": "10.0.9.0/26", "deleted": true })),
        object("BlockAffinity", "b", json!({ "cidr": "10.0.0.64/26", "deleted": "false" })),
        object("BlockAffinity", "also-gone", json!({ "cidr": "10.0.9.64/26", "deleted": "true" })),
        object("IPAMHandle", "c", json!({ "block": { "10.0.1.0/26": 1, "fd00::/122": 1 } })),
        object("IPAMBlock", "odd", json!({ "cidr": "10.0.0.1/26" })),
    ];
    let translation = of(documents);
    let [Translated::Reservation(reservation)] = translation.objects.as_slice() else {
        panic!("{:?}", translation.objects)
    };
    let ranges: Vec<String> = reservation.spec.reserved_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(
        (reservation.name(), ranges),
        ("calico-blocks", vec!["10.0.0.0/25".to_owned(), "10.0.1.0/26".to_owned(), "fd00::/122".to_owned()])
    );
    assert_eq!(found(&translation, Outcome::Refused), ["IPAMBlock odd spec.cidr"]);
}

#[test]
fn what_would_pass_what_it_held_back_is_refused_as_a_whole() {
    let filter = |rule: Value| object("BGPFilter", "f", json!({ "exportV4": [rule] }));
    let peer =
        || object("BGPPeer", "p", json!({ "peerIP": "192.0.2.1", "asNumber": 65001, "filters": ["f"] }));
    for rule in [
        json!({ "action": "Reject", "interface": "eth0" }),
        json!({ "action": "Reject", "priority": 512 }),
        json!({ "action": "Reject", "newCondition": 1 }),
        json!({ "action": "Perhaps" }),
        json!({ "action": "Accept", "cidr": "10.0.0.0/8" }),
        json!({ "action": "Reject", "cidr": "fd00::/8", "matchOperator": "In" }),
    ] {
        let translation = of(vec![peer(), filter(rule.clone())]);
        assert_eq!(translation.objects, [], "{rule}");
        assert_eq!(found(&translation, Outcome::Refused).len(), 2, "{rule}");
    }
    let fine = of(vec![peer(), filter(json!({ "action": "Reject" }))]);
    assert_eq!((fine.objects.len(), fine.notes), (2, vec![]), "whatever comes first in the dump");
}

#[test]
fn a_value_that_cannot_be_read_is_named_with_its_place() {
    let filter = json!({ "importV4": [{ "action": "Reject" }, { "action": "Accept", "communities": { "values": ["x"] } }] });
    for (kind, spec, field, value) in [
        ("IPPool", json!({ "cidr": "10.0.0.1/24" }), "spec.cidr", "10.0.0.1/24"),
        (
            "IPPool",
            json!({ "cidr": "10.0.0.0/24", "disabled": true, "nodeSelector": "a = b" }),
            "spec.nodeSelector",
            "a = b",
        ),
        ("BGPPeer", json!({ "peerIP": "tor1", "asNumber": 1 }), "spec.peerIP", "tor1"),
        ("BGPPeer", json!({ "peerIP": "192.0.2.1" }), "spec.asNumber", ""),
        ("BGPFilter", filter, "spec.importV4[1].communities.values[0]", "x"),
        (
            "BGPConfiguration",
            json!({ "nodeMeshMaxRestartTime": "1.5s" }),
            "spec.nodeMeshMaxRestartTime",
            "1.5s",
        ),
    ] {
        let translation = of(vec![object(kind, "default", spec)]);
        let [note] = translation.notes.as_slice() else { panic!("{kind}: {:?}", translation.notes) };
        assert_eq!(
            (note.outcome, note.field.as_str(), note.value.as_str()),
            (Outcome::Refused, field, value),
            "{}",
            note.rule
        );
    }
}

#[test]
fn documents_that_are_no_objects_are_named() {
    for document in [json!({ "kind": "IPPool" }), json!(["a"]), object("IPPool", "", json!({}))] {
        let translation = of(vec![document]);
        assert_eq!(found(&translation, Outcome::Refused), ["a document"]);
    }
    let twice = of(vec![
        object("IPReservation", "r", json!({ "reservedCIDRs": [] })),
        object("IPReservation", "r", json!({ "reservedCIDRs": ["10.0.0.0/24"] })),
    ]);
    assert_eq!(
        (twice.objects.len(), found(&twice, Outcome::Refused)),
        (1, vec!["IPReservation r".to_owned()])
    );
    assert_eq!(found(&of(vec![object("Gadget", "g", json!({}))]), Outcome::Dropped), ["Gadget g"]);
}

#[test]
fn a_pod_that_has_an_address_of_a_calico_node_is_not_moved_before_it() {
    let pod = |address: &str| {
        let annotations = json!({ "cni.projectcalico.org/ipAddrs": format!("[\"{address}\"]") });
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "namespace": "n", "annotations": annotations } })
    };
    let block = || object("IPAMBlock", "b", json!({ "cidr": "10.0.0.0/26" }));
    let count = |address: &str| found(&of(vec![pod(address), block()]), Outcome::ByHand).len();
    assert_eq!((count("10.0.0.7"), count("10.0.7.7")), (2, 1));
}

#[test]
fn a_namespace_keeps_its_pools_unless_nothing_is_taken_from_them() {
    let annotations = json!({ "cni.projectcalico.org/ipv6pools": "[\"p\"]" });
    let metadata = json!({ "name": "shop", "annotations": annotations });
    let namespace = || vec![json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })];
    let kept = of(namespace());
    let annotations = [("cairn.network/ipv6-pools".to_owned(), "[\"p\"]".to_owned())].into();
    let wanted = Annotations { on: Annotated::Namespace, name: "shop".to_owned(), annotations };
    assert_eq!(kept.objects, [Translated::Annotations(wanted)]);
    assert!(kept.notes.is_empty(), "{:?}", kept.notes);
    let apart = translate(namespace(), Options { disable_pools: true });
    let found = found(&apart, Outcome::ByHand);
    assert_eq!(found, ["Namespace shop metadata.annotations[cni.projectcalico.org/ipv6pools]"]);
    assert!(apart.objects.is_empty(), "{:?}", apart.objects);
}

#[test]
fn a_pods_mac_address_is_written_anew_by_hand() {
    let annotations = json!({ "cni.projectcalico.org/hwAddr": "02:00:00:00:00:01" });
    let metadata = json!({ "name": "a", "namespace": "shop", "annotations": annotations });
    let moved = of(vec![json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {} })]);
    assert_eq!(
        found(&moved, Outcome::ByHand),
        ["Pod shop/a metadata.annotations[cni.projectcalico.org/hwAddr]"]
    );
    assert!(found(&moved, Outcome::Dropped).is_empty());
}
