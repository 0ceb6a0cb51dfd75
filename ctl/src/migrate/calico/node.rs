//! Who a node is in BGP: annotations of Kubernetes' Node, or the spec of Calico's.

use std::collections::BTreeMap;

use cairn_api::annotation::{AS_NUMBER, IPV4_ADDRESS, IPV6_ADDRESS, ROUTE_REFLECTOR_CLUSTER_ID};
use serde_json::{Map, Value};

use super::document::Source;
use super::fields::Shown;
use super::note::Outcome;
use super::translator::Translator;

const PREFIX: &str = "projectcalico.org/";

/// The name behind the prefix, that of Calico's own Node below `spec.bgp`, and Cairn's annotation.
const CARRIED: [(&str, &str, &str); 4] = [
    ("IPv4Address", "ipv4Address", IPV4_ADDRESS),
    ("IPv6Address", "ipv6Address", IPV6_ADDRESS),
    ("ASNumber", "asNumber", AS_NUMBER),
    ("RouteReflectorClusterID", "routeReflectorClusterID", ROUTE_REFLECTOR_CLUSTER_ID),
];

const OWN: &str = "Calico's node made it for itself; Cairn's makes its own";
const KEY: &str = "Calico's node made it for itself; Cairn's makes its own. Take it away once the node is moved, or Calico's other \
                   nodes go on encrypting with it";

/// A Node of Kubernetes.
pub(super) fn annotated(source: &Source, to: &mut Translator) {
    let mut annotations = BTreeMap::new();
    let label = source.label();
    for (key, value) in &source.annotations {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        if let Some((.., ours)) = CARRIED.iter().find(|(theirs, ..)| *theirs == name) {
            annotations.insert((*ours).to_owned(), value.clone());
            continue;
        }
        let (outcome, rule) = if name.starts_with("WireguardPublicKey") {
            (Outcome::ByHand, KEY)
        } else {
            (Outcome::Dropped, OWN)
        };
        to.notes.add(outcome, &label, &format!("metadata.annotations[{key}]"), value, rule);
    }
    to.keep_node(&label, &source.name, annotations);
}

/// A Node of Calico's API, which says the same in other words.
pub(super) fn of_calico(source: &Source, to: &mut Translator) {
    let nothing = Map::new();
    let bgp = source.spec.get("bgp").and_then(Value::as_object).unwrap_or(&nothing);
    let mut annotations = BTreeMap::new();
    for (name, value) in bgp.iter().filter(|(_, value)| !value.is_null()) {
        match CARRIED.iter().find(|(_, theirs, _)| *theirs == name) {
            Some((.., ours)) => {
                annotations.insert((*ours).to_owned(), Shown(value).to_string());
            }
            None => {
                to.notes.add(
                    Outcome::Dropped,
                    &source.label(),
                    &format!("spec.bgp.{name}"),
                    Shown(value),
                    OWN,
                );
            }
        }
    }
    for (name, value) in source.spec.iter().filter(|(name, _)| *name != "bgp") {
        to.notes.add(Outcome::Dropped, &source.label(), &format!("spec.{name}"), Shown(value), OWN);
    }
    to.keep_node(&source.label(), &source.name, annotations);
}
