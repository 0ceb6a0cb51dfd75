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
        nodes(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut found);
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
