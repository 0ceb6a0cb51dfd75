//! What namespaces and pods ask for by annotation.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cairn_api::annotation::{ADDRESSES, IPV4_POOLS, IPV6_POOLS, MAC_ADDRESS};
use serde_json::Value;

use super::Options;
use super::document::Source;
use super::ipam::Held;
use super::note::Outcome;
use super::translator::{Annotated, Annotations, Translated, Translator};

const POOLS: [(&str, &str); 2] =
    [("cni.projectcalico.org/ipv4pools", IPV4_POOLS), ("cni.projectcalico.org/ipv6pools", IPV6_POOLS)];
/// What only pods have.
const OWN: [(&str, &str); 2] =
    [("cni.projectcalico.org/ipAddrs", ADDRESSES), ("cni.projectcalico.org/hwAddr", MAC_ADDRESS)];

/// What Calico's plugin writes on a pod that it has started: no wish of anybody's.
const RESULTS: [&str; 3] =
    ["cni.projectcalico.org/podIP", "cni.projectcalico.org/podIPs", "cni.projectcalico.org/containerID"];

/// By how a key begins, why it has no counterpart.
const DROPPED: [(&str, &str); 6] = [
    ("cni.projectcalico.org/ipAddrsNoIpam", "every address of a pod is of a pool"),
    ("cni.projectcalico.org/floatingIPs", "there are no floating addresses"),
    ("cni.projectcalico.org/ipFamilies", "which families pods have is said by the plugin's configuration"),
    ("cni.projectcalico.org/allowedSourcePrefixes", "a pod sends from its own addresses alone"),
    ("qos.projectcalico.org/", "there are no QoS controls"),
    ("projectcalico.org/", "Cairn gives no addresses to Services, and does not translate theirs"),
];

/// A Namespace: its pools are carried over, unless nothing is to be taken from them.
pub(super) fn namespace(source: &Source, options: Options, to: &mut Translator) {
    let mut annotations = BTreeMap::new();
    for (key, value) in &source.annotations {
        match POOLS.iter().find(|(theirs, _)| theirs == key) {
            Some((_, ours)) if options.disable_pools => {
                let field = format!("metadata.annotations[{key}]");
                let rule = format!(
                    "not carried over, for --disable-pools disables what it names: pods of the namespace get addresses of other pools. If they \
                     are to have those of certain ones, name these by {ours}"
                );
                to.notes.add(Outcome::ByHand, &source.label(), &field, value, rule);
            }
            Some((_, ours)) => drop(annotations.insert((*ours).to_owned(), value.clone())),
            None => dropped(&source.label(), "metadata.annotations", key, value, to),
        }
    }
    if !annotations.is_empty() {
        let (on, name) = (Annotated::Namespace, source.name.clone());
        to.objects.push(Translated::Annotations(Annotations { on, name, annotations }));
    }
}

/// A Pod, a Service, or what pods are made of: annotations that somebody has to write anew where they come from.
pub(super) fn pod(source: &Source, held: &Held, to: &mut Translator) {
    let own = source.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    annotations(source, "metadata.annotations", own, held, to);
    let templates = [
        ("spec.template.metadata.annotations", "/template/metadata/annotations"),
        (
            "spec.jobTemplate.spec.template.metadata.annotations",
            "/jobTemplate/spec/template/metadata/annotations",
        ),
    ];
    let spec = Value::Object(source.spec.clone());
    for (path, pointer) in templates {
        let found = spec.pointer(pointer).and_then(Value::as_object);
        let texts =
            found.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
        annotations(source, path, texts, held, to);
    }
}

fn annotations<'a>(
    source: &Source,
    path: &str,
    found: impl Iterator<Item = (&'a str, &'a str)>,
    held: &Held,
    to: &mut Translator,
) {
    let label = source.label();
    for (key, value) in found.filter(|(key, _)| !RESULTS.contains(key)) {
        let Some((_, ours)) = POOLS.iter().chain(&OWN).find(|(theirs, _)| *theirs == key) else {
            dropped(&label, path, key, value, to);
            continue;
        };
        let field = format!("{path}[{key}]");
        let rule = format!("pods have it from their template: write {ours} with the same value there");
        to.notes.add(Outcome::ByHand, &label, &field, value, rule);
        let addresses: Vec<IpAddr> = serde_json::from_str(value).unwrap_or_default();
        if *ours == ADDRESSES && addresses.iter().any(|address| held.contains(*address)) {
            let rule = "its address is in a block of Calico's, which a node of Cairn claims and announces as a whole when it gives the \
                        address to the pod: not before the node that has the block in Calico is moved";
            to.notes.add(Outcome::ByHand, &label, &field, value, rule);
        }
    }
}

fn dropped(label: &str, path: &str, key: &str, value: &str, to: &mut Translator) {
    let field = format!("{path}[{key}]");
    if let Some((_, rule)) = DROPPED.iter().find(|(prefix, _)| key.starts_with(prefix)) {
        to.notes.add(Outcome::Dropped, label, &field, value, *rule);
    } else if key.starts_with("cni.projectcalico.org/") {
        let rule = "an annotation that this version of cairnctl does not know";
        to.notes.add(Outcome::Dropped, label, &field, value, rule);
    }
}
