//! BGPConfiguration, BGPPeer and BGPFilter: fields of one name have one meaning.

use std::collections::BTreeSet;

use cairn_api::kinds::{BgpConfiguration, BgpFilter, BgpPeer};
use serde_json::Value;

use super::document::Source;
use super::fields::{Fields, Reasons};
use super::note::Outcome;
use super::translator::Translator;

const SERVICES: &str =
    "Cairn announces no addresses of Services yet: go on announcing them by what does it now, or by MetalLB";

const CONFIGURATION: Reasons = &[
    ("how much is logged is an option of each daemon", &["logSeverityScreen"]),
    (
        SERVICES,
        &[
            "serviceLoadBalancerIPs",
            "serviceExternalIPs",
            "serviceClusterIPs",
            "serviceLoadBalancerAggregation",
        ],
    ),
    ("bgpd listens on every address of the node, and takes sessions from its peers alone", &["bindMode"]),
    (
        "the routes of a node's interfaces are not announced, so none has to be ignored",
        &["ignoredInterfaces"],
    ),
    ("pods have no sessions with their node", &["localWorkloadPeeringIPV4", "localWorkloadPeeringIPV6"]),
    (
        "one daemon writes all routes between nodes. While Calico's nodes are left they must take these routes from BGP: \
         Enabled here, and Disabled in FelixConfiguration",
        &["programClusterRoutes"],
    ),
    ("all of Cairn's routes have metric 1024", &["ipv4NormalRoutePriority", "ipv6NormalRoutePriority"]),
];

const CONFIGURATION_FIELDS: &[&str] = &[
    "nodeToNodeMeshEnabled",
    "asNumber",
    "listenPort",
    "nodeMeshPassword",
    "nodeMeshMaxRestartTime",
    "communities",
    "prefixAdvertisements",
];

const PEER_FIELDS: &[&str] = &[
    "node",
    "nodeSelector",
    "peerIP",
    "asNumber",
    "peerSelector",
    "localASNumber",
    "numAllowedLocalASNumbers",
    "keepOriginalNextHop",
    "nextHopMode",
    "password",
    "sourceAddress",
    "maxRestartTime",
    "keepaliveTime",
    "ttlSecurity",
    "filters",
    "reversePeering",
    "reachableBy",
    "localWorkloadSelector",
];

/// Sessions of the whole cluster.
pub(super) fn configuration(source: &Source, to: &mut Translator) {
    if source.name != "default" {
        let rule =
            "Cairn has one, named default: say what differs on the Nodes (annotations) or in a BGPPeer";
        to.notes.add(Outcome::Refused, &source.label(), "metadata.name", &source.name, rule);
        return;
    }
    let mut fields = Fields::of(source, &mut to.notes);
    fields.drop_all(CONFIGURATION);
    password(&mut fields, "nodeMeshPassword");
    if let Some(spec) = fields.carry::<BgpConfiguration>(CONFIGURATION_FIELDS) {
        to.keep(source, spec);
    }
}

/// A filter. Its name is answered if it was kept.
pub(super) fn filter(source: &Source, to: &mut Translator) -> Option<String> {
    let fields = Fields::of(source, &mut to.notes);
    // A rule without one of its conditions would match more than it did: what Cairn cannot read of a rule refuses the filter.
    let spec = fields.carry::<BgpFilter>(&["exportV4", "importV4", "exportV6", "importV6"])?;
    to.keep(source, spec).then(|| source.name.clone())
}

/// A session. `filters` are those that were kept.
pub(super) fn peer(source: &Source, filters: &BTreeSet<String>, to: &mut Translator) {
    let mut fields = Fields::of(source, &mut to.notes);
    if fields.get("peerSelector").is_some() {
        fields.drop("asNumber", "nodes are known by their own AS numbers, and Calico ignores it here, too");
    }
    password(&mut fields, "password");
    let Some(spec) = fields.carry::<BgpPeer>(PEER_FIELDS) else { return };
    let missing = spec.filters.iter().find(|name| !filters.contains(*name));
    if let Some(missing) = missing {
        let rule = "this filter was not in the dump or was refused: without it the session would pass what it holds back";
        to.notes.add(Outcome::Refused, &source.label(), "spec.filters", missing, rule);
        return;
    }
    to.keep(source, spec);
}

/// Passwords are where the daemons are.
fn password(fields: &mut Fields<'_>, name: &str) {
    let Some(mut value) = fields.take(name) else { return };
    let reference = value.get_mut("secretKeyRef").and_then(Value::as_object_mut);
    let Some(reference) = reference else { return fields.put(name, value) };
    if let Some(optional) = reference.remove("optional") {
        let rule = "a session whose password is not there stays down";
        fields.note(Outcome::Dropped, &format!("{name}.secretKeyRef.optional"), &optional, rule);
    }
    let secret = reference.get("name").cloned().unwrap_or_default();
    let rule = "copy the Secret into the namespace cairn-system: Cairn reads those of no other";
    fields.note(Outcome::ByHand, &format!("{name}.secretKeyRef.name"), &secret, rule);
    fields.put(name, value);
}
