use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::load;

/// Every node of a schema, with its path.
fn nodes<'v>(schema: &'v Value, path: &str, found: &mut Vec<(String, &'v Value)>) {
    found.push((path.to_owned(), schema));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        nodes(field, &format!("{path}.{name}"), found);
    }
    if let Some(items) = schema.get("items") {
        nodes(items, &format!("{path}[]"), found);
    }
}

fn schemas() -> Vec<(String, Value)> {
    let documents = manifests().unwrap();
    documents.into_iter().map(|(name, text)| (name.clone(), load::value(&name, &text).unwrap())).collect()
}

#[test]
fn every_node_of_every_kind_has_one_type_and_a_description_above_it() {
    let all = schemas();
    assert_eq!(all.len(), 13);
    for (name, definition) in &all {
        let mut found = Vec::new();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let said = schema["properties"]["spec"]["description"].as_str();
        assert!(
            said.is_some_and(|said| said.ends_with('.')),
            "{name}: kubectl explain says nothing of its spec"
        );
        nodes(schema, "", &mut found);
        for (path, node) in found {
            let either = node["x-kubernetes-int-or-string"] == true;
            assert!(node["type"].is_string() != either, "{name}: {path}: {node}");
            for odd in ["$ref", "oneOf", "anyOf", "allOf", "additionalProperties", "definitions", "title"] {
                assert!(node.get(odd).is_none(), "{name}: {path} has {odd}");
            }
            let said = node["description"].as_str().unwrap_or_default();
            assert!(!said.contains("[`"), "{name}: {path}: {said}");
        }
    }
}

#[test]
fn defaults_are_those_of_the_types() {
    let all = schemas();
    let spec = |kind: &str| {
        let (_, found) = all.iter().find(|(name, _)| name == kind).unwrap();
        found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
    };
    let pool = spec("ippools.yaml");
    assert_eq!(pool["properties"]["nodeSelector"]["default"], "all()");
    assert_eq!(pool["properties"]["allowedUses"]["default"], serde_json::json!(["Workload", "Tunnel"]));
    assert_eq!((&pool["required"], pool.get("default")), (&serde_json::json!(["cidr"]), None));
    let bgp = spec("bgpconfigurations.yaml");
    assert_eq!(bgp["properties"]["asNumber"]["default"], 64512);
    assert_eq!(bgp["default"], serde_json::json!({}));
    assert!(bgp["properties"]["nodeMeshPassword"].get("default").is_none());
    assert!(spec("bgppeers.yaml").get("default").is_none(), "a peer without anything is none");
}

#[test]
fn a_refinement_of_a_field_that_is_not_there_is_an_error() {
    let mut schema = serde_json::json!({ "properties": { "spec": { "properties": {} } } });
    let mut refinement = Refinement::new(&mut schema);
    refinement.at("spec.gone").range(1, 2);
    assert_eq!(refinement.into_missing(), Some("spec.gone".to_owned()));
}

/// A list of a kind.
struct Listed {
    /// The kind's plural.
    kind: &'static str,
    /// Where it is in the schema.
    path: String,
    /// A spec with one that is empty.
    spec: Value,
    /// Where it is there, as a JSON pointer.
    at: String,
    /// An entry; `#` in it becomes the entry's number.
    entry: Value,
}

fn listed(kind: &'static str, path: &str, spec: Value, entry: Value) -> Listed {
    let at = path.trim_start_matches("spec").replace("[]", ".0").replace('.', "/");
    Listed { kind, path: path.to_owned(), spec, at, entry }
}

/// Every list that has a bound, but for `egressIPs`, whose rule counts families.
fn lists() -> Vec<Listed> {
    let range = || json!("10.0.0.0/8");
    let since = "2026-11-21T10:00:00Z";
    let allocation = json!({ "address": "10.0.0.1", "node": "n1", "state": "Reserved", "since": since });
    let key = "hNl2W0zRo9y4PmG1n6ByTjqMPqBJMXGj0eAHn9rJv2M=";
    let bgp = "bgpconfigurations";
    let advertisement = json!({ "cidr": "10.0.0.0/8", "communities": [] });
    let mut lists = vec![
        listed(
            bgp,
            "spec.communities",
            json!({ "communities": [] }),
            json!({ "name": "n#", "value": "1:2" }),
        ),
        listed(
            bgp,
            "spec.prefixAdvertisements",
            json!({ "prefixAdvertisements": [] }),
            advertisement.clone(),
        ),
        listed(
            bgp,
            "spec.prefixAdvertisements[].communities",
            json!({ "prefixAdvertisements": [advertisement] }),
            json!("1:2"),
        ),
        listed(bgp, "spec.drain.taints", json!({ "drain": { "taints": [] } }), json!("a")),
        listed(bgp, "spec.drain.conditions", json!({ "drain": { "conditions": [] } }), json!("a")),
        listed(
            "bgppeers",
            "spec.filters",
            json!({ "peerIP": "192.0.2.1", "asNumber": 65001, "filters": [] }),
            json!("n#"),
        ),
        listed(
            "egressmembers",
            "spec.members",
            json!({ "members": [] }),
            json!({ "gateway": "n#", "addresses": [] }),
        ),
        listed(
            "ipamblocks",
            "spec.allocations",
            json!({ "cidr": "10.0.0.0/8", "pool": "p", "allocations": [] }),
            allocation,
        ),
        listed(
            "ippools",
            "spec.allowedUses",
            json!({ "cidr": "10.0.0.0/8", "allowedUses": [] }),
            json!("Workload"),
        ),
        listed("ipreservations", "spec.reservedCIDRs", json!({ "reservedCIDRs": [] }), range()),
        listed("nodeconfigurations", "spec.nodeAddressCIDRs", json!({ "nodeAddressCIDRs": [] }), range()),
        listed(
            "nodeconfigurations",
            "spec.natOutgoingExcludedCIDRs",
            json!({ "natOutgoingExcludedCIDRs": [] }),
            range(),
        ),
        listed("wireguardpeers", "spec.allowedIPs", json!({ "publicKey": key, "allowedIPs": [] }), range()),
    ];
    for list in ["destinationCIDRs", "excludedCIDRs"] {
        let mut spec = json!({ "egressIPs": ["192.0.2.7"] });
        spec[list] = json!([]);
        lists.push(listed("egressgateways", &format!("spec.{list}"), spec, range()));
    }
    lists.extend(["exportV4", "importV4", "exportV6", "importV6"].into_iter().flat_map(lists_of_rules));
    lists
}

/// The lists of a filter's rules in one direction.
fn lists_of_rules(direction: &str) -> Vec<Listed> {
    let rule = |path: &str, more: Value, entry: Value| {
        let mut rule = json!({ "action": "Accept" });
        if let (Some(rule), Value::Object(more)) = (rule.as_object_mut(), more) {
            rule.extend(more);
        }
        let mut spec = json!({});
        spec[direction] = json!([rule]);
        listed("bgpfilters", &format!("spec.{direction}[].{path}"), spec, entry)
    };
    let mut spec = json!({});
    spec[direction] = json!([]);
    let numbers = json!([{ "prependASPath": { "prefix": [] } }]);
    vec![
        listed("bgpfilters", &format!("spec.{direction}"), spec, json!({ "action": "Reject" })),
        rule("communities.values", json!({ "communities": { "values": [] } }), json!("1:2")),
        rule("asPathPrefix", json!({ "asPathPrefix": [] }), json!(65001)),
        rule("operations", json!({ "operations": [] }), json!({ "addCommunity": { "value": "1:2" } })),
        rule("operations[].prependASPath.prefix", json!({ "operations": numbers }), json!(65001)),
    ]
}

/// The paths of what `validate` finds.
fn found<K: Kind>(spec: &Value) -> Vec<String> {
    let metadata = json!({ "name": "default" });
    let manifest =
        json!({ "apiVersion": K::API_VERSION, "kind": K::KIND, "metadata": metadata, "spec": spec });
    let object: Object<K> = serde_json::from_value(manifest).unwrap();
    let faults = object.validate().err().unwrap_or_default();
    faults.iter().map(|fault| fault.path.clone()).collect()
}

#[test]
fn a_list_is_as_long_for_validate_as_for_the_server() {
    let mut bounds = BTreeMap::new();
    for (name, definition) in schemas() {
        let mut all = Vec::new();
        nodes(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut all);
        for (path, node) in all {
            if let (Some(most), Some(path)) = (node["maxItems"].as_u64(), path.strip_prefix('.')) {
                bounds.insert((name.trim_end_matches(".yaml").to_owned(), path.to_owned()), most);
            }
        }
    }
    assert_eq!(bounds.remove(&("egressgateways".to_owned(), "spec.egressIPs".to_owned())), Some(2));
    for Listed { kind, path, spec, at, entry } in lists() {
        let most = bounds.remove(&(kind.to_owned(), path.clone())).unwrap_or_else(|| panic!("{kind} {path}"));
        let is_refused = |entries: u64| {
            let mut spec = spec.clone();
            let entry = entry.to_string();
            let filled = (0..entries).map(|number| entry.replace('#', &number.to_string()));
            *spec.pointer_mut(&at).unwrap() =
                filled.map(|text| serde_json::from_str::<Value>(&text).unwrap()).collect();
            let faults = match kind {
                "bgpconfigurations" => found::<BgpConfiguration>(&spec),
                "bgpfilters" => found::<BgpFilter>(&spec),
                "bgppeers" => found::<BgpPeer>(&spec),
                "egressgateways" => found::<EgressGateway>(&spec),
                "egressmembers" => found::<EgressMembers>(&spec),
                "ipamblocks" => found::<IpamBlock>(&spec),
                "ippools" => found::<IpPool>(&spec),
                "ipreservations" => found::<IpReservation>(&spec),
                "nodeconfigurations" => found::<NodeConfiguration>(&spec),
                "wireguardpeers" => found::<WireguardPeer>(&spec),
                other => panic!("{other}"),
            };
            faults.contains(&path.replace("[]", "[0]"))
        };
        assert_eq!((is_refused(most), is_refused(most + 1)), (false, true), "{kind} {path}: {most}");
    }
    assert!(bounds.is_empty(), "bounds that nobody compared: {bounds:?}");
}
